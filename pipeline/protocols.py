"""Harder versions of a training set: few images of each class, and labels that are wrong.

What they leave of the training images decides what the teacher learns, too: all stages read the same data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch

from ..hw import BadInput
from ..models.datasets import Samples

S = TypeVar("S", bound=Samples)


def few_per_class(images: S, count: int, n_classes: int) -> S:
    """The first `count` images of each class 0..n_classes - 1, in the order of `images`.

    A training split is in an order drawn from the recipe's seed, so they are a draw, and a smaller count is part of a
    larger one. Raises BadInput if a class has fewer.
    """
    kept = torch.zeros(len(images), dtype=torch.bool)
    for label in range(n_classes):
        where = (images.y == label).nonzero().flatten()
        if len(where) < count:
            raise BadInput(
                f"data.per_class is {count}, but class {label} has {len(where)} training images beside validation; "
                f"give at most {int(images.y.bincount(minlength=n_classes).min())}, or raise data.train_limit"
            )
        kept[where[:count]] = True
    return images.subset(kept)


def with_label_noise(images: S, share: float, n_classes: int, seed: int) -> S:
    """The same images, round(share * n) of whose labels were replaced by one of the other classes, uniformly.

    Which ones and by what is drawn from `seed`; the labels that a smaller share replaces are replaced alike by a larger
    one. A share of 0 returns the images as they are. Raises BadInput for a share outside [0, 1) or a single class.
    """
    if not 0 <= share < 1:
        raise BadInput(f"data.label_noise is {share}; it is the share of labels that are replaced, from 0 to below 1")
    if share == 0:
        return images
    if n_classes < 2:
        raise BadInput(f"data.label_noise is {share}, but there is {n_classes} class and no other label; leave it 0")
    generator = torch.Generator().manual_seed((seed << 22) + _STREAM)
    order = torch.randperm(len(images), generator=generator)
    shift = torch.randint(1, n_classes, (len(images),), generator=generator)
    wrong = order[: round(share * len(images))]
    y = images.y.clone()
    y[wrong] = (y[wrong] + shift[wrong]) % n_classes
    return replace(images, y=y)


_STREAM = 4
"""Beside the streams of training (`training.fit`), whose epochs count from 1."""

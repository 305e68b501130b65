"""The data of a recipe: its splits, the still images beside its recordings, and the networks' shapes that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from ..hw import BadInput, Shape
from ..models import ARCHITECTURES, Architecture
from ..models.datasets import DATASETS, Images, Samples, load, load_recordings, split
from ..models.events import cache, frames, saccades
from ..models.events.recording import Recordings
from .adopt.source import teacher_of
from .protocols import few_per_class, with_label_noise
from .sections import Data, Folds, Recipe

S_co = TypeVar("S_co", bound=Samples, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Splits(Generic[S_co]):
    """The three splits of a recipe. The test set is only ever evaluated."""

    train: S_co
    validation: S_co
    test: S_co


def load_data(data: Data) -> tuple[Samples, Samples]:
    """(train, test) of a recipe's data set, as a network takes them: images, or clips of frames.

    Raises BadInput for files that are not as expected.
    """
    if data.frames is None:
        return load(data.name, data.root)
    how = frames.Frames(**data.frames.model_dump())
    parts = recordings_of(data)
    if data.folds is None:
        train, test = (cache.clips(part, how) for part in parts)
        return train, test
    whole = [cache.clips(part, how) for part in parts]
    together = whole[0].joined(whole[1])
    held_out = fold(together.y, data.folds)
    return together.subset(~held_out), together.subset(held_out)


def recordings_of(data: Data) -> tuple[Recordings, Recordings]:
    """(train, test) of the recordings; of images, what a simulated camera makes of them."""
    if DATASETS[data.name].recordings is not None:
        if data.saccades is not None:
            raise BadInput(f"data.saccades: {data.name} holds recordings of a camera; leave it out")
        return load_recordings(data.name, data.root)
    settings = {} if data.saccades is None else data.saccades.model_dump()
    how = saccades.Saccades(**settings)
    train, test = (
        saccades.simulate(images, how, f"{data.name}/{part}")
        for part, images in zip(("train", "test"), load(data.name, data.root), strict=True)
    )
    return train, test


def fold(y: torch.Tensor, folds: Folds) -> torch.Tensor:
    """Which samples are in the test fold, bool (N,). Every class is dealt out in an order drawn from the seed."""
    generator = torch.Generator().manual_seed(folds.seed)
    fold_of = torch.empty_like(y)
    dealt = 0  # go on where the last class ended, so that folds are of one size but for one sample
    for label in range(int(y.max()) + 1):
        where = (y == label).nonzero().flatten()
        order = torch.randperm(len(where), generator=generator)
        fold_of[where[order]] = (torch.arange(len(where)) + dealt) % folds.of
        dealt += len(where)
    held_out = fold_of == folds.test
    if not held_out.any() or held_out.all():
        raise BadInput(f"data.folds: {folds.of} folds of {len(y)} samples leave one empty; give fewer folds")
    return held_out


def load_splits(recipe: Recipe) -> Splits[Samples]:
    """The recipe's data; the validation split is carved from training by the recipe's seed.

    Few-shot and noisy-label protocols change the training images alone. Raises BadInput for more images than there are.
    """
    data = recipe.data
    train, test = load_data(data)
    kept, validation = split(train, data.validation, recipe.seed, data.train_limit)
    n_classes = DATASETS[data.name].n_classes
    if data.per_class is not None:
        kept = few_per_class(kept, data.per_class, n_classes)
    kept = with_label_noise(kept, data.label_noise, n_classes, recipe.seed)
    if data.test_limit is not None and data.test_limit > len(test):
        raise BadInput(f"data.test_limit is {data.test_limit}, but {data.name} has {len(test)} test images")
    return Splits(train=kept, validation=validation, test=test.subset(slice(data.test_limit)))


def load_stills(recipe: Recipe) -> Splits[Images]:
    """The still images beside the recipe's recordings, without those whose recording is held out.

    Of `train` and `validation`, images that a recording of the validation or the whole test set shows are left out: the
    ANN that learns from them, and a student that is shown them, would know what they are tested on. `test` is the image
    set's own. Raises BadInput for data that are not there, or too few images.
    """
    stills = recipe.data.stills
    assert stills is not None  # asked for by stages of recipes that have them
    train, test = load(stills.name, stills.root)
    splits = load_splits(recipe)
    held_out = [part.ids for part in (splits.validation, load_data(recipe.data)[1]) if part.ids is not None]
    kept = without_twins(train, np.concatenate(held_out) if held_out else None)
    remaining, validation = split(kept, stills.validation, recipe.seed, stills.limit)
    return Splits(train=remaining, validation=validation, test=test)


def without_twins(images: Images, held_out: np.ndarray | None) -> Images:
    """The images of which no held-out recording is known. held_out: ids, (M,), None if the recordings have none."""
    if images.ids is None or held_out is None:
        return images
    return images.subset(torch.from_numpy(~np.isin(images.ids, held_out)))


def shape_of(recipe: Recipe) -> Shape:
    """(C, H, W) of what the recipe's network takes."""
    dataset, chosen = DATASETS[recipe.data.name], recipe.data.frames
    if chosen is None:
        return dataset.shape
    side = dataset.shape[1:] if chosen.size is None else (chosen.size, chosen.size)
    return (2, *side)


def architecture_of(recipe: Recipe) -> Architecture:
    """The recipe's architecture for the shape and classes of its data; of a model file, the one it describes."""
    shape, n_classes = shape_of(recipe), DATASETS[recipe.data.name].n_classes
    if recipe.model.architecture is None:
        return teacher_of(recipe.model, shape, n_classes).architecture
    return ARCHITECTURES[recipe.model.architecture](shape, n_classes)


def ann_architecture_of(recipe: Recipe) -> Architecture:
    """The architecture of the train stage's ANN: the student's, unless the ANN learns from still images."""
    if recipe.data.stills is None:
        return architecture_of(recipe)
    dataset = DATASETS[recipe.data.stills.name]
    name = recipe.train.architecture or recipe.model.architecture
    if name is None:
        raise BadInput("train.architecture: is missing; name that of the ANN that learns from data.stills")
    return ARCHITECTURES[name](dataset.shape, dataset.n_classes)

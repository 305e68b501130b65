"""Few-shot and noisy-label protocols: what of the training set changes, and that nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.datasets import Images, load, split
from spikeport.pipeline.data import Splits, load_splits
from spikeport.pipeline.protocols import few_per_class, with_label_noise
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.sections import Recipe
from torch import Tensor


def recipe(seed: int = 0, **data: Any) -> Recipe:
    return parse({"name": "a", "seed": seed, "data": {"name": "digits", "validation": 200, **data}})


def splits(seed: int = 0, **data: Any) -> Splits:
    return load_splits(recipe(seed, **data))


def same(a: Images, b: Images) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and a.levels == b.levels


def labelled(y: Tensor) -> Images:
    """Images that are told apart by their pixel."""
    return Images(x=torch.arange(len(y), dtype=torch.uint8)[:, None, None, None], y=y)


def test_without_a_protocol_the_splits_are_those_of_the_seed():
    train, test = load("digits")
    kept, validation = split(train, 200, 3, 500)
    got = splits(3, train_limit=500)
    assert same(got.train, kept)
    assert same(got.validation, validation)
    assert same(got.test, test)


def test_a_recipe_without_a_protocol_keeps_its_identity():
    """A setting at its default is not part of what a run depends on, so runs made before it existed stay valid."""
    plain = recipe()
    assert set(plain.sections(["data"])["data"]) == {"name", "validation", "train_limit", "test_limit"}
    assert recipe(label_noise=0.0, per_class=None).identity() == plain.identity()
    others = {recipe(label_noise=0.1).identity(), recipe(per_class=5).identity(), plain.identity()}
    assert len(others) == 3


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_that_share_of_the_training_labels_is_wrong(share):
    clean, noisy = splits(), splits(label_noise=share)
    assert torch.equal(noisy.train.x, clean.train.x)
    wrong = noisy.train.y != clean.train.y
    assert int(wrong.sum()) == round(share * len(clean.train))
    assert same(noisy.validation, clean.validation)
    assert same(noisy.test, clean.test)


def test_wrong_labels_are_uniform_over_the_other_classes():
    """Of 9000 labels 0, all replaced but one in a hundred, each of 9 other classes gets 990 within 5 deviations."""
    images = Images(x=torch.zeros(9000, 1, 1, 1, dtype=torch.uint8), y=torch.zeros(9000, dtype=torch.int64))
    counts = with_label_noise(images, 0.99, 10, 0).y.bincount(minlength=10)
    assert counts[0] == 90
    spread = (8910 * (1 / 9) * (8 / 9)) ** 0.5
    assert ((counts[1:] - 990).abs() < 5 * spread).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.floats(0, 0.99), st.integers(0, 1000))
def test_labels_are_replaced_by_other_classes_only(y, share, seed):
    images = labelled(torch.tensor(y))
    noisy = with_label_noise(images, share, 4, seed)
    assert torch.equal(noisy.x, images.x)
    assert int((noisy.y != images.y).sum()) == round(share * len(y))
    assert int(noisy.y.max()) < 4
    assert torch.equal(noisy.y, with_label_noise(images, share, 4, seed).y)


def test_more_noise_keeps_the_wrong_labels_of_less():
    clean, some, more = (splits(label_noise=share).train.y for share in (0.0, 0.2, 0.5))
    wrong = some != clean
    assert torch.equal(more[wrong], some[wrong])


def test_another_seed_draws_other_labels():
    images = labelled(torch.arange(200) % 10)
    assert not torch.equal(with_label_noise(images, 0.5, 10, 0).y, with_label_noise(images, 0.5, 10, 1).y)


@pytest.mark.parametrize("count", [1, 7])
def test_so_many_images_of_each_class_are_kept(count):
    few, whole = splits(per_class=count), splits()
    assert few.train.y.bincount(minlength=10).tolist() == [count] * 10
    kept = {tuple(x.flatten().tolist()) for x in few.train.x}
    assert kept <= {tuple(x.flatten().tolist()) for x in whole.train.x}
    assert same(few.validation, whole.validation)
    assert same(few.test, whole.test)


def test_the_first_of_each_class_are_kept_in_their_order():
    """So a smaller count is part of a larger one."""
    images = labelled(torch.tensor([1, 0, 1, 1, 0, 2, 2, 0]))
    assert few_per_class(images, 1, 3).x.flatten().tolist() == [0, 1, 5]
    assert few_per_class(images, 2, 3).x.flatten().tolist() == [0, 1, 2, 4, 5, 6]


def test_another_seed_keeps_other_images():
    assert not torch.equal(splits(0, per_class=3).train.x, splits(1, per_class=3).train.x)


def test_noise_falls_on_the_few_images_that_are_kept():
    few, noisy = splits(per_class=10), splits(per_class=10, label_noise=0.3)
    assert torch.equal(noisy.train.x, few.train.x)
    assert int((noisy.train.y != few.train.y).sum()) == 30


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"per_class": 1000}, r"data\.per_class is 1000, but class 0 has \d+ training images.*give at most \d+"),
        ({"per_class": 20, "train_limit": 50}, r"class 0 has \d+ training images beside validation"),
        ({"per_class": 0}, r"data\.per_class is 0; .*greater than or equal to 1"),
        ({"label_noise": 1.0}, r"data\.label_noise is 1\.0; .*less than 1"),
        ({"label_noise": -0.1}, r"data\.label_noise is -0\.1; .*greater than or equal to 0"),
    ],
)
def test_what_is_out_of_range_is_refused(data, message):
    with pytest.raises(BadInput, match=message):
        splits(**data)


@pytest.mark.parametrize(
    ("share", "classes", "message"), [(1.0, 3, r"label_noise is 1\.0"), (-0.5, 3, r"-0\.5"), (0.5, 1, "no other label")]
)
def test_noise_that_cannot_be_is_refused(share, classes, message):
    with pytest.raises(BadInput, match=message):
        with_label_noise(labelled(torch.zeros(5, dtype=torch.int64)), share, classes, 0)

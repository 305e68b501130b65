"""Real recordings of N-MNIST and the images of MNIST they show: who is whose twin, and that no twin leaks (T-004-7)."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from spikeport.models.datasets import DATASETS, ROOT_VARIABLE, Clips, Images, load, load_recordings
from spikeport.models.events import cache
from spikeport.models.events.frames import Frames
from spikeport.models.events.recording import Recording, Recordings
from spikeport.pipeline.data import load_splits, load_stills, notices_of_stills
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.sections import Recipe

PARTS = ("train", "test")


@pytest.fixture(scope="module")
def root() -> Path:
    """The folder of real data, where this machine has N-MNIST's recordings and MNIST's images."""
    folder = os.environ.get(ROOT_VARIABLE)
    if not folder:
        pytest.skip(f"{ROOT_VARIABLE} names no folder of real data sets")
    for name in ("nmnist_small.npz", "mnist.npz"):
        if not (Path(folder) / name).is_file():
            pytest.skip(f"there is no {name} in {folder}")
    return Path(folder)


@pytest.fixture(scope="module")
def pairs(root) -> dict[str, tuple[Recordings, Images, np.ndarray]]:
    """Per part: the recordings, the images, and which image is each recording's twin, by their ids."""
    made = {}
    for part, recordings, images in zip(PARTS, load_recordings("nmnist", root), load("mnist", root), strict=True):
        assert recordings.ids is not None
        assert images.ids is not None
        place = {name: number for number, name in enumerate(images.ids.tolist())}
        made[part] = recordings, images, np.array([place[name] for name in recordings.ids.tolist()])
    return made


@pytest.mark.parametrize("part", PARTS)
def test_twins_have_the_same_label(pairs, part):
    """T-004-7: one number off, and nine of ten labels would differ."""
    recordings, images, twins = pairs[part]
    assert len(set(twins.tolist())) == len(recordings)  # no image was recorded twice
    assert images.y[twins].tolist() == recordings.labels.tolist()


def picture(recording: Recording) -> np.ndarray:
    """Events per pixel, (34, 34)."""
    counts = np.zeros((recording.height, recording.width))
    np.add.at(counts, (recording.y, recording.x), 1)
    return counts


def edges(image: torch.Tensor) -> np.ndarray:
    """Steepness of an image's brightness, in the middle of the camera's 34 x 34 pixels: what a moved camera sees."""
    rows, columns = np.gradient(np.pad(image[0].numpy().astype(float), 3))
    return np.hypot(rows, columns)


def alike(recording: Recording, image: torch.Tensor) -> float:
    return float(np.corrcoef(picture(recording).ravel(), edges(image).ravel())[0, 1])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("same_class", "at_least"), [(False, 45), (True, 40)])
def test_a_recording_looks_like_its_twin(pairs, part, same_class, at_least):
    """T-004-7: of 50 recordings, more like the twin than like another image, of another class or of its own.

    With wrong ids the twin is any image, and wins half of the time: 40 or more of 50 have a probability of 1e-5.
    Of all 1,000 training recordings, 990 win against another class and 945 against their own.
    """
    recordings, images, twins = pairs[part]
    rng = np.random.default_rng(0)
    wins = 0
    for number in range(50):
        recording, twin = recordings.read(number), int(twins[number])
        others = np.flatnonzero((images.y == images.y[twin]).numpy() == same_class)
        other = int(rng.choice(others[others != twin]))
        wins += alike(recording, images.x[twin]) > alike(recording, images.x[other])
    assert wins >= at_least


@pytest.fixture(scope="module")
def quick(root) -> Iterator[None]:
    """Images are read once, and frames have no pixels: only labels and ids count for the division."""

    def blank(recordings: Recordings, frames: Frames) -> Clips:
        x = torch.zeros(len(recordings), frames.T, 2, 1, 1, dtype=torch.uint8)
        return Clips(x=x, y=torch.from_numpy(recordings.labels.astype(np.int64)), levels=1, ids=recordings.ids)

    mnist = DATASETS["mnist"]
    assert mnist.load is not None
    read_once = dataclasses.replace(mnist, load=functools.cache(mnist.load))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATASETS, "_items", {**dict(DATASETS), "mnist": read_once})
        patch.setattr(cache, "clips", blank)
        yield


def recipe(root: Path, seed: int, folds: dict[str, int] | None, test_limit: int | None) -> Recipe:
    data = {
        "name": "nmnist",
        "root": str(root),
        "validation": 100,
        "test_limit": test_limit,
        "frames": {"T": 1},
        "folds": folds,
        "stills": {"name": "mnist", "root": str(root), "validation": 1000},
    }
    return parse({"name": "a", "seed": seed, "data": data, "refine": {"start": "scratch"}})


FOLDS = [None, *({"of": of, "test": test, "seed": 1} for of in (3, 5) for test in range(of))]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("folds", FOLDS, ids=str)
def test_no_image_of_mnist_that_is_learned_from_is_the_twin_of_a_held_out_recording(root, quick, folds, seed):
    """T-004-7: for every fold; the whole fold counts, though only 20 of its recordings are evaluated here."""
    chosen = recipe(root, seed, folds, test_limit=20)
    whole = load_splits(recipe(root, seed, folds, test_limit=None))
    held_out = {name for part in (whole.validation, whole.test) if part.ids is not None for name in part.ids.tolist()}
    assert len(held_out) == len(whole.validation) + len(whole.test)

    stills = load_stills(chosen)
    learned = {name for part in (stills.train, stills.validation) if part.ids is not None for name in part.ids.tolist()}
    assert not learned & held_out
    twins = sum(name.startswith("mnist/train/") for name in held_out)
    assert len(learned) == 60_000 - twins
    assert notices_of_stills(chosen, stills)[0]["what"].startswith(f"{twins} of the mnist images were left out")

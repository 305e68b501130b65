"""The data of a recipe: its splits, the still images beside its recordings, and the networks' shapes that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch

from ..hw import BadInput, Shape
from ..models import ARCHITECTURES, Architecture
from ..models.datasets import DATASETS, Images, Samples, load, load_recordings, split
from ..models.events import cache, frames, saccades
from ..models.events.recording import Recordings
from .adopt.source import teacher_of
from .data_section import Data, Folds
from .notices import notice
from .protocols import few_per_class, with_label_noise
from .sections import Recipe

S_co = TypeVar("S_co", bound=Samples, covariant=True)
PARTS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Splits(Generic[S_co]):
    """The three splits of a recipe. The test set is only ever evaluated."""

    train: S_co
    validation: S_co
    test: S_co


@dataclass(frozen=True, kw_only=True)
class StillSplits(Splits[Images]):
    """Still images beside recordings. twins: how many were left out because a held-out recording shows them.

    None where it is not known what the recordings show, so that none could be left out.
    """

    twins: int | None


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
        for part, images in zip(PARTS, _named(data.name, data.root), strict=True)
    )
    return train, test


def _named(name: str, root: Path | None) -> tuple[Images, Images]:
    """(train, test) of an image set, with ids: the set's own, or the place in it, `digits/train/00001`, from 1."""
    parts = dict(zip(PARTS, load(name, root), strict=True))
    for part, images in parts.items():
        if images.ids is None:
            names = np.array([f"{name}/{part}/{number:05d}" for number in range(1, len(images) + 1)])
            parts[part] = replace(images, ids=names)
    return parts["train"], parts["test"]


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
    whole = _divided(recipe)
    n_classes = DATASETS[data.name].n_classes
    train = whole.train
    if data.per_class is not None:
        train = few_per_class(train, data.per_class, n_classes)
    train = with_label_noise(train, data.label_noise, n_classes, recipe.seed)
    if data.test_limit is not None and data.test_limit > len(whole.test):
        raise BadInput(f"data.test_limit is {data.test_limit}, but {data.name} has {len(whole.test)} test images")
    return Splits(train=train, validation=whole.validation, test=whole.test.subset(slice(data.test_limit)))


def _divided(recipe: Recipe) -> Splits[Samples]:
    """The recipe's data before any protocol, with the whole test set."""
    train, test = load_data(recipe.data)
    kept, validation = split(train, recipe.data.validation, recipe.seed, recipe.data.train_limit)
    return Splits(train=kept, validation=validation, test=test)


def load_stills(recipe: Recipe) -> StillSplits:
    """The still images beside the recipe's recordings, without those whose recording is held out.

    Of `train` and `validation`, images that a recording of the validation or the whole test set shows are left out: the
    ANN that learns from them, and a student that is shown them, would know what they are tested on. Images are told by
    their ids, not by their places, so no count of a class can be off by one. `test` is the image set's own.

    Raises BadInput for data that are not there, other classes, or too few images.
    """
    stills = recipe.data.stills
    assert stills is not None  # asked for by stages of recipes that have them
    require_same_classes(recipe.data)
    events = _divided(recipe)
    train, test = _named(stills.name, stills.root)
    held_out = _ids_of(events.validation, events.test)
    kept = without_twins(train, held_out)
    remaining, validation = split(kept, stills.validation, recipe.seed, stills.limit)
    twins = None if held_out is None else len(train) - len(kept)
    _require_every_class(remaining, recipe)
    return StillSplits(train=remaining, validation=validation, test=test, twins=twins)


def without_twins(images: Images, held_out: np.ndarray | None) -> Images:
    """The images of which no held-out recording is known. held_out: ids, (M,), None if the recordings have none."""
    if images.ids is None or held_out is None:
        return images
    return images.subset(torch.from_numpy(~np.isin(images.ids, held_out)))


def _ids_of(*parts: Samples) -> np.ndarray | None:
    """The ids of all parts together, None if one of them has none: then nothing is known of the whole."""
    known = [part.ids for part in parts if part.ids is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def require_same_classes(data: Data) -> None:
    """Raise BadInput for still images of another number of classes than the recordings beside them."""
    if data.stills is None:
        return
    ours, theirs = (DATASETS[name].n_classes for name in (data.name, data.stills.name))
    if ours != theirs:
        raise BadInput(
            f"data.stills.name: {data.stills.name} has {theirs} classes, but {data.name} has {ours}; give still images "
            "of the classes that the recordings show"
        )


def _require_every_class(train: Images, recipe: Recipe) -> None:
    """A student is shown a still image of its sample's class, so there must be one."""
    missing = (train.y.bincount(minlength=DATASETS[recipe.data.name].n_classes) == 0).nonzero().flatten().tolist()
    if missing:
        raise BadInput(
            f"data.stills: its {len(train)} training images show nothing of {len(missing)} classes, first of class "
            f"{missing[0]}; raise data.stills.limit, or lower data.stills.validation"
        )


def notices_of_stills(recipe: Recipe, splits: StillSplits | None) -> list[dict[str, str]]:
    """What the report says of the images the ANN learned from: how many were left out as twins, or that none could."""
    stills = recipe.data.stills
    if stills is None or splits is None:
        return []
    if splits.twins is None:
        return [
            notice(
                "data.stills",
                f"none of the {stills.name} images was left out, though recordings of the test set may show some",
                f"the recordings of {recipe.data.name} come without the names of their scenes",
                "read the accuracy as an upper bound; recordings with ids, or still images that none of them shows",
            )
        ]
    return [
        notice(
            "data.stills",
            f"{splits.twins} of the {stills.name} images were left out of the ANN's training and validation",
            "recordings of the validation or the test set show them",
            "none needed: nothing that is tested was learned from",
        )
    ]


def notices_of_events(recipe: Recipe) -> list[dict[str, str]]:
    """What the report says of recordings that no camera made; nothing of others and of images."""
    if recipe.data.frames is None or DATASETS[recipe.data.name].recordings is not None:
        return []
    return [
        notice(
            "input",
            saccades.SYNTHETIC,
            f"{recipe.data.name} holds images, and data.frames takes events",
            "recordings of a camera, see `spikeport datasets`",
        )
    ]


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

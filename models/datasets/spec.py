"""What a data set is, where its files are looked for, and how it is loaded by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...hw import BadInput, Registry
from ..events.recording import Recordings
from .images import Images

ROOT_VARIABLE = "SPIKEPORT_DATA"
"""The environment variable that names the data folder where no argument does."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One data set. Its test set has a fixed membership and order.

    shape: (C, H, W) of one image. n_train, n_test: number of images. licence, source: as published, with the words
    a paper needs. files: what to put in the data folder, in words, one entry per accepted form; empty if it is
    embedded. One of the following, which takes the data folder and returns (train, test), and raises BadInput naming
    the file, what was found, what was expected and the way out. load: images. recordings: of an event camera, of
    `shape` (2, H, W); they become frames by `events.clips`.
    """

    name: str
    shape: tuple[int, int, int]
    n_classes: int
    n_train: int
    n_test: int
    licence: str
    source: str
    files: tuple[str, ...]
    load: Callable[[Path], tuple[Images, Images]] | None = None
    recordings: Callable[[Path], tuple[Recordings, Recordings]] | None = None


DATASETS: Registry[Dataset] = Registry("data set")


def load(name: str, root: str | Path | None = None) -> tuple[Images, Images]:
    """(train, test) of the images `name`.

    root: the data folder; without it, the environment variable SPIKEPORT_DATA. Embedded data sets need neither.
    Raises BadInput for an unknown name, recordings of events, a folder that is not there, and files that are missing or
    not as expected.
    """
    dataset = DATASETS[name]
    if dataset.load is None:
        raise BadInput(f"{name}: holds recordings of an event camera, which need data.frames to become frames")
    return dataset.load(_folder(dataset, root))


def load_recordings(name: str, root: str | Path | None = None) -> tuple[Recordings, Recordings]:
    """(train, test) of the recordings `name`. Arguments and errors as of `load`; BadInput for images."""
    dataset = DATASETS[name]
    if dataset.recordings is None:
        raise BadInput(f"{name}: holds images, not recordings of an event camera")
    return dataset.recordings(_folder(dataset, root))


def _folder(dataset: Dataset, root: str | Path | None) -> Path:
    """The folder of a data set's files; any for an embedded one. Raises BadInput."""
    if not dataset.files:
        return Path()
    chosen = root if root is not None else os.environ.get(ROOT_VARIABLE)
    wanted = f"put {' or '.join(dataset.files)} into it"
    if not chosen:
        raise BadInput(
            f"{dataset.name}: no data folder given; name one as the data root, or in the environment variable "
            f"{ROOT_VARIABLE}, and {wanted}"
        )
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise BadInput(f"{dataset.name}: the data folder {folder} is not a folder; make it and {wanted}")
    return folder

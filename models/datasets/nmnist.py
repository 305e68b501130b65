"""N-MNIST: MNIST's digits on a screen, seen by an event camera of 34x34 pixels that moves three times."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from ...hw import BadInput
from ..events.atis import read_atis
from ..events.files import check_complete, class_folders, first_folder, numbered, of_files, read_bytes
from ..events.recording import Recording, Recordings
from . import mnist
from .files import read_npz
from .spec import DATASETS, Dataset

PLACES = ("nmnist", "NMNIST", "N-MNIST")
SMALL_FILE = "nmnist_small.npz"
SIDE = 34
N_CLASSES = 10
N_TRAIN, N_TEST = 60_000, 10_000
N_SMALL = (1_000, 100)
FIRST = {"train": 1, "test": 60_001}
"""The number of each set's first recording in the small file; in the official folders both count from 1."""


def read(
    root: Path, sizes: tuple[int, int] = (N_TRAIN, N_TEST), small: tuple[int, int] = N_SMALL
) -> tuple[Recordings, Recordings]:
    """(train, test) from the official folder if it is in `root`, else from the small file, in MNIST's order.

    Each recording has the id of the MNIST image it shows. sizes, small: the number of recordings, train and test, that
    the folder or the file must hold. Raises BadInput; for a damaged recording when it is read.
    """
    folder = first_folder(root, PLACES)
    if folder is not None:
        train, test = (
            _official(root, folder / part.capitalize(), part, n) for part, n in zip(FIRST, sizes, strict=True)
        )
    elif (root / SMALL_FILE).exists():
        key = hashlib.sha256(read_bytes(root / SMALL_FILE)).hexdigest()
        train, test = (_small(root / SMALL_FILE, key, part, n) for part, n in zip(FIRST, small, strict=True))
    else:
        raise BadInput(
            f"nmnist: neither {PLACES[0]}/ nor {SMALL_FILE} is in {root}; put {' or '.join(NMNIST.files)} there"
        )
    return train, test


def _official(root: Path, folder: Path, part: str, n: int) -> Recordings:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; unpack {part.capitalize()}.zip of N-MNIST there")
    names = [str(label) for label in range(N_CLASSES)]
    found = [
        (number, label, path)
        for label, kind in enumerate(class_folders(folder, names))
        for number, path in numbered(kind, r"(\d{5})\.bin").items()
    ]
    found.sort()
    check_complete(folder, (number for number, _, _ in found), 1, n)
    return of_files(
        f"nmnist/{part}",
        root,
        [path for _, _, path in found],
        [label for _, label, _ in found],
        partial(read_atis, width=SIDE, height=SIDE),
        mnist.ids(part, np.arange(1, n + 1)),
    )


def _small(path: Path, key: str, part: str, n: int) -> Recordings:
    """All events are in memory; recording i is the events offsets[i]..offsets[i + 1] - 1."""
    head = read_npz(path, {f"{part}_offsets": (n + 1,), f"{part}_labels": (n,), f"{part}_ids": (n,)})
    offsets, labels, numbers = (head[f"{part}_{name}"].astype(np.int64) for name in ("offsets", "labels", "ids"))
    back = np.flatnonzero(np.diff(offsets) < 0)
    if offsets[0] != 0 or back.size:
        problem = f"begin at {offsets[0]}" if offsets[0] != 0 else f"go back after recording {back[0]}"
        raise BadInput(f"{path}: {part}_offsets {problem}, but must ascend from 0; it is damaged, fetch it again")
    _check_range(path, f"{part}_labels", labels, 0, N_CLASSES - 1)
    _check_range(path, f"{part}_ids", numbers, FIRST[part], FIRST[part] + (N_TRAIN if part == "train" else N_TEST) - 1)
    events = read_npz(path, {f"{part}_{name}": (int(offsets[-1]),) for name in "xytp"})

    def recording(index: int) -> Recording:
        those = slice(offsets[index], offsets[index + 1])
        x, y, t, p = (events[f"{part}_{name}"][those] for name in "xytp")
        return Recording(x=x, y=y, t=t, p=p, width=SIDE, height=SIDE, where=f"{path}, {part} recording {index}")

    return Recordings(
        name=f"nmnist/{part}",
        labels=labels,
        ids=mnist.ids(part, numbers - FIRST[part] + 1),
        key=key,
        read=recording,
    )


def _check_range(path: Path, name: str, values: np.ndarray, low: int, high: int) -> None:
    wrong = np.flatnonzero((values < low) | (values > high))
    if wrong.size:
        raise BadInput(
            f"{path}: {name} has {values[wrong[0]]} at recording {wrong[0]}, outside {low}..{high}; it is damaged, "
            "fetch it again"
        )


NMNIST = DATASETS.register(
    "nmnist",
    Dataset(
        name="nmnist",
        shape=(2, SIDE, SIDE),
        n_classes=N_CLASSES,
        n_train=N_TRAIN,
        n_test=N_TEST,
        licence="CC BY-SA 4.0",
        source=(
            "Orchard, Jayawant, Cohen and Thakor, Converting Static Image Datasets to Spiking Neuromorphic Datasets "
            "Using Saccades, Frontiers in Neuroscience 9:437, 2015, doi 10.3389/fnins.2015.00437"
        ),
        files=(
            f"the folder {PLACES[0]}/ with Train/5/00001.bin, Test/7/00001.bin and so on (from Train.zip and Test.zip)",
            f"{SMALL_FILE} (the first {N_SMALL[0]} and {N_SMALL[1]} recordings as arrays)",
        ),
        recordings=read,
    ),
)

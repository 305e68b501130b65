"""N-Caltech101: Caltech-101's photographs on a screen, seen by an event camera that moves three times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...hw import BadInput
from ..events.atis import read_atis
from ..events.files import check_complete, class_folders, first_folder, numbered, of_files
from ..events.recording import Recording, Recordings
from .caltech101 import CLASSES, N_TEST, N_TRAIN, ids, n_train_of
from .spec import DATASETS, Dataset

FOLDER = "Caltech101"
PLACES = (f"NCALTECH101/{FOLDER}", f"ncaltech101/{FOLDER}", f"N-Caltech101/{FOLDER}", FOLDER)
WIDTH, HEIGHT = 240, 180


def read(root: Path, classes: Sequence[str] = CLASSES, count: int = N_TRAIN + N_TEST) -> tuple[Recordings, Recordings]:
    """(train, test) from `Caltech101/<class>/image_0001.bin`. Each recording has the id of the image it shows.

    There is no official split. The test set is the last tenth of every class by number, rounded up, which are the
    numbers of `caltech101`'s. classes: the folders to read, label by label. count: the recordings they must hold
    together. Raises BadInput; for a damaged recording when it is read.
    """
    folder = first_folder(root, PLACES)
    if folder is None:
        raise BadInput(f"ncaltech101: no folder {FOLDER}/ is in {root}; put {NCALTECH101.files[0]} there")
    found = [list(numbered(kind, r"image_(\d{4})\.bin").items()) for kind in class_folders(folder, classes)]
    for kind, files in zip(classes, found, strict=True):
        check_complete(folder / kind, (number for number, _ in files), 1, max(1, len(files)))
    if sum(map(len, found)) != count:
        raise BadInput(
            f"{folder}: holds {sum(map(len, found))} recordings of its {len(classes)} classes, expected {count}; "
            "unpack it again"
        )
    train, test = (
        of_files(
            f"ncaltech101/{part}",
            root,
            [path for files in those for _, path in files],
            [label for label, files in enumerate(those) for _ in files],
            _read,
            np.concatenate(
                [ids(kind, [number for number, _ in files]) for kind, files in zip(classes, those, strict=True)]
            ),
        )
        for part, those in (
            ("train", [files[: n_train_of(len(files))] for files in found]),
            ("test", [files[n_train_of(len(files)) :] for files in found]),
        )
    )
    return train, test


def _read(path: Path) -> Recording:
    """A recording whose events are in the middle of 240x180 pixels.

    Photographs have many forms, and the published coordinates count from each one's own corner.
    """
    recording = read_atis(path, WIDTH, HEIGHT)
    return replace(recording, x=_centred(recording.x, WIDTH), y=_centred(recording.y, HEIGHT))


def _centred(places: np.ndarray, length: int) -> np.ndarray:
    """Coordinates moved so that as many pixels are free before the first as after the last, or one fewer."""
    low, high = int(places.min()), int(places.max())
    return places.astype(np.int64) - low + (length - 1 - (high - low)) // 2


NCALTECH101 = DATASETS.register(
    "ncaltech101",
    Dataset(
        name="ncaltech101",
        shape=(2, HEIGHT, WIDTH),
        n_classes=len(CLASSES),
        n_train=N_TRAIN,
        n_test=N_TEST,
        licence="CC BY 4.0",
        source=(
            "Orchard, Jayawant, Cohen and Thakor, Converting Static Image Datasets to Spiking Neuromorphic Datasets "
            "Using Saccades, Frontiers in Neuroscience 9:437, 2015, doi 10.3389/fnins.2015.00437. No official split: "
            "the last tenth of every class is the test set"
        ),
        files=(f"the folder {PLACES[0]}/ with accordion/image_0001.bin and so on (from Caltech101.zip)",),
        recordings=read,
    ),
)

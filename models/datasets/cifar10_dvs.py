"""CIFAR10-DVS: 10,000 images of CIFAR-10 moved on a screen before an event camera of 128x128 pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...hw import BadInput
from ..events.aedat4 import read_aedat4
from ..events.files import check_complete, class_folders, first_folder, numbered, of_files
from ..events.recording import Recordings
from .spec import DATASETS, Dataset

PLACES = ("CIFAR10DVS", "cifar10_dvs")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""In CIFAR-10's order."""
SIDE = 128
PER_CLASS = 1_000


def read(root: Path, per_class: int = PER_CLASS) -> tuple[Recordings, Recordings]:
    """(train, test) from `CIFAR10DVS/<class>/cifar10_<class>_<number>.aedat4`.

    There is no official split. The test set is the last tenth of every class by number, as in most papers. Which image
    of CIFAR-10 a recording shows was not published, so there are no ids. per_class: the number of recordings each
    class must hold. Raises BadInput; for a damaged recording when it is read.
    """
    folder = first_folder(root, PLACES)
    if folder is None:
        raise BadInput(f"cifar10_dvs: no folder {PLACES[0]}/ is in {root}; put {CIFAR10_DVS.files[0]} there")
    files: dict[str, list[tuple[Path, int]]] = {"train": [], "test": []}
    for label, kind in enumerate(class_folders(folder, CLASSES)):
        found = numbered(kind, rf"cifar10_{kind.name}_(\d+)\.aedat4")
        check_complete(kind, found, 0, per_class)
        paths = [(path, label) for path in found.values()]
        n_train = per_class * 9 // 10
        files["train"] += paths[:n_train]
        files["test"] += paths[n_train:]
    train, test = (
        of_files(
            f"cifar10_dvs/{part}",
            root,
            [path for path, _ in pairs],
            [label for _, label in pairs],
            partial(read_aedat4, width=SIDE, height=SIDE),
        )
        for part, pairs in files.items()
    )
    return train, test


CIFAR10_DVS = DATASETS.register(
    "cifar10_dvs",
    Dataset(
        name="cifar10_dvs",
        shape=(2, SIDE, SIDE),
        n_classes=len(CLASSES),
        n_train=9_000,
        n_test=1_000,
        licence="CC BY 4.0",
        source=(
            "Li, Liu, Ji, Li and Shi, CIFAR10-DVS: An Event-Stream Dataset for Object Classification, Frontiers in "
            "Neuroscience 11:309, 2017, doi 10.3389/fnins.2017.00309. No official split: the last tenth of every class "
            "is the test set"
        ),
        files=(
            f"the folder {PLACES[0]}/ with airplane/cifar10_airplane_0.aedat4 and so on (tonic's form; needs tonic)",
        ),
        recordings=read,
    ),
)

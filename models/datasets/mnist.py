"""MNIST: 60,000 + 10,000 handwritten digits of 28x28 pixels, from `mnist.npz` or the official IDX files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...hw import BadInput
from .files import labelled, read_idx, read_npz
from .images import Images
from .spec import DATASETS, Dataset

N_TRAIN, N_TEST = 60_000, 10_000
IDX_NAMES = {"train": "train", "test": "t10k"}
IDX_FOLDERS = (".", "mnist", "MNIST/raw")


def read(root: Path, n_train: int = N_TRAIN, n_test: int = N_TEST) -> tuple[Images, Images]:
    """(train, test) from `mnist.npz` in `root`, or else from the IDX files in `root`, `mnist/` or `MNIST/raw/`.

    n_train, n_test: the number of images the files must hold. Raises BadInput.
    """
    sizes = {"train": n_train, "test": n_test}
    npz = root / "mnist.npz"
    if npz.exists():
        shapes = {f"x_{part}": (n, 28, 28) for part, n in sizes.items()} | {
            f"y_{part}": (n,) for part, n in sizes.items()
        }
        arrays = read_npz(npz, shapes)
        train, test = (_labelled(npz, part, arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in sizes)
        return train, test
    train, test = (_from_idx(root, part, n) for part, n in sizes.items())
    return train, test


def _from_idx(root: Path, part: str, n: int) -> Images:
    x = read_idx(_find(root, f"{IDX_NAMES[part]}-images-idx3-ubyte"), (n, 28, 28))
    labels = _find(root, f"{IDX_NAMES[part]}-labels-idx1-ubyte")
    return _labelled(labels, part, x, read_idx(labels, (n,)))


def ids(part: str, numbers: np.ndarray) -> np.ndarray:
    """Names of images by their number in the official order, from 1: `mnist/train/00001`. part: `train` or `test`."""
    return np.array([f"mnist/{part}/{number:05d}" for number in numbers])


def _labelled(where: Path, part: str, x: np.ndarray, y: np.ndarray) -> Images:
    found = labelled(where, x[:, None], y, n_classes=10)
    return replace(found, ids=ids(part, np.arange(1, len(y) + 1)))


def _find(root: Path, name: str) -> Path:
    for folder in IDX_FOLDERS:
        for suffix in ("", ".gz"):
            path = root / folder / f"{name}{suffix}"
            if path.is_file():
                return path
    raise BadInput(f"mnist: neither mnist.npz nor {name}[.gz] is in {root}; put {' or '.join(MNIST.files)} there")


MNIST = DATASETS.register(
    "mnist",
    Dataset(
        name="mnist",
        shape=(1, 28, 28),
        n_classes=10,
        n_train=N_TRAIN,
        n_test=N_TEST,
        licence="CC BY-SA 3.0",
        source="LeCun, Cortes and Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist/",
        files=(
            "mnist.npz (arrays x_train, y_train, x_test, y_test)",
            "the four official files {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, gzipped or not",
        ),
        load=read,
    ),
)

"""Data for a network that came from elsewhere: a registered data set, or arrays from a file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...hw import BadInput, Shape
from ...models.datasets import DATASETS, Images, load

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs x, float32 (B, *shape) or (T, B, *shape), and their labels y, int64 (B,), if known. levels: steps from 0
    to 1 of images, None for other data."""

    x: Tensor
    y: Tensor | None
    levels: int | None = None
    timed: bool = False

    def __len__(self) -> int:
        return self.x.shape[1] if self.timed else self.x.shape[0]

    def subset(self, chosen: slice) -> Samples:
        """Some of the samples."""
        x = self.x[:, chosen] if self.timed else self.x[chosen]
        return Samples(x=x, y=None if self.y is None else self.y[chosen], levels=self.levels, timed=self.timed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Supplied:
    """Samples to calibrate on, and others to test on (None if there are no more). name: for reports."""

    name: str
    calibration: Samples
    test: Samples | None


def supply(data: str, shape: Shape, *, samples: int, test: int, root: Path | None = None) -> Supplied:
    """The first `samples` to calibrate on, and up to `test` others.

    data: the name of a data set (calibration from its training images, tests from its test images), a .npy array of
    inputs, or a .npz with `x` and, for an accuracy, labels `y`. Inputs are (B, *shape) or (T, B, *shape).

    Raises BadInput for an unknown name, a damaged file, and inputs that do not have the network's shape.
    """
    if Path(data).suffix in ARRAYS:
        given = _from_file(Path(data), shape)
        rest = given.subset(slice(samples, samples + test))
        return Supplied(name=data, calibration=given.subset(slice(samples)), test=rest if len(rest) else None)
    if data not in DATASETS:
        kinds = f"a data set ({', '.join(DATASETS)}), or a .npy or .npz file"
        raise BadInput(f"calibration data {data!r}: give the name of {kinds}")
    train, tested = load(data, root)
    if train.shape != shape and int(np.prod(train.shape)) != int(np.prod(shape)):
        raise BadInput(f"calibration data: {data} has images of {train.shape}, the network takes {shape}")
    return Supplied(name=data, calibration=_images(train, shape, samples), test=_images(tested, shape, test))


def _images(images: Images, shape: Shape, count: int) -> Samples:
    kept = images.subset(slice(count))
    return Samples(x=kept.floats().reshape(len(kept), *shape), y=kept.y, levels=images.levels)


def _from_file(path: Path, shape: Shape) -> Samples:
    if not path.is_file():
        raise BadInput(f"calibration data: there is no file {path}")
    try:
        # A .npy is mapped, so that a forged shape is found to be longer than the file before anything is allocated.
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            x, y = np.array(loaded), None
        else:
            with loaded:
                if "x" not in loaded.files:
                    raise BadInput(f"{path}: it holds {', '.join(loaded.files) or 'nothing'}, expected `x`")
                x, y = loaded["x"], loaded["y"] if "y" in loaded.files else None
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: not a readable .npy or .npz file: {error}") from None
    return _checked(path, x, y, shape)


def _checked(path: Path, x: np.ndarray, y: np.ndarray | None, shape: Shape) -> Samples:
    axes = x.ndim - len(shape)
    if x.dtype.kind not in "biuf" or x.size == 0:
        raise BadInput(f"{path}: x is {x.dtype} {x.shape}, expected numbers")
    if axes not in (1, 2) or x.shape[axes:] != tuple(shape):
        sizes = ", ".join(map(str, shape))
        raise BadInput(f"{path}: x has shape {x.shape}, the network takes (B, {sizes}) or (T, B, {sizes})")
    if not np.isfinite(x).all():
        raise BadInput(f"{path}: x holds NaN or infinity; clean the data")
    labels = None
    if y is not None:
        if y.shape != (x.shape[axes - 1],) or y.dtype.kind not in "iu":
            raise BadInput(
                f"{path}: y is {y.dtype} {y.shape}, expected one integer label per sample ({x.shape[axes - 1]},)"
            )
        labels = torch.from_numpy(y.astype(np.int64))
    return Samples(x=torch.from_numpy(x.astype(np.float32)), y=labels, timed=axes == 2)

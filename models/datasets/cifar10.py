"""CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels, from the official batches or from lossless WebP sheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...hw import BadInput
from .files import labelled, read_npz
from .images import Images
from .pickles import read_pickle
from .spec import DATASETS, Dataset

BATCHES = "cifar-10-batches-py"
SHEETS = "cifar10_webp"
N_CLASSES = 10
PIXELS = 3 * 32 * 32
TRAIN_COLUMNS, TEST_COLUMNS = 125, 100


def _load(root: Path) -> tuple[Images, Images]:
    """(train, test) from `cifar-10-batches-py/` if it is there, else from `cifar10_webp/`. Raises BadInput."""
    if (root / BATCHES).exists():
        return read_batches(root / BATCHES)
    if (root / SHEETS).exists():
        return read_sheets(root / SHEETS)
    raise BadInput(f"cifar10: neither {BATCHES}/ nor {SHEETS}/ is in {root}; put {' or '.join(CIFAR10.files)} there")


def read_batches(folder: Path, per_batch: int = 10_000) -> tuple[Images, Images]:
    """(train, test) from the official Python batches: `data_batch_1` to `data_batch_5` and `test_batch`.

    per_batch: images in each file. The pickles are read without running them (see `pickles.py`). Raises BadInput.
    """
    parts = [_batch(folder / f"data_batch_{number}", per_batch) for number in range(1, 6)]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return labelled(folder, x, y, N_CLASSES), labelled(folder, *_batch(folder / "test_batch", per_batch), N_CLASSES)


def _batch(path: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    # Beside its pixels an official batch has about 30 bytes of label and file name per image.
    content = read_pickle(path, size_max=2 * n * PIXELS + 4096)
    data, labels = content.get(b"data"), content.get(b"labels")
    found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else f"a {type(data).__name__}"
    if not isinstance(data, np.ndarray) or data.shape != (n, PIXELS):
        raise BadInput(f"{path}: 'data' is {found}, expected uint8 {(n, PIXELS)}; fetch {BATCHES} again")
    return data.reshape(n, 3, 32, 32), _integers(path, labels, n)


def _integers(path: Path, labels: Any, n: int) -> np.ndarray:
    if not isinstance(labels, list) or len(labels) != n or not all(type(label) is int for label in labels):
        found = f"{len(labels)} items" if isinstance(labels, list) else f"a {type(labels).__name__}"
        raise BadInput(f"{path}: 'labels' is {found}, expected a list of {n} integers; fetch {BATCHES} again")
    wrong = [label for label in labels if not 0 <= label < N_CLASSES]
    if wrong:
        raise BadInput(f"{path}: label {wrong[0]} is outside 0..{N_CLASSES - 1}; fetch {BATCHES} again")
    return np.array(labels, np.int64)


def read_sheets(
    folder: Path, train_rows: int = 100, test_rows: int = 100, columns: tuple[int, int] = (TRAIN_COLUMNS, TEST_COLUMNS)
) -> tuple[Images, Images]:
    """(train, test) from lossless WebP sheets `train_0..3.webp` and `test.webp`, labels in `labels.npz`.

    A sheet is a grid of 32x32 images, row by row: train_rows x columns[0] images in each quarter of the training set,
    test_rows x columns[1] in the test set. Sizes are read from the header before anything is decoded. Raises BadInput.
    """
    n_quarter, n_test = train_rows * columns[0], test_rows * columns[1]
    path = folder / "labels.npz"
    labels = read_npz(path, {"y_train": (4 * n_quarter,), "y_test": (n_test,)})
    train = np.concatenate([_sheet(folder / f"train_{part}.webp", train_rows, columns[0]) for part in range(4)])
    test = _sheet(folder / "test.webp", test_rows, columns[1])
    return labelled(path, train, labels["y_train"], N_CLASSES), labelled(path, test, labels["y_test"], N_CLASSES)


def _sheet(path: Path, rows: int, columns: int) -> np.ndarray:
    """uint8 (rows * columns, 3, 32, 32)."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file; put all of {SHEETS}/ there")
    try:
        with path.open("rb") as file:
            head = file.read(16)
        # A WebP file names its coding in bytes 12..15: "VP8L" is lossless, "VP8 " is not, "VP8X" may be either.
        if head[:4] != b"RIFF" or head[8:] != b"WEBPVP8L":
            raise BadInput(f"{path}: begins with {head!r}, expected a lossless WebP image; fetch {SHEETS}/ again")
        with Image.open(path, formats=["WEBP"]) as image:
            if image.size != (columns * 32, rows * 32) or image.mode != "RGB":
                raise BadInput(
                    f"{path}: a sheet of {image.size} {image.mode}, expected {(columns * 32, rows * 32)} RGB; "
                    f"fetch {SHEETS}/ again"
                )
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: cannot be decoded ({error}); it is truncated or damaged, fetch it again") from error
    tiles = pixels.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 4, 1, 3)
    return tiles.reshape(rows * columns, 3, 32, 32)


CIFAR10 = DATASETS.register(
    "cifar10",
    Dataset(
        name="cifar10",
        shape=(3, 32, 32),
        n_classes=N_CLASSES,
        n_train=50_000,
        n_test=10_000,
        licence="none stated by the authors; cite the report",
        source=(
            "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of "
            "Toronto, 2009, https://www.cs.toronto.edu/~kriz/cifar.html. The WebP sheets equal its training set bit "
            "for bit; in their test set 20 of 10,000 images come from JPEG, and the order is official for 0-999 only"
        ),
        files=(
            f"the folder {BATCHES}/ (unpacked from cifar-10-python.tar.gz)",
            f"the folder {SHEETS}/ (train_0..3.webp, test.webp, labels.npz)",
        ),
        load=_load,
    ),
)

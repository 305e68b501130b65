"""Reading arrays from files nobody vouches for: sizes and types are checked before the contents are believed."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ...hw import BadInput
from .images import Images

NPZ_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def labelled(where: Path | str, x: np.ndarray, y: np.ndarray, n_classes: int, levels: int = 255) -> Images:
    """Images from arrays. x: uint8 (N, C, H, W). y: integers (N,). Raises BadInput naming a label out of range."""
    wrong = np.flatnonzero((y < 0) | (y >= n_classes))
    if wrong.size:
        raise BadInput(
            f"{where}: label {y[wrong[0]]} of image {wrong[0]} is outside 0..{n_classes - 1} "
            f"({wrong.size} such labels); the file is damaged or of another data set, fetch it again"
        )
    return Images(x=torch.from_numpy(np.array(x, order="C")), y=torch.from_numpy(y.astype(np.int64)), levels=levels)


def read_npz(path: Path, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Integer arrays of the wanted shapes from a `.npz`, by key; other keys are left alone.

    The header of each array is checked before its contents are read, and nothing is unpickled. Images (more than one
    axis) must be uint8, labels may be of any integer type. Raises BadInput.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; put it there")
    try:
        with zipfile.ZipFile(path) as archive:
            return {key: _npz_member(path, archive, key, shape) for key, shape in wanted.items()}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        raise BadInput(f"{path}: not a readable .npz ({error}); it is damaged or truncated, fetch it again") from error


def _npz_member(path: Path, archive: zipfile.ZipFile, key: str, shape: tuple[int, ...]) -> np.ndarray:
    names = archive.namelist()
    if f"{key}.npy" not in names:
        found = ", ".join(sorted(name.removesuffix(".npy") for name in names)) or "nothing"
        raise BadInput(f"{path}: no array {key!r} in it, found {found}; fetch the file again")
    with archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version not in NPZ_HEADERS:
            raise BadInput(f"{path}: {key} is in array format {version}, known: 1.0 and 2.0; save the file again")
        found_shape, fortran, dtype = NPZ_HEADERS[version](member)
        kind = "uint8" if len(shape) > 1 else "integers"
        if found_shape != shape or not (dtype == np.uint8 if kind == "uint8" else np.issubdtype(dtype, np.integer)):
            raise BadInput(f"{path}: {key} is {dtype} {found_shape}, expected {kind} {shape}; fetch the right file")
        size = int(np.prod(shape)) * dtype.itemsize
        raw = member.read(size + 1)  # reaching the end makes zipfile compare the checksum
    if len(raw) != size:
        relation = "more than" if len(raw) > size else f"{len(raw)} of"
        raise BadInput(f"{path}: {key} has {relation} its {size} bytes; the file is damaged, fetch it again")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Unsigned bytes of the wanted shape from an IDX file, gzipped if its name ends in `.gz`. Raises BadInput.

    IDX: two zero bytes, a type (8 = unsigned byte), the number of axes, each axis as a big-endian uint32, the bytes.
    Source: http://yann.lecun.com/exdb/mnist/, "The IDX file format".
    """
    size = int(np.prod(shape))
    header = 4 + 4 * len(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(header)
            raw = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: cannot be read ({error}); it is damaged or truncated, fetch it again") from error
    expected = f"an IDX file of bytes {shape}"
    if len(head) < header or head[:4] != bytes((0, 0, 8, len(shape))):
        raise BadInput(f"{path}: begins with bytes {head[:4].hex(' ') or 'none'}, expected {expected}; fetch it again")
    found = tuple(int(n) for n in np.frombuffer(head[4:], ">u4"))
    if found != shape:
        raise BadInput(f"{path}: holds {found}, expected {expected}; fetch the right file")
    if len(raw) != size:
        relation = "more than" if len(raw) > size else f"{len(raw)} of"
        raise BadInput(f"{path}: has {relation} the {size} bytes of {expected}; it is damaged, fetch it again")
    return np.frombuffer(raw, np.uint8).reshape(shape)

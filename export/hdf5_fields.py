"""Checked access to the fields of an HDF5 file somebody else may have written.

Every value is checked for kind, type, shape, size and finiteness before it is used, and every complaint names the
file, the layer, the field, what was found and what is expected. Links are not followed: a file speaks of itself only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from ..hw import BadInput
from .hdf5_chunks import damage
from .hdf5_heaps import check_heaps, check_references

T = TypeVar("T")

MAX_ELEMENTS = 1 << 27
"""Largest dataset read: 128 million weights, as many as Loihi 2 has synapses. Stops forged shapes before allocating."""

MAX_NEURONS = 1 << 24
"""Largest population, 16 Loihi 2 chips."""

PLAIN_BYTES = 1 << 22
DEFLATE_MOST = 1100
"""A dataset beyond 4 MiB may be at most 1100 times what is stored of it: deflate reaches 1032. Stops forged shapes."""

# h5py reports a damaged file with any of these, depending on which structure is hit.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], way_out: str) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading. way_out: what a message says where there is no such file.

    Raises BadInput for anything that is not a readable HDF5 file.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: there is no such file; {way_out}")
    try:
        check_heaps(path)
        file = h5py.File(path, "r")
    except HDF5_ERRORS as error:
        raise BadInput(f"{path}: not a readable HDF5 file (wrong kind, or truncated): {error}") from error
    with file:
        yield file


class Fields:
    """The members of one HDF5 group. where: names file and layer in messages."""

    def __init__(self, where: str, group: h5py.Group) -> None:
        self.where = where
        self._group = group

    def fail(self, field: str, found: object, expected: str) -> BadInput:
        """The error for one field, to be raised."""
        return BadInput(f"{self.where}: {field}: found {found}, expected {expected}")

    def names(self) -> list[str]:
        """Names of the members, in the file's order."""
        # h5py gives bytes for a name that is not UTF-8.
        found = self._guard("members", lambda: list(self._group.keys()))
        return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in found]

    def __contains__(self, field: str) -> bool:
        return field in self.names()

    def group(self, field: str) -> Fields:
        """A sub-group."""
        item = self._item(field)
        if not isinstance(item, h5py.Group):
            raise self.fail(field, type(item).__name__.lower(), "a group")
        return Fields(f"{self.where}: {field}", item)

    def text(self, field: str) -> str:
        """A string of shape () or (1,), fixed or variable length, ASCII."""
        dataset = self._dataset(field)
        if dataset.shape not in ((), (1,)) or not self._is_text(dataset):
            raise self.fail(field, f"{dataset.dtype} {dataset.shape}", "one string")
        self._check_strings(field, dataset)
        value = self._guard(field, lambda: dataset[()] if dataset.shape == () else dataset[0])
        try:
            return value.decode("ascii") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            raise self.fail(field, repr(value), "ASCII text") from None

    def integer(self, field: str, least: int, most: int, *, shapes: Sequence[tuple[int, ...]] = ((), (1,))) -> int:
        """One integer of integer dtype, in least..most."""
        dataset = self._dataset(field)
        if dataset.shape not in shapes:
            wanted = " or ".join(str(shape) for shape in shapes)
            raise self.fail(field, f"shape {dataset.shape}", f"one value of shape {wanted}")
        values = self._values(field, dataset, kinds="iu")
        value = int(values.reshape(()))
        if not least <= value <= most:
            raise self.fail(field, value, f"{least}..{most}")
        return value

    def uniform(self, field: str, least: int, most: int) -> int:
        """One integer of integer dtype in least..most, or an array of it: neurons of one layer must be alike."""
        values = self._values(field, self._dataset(field), kinds="iu")
        if values.size == 0 or values.min() != values.max():
            found = f"{values.min()}..{values.max()}" if values.size else "no value"
            raise self.fail(field, found, "one number, the same for all neurons of the layer")
        value = int(values.flat[0])
        if not least <= value <= most:
            raise self.fail(field, value, f"{least}..{most}")
        return value

    def shape(self, field: str) -> tuple[int, ...]:
        """A population's shape: one to three positive integers."""
        dataset = self._dataset(field)
        if len(dataset.shape) != 1 or not 1 <= dataset.shape[0] <= 3:
            raise self.fail(field, f"shape {dataset.shape}", "1 to 3 integers (C, H, W)")
        shape = tuple(int(n) for n in self._values(field, dataset, kinds="iu"))
        if min(shape) < 1 or _product(shape) > MAX_NEURONS:
            raise self.fail(field, shape, f"positive numbers of at most {MAX_NEURONS} neurons together")
        return shape

    def integers(self, field: str) -> np.ndarray:
        """An array of any shape and integer dtype."""
        return self._values(field, self._dataset(field), kinds="iu").astype(np.int64)

    def mantissas(self, field: str) -> np.ndarray:
        """Weights or biases: any integer or float dtype; fractions are cut towards zero, as netx does. int64."""
        values = self._values(field, self._dataset(field), kinds="iuf")
        if not np.isfinite(values).all():
            raise self.fail(field, "NaN or infinity", "finite numbers")
        if values.size and (values.max() > np.iinfo(np.int32).max or values.min() < np.iinfo(np.int32).min):
            raise self.fail(field, f"values up to {np.abs(values.astype(float)).max():g}", "numbers of at most 32 bits")
        return values.astype(np.int64)

    def stored(self, field: str) -> np.ndarray:
        """Any array of numbers or booleans, as it is stored."""
        return self._values(field, self._dataset(field), kinds="biuf")

    def _dataset(self, field: str) -> h5py.Dataset:
        item = self._item(field)
        if not isinstance(item, h5py.Dataset):
            raise self.fail(field, type(item).__name__.lower(), "a dataset")
        outside = self._guard(field, lambda: bool(item.external) or item.is_virtual)
        if outside:
            raise self.fail(field, "data kept in another file", "data inside this file")
        if self._guard(field, lambda: item.shape) is None:
            raise self.fail(field, "an empty dataset", "values")
        self._guard(field, lambda: item.dtype)
        return item

    def _item(self, field: str) -> h5py.Group | h5py.Dataset | h5py.Datatype:
        if field not in self:
            raise BadInput(f"{self.where}: {field} is missing; the group holds {', '.join(self.names()) or 'nothing'}")
        link = self._guard(field, lambda: self._group.get(field, getlink=True))
        if not isinstance(link, h5py.HardLink):
            raise self.fail(field, f"a link ({type(link).__name__})", "the data itself")
        return self._guard(field, lambda: self._group[field])

    def _values(self, field: str, dataset: h5py.Dataset, *, kinds: str) -> np.ndarray:
        if dataset.dtype.kind not in kinds:
            wanted = "integers" if kinds == "iu" else "integers or floats"
            raise self.fail(field, f"dtype {dataset.dtype}", wanted)
        if dataset.dtype.itemsize > 8:
            raise self.fail(field, f"dtype {dataset.dtype}", "numbers of at most 64 bits")
        if _product(dataset.shape) > MAX_ELEMENTS:
            raise self.fail(field, f"shape {dataset.shape}", f"at most {MAX_ELEMENTS} values")
        size = _product(dataset.shape) * dataset.dtype.itemsize
        stored = self._guard(field, lambda: dataset.id.get_storage_size())
        if size > PLAIN_BYTES and size > DEFLATE_MOST * stored:
            raise self.fail(field, f"shape {dataset.shape} in {stored} bytes", "the values themselves")
        found = self._guard(field, lambda: damage(dataset))
        if found is not None:
            raise self.fail(field, found, "all its values, whole")
        return self._guard(field, lambda: np.asarray(dataset[()]))

    def _check_strings(self, field: str, dataset: h5py.Dataset) -> None:
        """Raise BadInput for strings whose length or place the file cannot hold; they are not yet read."""
        path, count = Path(self._group.file.filename), int(np.prod(dataset.shape))
        if dataset.dtype.kind == "S":
            if dataset.dtype.itemsize * count > path.stat().st_size:
                raise self.fail(field, f"dtype {dataset.dtype}", "strings of the file's size at most")
            return
        at = self._guard(field, lambda: dataset.id.get_offset())
        if at is None:
            raise self.fail(field, "strings in chunks", "them in one piece")
        if not check_references(path, at, count):
            raise self.fail(field, "references to no string", "strings; the file is damaged")

    @staticmethod
    def _is_text(dataset: h5py.Dataset) -> bool:
        return dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None

    def _guard(self, field: str, access: Callable[[], T]) -> T:
        try:
            return access()
        except HDF5_ERRORS as error:
            raise BadInput(f"{self.where}: {field} cannot be read, the file is damaged: {error}") from error


def _product(shape: Sequence[int]) -> int:
    total = 1
    for n in shape:
        total *= int(n)
    return total

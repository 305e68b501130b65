"""Arrays as members: plain `.npy` files that numpy reads, binary ones eight values to a byte."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from ...export.traces import NPY_ERRORS
from ...hw import BadInput, Source
from .archive import sha256

INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.int32)
"""Types a payload is kept in: the first that holds the source's whole range."""


def to_npy(values: np.ndarray) -> bytes:
    """An array as a `.npy` file, version 1.0, C order, little-endian."""
    buffer = io.BytesIO()
    ordered = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, ordered, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def from_npy(content: bytes, shape: Sequence[int], dtype: np.dtype, where: str) -> np.ndarray:
    """The array of a `.npy` file, which must have this shape and type, C order, and no byte more. Raises BadInput."""
    stream = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("it is not of version 1.0")
        found, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    except NPY_ERRORS as error:
        raise BadInput(f"{where}: not a readable .npy file: {error}") from None
    wanted = tuple(shape)
    if (found, fortran, kind) != (wanted, False, dtype):
        order = ", Fortran order" if fortran else ""
        raise BadInput(
            f"{where}: holds {kind} {found}{order}, the capsule says {dtype} {wanted}; it contradicts itself"
        )
    body = content[stream.tell() :]
    if len(body) != math.prod(wanted) * dtype.itemsize:
        raise BadInput(f"{where}: {len(body)} bytes for {dtype} {wanted}; it is cut short or has bytes behind")
    return np.frombuffer(body, dtype).reshape(wanted)


def to_bits(values: np.ndarray) -> bytes:
    """Zeros and ones as a `.npy` file of bytes: eight values each, C order, the first in the highest bit."""
    return to_npy(np.packbits(values.astype(bool).reshape(-1)))


def from_bits(content: bytes, shape: Sequence[int], where: str) -> np.ndarray:
    """What `to_bits` was given: uint8 zeros and ones. Raises BadInput."""
    size = math.prod(shape)
    packed = from_npy(content, ((size + 7) // 8,), np.dtype(np.uint8), where)
    if np.unpackbits(packed[-1:])[size % 8 or 8 :].any():
        raise BadInput(
            f"{where}: bits are set behind the last of {size} values; it was not made by `spikeport capsule`"
        )
    return np.unpackbits(packed, count=size).reshape(tuple(shape))


def of_spikes(values: np.ndarray) -> str:
    """SHA-256 over zeros and ones, one byte each, C order."""
    return sha256(np.ascontiguousarray(values, np.uint8).tobytes())


def of_payload(values: np.ndarray) -> str:
    """SHA-256 over payloads as little-endian 32-bit integers, C order."""
    return sha256(np.ascontiguousarray(values, "<i4").tobytes())


def payload_to_npy(values: np.ndarray, source: Source) -> bytes:
    """Payloads of a source as small as they go: bits for binary spikes, else the smallest integers."""
    return to_npy(values.astype(payload_dtype(source))) if source.payload_bits else to_bits(values)


def payload_from_npy(content: bytes, shape: Sequence[int], source: Source, where: str) -> np.ndarray:
    """What `payload_to_npy` was given, int32. Raises BadInput."""
    if not source.payload_bits:
        return from_bits(content, shape, where).astype(np.int32)
    return from_npy(content, shape, payload_dtype(source), where).astype(np.int32)


def payload_dtype(source: Source) -> np.dtype:
    """The smallest little-endian integers that hold every payload of a source."""
    for kind in INTEGERS:
        limits = np.iinfo(kind)
        if limits.min <= source.min_payload and source.max_payload <= limits.max:
            return np.dtype(kind).newbyteorder("<")
    raise AssertionError(f"a payload of {source.payload_bits} bits leaves 32")  # hw.Source holds at most 24

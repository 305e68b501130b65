"""Strings of any length in an HDF5 file lie in heaps. A damaged heap makes the HDF5 library loop for ever, a damaged
reference into one makes it allocate gigabytes.

So heaps are walked here first, as the library would, and references are looked at before they are followed.
Layout: HDF5 File Format Specification 3.0, sections II.A (superblock), III.E (global heap) and IV.B (variable-length
data: 4 bytes of length, 8 of the heap's address, 4 of the object's index).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ..hw import BadInput

SIGNATURE, HEAP = b"\x89HDF\r\n\x1a\n", b"GCOL\x01"
HEADER = 16  # bytes of a heap's header, and of an object's
REFERENCE = 16
SMALLEST_HEAP = 4096


def check_heaps(path: Path) -> None:
    """Raise BadInput for a file that is not HDF5, or holds a heap of strings that is damaged."""
    with path.open("rb") as file:
        start = file.read(16)
        if len(start) < 16 or not start.startswith(SIGNATURE):
            raise BadInput(f"{path}: not a readable HDF5 file: it does not begin as one")
        lengths = start[14] if start[8] < 2 else start[10]
        offsets = start[13] if start[8] < 2 else start[9]
        if (offsets, lengths) != (8, 8):
            raise BadInput(f"{path}: an HDF5 file with addresses of {offsets} and {lengths} bytes; 8 are read")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(HEAP)
            while at >= 0:
                if not _sound(content, at):
                    raise BadInput(f"{path}: the strings at byte {at} cannot be read, the file is damaged")
                at = content.find(HEAP, at + 1)


def check_references(path: Path, at: int, count: int) -> bool:
    """Whether `count` references at byte `at` of a file lead to heaps, to strings that the file has room for."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(at)
        stored = file.read(REFERENCE * count)
        if len(stored) < REFERENCE * count:
            return False
        for length, heap, _ in struct.iter_unpack("<IQI", stored):
            if length > size or heap > size - HEADER:
                return False
            file.seek(heap)
            if length and file.read(len(HEAP)) != HEAP:
                return False
    return True


def _sound(content: mmap.mmap, at: int) -> bool:
    """Whether a heap's objects fill it exactly, each index once, free space last."""
    if at + HEADER > len(content):
        return False
    (size,) = struct.unpack_from("<Q", content, at + 8)
    if not SMALLEST_HEAP <= size <= len(content) - at:
        return False
    end, here, seen = at + size, at + HEADER, set()
    while end - here >= HEADER:
        index, _, _, length = struct.unpack_from("<HHIQ", content, here)
        if index == 0:
            return length == end - here
        padded = HEADER + (length + 7) // 8 * 8
        if index in seen or padded > end - here:
            return False
        seen.add(index)
        here += padded
    return True

"""Compressed data in an HDF5 file whose damage the HDF5 library does not notice.

It takes a chunk that unpacks to fewer bytes than it should, and hands out whatever memory held; a chunk that is missing
from the index becomes zeros. So chunks are unpacked here first, and counted.
"""

from __future__ import annotations

import math
import zlib

import h5py

DEFLATE, SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE


def damage(dataset: h5py.Dataset) -> str | None:
    """What is wrong with a dataset's stored values, in a few words; None if all of them are there.

    Raises whatever h5py raises for a file it cannot follow.
    """
    if dataset.size == 0:
        return None
    if dataset.chunks is None:
        return None if dataset.id.get_storage_size() else "no stored values"
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if filters not in ([], [DEFLATE], [SHUFFLE], [SHUFFLE, DEFLATE]):
        return f"compression by filters {filters}, of which only deflate and shuffle are read"
    expected = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    found = dataset.id.get_num_chunks()
    if found != expected:
        return f"{found} of its {expected} parts"
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    for index in range(found):
        info = dataset.id.get_chunk_info(index)
        if DEFLATE in filters:
            mask, stored = dataset.id.read_direct_chunk(info.chunk_offset)
            whole = not mask and _unpacks_to(stored, size)
        else:
            whole = not info.filter_mask and info.size == size
        if not whole:
            return f"part {index} damaged"
    return None


def _unpacks_to(stored: bytes, size: int) -> bool:
    """Whether a deflated chunk holds exactly `size` bytes."""
    unpack = zlib.decompressobj()
    try:
        content = unpack.decompress(stored, size + 1)
        return len(content) == size and not unpack.decompress(unpack.unconsumed_tail, 1) and unpack.eof
    except zlib.error:
        return False

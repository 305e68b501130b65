"""Keep large CPU buffers mapped between training steps.

glibc gives every block above 32 MiB fresh pages and returns them when it is freed, so a training step that allocates
its activations anew pays a page fault per 4 KiB of every tensor. Served from the heap, the pages stay
(`benchmarks/allocator.py` measures what that is worth). Results do not change.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_LARGEST = (1 << 31) - 1


def keep_pages() -> bool:
    """Tell glibc to serve all blocks from the heap and to keep the heap. Returns whether it did (False elsewhere)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, 1 << 28))
    return min(mallopt(name, value) for name, value in settings) == 1  # 1 is success; every setting is tried

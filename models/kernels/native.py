"""How compiled loops are made and run: numba's compiler with its cache, and threads over slices. Needs numba."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import torch


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter; keep the machine code on disk where a folder for it can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return numba.njit(nogil=True, error_model="numpy")(function)


def parallel(work: Callable[[slice], object], n: int, smallest: int = 1) -> None:
    """Call `work` on slices that together cover 0..n, on as many threads as torch may use.

    `work` must release the interpreter's lock to gain from it. smallest: the least length of a slice worth a thread.
    """
    parts = min(torch.get_num_threads(), n // smallest)
    if parts <= 1:
        work(slice(0, n))
        return
    borders = [n * i // parts for i in range(parts + 1)]
    for future in [_threads(parts, os.getpid()).submit(work, slice(*pair)) for pair in pairwise(borders)]:
        future.result()


@cache
def _threads(n: int, _process: int) -> ThreadPoolExecutor:
    """A pool of the process that asks: threads do not survive a fork."""
    return ThreadPoolExecutor(n, thread_name_prefix="spikeport-train")

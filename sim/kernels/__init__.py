"""What runs fast: compiled loops, oneDNN's 8-bit products, and the plain torch they are measured against.

Each is used only after `sim.selfcheck` has compared it with plain torch in this process. None decides a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch

LANES = 32
"""Outputs whose sums are gathered at once: 16 bits each, one 512-bit register."""


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
    return ThreadPoolExecutor(n, thread_name_prefix="spikeport-sim")

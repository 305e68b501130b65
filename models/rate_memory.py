"""Memory that one iteration of training leaves to the next.

A large tensor that is freed goes back to the operating system, and the next one of its size pays for fresh pages, which
costs several times what its neurons do.
"""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

LIMIT = 1 << 29
"""Bytes that are kept while nobody uses them, per thread."""


class Pool:
    """Lends tensors on the CPU and takes them back; of what is not lent, at most `limit` bytes are kept."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._free: list[Tensor] = []

    @property
    def kept(self) -> int:
        """Bytes that nobody uses."""
        return sum(buffer.numel() for buffer in self._free)

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A contiguous tensor with any values in it."""
        size = math.prod(shape) * dtype.itemsize
        fitting = [i for i, buffer in enumerate(self._free) if size <= buffer.numel() <= max(4 * size, 1 << 16)]
        if fitting:
            buffer = self._free.pop(min(fitting, key=lambda i: self._free[i].numel()))
        else:
            buffer = torch.empty(size, dtype=torch.uint8)
        return buffer[:size].view(dtype).view(shape)

    def give(self, tensor: Tensor) -> None:
        """Take back what was lent; nobody may use it any more."""
        whole = tensor.untyped_storage()
        self._free.append(torch.empty(0, dtype=torch.uint8).set_(whole))
        while self.kept > self.limit:
            self._free.pop(0)


class _Own(threading.local):
    def __init__(self) -> None:
        self.pool = Pool()


_own = _Own()


def pool() -> Pool:
    """The calling thread's."""
    return _own.pool

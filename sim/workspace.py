"""Memory that is used again.

A large tensor that is freed goes back to the operating system, and the next one of its size pays for fresh pages, which
costs several times what a neuron's update does.
"""

from __future__ import annotations

import math

import torch


class Workspace:
    """Lends tensors on one device, and takes them back. What it holds is freed with it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._free: list[torch.Tensor] = []
        self._lent: dict[int, torch.Tensor] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A contiguous tensor with any values in it."""
        size = math.prod(shape) * dtype.itemsize
        fitting = [i for i, buffer in enumerate(self._free) if buffer.numel() >= size]
        if fitting:
            buffer = self._free.pop(min(fitting, key=lambda i: self._free[i].numel()))
        else:
            buffer = torch.empty(size, dtype=torch.uint8, device=self.device)
        self._lent[buffer.data_ptr()] = buffer
        return buffer[:size].view(dtype).view(shape)

    def give(self, tensor: torch.Tensor) -> None:
        """Take back a tensor, or any that begins where it does; nothing happens if it was not lent here."""
        buffer = self._lent.pop(tensor.data_ptr(), None)
        if buffer is not None:
            self._free.append(buffer)

    def reclaim(self) -> None:
        """Take back everything."""
        self._free += self._lent.values()
        self._lent.clear()

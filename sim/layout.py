"""The order in which the simulator holds neurons, and the way back.

Outside, time comes first and channels before pixels: (T, B, C, H, W). Inside, samples come first, so that a few of them
are one block of memory with all their timesteps, and channels last, as 8-bit convolutions want them: (B, T, H, W, C).
A vector (F,) has no such order.
"""

from __future__ import annotations

import numpy as np
import torch

from ..hw import Shape


def inside_shape(shape: Shape) -> Shape:
    """(H, W, C) for (C, H, W); a vector stays."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def inside(values: np.ndarray) -> np.ndarray:
    """Values over a population's shape, (C, H, W) or (F,), in the inner order."""
    return np.moveaxis(values, 0, -1) if values.ndim == 3 else values


def order(shape: Shape) -> np.ndarray:
    """For each neuron in the inner order, its index in C, H, W order. int64 (neurons,)."""
    return inside(np.arange(int(np.prod(shape))).reshape(shape)).reshape(-1)


def enter(spikes: torch.Tensor, shape: Shape) -> torch.Tensor:
    """(T, B, *shape) as a contiguous (B, T, *inner shape)."""
    spikes = spikes.transpose(0, 1)
    return (spikes.movedim(2, -1) if len(shape) == 3 else spikes).contiguous()


def leave(values: torch.Tensor, shape: Shape) -> torch.Tensor:
    """(B, T, neurons or inner shape) as (T, B, *shape), a view."""
    values = values.reshape(*values.shape[:2], *inside_shape(shape)).transpose(0, 1)
    return values.movedim(-1, 2) if len(shape) == 3 else values

"""The reference paths, plain torch on any device: sums in an exact floating type, neurons in float64.

Float64 is exact here: |u| <= 2^23 times a decay of 12 bits needs 35 bits of its 53, a division by 4096 only moves the
exponent, and `trunc` is the chip's rounding towards zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ...hw import Conv, Cuba
from ...hw.arithmetic import DECAY_ONE, STATE_LIMIT, STATE_SHIFT

CHUNK = 1 << 15
"""Neurons a CPU steps at a time, so that their states stay in the cache. Found by timing 2^13 to 2^20 on one core."""


class FloatConv:
    """Sums of a convolution. Called with spikes (N, H, W, C), any type; returns `dtype` (N, H', W', outputs)."""

    def __init__(self, connection: Conv, dtype: torch.dtype, device: torch.device) -> None:
        weight = torch.from_numpy(connection.weight.astype(np.int64)).to(device, dtype)
        on_cpu = device.type == "cpu"
        self.layout = torch.channels_last if on_cpu else torch.contiguous_format
        self.weight = weight.contiguous(memory_format=self.layout)
        self.connection = connection

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """The sums of N pictures."""
        conv = self.connection
        pictures = spikes.permute(0, 3, 1, 2).to(self.weight.dtype).contiguous(memory_format=self.layout)
        sums = F.conv2d(pictures, self.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        return sums.permute(0, 2, 3, 1)


class FloatDense:
    """Sums of a matrix. Called with spikes (N, in), any type; returns `dtype` (N, out)."""

    def __init__(self, weight: np.ndarray, dtype: torch.dtype, device: torch.device) -> None:
        self.weight = torch.from_numpy(weight.astype(np.int64)).to(device, dtype)

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """The sums of N vectors."""
        return F.linear(spikes.to(self.weight.dtype), self.weight)


class Scale:
    """Sums of one-to-one synapses. Called with spikes of any shape and type; returns `dtype` of that shape."""

    def __init__(self, weight: np.ndarray, dtype: torch.dtype) -> None:
        self.weight = int(weight)
        self.dtype = dtype

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """One synapse each."""
        return spikes.to(self.dtype) * self.weight


@dataclass(frozen=True, eq=False)
class States:
    """What a few samples' neurons did, and where they stand.

    spikes: uint8 (B, T, N), filled. all_u, all_v: int32 (B, T, N), filled, or None if not wanted. u, v: int32 (B, N),
    filled with the states after the last timestep, or None if not wanted. fresh: start from zero, else from `u` and
    `v`, which must then be there.
    """

    spikes: torch.Tensor
    all_u: torch.Tensor | None = None
    all_v: torch.Tensor | None = None
    u: torch.Tensor | None = None
    v: torch.Tensor | None = None
    fresh: bool = True


class PlainNeurons:
    """CUBA neurons (`hw.neurons.cuba`) stepped by torch. bias: int32 (N,) on the device, already shifted.

    largest_u, largest_v: proven bounds on their magnitudes before wrapping and clipping, either of which is left out
    where it cannot happen.
    """

    def __init__(self, neuron: Cuba, bias: torch.Tensor, largest_u: int, largest_v: int) -> None:
        self.u_keeps = (DECAY_ONE - neuron.i_decay) / DECAY_ONE
        self.v_keeps = (DECAY_ONE - neuron.v_decay) / DECAY_ONE
        self.threshold = neuron.v_th_mant << STATE_SHIFT
        self.bias = bias.double() if bool(bias.any()) else None
        self.wraps = largest_u >= STATE_LIMIT
        self.clips = largest_v >= STATE_LIMIT

    def run(self, sums: torch.Tensor, out: States) -> None:
        """Step over the timesteps of `out`. sums: integers in any type, (B, T or 1, N)."""
        samples, _, size = out.spikes.shape
        width = min(size, CHUNK) if sums.device.type == "cpu" else size
        rows = max(1, CHUNK // width) if sums.device.type == "cpu" else samples
        for row in range(0, samples, rows):
            for column in range(0, size, width):
                self._scan(sums, out, slice(row, row + rows), slice(column, column + width))

    def _scan(self, sums: torch.Tensor, out: States, rows: slice, columns: slice) -> None:
        part = out.spikes[rows, 0, columns]
        u, v = (torch.zeros_like(part, dtype=torch.float64) for _ in range(2))
        for state, kept in ((u, out.u), (v, out.v)):
            if kept is not None and not out.fresh:
                state.copy_(kept[rows, columns])
        bias = None if self.bias is None else self.bias[columns]
        fired = torch.empty(u.shape, dtype=torch.bool, device=u.device)
        a = torch.empty_like(u)
        for t in range(out.spikes.shape[1]):
            if self.u_keeps == 0:
                u.copy_(sums[rows, t if t < sums.shape[1] else 0, columns]).mul_(1 << STATE_SHIFT)
            else:
                if t < sums.shape[1]:
                    a.copy_(sums[rows, t, columns]).mul_(1 << STATE_SHIFT)
                _decay(u, self.u_keeps)
                u += a
            if self.wraps:
                u += ((STATE_LIMIT - u) / (2 * STATE_LIMIT)).floor_() * (2 * STATE_LIMIT)
            _decay(v, self.v_keeps)
            v += u
            if bias is not None:
                v += bias
            if self.clips:
                v.clamp_(-(STATE_LIMIT - 1), STATE_LIMIT - 1)
            torch.gt(v, self.threshold, out=fired)
            v.masked_fill_(fired, 0)
            out.spikes[rows, t, columns] = fired
            if out.all_u is not None:
                out.all_u[rows, t, columns] = u
            if out.all_v is not None:
                out.all_v[rows, t, columns] = v
        for state, kept in ((u, out.u), (v, out.v)):
            if kept is not None:
                kept[rows, columns] = state


def _decay(x: torch.Tensor, keeps: float) -> None:
    """Decay `x`, float64, in place, rounding towards zero."""
    if keeps != 1:
        x.mul_(keeps).trunc_()

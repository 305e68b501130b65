"""Convolutions of spike bytes, outside the autograd graph: dense, or from the spikes that occurred."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .kernels import events, rates, sweeps
from .kernels.native import parallel
from .kernels.vectors import LANES

CHUNK_BYTES = 1 << 23
"""Of the dense convolution's input or output at a time, so that both stay in the cache."""

TABLE_BYTES = 600 << 10
"""Of one block of a table of patterns, beyond which single channels are listed: it has to stay in the second cache."""

NO_WORDS = np.empty((0, 0, 0, 0), np.uint32)
NO_SUMS = np.empty((0, 0, 0))

Way = Literal["dense", "sweep", "fours", "singles"]


class Table(NamedTuple):
    """The weights of a convolution as `events` and `sweeps` read them. rows: of one tap, for `events.conv`."""

    values: np.ndarray
    rows: int


def way_of(conv: nn.Conv2d, positions: int, rate: float) -> Way:
    """How a convolution of spikes is summed: a function of nothing but these numbers, so that a run that is repeated
    gives the same bits. The limits were found by timing all ways on one core with 512-bit vectors.

    positions: of the output, over all pictures. rate: about how many of the inputs are spikes.
    """
    outputs, channels = conv.out_channels, conv.in_channels
    taps = conv.kernel_size[0] * conv.kernel_size[1]
    macs = taps * channels * outputs
    if conv.groups > 1 or macs < 1024:
        return "dense"
    width = LANES * min(-(-outputs // LANES), events.WIDEST)
    # A table is worth making for many positions.
    patterns = channels % 4 == 0 and 16 * taps * channels * width <= TABLE_BYTES and positions >= 64 * outputs
    side_by_side = conv.kernel_size[1] == 3 and conv.stride == (1, 1) and conv.dilation == (1, 1)
    if patterns and side_by_side and conv.padding[1] == 1 and rate < 0.8:
        return "sweep"
    if macs < 4096:
        return "dense"
    if patterns and rate < 0.6:
        return "fours"
    return "singles" if channels >= 32 and rate < 0.4 else "dense"


class SpikeConv:
    """Sums of a convolution over spikes, without its bias. worth: what one spike is worth.

    positions, rate: as in `way_of`.
    """

    def __init__(self, conv: nn.Conv2d, worth: float, positions: int, rate: float) -> None:
        self.conv = conv
        weight = conv.weight.detach()
        self.weight = weight if worth == 1 else weight * worth
        self.way = way_of(conv, positions, rate)
        self.table = None if self.way == "dense" else _table(self.weight, self.way)

    def __call__(self, fired: Tensor, out: Tensor, sums: Tensor | None) -> None:
        """The sums of n pictures.

        fired: uint8 0/1 (n, H, W, C). out: float32 (n, H', W', outputs), filled. sums: float64 (n, 2, outputs), filled
        with the sums over positions of `out` and of its square, or None.
        """
        if self.table is None:
            self._dense(fired, out, sums)
        else:
            self._gather(self.table, fired, out, sums)

    def _dense(self, fired: Tensor, out: Tensor, sums: Tensor | None) -> None:
        conv = self.conv
        per_picture = 4 * max(fired[0].numel(), out[0].numel())
        step = max(1, CHUNK_BYTES // per_picture)
        for start in range(0, len(fired), step):
            part = slice(start, start + step)
            given = convolved(conv, fired[part].to(torch.float32).permute(0, 3, 1, 2), self.weight)
            if sums is None:
                out[part] = given
            else:
                settle(given, out[part], sums[part])

    def _gather(self, table: Table, fired: Tensor, out: Tensor, sums: Tensor | None) -> None:
        conv, way = self.conv, self.way
        spikes, filled = fired.numpy(), out.numpy()
        words = NO_WORDS if way == "singles" else spikes.view(np.uint32)
        added = NO_SUMS if sums is None else sums.numpy()
        geometry = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)

        def work(part: slice) -> None:
            here, there = words[part] if words.size else words, added[part] if added.size else added
            if way == "sweep":
                sweeps.conv_rows(here, table.values, geometry[0][0], geometry[2][0], filled[part], there)
            else:
                events.conv(spikes[part], here, table.values, table.rows, *geometry, filled[part], there)

        parallel(work, len(spikes))


def convolved(conv: nn.Conv2d, pictures: Tensor, weight: Tensor) -> Tensor:
    """The sums of a convolution without its bias, (n, H', W', outputs), contiguous. pictures: (n, C, H, W)."""
    assert not isinstance(conv.padding, str)
    given = functional.conv2d(pictures, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
    return given.permute(0, 2, 3, 1).contiguous()


def _table(weight: Tensor, way: Way) -> Table:
    """The table of a way. weight: (outputs, C, kH, kW)."""
    outputs, channels, high, wide = weight.shape
    vectors = -(-outputs // LANES)
    blocks = -(-vectors // events.WIDEST)
    vectors = -(-vectors // blocks)
    filled = weight.new_zeros(blocks * vectors * LANES, channels, high, wide)
    filled[:outputs] = weight
    split = filled.view(blocks, vectors, LANES, channels, high, wide)
    if way == "sweep":
        rows = split.permute(0, 4, 3, 1, 5, 2).reshape(blocks * high, channels, -1)
    else:
        rows = split.permute(0, 4, 5, 3, 1, 2).reshape(blocks * high * wide, channels, -1)
    rows = rows.contiguous()
    if way == "singles":
        return Table(rows.view(blocks, high * wide * channels, -1).numpy(), channels)
    table = np.empty((len(rows), channels // 4, 16, rows.shape[2]), np.float32)
    events.fill_patterns(rows.numpy(), table)
    if way == "sweep":
        return Table(table.reshape(blocks, high * channels * 4, vectors, wide, LANES), 0)
    return Table(table.reshape(blocks, high * wide * channels * 4, vectors * LANES), 4 * channels)


def settle(given: Tensor, out: Tensor | None, sums: Tensor) -> None:
    """Move sums to `out`, if given, and add them up over positions, see `rates.settle`. given, out: (n, H, W, C)."""
    channels = given.shape[-1]
    flat, added = given.flatten(1).numpy(), sums.numpy()
    filled = np.empty((0, 0), np.float32) if out is None else out.flatten(1).numpy()
    parallel(lambda part: rates.settle(flat[part], channels, filled[part], added[part]), len(flat))


def tiled(values: Tensor, size: int) -> np.ndarray:
    """Values of channels, (K, C), repeated for the positions of a block of neurons, float32.

    A population of `size` neurons whose channels are its neurons keeps them as they are.
    """
    kinds, channels = values.shape
    repeats = 1 if channels == size else max(1, rates.BLOCK // channels)
    return values.to(torch.float32)[:, None].expand(kinds, repeats, channels).reshape(kinds, -1).numpy()

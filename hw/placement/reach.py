"""Which source neurons a part of a population listens to, and to how many cores each of them sends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ..connections import Connection, Conv, Dense, Shape
from .parts import Grid, Part
from .taps import Axis


@dataclass(frozen=True, eq=False)
class Fan:
    """Where the spikes of a connection's source go, over the cores of its target.

    count: int64 (source shape), to how many cores each neuron sends. owner: int64 (source shape), the only core of a
    neuron that sends to one, counted among the target's, else -1. sharing: which neurons with the same owner may share
    an axon: those of one column of a convolution's input, or none.
    """

    count: np.ndarray
    owner: np.ndarray
    sharing: Literal["column", "none", "discrete"]

    def off_chip(self, masks: list[np.ndarray], off: np.ndarray) -> np.ndarray:
        """int64 (source shape): to how many cores with a true `off` each neuron sends."""
        total = np.zeros_like(self.count)
        for mask, far in zip(masks, off, strict=True):
            total += mask & far
        return total


def axes(connection: Conv, source: Shape, part: Part) -> tuple[Axis, Axis]:
    """The rows and the columns of a convolution, as the neurons of a part see them."""
    rows, columns = (
        _axis(
            source[1 + i],
            part.start[1 + i],
            part.stop[1 + i],
            connection.weight.shape[2 + i],
            connection.stride[i],
            connection.padding[i],
            connection.dilation[i],
        )
        for i in range(2)
    )
    return rows, columns


@lru_cache(maxsize=4096)
def _axis(in_size: int, start: int, stop: int, kernel: int, stride: int, before: int, dilation: int) -> Axis:
    """One `Axis` for all parts that share it, so that its taps are found once."""
    return Axis(in_size=in_size, start=start, stop=stop, kernel=kernel, stride=stride, before=before, dilation=dilation)


def channel_groups(connection: Conv, part: Part) -> list[tuple[int, int, int]]:
    """The groups with output channels in a part: (group, first, stop), channels counted from the part's first."""
    per_group = connection.weight.shape[0] // connection.groups
    first, stop = part.start[0], part.stop[0]
    return [
        (group, max(group * per_group, first) - first, min((group + 1) * per_group, stop) - first)
        for group in range(first // per_group, (stop - 1) // per_group + 1)
    ]


def reached(connection: Connection, source: Shape, part: Part) -> np.ndarray:
    """bool (source shape): the source neurons with a synapse onto a part of the target, zero weights included."""
    if isinstance(connection, Dense):
        return np.ones(source, bool)
    if not isinstance(connection, Conv):
        mask = np.zeros(source, bool)
        mask[part.slices] = True
        return mask
    channels = np.zeros(source[0], bool)
    width = connection.weight.shape[1]
    for group, _, _ in channel_groups(connection, part):
        channels[group * width : (group + 1) * width] = True
    rows, columns = axes(connection, source, part)
    return channels[:, None, None] & rows.reached[:, None] & columns.reached


def fan(connection: Connection, source: Shape, masks: list[np.ndarray]) -> Fan:
    """masks: `reached` of every core of the target, in their order."""
    count, last = np.zeros(source, np.int64), np.full(source, -1, np.int64)
    for core, mask in enumerate(masks):
        count += mask
        last[mask] = core
    sharing = "column" if isinstance(connection, Conv) else "none" if isinstance(connection, Dense) else "discrete"
    return Fan(count, np.where(count == 1, last, -1), sharing)


@lru_cache(maxsize=8)  # all parts of a grid ask for the same
def multiplicities(connection: Conv, source: Shape, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """To how many boxes of a grid each input channel, row and column is sent; a neuron goes to their product."""
    whole = Part((0, 0, 0), grid.shape)
    totals = [np.zeros(size, np.int64) for size in source]
    width = connection.weight.shape[1]
    for first, stop in grid.ranges[0]:
        block = Part((first, 0, 0), (stop, *grid.shape[1:]))
        for group, _, _ in channel_groups(connection, block):
            totals[0][group * width : (group + 1) * width] += 1
    for axis in (1, 2):
        for first, stop in grid.ranges[axis]:
            start, end = list(whole.start), list(whole.stop)
            start[axis], end[axis] = first, stop
            totals[axis] += axes(connection, source, Part(tuple(start), tuple(end)))[axis - 1].reached
    return totals[0], totals[1], totals[2]


def dense_fan(source: Shape, n_cores: int) -> Fan:
    """The fan of a dense connection: every neuron sends to every core of the target."""
    size = math.prod(source)
    owner = 0 if n_cores == 1 else -1
    return Fan(np.full(size, n_cores).reshape(source), np.full(size, owner).reshape(source), "none")

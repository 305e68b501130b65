"""A population cut into boxes, one per core."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..connections import Shape


@dataclass(frozen=True)
class Part:
    """The neurons of a population whose coordinates lie in start <= i < stop on every axis, (C, H, W) or (F,)."""

    start: Shape
    stop: Shape

    @property
    def sides(self) -> Shape:
        """Neurons along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.sides)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Picks the part out of an array of the population's shape."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def __str__(self) -> str:
        names = ("channels", "rows", "columns") if len(self.start) == 3 else ("neurons",)
        return ", ".join(f"{n} {a}..{b - 1}" for n, a, b in zip(names, self.start, self.stop, strict=True))


@dataclass(frozen=True)
class Grid:
    """A population of `shape` in boxes of `block`; the last along an axis may be smaller."""

    shape: Shape
    block: Shape

    @property
    def counts(self) -> Shape:
        """Boxes along each axis."""
        return tuple(math.ceil(n / b) for n, b in zip(self.shape, self.block, strict=True))

    @property
    def n_parts(self) -> int:
        """Number of boxes."""
        return math.prod(self.counts)

    @cached_property
    def ranges(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """(start, stop) of every box along each axis."""
        return tuple(
            tuple((a, min(a + b, n)) for a in range(0, n, b)) for n, b in zip(self.shape, self.block, strict=True)
        )

    def parts(self) -> Iterator[Part]:
        """The boxes: by channels, then rows, then columns."""
        for box in itertools.product(*self.ranges):
            yield Part(tuple(a for a, _ in box), tuple(b for _, b in box))

    def middle(self) -> Part:
        """The box around the middle, where border effects are smallest and a convolution's demand is largest."""
        box = [ranges[(len(ranges) - 1) // 2] for ranges in self.ranges]
        return Part(tuple(a for a, _ in box), tuple(b for _, b in box))

    def __str__(self) -> str:
        if self.n_parts == 1:
            return "whole"
        names = ("channels", "rows", "columns") if len(self.shape) == 3 else ("neurons",)
        cut = [f"{b} {name}" for b, n, name in zip(self.block, self.counts, names, strict=True) if n > 1]
        return "blocks of " + " x ".join(cut)


def grids(shape: Shape) -> list[Grid]:
    """Every way to cut a population into about equal boxes, the fewest boxes first.

    Along an axis of n, boxes are ceil(n / k) long for every k. Among equally many boxes, cuts between rows come before
    cuts between columns before cuts between channels, which repeat every input on every core.
    """
    sides = [sorted({math.ceil(n / k) for k in range(1, n + 1)}, reverse=True) for n in shape]
    found = [Grid(shape, block) for block in itertools.product(*sides)]
    return sorted(found, key=lambda grid: (grid.n_parts, _preference(grid.counts)))


def _preference(counts: Shape) -> Shape:
    if len(counts) < 3:
        return counts
    channels, rows, columns = counts
    return channels, columns, rows

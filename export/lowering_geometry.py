"""Convolutions joined: which tap of one kernel reads what each of several kernels read.

Per axis, a population is held by the layer before it is read in as one or more sampled views: channels whose position i
is the population's position `stride i + phase`. A connection reads, for output o, the position `far o + offset`; the
joint kernel, of stride `step` = far / stride, reads the view's position `step o + shift`. Both agree for every o if

    offset = phase + stride shift.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..hw import Conv, Shape, UnsupportedLayer

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Of a kernel, (H, W) each."""

    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    kernel: Pair = (1, 1)

    def tap(self, shift: Pair) -> Pair:
        """Which tap reads the position `shift` from where the stride lands."""
        return tuple((shift[axis] + self.padding[axis]) // self.dilation[axis] for axis in range(2))  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One axis of one layer: from a population of `size` positions, of which the layer before holds every `stride`-th
    in `held` positions, to `outputs` positions `step` apart.
    """

    size: int
    stride: int
    held: int
    step: int
    outputs: int

    def landing(self, offset: int) -> tuple[int, int] | None:
        """(phase, shift) of what output o reads at position `o step stride + offset`; None if that is only padding.

        The phase is the smallest whose view holds every position read. Raises ValueError if no view holds them all.
        """
        far = self.step * self.stride
        first = max(0, -(offset // far))
        last = min(self.outputs - 1, (self.size - 1 - offset) // far)
        if first > last:
            return None
        low, high = far * first + offset, far * last + offset
        phase = offset % self.stride
        missing = high - self.stride * (self.held - 1) - phase
        if missing > 0:
            phase += -(-missing // self.stride) * self.stride
        if phase > low:
            raise ValueError(f"positions {low}..{high} do not fit {self.held} places {self.stride} apart")
        return phase, (offset - phase) // self.stride


def joint_geometry(
    name: str, stride: Pair, shifts: Iterable[Pair], source: Shape, target: Shape, known: Sequence[Conv], largest: int
) -> Geometry:
    """The smallest kernel of a stride that has a tap on every shift and gives the target's shape.

    known: connections into the layer, whose own geometry is preferred in this order. source, target: (C, H, W).
    largest: kernel, padding or dilation the chip takes. Raises UnsupportedLayer, naming the layer, if there is none.
    """
    shifts = list(shifts)
    axes = []
    for axis in range(2):
        wanted = {shift[axis] for shift in shifts} or {0}
        sizes = source[1 + axis], target[1 + axis]
        candidates = [(c.weight.shape[2 + axis], c.padding[axis], c.dilation[axis]) for c in known]
        fits = [c for c in candidates if _fits(c, wanted, stride[axis], sizes)]
        found = fits[0] if fits else _smallest(wanted, stride[axis], sizes, largest)
        if found is None:
            raise UnsupportedLayer(
                f"{name}: no kernel of stride {stride[axis]} and size {largest} at most reads the positions "
                f"{sorted(wanted)} around its own and gives {sizes[1]} outputs from {sizes[0]}; "
                "run the graph without a file, with export.lava_graph or in the simulator"
            )
        axes.append(found)
    (height, top, down), (width, left, across) = axes
    return Geometry(stride=stride, kernel=(height, width), padding=(top, left), dilation=(down, across))


def _fits(candidate: tuple[int, int, int], wanted: set[int], stride: int, sizes: tuple[int, int]) -> bool:
    """Whether a (kernel, padding, dilation) has a tap on every shift and the right number of outputs."""
    kernel, padding, dilation = candidate
    room = sizes[0] + 2 * padding - dilation * (kernel - 1) - 1
    taps = [divmod(shift + padding, dilation) for shift in wanted]
    return room >= 0 and room // stride + 1 == sizes[1] and all(not rest and 0 <= tap < kernel for tap, rest in taps)


def _smallest(wanted: set[int], stride: int, sizes: tuple[int, int], largest: int) -> tuple[int, int, int] | None:
    found = []
    span = max(wanted) - min(wanted)
    for dilation in range(1, min(max(span, 1), largest) + 1):
        for padding in range(max(0, -min(wanted)), largest + 1):
            # The fewest taps that reach the last shift, and with which no output too many is left.
            reach = (max(wanted) + padding) // dilation + 1
            surplus = sizes[0] + 2 * padding - 1 - stride * sizes[1]
            kernel = max(reach, surplus // dilation + 2, 1)
            if kernel <= largest and _fits((kernel, padding, dilation), wanted, stride, sizes):
                found.append((kernel, padding, dilation))
    return min(found, default=None)

"""An architecture, written once: populations and the wires between them.

The same value is built as an ANN (ReLU), as its spiking twin, and, after quantization, as the populations and
connections of `hw.Network`: one name means one thing from the first stage to the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..hw import BadInput, Registry, Shape

INPUT = "input"

Pair = tuple[int, int]
"""(H, W)."""


class Window(NamedTuple):
    """How a kernel moves over its source, each (H, W)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def out_size(self, size: Pair) -> Pair:
        """Rows and columns of the result."""
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        high, wide = [
            (n + 2 * p - r) // s + 1 for n, p, r, s in zip(size, self.padding, reach, self.stride, strict=True)
        ]
        return high, wide


@dataclass(frozen=True, kw_only=True)
class ConvWire:
    """Convolution from `source`, then batch norm. Numbers are for both axes, pairs are (H, W).

    padding: zeros around the source, None for half the kernel, which keeps the size at stride 1. bias: of a wire
    without batch norm (which has its own shift): one per channel, one per neuron of the target, or none.
    """

    source: str
    kernel: int | Pair = 3
    stride: int | Pair = 1
    groups: int = 1
    norm: bool = True
    padding: int | Pair | None = None
    dilation: int | Pair = 1
    bias: Literal["channel", "neuron", "none"] = "channel"

    @property
    def window(self) -> Window:
        """Kernel, stride, padding and dilation as pairs."""
        kernel = _pair(self.kernel)
        padding = (kernel[0] // 2, kernel[1] // 2) if self.padding is None else _pair(self.padding)
        return Window(kernel, _pair(self.stride), padding, _pair(self.dilation))


@dataclass(frozen=True, kw_only=True)
class LinearWire:
    """A linear map of the flattened source (C, H, W order), or of its spatial mean if `mean` is set."""

    source: str
    mean: bool = False
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class IdentityWire:
    """The source added as it is, times `scale`: the shortcut of a residual block."""

    source: str
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PoolWire:
    """The largest value in each window of the source. Numbers are for both axes, pairs are (H, W).

    It is the only wire of its unit, which has no neurons of its own: a spiking pool passes on the OR of its window's
    spikes. Raises BadInput for a pool of the input, whose graded spikes have no OR, and for a padding beyond half the
    kernel.
    """

    source: str
    kernel: int | Pair = 2
    stride: int | Pair = 2
    padding: int | Pair = 0

    def __post_init__(self) -> None:
        if self.source == INPUT:
            raise BadInput("a max pool of the input has no spiking twin; put a convolution before it")
        if any(2 * p > k for p, k in zip(self.window.padding, self.window.kernel, strict=True)):
            raise BadInput(
                f"max pool of {self.source}: a padding of {self.padding} is more than half its kernel {self.kernel}; "
                "windows of nothing but padding have no largest value"
            )

    @property
    def window(self) -> Window:
        """Kernel, stride, padding and dilation as pairs."""
        return Window(_pair(self.kernel), _pair(self.stride), _pair(self.padding), (1, 1))


Wire = ConvWire | LinearWire | IdentityWire | PoolWire


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One population: the sum of its wires, then the activation. The last unit of a network has none.

    ceiling: the ANN's activation is min(max(x, 0), ceiling); None for a plain ReLU. Raises BadInput for a max pool
    beside another wire.
    """

    name: str
    channels: int
    wires: tuple[Wire, ...]
    ceiling: float | None = None

    def __post_init__(self) -> None:
        if len(self.wires) > 1 and any(isinstance(wire, PoolWire) for wire in self.wires):
            raise BadInput(f"{self.name}: a max pool cannot be summed with other wires; give it a unit of its own")

    @property
    def pool(self) -> PoolWire | None:
        """The max pool this unit is, if it is one."""
        return next((wire for wire in self.wires if isinstance(wire, PoolWire)), None)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Units in topological order; the last is the read-out. input_shape: (C, H, W) or (F,).

    taps: units whose activations a refinement method may compare with the teacher's. stages: those of the taps after
    which everything goes through one unit and the resolution or width changes, the last hidden one included; all taps
    unless given.
    """

    name: str
    input_shape: Shape
    n_classes: int
    units: tuple[Unit, ...]
    taps: tuple[str, ...]
    stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.stages:
            object.__setattr__(self, "stages", self.taps)

    def shapes(self) -> dict[str, Shape]:
        """The shape of every population, the input included."""
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for unit in self.units:
            given = {wire_shape(wire, shapes[wire.source], unit.channels) for wire in unit.wires}
            if len(given) != 1:
                raise BadInput(f"{self.name}/{unit.name}: its wires give different shapes {sorted(given)}")
            shapes[unit.name] = given.pop()
        return shapes


def wire_shape(wire: Wire, source: Shape, channels: int) -> Shape:
    """Shape of what a wire from a population of shape `source` gives a unit of so many channels."""
    if isinstance(wire, LinearWire):
        return (channels,)
    if isinstance(wire, IdentityWire):
        return source
    out = source[0] if isinstance(wire, PoolWire) else channels
    return (out, *wire.window.out_size((source[1], source[2])))


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


ArchitectureFn = Callable[[Shape, int], Architecture]
"""(input_shape, n_classes) -> Architecture."""

ARCHITECTURES: Registry[ArchitectureFn] = Registry("architecture")

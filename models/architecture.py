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

    @property
    def reach(self) -> Pair:
        """Rows and columns from the kernel's first tap to its last."""
        high, wide = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        return high, wide

    def out_size(self, size: Pair) -> Pair:
        """Rows and columns of the result."""
        high, wide = [
            (n + 2 * p - r) // s + 1 for n, p, r, s in zip(size, self.padding, self.reach, self.stride, strict=True)
        ]
        return high, wide


@dataclass(frozen=True, kw_only=True)
class ConvWire:
    """Convolution from `source`, then batch norm. Numbers are for both axes, pairs are (H, W).

    padding: zeros around the source, None for half the kernel, which keeps the size at stride 1. bias: of a wire
    without batch norm (which has its own shift): one per channel, one per neuron of the target, or none. pool: the
    source is averaged over windows of pool x pool before the convolution; rows and columns left over are dropped.
    norm_bias: whether the convolution has a bias before its batch norm too, which only adds parameters.
    """

    source: str
    kernel: int | Pair = 3
    stride: int | Pair = 1
    groups: int = 1
    norm: bool = True
    padding: int | Pair | None = None
    dilation: int | Pair = 1
    bias: Literal["channel", "neuron", "none"] = "channel"
    pool: int = 1
    norm_bias: bool = False

    @property
    def window(self) -> Window:
        """Kernel, stride, padding and dilation as pairs."""
        kernel = _pair(self.kernel)
        padding = (kernel[0] // 2, kernel[1] // 2) if self.padding is None else _pair(self.padding)
        return Window(kernel, _pair(self.stride), padding, _pair(self.dilation))


@dataclass(frozen=True, kw_only=True)
class LinearWire:
    """A linear map of the flattened source (C, H, W order), or of its spatial mean if `mean` is set.

    pool: the source is averaged over windows of pool x pool before, as in a `ConvWire`.
    """

    source: str
    mean: bool = False
    bias: bool = True
    pool: int = 1


@dataclass(frozen=True, kw_only=True)
class IdentityWire:
    """The source added as it is, times `scale`: the shortcut of a residual block.

    In this order: averaged over windows of pool x pool, scaled, given a batch norm if `norm` is set (a source of
    (C, H, W)), and, if `pad` is set, given channels of zeros up to the number of its unit's.
    """

    source: str
    scale: float = 1.0
    norm: bool = False
    pool: int = 1
    pad: bool = False


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
class Attention:
    """Spiking self-attention: scale * Q K^T V, without softmax, over the positions of (C, H, W) maps.

    The channels are split into `heads` equal parts, head by head. Source: Zhou et al., ICLR 2023 (Spikformer), eq. 6.
    """

    heads: int
    scale: float


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One population: the sum of its wires, then the activation. The last unit of a network has none.

    ceiling: the ANN's activation is min(max(x, 0), ceiling); None for a plain ReLU. activation: "none" for a linear
    unit, which hands on its sum: the stream of a pre-activation network, a sum of spikes. attention: the unit's three
    identity wires, queries, keys and values, are multiplied instead of summed. Raises BadInput for a max pool beside
    another wire, and for an attention of other wires.
    """

    name: str
    channels: int
    wires: tuple[Wire, ...]
    ceiling: float | None = None
    activation: Literal["neuron", "none"] = "neuron"
    attention: Attention | None = None

    def __post_init__(self) -> None:
        if len(self.wires) > 1 and any(isinstance(wire, PoolWire) for wire in self.wires):
            raise BadInput(f"{self.name}: a max pool cannot be summed with other wires; give it a unit of its own")
        if self.attention is None:
            return
        if len(self.wires) != 3 or not all(isinstance(wire, IdentityWire) for wire in self.wires):
            raise BadInput(f"{self.name}: attention needs three identity wires: queries, keys, values")
        if self.channels % self.attention.heads:
            raise BadInput(
                f"{self.name}: {self.channels} channels cannot be split into {self.attention.heads} heads; give a "
                "number of heads that divides them"
            )

    @property
    def linear(self) -> bool:
        """Whether it hands on its sum as it is."""
        return self.activation == "none"

    @property
    def fires(self) -> bool:
        """Whether it has neurons: neither a linear unit nor a max pool does, nor the last unit of a network."""
        return not self.linear and self.pool is None

    @property
    def pool(self) -> PoolWire | None:
        """The max pool this unit is, if it is one."""
        return next((wire for wire in self.wires if isinstance(wire, PoolWire)), None)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Units in topological order; the last is the read-out. input_shape: (C, H, W) or (F,).

    taps: units whose activations a refinement method may compare with the teacher's. stages: those of the taps after
    which everything goes through one unit and the resolution or width changes, the last hidden one included; all taps
    unless given. Raises BadInput for a max pool of a linear unit, whose sums have no OR.
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
        linear = {unit.name for unit in self.units if unit.linear}
        for unit in self.units:
            if unit.pool is not None and unit.pool.source in linear:
                raise BadInput(
                    f"{self.name}/{unit.name}: a max pool of {unit.pool.source}, which has no neurons, has no spiking "
                    "twin; put neurons before it, or take the average"
                )

    @property
    def plain(self) -> bool:
        """Whether, once batch norms are folded, each wire is one map and each hidden unit fires or is a max pool."""
        hidden = all((unit.fires or unit.pool is not None) and unit.attention is None for unit in self.units[:-1])
        return hidden and all(is_plain(wire) for unit in self.units for wire in unit.wires)

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
    """Shape of what a wire from a population of shape `source` gives a unit of so many channels.

    Raises BadInput for a source too small for the wire, and for one that it cannot be laid from.
    """
    spatial = isinstance(wire, ConvWire | PoolWire) or pool_of(wire) > 1 or getattr(wire, "norm", False)
    if spatial and len(source) != 3:
        raise BadInput(f"{wire.source}: its shape is {source}; a convolution, pool or batch norm needs (C, H, W)")
    shape = pooled(source, pool_of(wire))
    if isinstance(wire, LinearWire):
        out: Shape = (channels,)
    elif isinstance(wire, IdentityWire):
        out = (channels, *shape[1:]) if wire.pad else shape
        if out[0] < shape[0]:
            raise BadInput(f"{wire.source}: padding its {shape[0]} channels cannot give {channels}; give at least them")
    else:
        kept = shape[0] if isinstance(wire, PoolWire) else channels
        out = (kept, *wire.window.out_size((shape[1], shape[2])))
    if min(*shape, *out) < 1:
        raise BadInput(f"{wire.source}: its shape {source} is too small for the layer after it; give a larger input")
    return out


def is_plain(wire: Wire) -> bool:
    """Whether a wire is one matrix, convolution, number or max pool as it stands, once its batch norm is folded."""
    return pool_of(wire) == 1 and not (isinstance(wire, IdentityWire) and (wire.norm or wire.pad))


def pool_of(wire: Wire) -> int:
    """The side of the windows that the source is averaged over; 1 for none."""
    return 1 if isinstance(wire, PoolWire) else wire.pool


def pooled(shape: Shape, pool: int) -> Shape:
    """The shape of an average pool over windows of pool x pool, without what is left over."""
    return (shape[0], *(size // pool for size in shape[1:]))


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


ArchitectureFn = Callable[[Shape, int], Architecture]
"""(input_shape, n_classes) -> Architecture."""

ARCHITECTURES: Registry[ArchitectureFn] = Registry("architecture")

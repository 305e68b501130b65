"""An architecture, written once: populations and the wires between them.

The same value is built as an ANN (ReLU), as its spiking twin, and, after quantization, as the populations and
connections of `hw.Network`: one name means one thing from the first stage to the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..hw import BadInput, Registry, Shape

INPUT = "input"


@dataclass(frozen=True, kw_only=True)
class ConvWire:
    """Convolution from `source`, then batch norm. Zero padding keeps the size at stride 1 unless given."""

    source: str
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    norm: bool = True

    @property
    def padding(self) -> int:
        """Half the kernel."""
        return self.kernel // 2


@dataclass(frozen=True, kw_only=True)
class LinearWire:
    """A linear map of the flattened source (C, H, W order), or of its spatial mean if `mean` is set."""

    source: str
    mean: bool = False


@dataclass(frozen=True, kw_only=True)
class IdentityWire:
    """The source added as it is: the shortcut of a residual block."""

    source: str


Wire = ConvWire | LinearWire | IdentityWire


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One population: the sum of its wires, then the activation. The last unit of a network has none."""

    name: str
    channels: int
    wires: tuple[Wire, ...]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Units in topological order; the last is the read-out. input_shape: (C, H, W).

    taps: units whose activations a refinement method may compare with the teacher's.
    """

    name: str
    input_shape: Shape
    n_classes: int
    units: tuple[Unit, ...]
    taps: tuple[str, ...]

    def shapes(self) -> dict[str, Shape]:
        """The shape of every population, the input included."""
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for unit in self.units:
            given = {_wire_shape(wire, shapes[wire.source], unit.channels) for wire in unit.wires}
            if len(given) != 1:
                raise BadInput(f"{self.name}/{unit.name}: its wires give different shapes {sorted(given)}")
            shapes[unit.name] = given.pop()
        return shapes


def _wire_shape(wire: Wire, source: Shape, channels: int) -> Shape:
    if isinstance(wire, LinearWire):
        return (channels,)
    if isinstance(wire, IdentityWire):
        return source
    size = [(n + 2 * wire.padding - wire.kernel) // wire.stride + 1 for n in source[1:]]
    return (channels, *size)


ArchitectureFn = Callable[[Shape, int], Architecture]
"""(input_shape, n_classes) -> Architecture."""

ARCHITECTURES: Registry[ArchitectureFn] = Registry("architecture")

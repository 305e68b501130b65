"""A network built from an architecture: an ANN, its spiking twin, or its twin in chip arithmetic.

The three differ only in the modules that sit on the wires and in the populations; the walk over the graph is one.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..hw import BadInput, Shape
from .architecture import INPUT, Architecture, ConvWire, LinearWire, Unit, Wire
from .neurons import Spiking
from .profiles import Profile


class Rectify(nn.Module):
    """The ANN's activation, ReLU; takes the same arguments as a spiking population."""

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """max(current, 0), element by element."""
        return current.relu()


class Accumulate(nn.Module):
    """The read-out: no activation. Logits are returned per timestep where the current has a time axis."""

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """The current itself."""
        return current


class Synapses(nn.Module):
    """One wire: a weighted map and, where the architecture has one, a batch norm.

    Shape: (N, *source shape) -> (N, *target shape).
    """

    def __init__(self, wire: Wire, source: Shape, channels: int) -> None:
        super().__init__()
        self.wire = wire
        self.weighted: nn.Module = nn.Identity()
        self.norm: nn.Module = nn.Identity()
        if isinstance(wire, ConvWire):
            self.weighted = nn.Conv2d(
                source[0], channels, wire.kernel, wire.stride, wire.padding, groups=wire.groups, bias=not wire.norm
            )
            if wire.norm:
                self.norm = nn.BatchNorm2d(channels)
        elif isinstance(wire, LinearWire):
            size = source[0] if wire.mean or len(source) == 1 else source[0] * source[1] * source[2]
            self.weighted = nn.Linear(size, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Currents for one batch; time, if any, is folded into the batch axis."""
        if isinstance(self.wire, LinearWire):
            x = x.mean(dim=(2, 3)) if self.wire.mean else x.flatten(1)
        return self.norm(self.weighted(x))


class Node(nn.Module):
    """One population with the synapses that lead to it."""

    def __init__(self, unit: Unit, synapses: list[nn.Module], neuron: nn.Module) -> None:
        super().__init__()
        self.unit = unit
        self.synapses = nn.ModuleList(synapses)
        self.neuron = neuron

    def current(self, sources: list[Tensor], static: list[bool]) -> Tensor:
        """The sum over all wires: (T, B, ...), or (B, ...) if every source is static."""
        parts = [
            synapses(x) if fixed else synapses(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            for synapses, x, fixed in zip(self.synapses, sources, static, strict=True)
        ]
        return functools.reduce(torch.add, parts)

    def forward(self, sources: list[Tensor], static: list[bool]) -> Tensor:
        """Run the population on its summed current. static: which sources lack the time axis."""
        return self.neuron(self.current(sources, static), all(static))


class GraphNet(nn.Module):
    """A network over an `Architecture`.

    n_steps: timesteps per sample, 0 for an ANN.
    Input: (B, C, H, W), an image held over the sample, or (T, B, C, H, W).
    Output: logits (B, K) for an ANN, (T, B, K) for a spiking network; taps as {unit: activations}.
    """

    def __init__(self, architecture: Architecture, nodes: list[Node], n_steps: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.n_steps = n_steps
        self.nodes = nn.ModuleDict()
        for node in nodes:
            self.set_node(node)

    def set_node(self, node: Node) -> None:
        """Put a node in the place of its unit."""
        self.nodes[_module_name(node.unit.name)] = node

    def node(self, name: str) -> Node:
        """The node of a unit."""
        node = self.nodes[_module_name(name)]
        assert isinstance(node, Node)
        return node

    def walk(self) -> list[Node]:
        """The nodes in topological order."""
        return [self.node(unit.name) for unit in self.architecture.units]

    @property
    def spiking(self) -> list[Spiking]:
        """The spiking populations, in order; empty for an ANN."""
        return [node.neuron for node in self.walk() if isinstance(node.neuron, Spiking)]

    def forward(self, x: Tensor, taps: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Run a batch. Returns (logits, activations of the units named in `taps`)."""
        if x.shape[-3:] != self.architecture.input_shape:
            raise BadInput(
                f"{self.architecture.name}: an input of shape {tuple(x.shape)} does not end in "
                f"{self.architecture.input_shape}"
            )
        static_input = x.ndim == 4
        if static_input:
            x = x.contiguous(memory_format=torch.channels_last)
        activations = {INPUT: x}
        kept: dict[str, Tensor] = {}
        out = x
        for unit in self.architecture.units:
            names = [wire.source for wire in unit.wires]
            static = [self.n_steps == 0 or (name == INPUT and static_input) for name in names]
            out = self.node(unit.name)([activations[name] for name in names], static)
            activations[unit.name] = out
            if unit.name in taps:
                kept[unit.name] = out
            for name in [n for n in activations if n not in self._needed_after(unit.name)]:
                del activations[name]
        return out, kept

    def _needed_after(self, name: str) -> set[str]:
        units = self.architecture.units
        position = [unit.name for unit in units].index(name)
        return {name, *(wire.source for unit in units[position + 1 :] for wire in unit.wires)}


def _module_name(unit: str) -> str:
    """torch's module names may not hold dots; units' names may."""
    return unit.replace(".", "_")


def build_ann(architecture: Architecture, generator: torch.Generator | None = None) -> GraphNet:
    """The ANN of an architecture: ReLU populations, He-initialised (fan-out, ReLU gain), batch norms at identity."""
    shapes = architecture.shapes()
    nodes = []
    for unit in architecture.units:
        synapses: list[nn.Module] = [Synapses(wire, shapes[wire.source], unit.channels) for wire in unit.wires]
        last = unit is architecture.units[-1]
        nodes.append(Node(unit, synapses, Accumulate() if last else Rectify()))
    net = GraphNet(architecture, nodes, n_steps=0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
            nn.init.zeros_(module.bias)
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def as_spiking(net: GraphNet, profile: Profile, n_steps: int) -> GraphNet:
    """The spiking twin of a network: the same weights (copied), spiking populations with the profile's threshold."""
    twin = copy.deepcopy(net)
    twin.n_steps = n_steps
    for node in twin.walk()[:-1]:
        node.neuron = Spiking(profile, n_steps).to(next(net.parameters()).device)
    return twin

"""A network built from an architecture: an ANN, its spiking twin, or its twin in chip arithmetic.

The three differ only in the modules that sit on the wires and in the populations; the walk over the graph is one.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..hw import BadInput, Shape
from .architecture import (
    INPUT,
    Architecture,
    Attention,
    ConvWire,
    IdentityWire,
    LinearWire,
    PoolWire,
    Unit,
    Wire,
    pool_of,
    pooled,
    wire_shape,
)
from .neurons import Spiking
from .profiles import Profile


class Rectify(nn.Module):
    """The ANN's activation, ReLU, up to a ceiling if there is one; takes the same arguments as a spiking population."""

    def __init__(self, ceiling: float | None = None) -> None:
        super().__init__()
        self.ceiling = ceiling

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """max(current, 0), or min(max(current, 0), ceiling), element by element."""
        return current.relu() if self.ceiling is None else current.clamp(0, self.ceiling)


class Accumulate(nn.Module):
    """No activation: a linear unit, or the read-out, whose logits are returned per timestep.

    A max pool has none either; its spikes are those of its source. A current without a time axis gets none.
    """

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """The current itself."""
        return current


class Scaled(nn.Module):
    """An identity shortcut with a constant scale."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """scale * x, any shape."""
        return self.scale * x


class Synapses(nn.Module):
    """One wire: a weighted map and, where the architecture has one, a batch norm. A max pool has no weights.

    bias: of each neuron of the target, where the architecture gives one; others are in `weighted`.
    Shape: (N, *source shape) -> (N, *target shape).
    """

    bias: nn.Parameter | None

    def __init__(self, wire: Wire, source: Shape, channels: int) -> None:
        super().__init__()
        self.wire = wire
        self.weighted: nn.Module = nn.Identity()
        self.norm: nn.Module = nn.Identity()
        self.bias = None
        self.zeros = channels - source[0] if isinstance(wire, IdentityWire) and wire.pad else 0
        if isinstance(wire, ConvWire):
            window = wire.window
            bias = wire.norm_bias if wire.norm else wire.bias == "channel"
            self.weighted = nn.Conv2d(source[0], channels, *window, groups=wire.groups, bias=bias)
            if wire.norm:
                self.norm = nn.BatchNorm2d(channels)
            elif wire.bias == "neuron":
                self.bias = nn.Parameter(torch.zeros(wire_shape(wire, source, channels)))
        elif isinstance(wire, LinearWire):
            size = source[0] if wire.mean else math.prod(pooled(source, wire.pool))
            self.weighted = nn.Linear(size, channels, bias=wire.bias)
        elif isinstance(wire, IdentityWire):
            if wire.scale != 1:
                self.weighted = Scaled(wire.scale)
            if wire.norm:
                self.norm = nn.BatchNorm2d(source[0])

    def forward(self, x: Tensor) -> Tensor:
        """Currents for one batch; time, if any, is folded into the batch axis."""
        if isinstance(self.wire, PoolWire):
            window = self.wire.window
            return functional.max_pool2d(x, window.kernel, window.stride, window.padding)
        if pool_of(self.wire) > 1:
            x = functional.avg_pool2d(x, pool_of(self.wire))
        if isinstance(self.wire, LinearWire):
            x = x.mean(dim=(2, 3)) if self.wire.mean else x.flatten(1)
        out = self.norm(self.weighted(x))
        if self.zeros:
            out = functional.pad(out, (0, 0) * (out.ndim - 2) + (0, self.zeros))
        return out if self.bias is None else out + self.bias


def attend(queries: Tensor, keys: Tensor, values: Tensor, attention: Attention) -> Tensor:
    """scale * Q K^T V for each head, (..., C, H, W) each; leading axes are broadcast.

    Without a softmax the product may be taken from the right, so that no N x N matrix of the N positions is made.
    """
    q, k, v = (
        x.flatten(-2).unflatten(-2, (attention.heads, -1)) for x in (queries, keys, values)
    )  # (..., h, C / h, N)
    out = (v @ k.transpose(-1, -2)) @ q
    return attention.scale * out.flatten(-3, -2).unflatten(-1, queries.shape[-2:])


class Node(nn.Module):
    """One population with the synapses that lead to it."""

    def __init__(self, unit: Unit, synapses: list[nn.Module], neuron: nn.Module) -> None:
        super().__init__()
        self.unit = unit
        self.synapses = nn.ModuleList(synapses)
        self.neuron = neuron

    def current(self, sources: list[Tensor], static: list[bool]) -> Tensor:
        """The sum over all wires, or their attention: (T, B, ...), or (B, ...) if every source is static."""
        parts = [
            synapses(x) if fixed else synapses(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            for synapses, x, fixed in zip(self.synapses, sources, static, strict=True)
        ]
        if self.unit.attention is not None:
            queries, keys, values = parts
            return attend(queries, keys, values, self.unit.attention)
        return functools.reduce(torch.add, parts)

    def forward(self, sources: list[Tensor], static: list[bool]) -> Tensor:
        """Run the population on its summed current. static: which sources lack the time axis."""
        return self.neuron(self.current(sources, static), all(static))

    def with_membrane(self, sources: list[Tensor], static: list[bool]) -> tuple[Tensor, Tensor]:
        """What `forward` returns, and the membrane after the reset at every step, (T, B, ...).

        Raises BadInput for a unit without spiking neurons.
        """
        if not isinstance(self.neuron, Spiking):
            raise BadInput(
                f"{self.unit.name}: it has no spiking neurons whose membrane could be tapped; tap the unit itself"
            )
        current = self.current(sources, static)
        spikes = self.neuron(current, all(static))
        return spikes, self.neuron.membrane(current, all(static), spikes)


def membrane_of(unit: str) -> str:
    """The tap for the membrane of a unit's neurons after the reset, in the place of their spikes."""
    return f"membrane of {unit}"


class GraphNet(nn.Module):
    """A network over an `Architecture`.

    n_steps: timesteps per sample, 0 for an ANN.
    Input: (B, C, H, W), an image held over the sample, or (T, B, C, H, W); (F,) in the place of (C, H, W) for vectors.
    Of the latter an ANN sees the mean over time: the rates that its spiking twin is driven by.
    Output: logits (B, K) for an ANN, (T, B, K) for a spiking network; taps as {unit: activations}.
    Raises BadInput for two units whose names differ in nothing but dots and underscores.
    """

    def __init__(self, architecture: Architecture, nodes: list[Node], n_steps: int) -> None:
        super().__init__()
        names = [_module_name(node.unit.name) for node in nodes]
        twice = [node.unit.name for node in nodes if names.count(_module_name(node.unit.name)) > 1]
        if twice:
            raise BadInput(f"{architecture.name}: the unit names {', '.join(twice)} are too alike; rename one")
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
        """The populations that have spiking neurons, in order; empty for an ANN."""
        return [node.neuron for node in self.walk() if isinstance(node.neuron, Spiking)]

    def forward(self, x: Tensor, taps: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Run a batch. Returns (logits, activations of the units named in `taps`).

        A tap is a unit's name, or `membrane_of` a unit that spikes.
        """
        shape = self.architecture.input_shape
        if x.shape[-len(shape) :] != shape:
            raise BadInput(f"{self.architecture.name}: an input of shape {tuple(x.shape)} does not end in {shape}")
        if x.ndim > len(shape) + 1 and not self.n_steps:
            x = x.mean(dim=0)
        static_input = x.ndim == len(shape) + 1
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return self._run({INPUT: x}, {INPUT} if static_input else set(), self.architecture.units, taps)

    def tail(self, name: str, value: Tensor, taps: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Run what comes after the unit `name`, given its activations (B, *shape), of an ANN.

        Returns what `forward` does. Raises BadInput if a later unit reads past `name`.
        """
        units = self.architecture.units
        later = units[[unit.name for unit in units].index(name) + 1 :]
        known = {name, *(unit.name for unit in later)}
        past = [(unit.name, wire.source) for unit in later for wire in unit.wires if wire.source not in known]
        if past:
            raise BadInput(
                f"{self.architecture.name}: {past[0][0]} reads {past[0][1]}, past {name}; cut it where everything goes "
                f"through one unit: {', '.join(self.architecture.stages)}"
            )
        return self._run({name: value}, set(), later, taps)

    def _run(
        self, activations: dict[str, Tensor], timeless: set[str], units: Sequence[Unit], taps: Collection[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run units in order. activations: what they read; timeless: which of these lack a spiking net's time axis."""
        kept: dict[str, Tensor] = {}
        out = next(iter(activations.values()))
        for unit in units:
            names = [wire.source for wire in unit.wires]
            static = [self.n_steps == 0 or name in timeless for name in names]
            sources = [activations[name] for name in names]
            node, membrane = self.node(unit.name), membrane_of(unit.name)
            if membrane in taps:
                out, kept[membrane] = node.with_membrane(sources, static)
            else:
                out = node(sources, static)
            activations[unit.name] = out
            if all(static) and isinstance(node.neuron, Accumulate):
                timeless.add(unit.name)
            if unit.name in taps:
                kept[unit.name] = self._over_time(out) if unit.name in timeless else out
            needed = self._needed_after(unit.name)
            for name in [n for n in activations if n not in needed]:
                del activations[name]
        return self._over_time(out) if units[-1].name in timeless else out, kept

    def _over_time(self, static: Tensor) -> Tensor:
        """A spiking network's activations that are the same at every step, (T, B, ...); an ANN's as they are."""
        return static.expand(self.n_steps, *static.shape) if self.n_steps else static

    def _needed_after(self, name: str) -> set[str]:
        units = self.architecture.units
        position = [unit.name for unit in units].index(name)
        return {name, *(wire.source for unit in units[position + 1 :] for wire in unit.wires)}


def _module_name(unit: str) -> str:
    """torch's module names may not hold dots, nor be those of its own methods; units' names may."""
    name = unit.replace(".", "_")
    return name + "_" if hasattr(nn.ModuleDict, name) else name


def outline(architecture: Architecture) -> GraphNet:
    """The ANN of an architecture without its numbers, on torch's meta device: what it has, and of which shape."""
    with torch.device("meta"):
        return _assembled(architecture)


def build_ann(architecture: Architecture, generator: torch.Generator | None = None) -> GraphNet:
    """The ANN of an architecture: ReLU populations, He-initialised (fan-out, ReLU gain), biases 0, batch norms at 1."""
    net = _assembled(architecture)
    draw_weights_(net, generator)
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def draw_weights_(net: nn.Module, generator: torch.Generator | None) -> None:
    """Give every convolution and matrix fresh weights, in place; biases 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _assembled(architecture: Architecture) -> GraphNet:
    shapes = architecture.shapes()
    nodes = []
    for unit in architecture.units:
        synapses: list[nn.Module] = [Synapses(wire, shapes[wire.source], unit.channels) for wire in unit.wires]
        bare = unit is architecture.units[-1] or not unit.fires
        nodes.append(Node(unit, synapses, Accumulate() if bare else Rectify(unit.ceiling)))
    return GraphNet(architecture, nodes, n_steps=0)


def as_spiking(net: GraphNet, profile: Profile, n_steps: int) -> GraphNet:
    """The spiking twin of a network: the same weights (copied), spiking populations with the profile's threshold.

    A max pool passes spikes on: the largest of its window's spikes is their OR. A linear unit hands on its sum, which
    has no time axis as long as all its sources have none.
    """
    twin = copy.deepcopy(net)
    twin.n_steps = n_steps
    for node in twin.walk()[:-1]:
        if node.unit.fires:
            node.neuron = Spiking(profile, n_steps).to(next(net.parameters()).device)
    return twin

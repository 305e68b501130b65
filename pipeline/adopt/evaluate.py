"""A float graph, or its folded form, computed in float64: slow, obvious, and what every rewrite is measured against.

Two ways to run either form: an ANN on a batch, and a spiking network step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...export.floatgraph import (
    Add,
    Affine,
    Conv,
    Delay,
    Flatten,
    FloatGraph,
    GlobalAverage,
    Input,
    Integrate,
    Linear,
    Node,
    Pool,
    Relu,
    Spike,
    reachable,
)
from ...export.floatgraph_shapes import compute_order, shapes
from ...hw import BadInput, Shape, UnsupportedLayer
from .folded import Folded, Same, Unit

Stateless = Conv | Linear | Affine | Relu | Add | Pool | GlobalAverage | Flatten | Same


def tensor(values: np.ndarray) -> Tensor:
    """Float64 copy of an array."""
    return torch.from_numpy(np.array(values, dtype=np.float64))


def apply(op: Stateless, inputs: Sequence[Tensor]) -> Tensor:
    """One operation without memory. inputs: float64 (B, C, H, W) or (B, F) each."""
    x = inputs[0]
    match op:
        case Conv():
            bias = None if op.bias is None else tensor(op.bias)
            return F.conv2d(x, tensor(op.weight), bias, op.stride, op.padding, op.dilation, op.groups)
        case Linear():
            return F.linear(x.flatten(1), tensor(op.weight), None if op.bias is None else tensor(op.bias))
        case Affine():
            channels = (-1, *[1] * (x.ndim - 2))
            return x * tensor(op.scale).reshape(channels) + tensor(op.shift).reshape(channels)
        case Relu():
            return x.clamp(min=0, max=op.ceiling)
        case Add():
            return sum(inputs[1:], start=x)
        case Pool():
            return _pool(op, x)
        case GlobalAverage():
            return x.mean(dim=(2, 3))
        case Flatten():
            return x.flatten(1)
        case Same():
            return op.scale * x


def _pool(op: Pool, x: Tensor) -> Tensor:
    (top, left), fill = op.padding, -torch.inf if op.kind == "max" else 0.0
    windows = F.pad(x, (left, left, top, top), value=fill)
    windows = windows.unfold(2, op.kernel[0], op.stride[0]).unfold(3, op.kernel[1], op.stride[1])
    if op.kind == "max":
        return windows.amax(dim=(-2, -1))
    return windows.mean(dim=(-2, -1)) if op.kind == "average" else windows.sum(dim=(-2, -1))


@torch.no_grad()
def evaluate(network: FloatGraph | Folded, x: Tensor) -> dict[str, Tensor]:
    """What every node (or unit, and the input) gives for a batch, float64. x: (B, *input shape).

    Raises UnsupportedLayer for a network with neurons that have a memory (`run_spiking` runs those) and BadInput for a
    batch of another shape.
    """
    nodes = compute_order(network) if isinstance(network, FloatGraph) else network.units
    for node in nodes:
        if isinstance(node.op, Spike | Integrate | Delay):
            raise UnsupportedLayer(f"{node.where}: {type(node.op).__name__} has a memory; use run_spiking")
    values = {_input_name(network): _as_batch(network, x, axes=1)}
    for node in nodes:
        if isinstance(node, Unit):
            values[node.name] = _activate(node, _current(node, values))
        elif not isinstance(node.op, Input):
            assert not isinstance(node.op, Spike | Integrate | Delay)
            values[node.name] = apply(node.op, [values[name] for name in node.inputs])
    return values


def _current(unit: Unit, values: Mapping[str, Tensor]) -> Tensor:
    """The sum over a unit's edges and its bias."""
    return sum((apply(edge.op, [values[edge.source]]) for edge in unit.edges), start=bias_of(unit))


def bias_of(unit: Unit) -> Tensor:
    """A unit's bias with the axes of its activations, to add to a batch."""
    bias = tensor(unit.bias)
    return bias.reshape(*bias.shape, *[1] * (len(unit.shape) - bias.ndim))


def _activate(unit: Unit, current: Tensor) -> Tensor:
    assert not isinstance(unit.op, Spike | Integrate)
    return current if unit.op is None else apply(unit.op, [current])


def _input_name(network: FloatGraph | Folded) -> str:
    return network.source.name if isinstance(network, FloatGraph) else network.source


def _as_batch(network: FloatGraph | Folded, x: Tensor, axes: int) -> Tensor:
    if isinstance(network, FloatGraph):
        assert isinstance(network.source.op, Input)
        shape: Shape = network.source.op.shape
    else:
        shape = network.source_shape
    if tuple(x.shape[axes:]) != tuple(shape) or x.ndim != axes + len(shape):
        lead = "(B, " if axes == 1 else "(T, B, "
        raise BadInput(f"{network.name}: an input of shape {tuple(x.shape)}, expected {lead}{str(tuple(shape))[1:]}")
    return x.to(torch.float64)


class Neurons:
    """The state of one spiking or integrating population, advanced step by step by its equations."""

    def __init__(self, op: Spike | Integrate) -> None:
        self.op = op
        self.u = self.v = self.z = torch.zeros((), dtype=torch.float64)

    def step(self, current: Tensor) -> Tensor:
        """Spikes (or, of an `Integrate`, potentials) of one timestep. current: float64 (B, *shape)."""
        if isinstance(self.op, Integrate):
            self.v = self.v + current
            return self.v
        op = self.op
        self.u = (1 - tensor(op.i_decay)) * self.u + current
        self.v = (1 - tensor(op.v_decay)) * self.v
        if op.late_reset:
            self.v = self._reset(self.v)
        self.v = self.v + tensor(op.gain) * self.u + tensor(op.offset)
        threshold = tensor(op.threshold)
        self.z = ((self.v > threshold) if op.strict else (self.v >= threshold)).to(torch.float64)
        if not op.late_reset:
            self.v = self._reset(self.v)
        return self.z

    def _reset(self, v: Tensor) -> Tensor:
        assert isinstance(self.op, Spike)
        if self.op.reset == "subtract":
            return v - tensor(self.op.threshold) * self.z
        return torch.where(self.z > 0, tensor(self.op.v_reset), v)


def held_back(history: Sequence[Tensor], steps: np.ndarray) -> Tensor:
    """What arrives in the present timestep, the last of `history`. steps: timesteps per element, or ()."""
    now = len(history) - 1
    last = history[-1]
    arriving = torch.zeros_like(last)
    for delay in np.unique(steps):
        if delay <= now:
            chosen = torch.from_numpy(np.broadcast_to(steps, last.shape[1:]) == delay)
            arriving = torch.where(chosen, history[now - int(delay)], arriving)
    return arriving


@torch.no_grad()
def run_spiking(network: FloatGraph | Folded, x: Tensor) -> dict[str, Tensor]:
    """Run a spiking network from zero, step by step, in float64. x: (T, B, *input shape).

    Returns spikes (T, B, *shape) of every `Spike`, potentials of every `Integrate`, and values of every other node (of
    a folded network: unit), by name. What a population sends back to itself, and what any node reads from one listed
    later, arrives one timestep later. Raises BadInput for an input of another shape.
    """
    x = _as_batch(network, x, axes=2)
    run = _GraphRun(network, x) if isinstance(network, FloatGraph) else _FoldedRun(network, x)
    for t in range(len(x)):
        run.step(t)
    return {name: torch.stack(steps) for name, steps in run.history.items()}


class _FoldedRun:
    def __init__(self, network: Folded, x: Tensor) -> None:
        self.x, self.network = x, network
        self.neurons = {u.name: Neurons(u.op) for u in network.units if isinstance(u.op, Spike | Integrate)}
        self.history: dict[str, list[Tensor]] = {network.source: [], **{u.name: [] for u in network.units}}

    def step(self, t: int) -> None:
        """One timestep of every unit."""
        self.history[self.network.source].append(self.x[t])
        for unit in self.network.units:
            current = bias_of(unit).expand(self.x.shape[1], *unit.shape)
            for edge in unit.edges:
                seen = self.history[edge.source]
                if seen:
                    steps = edge.delay.reshape(seen[-1].shape[1:]) if edge.delay.ndim else edge.delay
                    current = current + apply(edge.op, [held_back(seen, steps)]).reshape(current.shape)
            neurons = self.neurons.get(unit.name)
            self.history[unit.name].append(neurons.step(current) if neurons else _activate(unit, current))


class _GraphRun:
    """Values are computed on demand, so that what comes back through a loop can be taken from the step before."""

    def __init__(self, network: FloatGraph, x: Tensor) -> None:
        self.x, self.network = x, network
        self.node = {node.name: node for node in network.nodes}
        self.place = {node.name: i for i, node in enumerate(network.nodes)}
        self.shape = shapes(network)
        self.loops = _loops(network, self.place)
        self.neurons = {n.name: Neurons(n.op) for n in network.nodes if isinstance(n.op, Spike | Integrate)}
        self.history: dict[str, list[Tensor]] = {node.name: [] for node in network.nodes}
        self.way_back: dict[str, list[Tensor]] = {node.name: [] for node in network.nodes}

    def step(self, t: int) -> None:
        for node in self.network.nodes:
            self._now(node, t)

    def _now(self, node: Node, t: int) -> Tensor:
        values = self.history[node.name]
        if len(values) <= t:
            values.append(self._forward(node, t))
        return values[t]

    def _forward(self, node: Node, t: int) -> Tensor:
        if isinstance(node.op, Input):
            return self.x[t]
        inputs = []
        for name in node.inputs:
            comes_back = self.place[name] >= self.place[node.name] and name in self.loops[node.name]
            inputs.append(self._back(self.node[name], t) if comes_back else self._now(self.node[name], t))
        if node.name in self.neurons:
            return self.neurons[node.name].step(inputs[0])
        return self._stateless(node, inputs, self.history)

    def _back(self, node: Node, t: int) -> Tensor:
        """What comes back from a node: its value, computed from its own loop's spikes of the step before."""
        values = self.way_back[node.name]
        if len(values) > t:
            return values[t]
        if node.name in self.neurons:
            before = self.history[node.name][t - 1] if t else self.x.new_zeros(self.x.shape[1], *self.shape[node.name])
            values.append(before)
            return before
        inputs = []
        for name in node.inputs:
            in_loop = name in self.loops[node.name]
            inputs.append(self._back(self.node[name], t) if in_loop else self._now(self.node[name], t))
        values.append(self._stateless(node, inputs, self.way_back))
        return values[t]

    def _stateless(self, node: Node, inputs: list[Tensor], history: Mapping[str, list[Tensor]]) -> Tensor:
        if isinstance(node.op, Delay):
            return held_back(history[node.inputs[0]], node.op.steps)
        assert not isinstance(node.op, Input | Spike | Integrate)
        return apply(node.op, inputs)


def _loops(network: FloatGraph, place: Mapping[str, int]) -> dict[str, set[str]]:
    """Per node, the nodes that are in one loop with it."""
    readers: dict[str, list[str]] = {node.name: [] for node in network.nodes}
    for node in network.nodes:
        for name in node.inputs:
            readers[name].append(node.name)
    reads = {node.name: list(node.inputs) for node in network.nodes}
    loops: dict[str, set[str]] = {node.name: set() for node in network.nodes}
    for node in network.nodes:
        if any(place[name] >= place[node.name] for name in node.inputs) and not loops[node.name]:
            loop = reachable(node.name, readers) & reachable(node.name, reads)
            for name in loop:
                loops[name] = loop
    return loops

"""The rules of preflight: what happens to each population and each linear map on its way to a chip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...export.floatgraph import Conv, FloatGraph, Integrate, Linear, Node, Pair, Pool, Relu, Spike
from ...hw import Chip
from ...hw.arithmetic import DECAY_ONE
from .findings import Finding, Severity, Stage
from .folded import Edge, Folded, Same, Unit


def of_folding(graph: FloatGraph, folded: Folded) -> Iterator[Finding]:
    """Every exact rewrite that folding did."""
    place = _places(graph)
    for row in folded.foldings:
        node = graph[row.node]
        yield Finding(
            node=row.node,
            where=node.where,
            severity="rewritten",
            stage="conversion",
            what=f"{row.what} ({row.into})",
            fix=f"none needed: equal up to {row.checked:.0e}",
            position=place[row.node],
        )


def of_network(graph: FloatGraph, folded: Folded, chip: Chip) -> Iterator[Finding]:
    """What happens to each population and each map between populations."""
    notes = _Notes(graph, folded, chip)
    spiking = any(isinstance(node.op, Spike) for node in graph.nodes)
    yield from notes.of_input(spiking)
    for unit in folded.units:
        yield from notes.of_spike(unit, unit.op) if isinstance(unit.op, Spike) else notes.of_activation(unit, spiking)
        for edge in unit.edges:
            yield from notes.of_edge(unit, edge)
        yield from notes.of_sum(unit, spiking)
    yield from notes.of_skips()


def _places(graph: FloatGraph) -> dict[str, int]:
    return {node.name: index for index, node in enumerate(graph.nodes)}


@dataclass
class _Notes:
    graph: FloatGraph
    folded: Folded
    chip: Chip

    def __post_init__(self) -> None:
        self.place = _places(self.graph)
        self.node = {node.name: node for node in self.graph.nodes}
        self.shape = {self.folded.source: self.folded.source_shape} | {u.name: u.shape for u in self.folded.units}

    def note(self, node: Node, severity: Severity, stage: Stage, what: str, fix: str) -> Finding:
        """A finding about a node."""
        return Finding(
            node=node.name,
            where=node.where,
            severity=severity,
            stage=stage,
            what=what,
            fix=fix,
            position=self.place[node.name],
        )

    def of_input(self, spiking: bool) -> Iterator[Finding]:
        """The input's values, and what was assumed about the whole graph."""
        node = self.graph.source
        for text in self.graph.assumed:
            yield self.note(node, "assumed", "conversion", text, "none needed if that is right")
        if not spiking and self.chip.payload_bits_max == 0:
            what = f"its values need graded spikes, and {self.chip.name} carries binary ones"
            yield self.note(node, "refused", "core", what, "encode the input as spikes, or choose loihi2")

    def of_activation(self, unit: Unit, spiking: bool) -> Iterator[Finding]:
        """A population without a spiking neuron of its own: ReLU, max pool, linear output, integrator."""
        node, last = self.node[unit.name], unit is self.folded.units[-1]
        pools = [edge for edge in unit.edges if isinstance(edge.op, Pool)]
        if pools and pools[0].source == self.folded.source:
            what = "a max pool of the input, whose values have no OR"
            yield self.note(node, "refused", "conversion", what, "put a convolution before it, or pool the data before")
        elif pools:
            yield self.note(
                node,
                "rewritten" if spiking else "approximated",
                "conversion",
                "becomes an OR of spikes, the maximum of binary values"
                if spiking
                else "becomes an OR of spikes, which is more than the largest rate in the window",
                "none needed: it is exact, one population more"
                if spiking
                else "use an average pool or a strided convolution, which convert exactly, or train through the OR",
            )
        if isinstance(unit.op, Relu) and spiking:
            what = "a ReLU in a network of spiking neurons; it has no rate here that a spike could follow"
            yield self.note(node, "refused", "conversion", what, "use spiking neurons throughout")
        elif isinstance(unit.op, Relu) and last:
            what = "the output has a ReLU, and a read-out adds up currents of both signs"
            yield self.note(node, "refused", "conversion", what, "leave the last activation out")
        elif isinstance(unit.op, Relu) and unit.op.ceiling is not None:
            what = f"its ceiling {unit.op.ceiling:g} is kept only by a threshold at or below it: one spike per timestep"
            yield self.note(node, "approximated", "conversion", what, "none needed; the threshold is chosen from data")
        elif unit.op is None and not last and not pools:
            what = "has no activation and could not be folded into the next layer; a rate cannot be negative"
            yield self.note(node, "refused", "conversion", what, "put a ReLU behind it")
        if last and len(unit.shape) != 1 and not isinstance(unit.op, Spike | Integrate):
            what = f"the output has shape {unit.shape}, and a classifier's read-out is a vector"
            yield self.note(node, "refused", "conversion", what, "end in one value per class, from a linear layer")

    def of_spike(self, unit: Unit, op: Spike) -> Iterator[Finding]:
        """A spiking neuron against the chip's: one decay per population, strict threshold, reset to 0 at once."""
        node = self.node[unit.name]
        for text in op.assumed:
            yield self.note(node, "assumed", "conversion", text, "none needed if that is right")
        if op.reset == "subtract":
            what = "it resets by subtracting its threshold, and the chip's neuron resets to 0"
            yield self.note(node, "refused", "core", what, "train it with a hard reset, or accept one when deploying")
        elif op.late_reset and np.any(op.v_reset != 0):
            what = "it resets one timestep late to a value other than 0"
            yield self.note(node, "refused", "core", what, "reset in the same timestep, or to 0")
        elif np.any(op.v_reset != 0):
            what = "its reset is not 0; potentials are counted from there, and a sample begins there"
            yield self.note(node, "approximated", "conversion", what, "reset to 0")
        for name in ("v_decay", "i_decay"):
            decays = getattr(op, name)
            steps = np.unique(np.rint(decays * DECAY_ONE))
            if len(steps) > 1:
                what = f"its neurons have {len(steps)} different values of {name}, and the chip has one per population"
                yield self.note(node, "refused", "core", what, "split it into populations of equal decay")
            elif np.any(decays * DECAY_ONE != steps[0]):
                what = f"{name} {float(decays.flat[0]):.6g} becomes {int(steps[0])} of {DECAY_ONE}"
                yield self.note(node, "approximated", "core", what, "none needed, or train with that value")
        leaky = any(np.any((d != 0) & (d != 1)) for d in (op.v_decay, op.i_decay))
        if not op.strict and leaky:
            what = "it fires at v >= threshold, and with a leak the chip only knows v > threshold"
            yield self.note(node, "approximated", "core", what, "train with a strict threshold")
        yield from self._per_neuron(unit, op)

    def _per_neuron(self, unit: Unit, op: Spike) -> Iterator[Finding]:
        """Thresholds and gains of single neurons go into the rows of weights; a convolution has one per channel."""
        node = self.node[unit.name]
        for name in ("threshold", "gain"):
            values = np.broadcast_to(getattr(op, name), unit.shape).reshape(unit.shape[0], -1)
            if np.any(values != values[:, :1]):
                what = f"its {name} differs between positions of one channel, and a convolution has one row per channel"
                yield self.note(node, "refused", "core", what, f"give one {name} per channel")
            elif np.any(values != values[0, 0]):
                what = (
                    f"its {name} differs between neurons, and the chip has one; each row of weights is scaled instead"
                )
                yield self.note(node, "rewritten", "core", what, "none needed: exact before quantization")

    def of_edge(self, unit: Unit, edge: Edge) -> Iterator[Finding]:
        """One linear map against what connections of the chip can be."""
        node, op = self._carrier(unit, edge), edge.op
        if isinstance(op, Conv):
            reach = max(*op.weight.shape[2:], *op.stride, *op.padding, *op.dilation)
            if reach > self.chip.kernel_max:
                what = f"kernel, stride, padding or dilation {reach}, and {self.chip.name} takes {self.chip.kernel_max}"
                yield self.note(node, "refused", "core", what, "use smaller windows, several in a row")
            if op.groups > self.chip.groups_max:
                what = f"{op.groups} groups, and {self.chip.name} takes {self.chip.groups_max}; groups are merged"
                yield self.note(node, "rewritten", "core", what, "fewer groups save the zero weights in between")
        if edge.delay.any():
            if int(edge.delay.max()) > self.chip.delay_max:
                what = (
                    f"a delay of {edge.delay.max()} timesteps, and {self.chip.name} holds spikes {self.chip.delay_max}"
                )
                yield self.note(node, "refused", "core", what, "use fewer, longer timesteps")
            if len(unit.shape) != 1:
                what = "a delay on the way into a population with positions; only dense connections have delays"
                yield self.note(node, "refused", "core", what, "put the delay before a dense layer")
        if edge.source == unit.name:
            if len(unit.shape) != 1:
                what = "a recurrent population with positions, and only vectors can be recurrent"
                yield self.note(node, "refused", "netx", what, "flatten before it, or leave the recurrence out")
            elif isinstance(op, Same):
                what = "its recurrent connection to itself is written as a matrix"
                yield self.note(node, "rewritten", "core", what, "none needed: it is exact")

    def of_sum(self, unit: Unit, spiking: bool) -> Iterator[Finding]:
        """Whether the accumulators hold any input at full use of the weight grid, or only what data bring."""
        for edge in unit.edges:
            if not isinstance(edge.op, Conv | Linear) or (edge.source == self.folded.source and not spiking):
                continue
            rows = edge.op.weight.reshape(len(edge.op.weight), -1)
            largest = np.abs(rows).max()
            if largest == 0:
                what = f"all weights from {edge.source!r} are zero, which synapses cannot hold"
                yield self.note(self._carrier(unit, edge), "refused", "core", what, "leave the connection out")
                continue
            both = max(np.maximum(rows, 0).sum(axis=1).max(), np.maximum(-rows, 0).sum(axis=1).max())
            worst = both / largest * self.chip.weight_max
            limit = self.chip.conv_sum_max if isinstance(edge.op, Conv) else self.chip.dense_sum_max
            if worst > limit:
                what = (
                    f"{rows.shape[1]} synapses per neuron can add up to {worst:.0f} at full use of the weight grid, "
                    f"and the accumulator holds {limit}; the network then rests on sums seen on data"
                )
                fix = "calibrate on typical data and watch the overflow count, or accept coarser weights"
                yield self.note(self._carrier(unit, edge), "approximated", "core", what, fix)

    def of_skips(self) -> Iterator[Finding]:
        """Connections that pass a layer: a netx file holds a chain, so relay channels carry them."""
        spiking = any(isinstance(unit.op, Spike) for unit in self.folded.units)
        order = [self.folded.source, *(unit.name for unit in self.folded.units)]
        strides: dict[str, Pair | None] = {self.folded.source: (1, 1)}
        for position, unit in enumerate(self.folded.units, start=1):
            forward = [edge for edge in unit.edges if edge.source != unit.name]
            reached = {_times(strides[edge.source], edge) for edge in forward}
            strides[unit.name] = next(iter(reached), None) if len(unit.shape) == 3 else None
            if len(unit.shape) == 3 and len(reached - {None}) > 1:
                each = " and ".join(str(stride) for stride in sorted(pair for pair in reached if pair))
                what = f"paths of different strides meet here ({each} from the input), which no relay can carry"
                yield self.note(
                    self.node[unit.name], "refused", "netx", what, "give the shortcut the main path's stride"
                )
            for edge in forward:
                passed = order[order.index(edge.source) + 1 : position]
                if passed:
                    yield self._skip(unit, edge, passed, graded=edge.source == self.folded.source and not spiking)

    def _skip(self, unit: Unit, edge: Edge, passed: list[str], *, graded: bool) -> Finding:
        node, through = self.node[unit.name], ", ".join(passed)
        if graded:
            what = f"reads the input past {through}, and a relay cannot carry values, only spikes"
            return self.note(node, "refused", "netx", what, "let a convolution be the start of the skip")
        size = math.prod(self.shape[edge.source])
        what = (
            f"reads {edge.source!r} past {through}; relay channels carry it, up to {size} neurons in each of "
            f"{len(passed)} layers"
        )
        return self.note(
            node, "rewritten", "netx", what, "none needed: exact while each threshold is below its relays'"
        )

    def _carrier(self, unit: Unit, edge: Edge) -> Node:
        """The node whose weights an edge holds, as far as its size shows, else the population's."""
        if isinstance(edge.op, Conv | Linear):
            for name in reversed(unit.members):
                op = self.node[name].op
                if isinstance(op, Conv | Linear) and op.weight.shape == edge.op.weight.shape:
                    return self.node[name]
        return self.node[unit.name]


def _times(sampled: Pair | None, edge: Edge) -> Pair | None:
    """Stride over the input behind an edge, None where there are no positions."""
    if sampled is None or isinstance(edge.op, Linear):
        return None
    step = (1, 1) if isinstance(edge.op, Same) else edge.op.stride
    return sampled[0] * step[0], sampled[1] * step[1]

"""A float graph folded: batch norms, scalings, average pools, flattens, sums and chains of linear maps go into weights.

What is left is populations joined by single linear maps, the form of `hw.Network`. Every rewrite is exact in algebra
and measured in numbers (`fold_check`): a difference is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...export.floatgraph import Conv, Flatten, FloatGraph, Input, Integrate, Linear, Node, Pool, Relu, Spike
from ...export.floatgraph_shapes import compute_order, shapes
from ...export.problems import Problem, refuse
from ...hw import BadInput
from .fold_check import foldings, is_max
from .fold_forms import Form, after, compact_bias, own
from .fold_maps import CannotFold, reduce_chain
from .fold_order import neurons_first
from .folded import Edge, Folded, Same, Unit


def fold(graph: FloatGraph) -> Folded:
    """The graph as populations joined by single linear maps, with a record of every rewrite.

    Raises UnsupportedLayer with one line per node that no exact rule folds, each with the way out; BadInput for shapes
    that do not fit together; NotRepresentable if a rewrite, computed in float64, differs from what it replaces.
    """
    folded, problems = try_fold(graph)
    refuse(problems)
    return folded


def try_fold(graph: FloatGraph) -> tuple[Folded, tuple[Problem, ...]]:
    """`fold`, with what it refuses as values: every problem, and the graph without the edges and checks of those.

    Raises BadInput and NotRepresentable as `fold` does.
    """
    shapes(graph)
    if graph.output == graph.source.name:
        raise BadInput(f"{graph.name}: its output is its input, so it computes nothing; export the whole network")
    ordered, swaps = neurons_first(graph)
    work = _Work(ordered)
    work.follow()
    units = _topological(work.units(), work)
    folded = Folded(
        name=graph.name,
        source=graph.source.name,
        source_shape=work.shape[graph.source.name],
        units=tuple(units),
        foldings=() if work.problems else foldings(ordered, swaps, units, work.repeated),
        n_steps=graph.n_steps,
        assumed=_assumed(graph),
    )
    return folded, tuple(sorted(work.problems, key=lambda problem: problem.position))


def _assumed(graph: FloatGraph) -> tuple[str, ...]:
    """What was assumed about the graph, then about each spiking population, with its name."""
    neurons = (f"{n.name}: {text}" for n in graph.nodes if isinstance(n.op, Spike) for text in n.op.assumed)
    return (*graph.assumed, *neurons)


@dataclass
class _Work:
    """One graph on its way.

    forms: the value of every node. reads: what each population reads. repeated: nodes that change nothing, with the
    population whose value they repeat. never_negative: populations. answer: the population that gives the output.
    """

    graph: FloatGraph
    problems: list[Problem] = field(default_factory=list)
    forms: dict[str, Form] = field(default_factory=dict)
    reads: dict[str, Form] = field(default_factory=dict)
    repeated: dict[str, str] = field(default_factory=dict)
    never_negative: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.shape = shapes(self.graph)
        self.place = {node.name: i for i, node in enumerate(self.graph.nodes)}
        self.node: Mapping[str, Node] = {node.name: node for node in self.graph.nodes}
        self.answer = self.graph.output

    def follow(self) -> None:
        """Fill `forms` and `reads`, node by node."""
        for node in self.graph.nodes:
            if isinstance(node.op, Spike):  # loops pass through them, so their values are known beforehand
                self.forms[node.name] = own(node.name, self.shape[node.name])
                self.never_negative.add(node.name)
        for node in compute_order(self.graph):
            if isinstance(node.op, Input):
                self.forms[node.name] = own(node.name, self.shape[node.name])
            elif isinstance(node.op, Relu | Integrate) or is_max(node.op):
                self._population(node)
            elif not isinstance(node.op, Spike):
                self._between(node)
        for node in self.graph.nodes:
            if isinstance(node.op, Spike) and node.inputs[0] in self.forms:
                self.reads[node.name] = self.forms[node.inputs[0]]
        self._close()

    def _between(self, node: Node) -> None:
        inputs = [self.forms[name] for name in node.inputs if name in self.forms]
        if len(inputs) < len(node.inputs):
            return  # a problem was noted before
        try:
            self.forms[node.name] = after(node, inputs)
        except CannotFold as error:
            self.note(node, error)

    def _population(self, node: Node) -> None:
        form = self.forms.get(node.inputs[0])
        self.forms[node.name] = own(node.name, self.shape[node.name])
        if form is None:
            return
        source = form.terms[0].source if form.plain else None
        if isinstance(node.op, Relu) and node.op.ceiling is None and source in self.never_negative:
            self.forms[node.name] = form
            self.repeated[node.name] = str(source)
            return
        if is_max(node.op) and source is None:
            reason = (
                "a max pool over sums, and no ReLU follows it directly; only a maximum over spikes exists on the chip"
            )
            self.note(node, CannotFold(reason, "put the activation before the pool, or use an average pool"))
        if isinstance(node.op, Relu) or (is_max(node.op) and source in self.never_negative):
            self.never_negative.add(node.name)
        self.reads[node.name] = form

    def _close(self) -> None:
        """Find the population that answers, or make one of the output where it lies between populations."""
        form = self.forms.get(self.graph.output)
        if form is None or self.graph.output in self.reads:
            return
        term, *others = form.terms
        in_order = all(isinstance(step, Flatten) for step in term.maps) and not term.delay.any()
        if not others and in_order and not form.bias.any() and term.source != self.graph.source.name:
            self.answer = term.source
            self.repeated |= dict.fromkeys(form.through, term.source)
        else:
            self.reads[self.graph.output] = form

    def note(self, node: Node, error: CannotFold) -> None:
        """Remember that a node cannot be folded."""
        self.problems.append(
            Problem(
                node=node.name,
                kind=type(node.op).__name__,
                where=node.where,
                reason=error.reason,
                way_out=error.way_out,
                position=self.place[node.name],
            )
        )

    def units(self) -> list[Unit]:
        """Every population as a unit, in the graph's order."""
        names = sorted(self.reads, key=self.place.__getitem__)
        return [self._unit(self.node[name], self.reads[name]) for name in names]

    def _unit(self, node: Node, form: Form) -> Unit:
        bias = compact_bias(form.bias)
        if isinstance(node.op, Pool) and is_max(node.op):
            edges = [Edge(source=form.terms[0].source, op=node.op)]
            bias = np.zeros(self.shape[node.name][0])
        else:
            edges = _merged(self._edges(form))
        members = {node.name, *form.through, *(name for name, unit in self.repeated.items() if unit == node.name)}
        return Unit(
            name=node.name,
            shape=self.shape[node.name],
            op=node.op if isinstance(node.op, Relu | Spike | Integrate) else None,
            edges=tuple(edges),
            bias=bias,
            members=tuple(sorted(members, key=self.place.__getitem__)),
            where=node.where,
        )

    def _edges(self, form: Form) -> list[Edge]:
        edges = []
        for term in form.terms:
            try:
                op = reduce_chain(term.maps, term.shape)
            except CannotFold as error:
                at = len(term.nodes) - 1 if error.step is None else error.step
                self.note(self.node[term.nodes[at]], error)
            else:
                edges.append(Edge(source=term.source, op=op, delay=term.delay))
        return edges


def _merged(edges: Sequence[Edge]) -> list[Edge]:
    """Edges of the same kind, from the same source with the same delay, added up."""
    merged: list[Edge] = []
    for edge in edges:
        for index, other in enumerate(merged):
            op = _sum(edge, other)
            if op is not None:
                merged[index] = replace(other, op=op)
                break
        else:
            merged.append(edge)
    return merged


def _sum(a: Edge, b: Edge) -> Conv | Linear | Same | None:
    """The one map that two edges make together, None where they stay two."""
    if a.source != b.source or not np.array_equal(a.delay, b.delay):
        return None
    if isinstance(a.op, Same) and isinstance(b.op, Same):
        return Same(scale=a.op.scale + b.op.scale)
    if isinstance(a.op, Linear) and isinstance(b.op, Linear):
        return Linear(weight=a.op.weight + b.op.weight)
    if isinstance(a.op, Conv) and isinstance(b.op, Conv) and _geometry(a.op) == _geometry(b.op):
        return replace(a.op, weight=a.op.weight + b.op.weight)
    return None


def _geometry(conv: Conv) -> tuple[object, ...]:
    return conv.weight.shape, conv.stride, conv.padding, conv.dilation, conv.groups


def _topological(units: Sequence[Unit], work: _Work) -> list[Unit]:
    """The units the answer needs, each after those it reads from; notes a problem for a loop over several units."""
    by_name = {unit.name: unit for unit in units}
    reads: dict[str, list[str]] = {
        unit.name: [e.source for e in unit.edges if e.source in by_name and e.source != unit.name] for unit in units
    }
    waiting = [work.answer] if work.answer in by_name else list(by_name)  # without an answer: it could not be folded
    needed = set(waiting)
    while waiting:
        for name in reads[waiting.pop()]:
            if name not in needed:
                needed.add(name)
                waiting.append(name)
    left = [unit for unit in units if unit.name in needed]
    done: list[Unit] = []
    ready: set[str] = set()
    while left:
        following = next((unit for unit in left if all(name in ready for name in reads[unit.name])), None)
        if following is None:
            names = ", ".join(unit.name for unit in left)
            reason = f"a loop passes several populations ({names}); the chip's networks hold loops of one"
            error = CannotFold(reason, "join them into one population with a recurrent matrix, or cut the loop")
            work.note(work.node[left[0].name], error)
            return [*done, *left]
        left.remove(following)
        done.append(following)
        ready.add(following.name)
    return done

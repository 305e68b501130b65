"""Nodes brought into the order folding needs: first the sum, then the neuron, then what only selects or reorders.

A max pool before a ReLU equals one behind it, because ReLU only grows with its input; a max pool before a scaling by
positive factors likewise; and a flatten may stand on either side of anything that works element by element.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...export.floatgraph import Affine, Flatten, FloatGraph, Input, Integrate, Node, Op, Pool, Relu, Spike
from ...export.floatgraph_shapes import shapes
from ...hw import Shape

_PER_NEURON = ("threshold", "v_decay", "i_decay", "gain", "offset", "v_reset")


@dataclass(frozen=True, kw_only=True, eq=False)
class Swap:
    """Two nodes that changed places. shape: of what the first reads. moved: the second's operation in its new place."""

    first: Node
    second: Node
    shape: Shape
    moved: Op


def neurons_first(graph: FloatGraph) -> tuple[FloatGraph, tuple[Swap, ...]]:
    """An equal graph without a max pool or flatten between a sum and its neuron, and what was swapped, in order."""
    graph = _one_ceiling(graph)
    swaps: list[Swap] = []
    while (pair := _next(graph)) is not None:
        first, second = pair
        shape = shapes(graph)[first.inputs[0]]
        moved = _reshaped(second.op, shape) if isinstance(second.op, Spike) else second.op
        swaps.append(Swap(first=first, second=second, shape=shape, moved=moved))
        graph = _swapped(graph, first, replace(second, op=moved))
    return graph, tuple(swaps)


def _one_ceiling(graph: FloatGraph) -> FloatGraph:
    """Of two ReLUs in a row the first takes the lower ceiling, if nothing else reads it, and the second none."""
    nodes = {node.name: node for node in graph.nodes}
    readers = _readers(graph)
    for node in (nodes[given.name] for given in reversed(graph.nodes)):
        first = nodes[node.inputs[0]] if node.inputs else node
        alone = readers[first.name] == 1 and first.name != graph.output
        if alone and isinstance(node.op, Relu) and isinstance(first.op, Relu) and node.op.ceiling is not None:
            lower = min(node.op.ceiling, np.inf if first.op.ceiling is None else first.op.ceiling)
            nodes[first.name] = replace(first, op=Relu(ceiling=lower))
            nodes[node.name] = replace(node, op=Relu())
    return replace(graph, nodes=tuple(nodes[node.name] for node in graph.nodes))


def _readers(graph: FloatGraph) -> dict[str, int]:
    """How often each node is read."""
    readers = {node.name: 0 for node in graph.nodes}
    for node in graph.nodes:
        for name in node.inputs:
            readers[name] += 1
    return readers


def _next(graph: FloatGraph) -> tuple[Node, Node] | None:
    nodes = {node.name: node for node in graph.nodes}
    readers = _readers(graph)
    for after in graph.nodes:
        if len(after.inputs) == 1 and readers[after.inputs[0]] == 1 and after.inputs[0] != graph.output:
            before = nodes[after.inputs[0]]
            if before.inputs and _commute(before, after, nodes[before.inputs[0]]):
                return before, after
    return None


def _commute(before: Node, after: Node, source: Node) -> bool:
    if isinstance(before.op, Flatten):
        return isinstance(after.op, Relu | Spike | Integrate)
    if not isinstance(before.op, Pool) or before.op.kind != "max":
        return False
    if isinstance(after.op, Affine):  # moves towards a ReLU behind it, and away from a neuron before it never
        return not _is_population(source) and bool(np.all(after.op.scale > 0))
    return isinstance(after.op, Relu)


def _is_population(node: Node) -> bool:
    return isinstance(node.op, Input | Relu | Spike | Integrate) or (
        isinstance(node.op, Pool) and node.op.kind == "max"
    )


def _swapped(graph: FloatGraph, before: Node, after: Node) -> FloatGraph:
    """before -> after becomes after -> before; whatever read `after` now reads `before`."""
    moved = {
        before.name: replace(after, inputs=before.inputs),
        after.name: replace(before, inputs=(after.name,)),
    }
    nodes = tuple(
        moved.get(node.name)
        or replace(node, inputs=tuple(before.name if name == after.name else name for name in node.inputs))
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, output=before.name if graph.output == after.name else graph.output)


def _reshaped(op: Spike, shape: Shape) -> Spike:
    values = {name: getattr(op, name) for name in _PER_NEURON}
    return replace(op, **{name: v.reshape(shape) for name, v in values.items() if v.ndim})

"""The record of a folding: what was rewritten, and by how much the result differs from what it replaces.

Both are computed in float64: every population gets random values, the graph's nodes between the populations are run
one by one, and each unit's edges are run on the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
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
    Op,
    Pool,
    Relu,
    Spike,
)
from ...export.floatgraph_shapes import compute_order, shapes
from ...hw import NotRepresentable, Shape
from .evaluate import Neurons, apply, bias_of
from .fold_order import Swap
from .folded import Folding, Unit

TOLERANCE = 1e-9
"""Largest relative difference a rewrite may show in float64; what is seen is rounding, below 1e-12."""


@torch.no_grad()
def foldings(
    graph: FloatGraph, swaps: Sequence[Swap], units: Sequence[Unit], repeated: Mapping[str, str]
) -> tuple[Folding, ...]:
    """Every rewrite with its measured difference, in the graph's order. graph: after the swaps.

    Raises NotRepresentable, naming unit and difference, for a rewrite that is not exact.
    """
    rng = torch.Generator().manual_seed(0)
    found = [_swapped(swap, rng) for swap in swaps]
    values = _values(graph, repeated, rng)
    by_name = {node.name: node for node in graph.nodes}
    shape = shapes(graph)
    for unit in units:
        node = by_name[unit.name]
        difference = 0.0
        if not is_max(node.op):  # whose one edge is the node itself
            wanted = values[node.inputs[0]] if is_population(node.op) else values[unit.name]
            total = bias_of(unit).expand(1, *unit.shape).flatten(1)
            for edge in unit.edges:
                total = total + apply(edge.op, [values[edge.source]]).flatten(1)
            difference = _difference(total, wanted.flatten(1), f"{unit.where}: {unit.name}")
        for name in unit.members:
            if name not in _carriers(node, unit.members, by_name):
                what = _what(by_name[name], shape, name in repeated)
                found.append(Folding(node=name, into=unit.name, what=what, exact=True, checked=difference))
    return tuple(found)


def is_max(op: Op) -> bool:
    """Whether an operation is a max pool."""
    return isinstance(op, Pool) and op.kind == "max"


def is_population(op: Op) -> bool:
    """Whether an operation's values are a population's own; all others are linear."""
    return isinstance(op, Input | Relu | Spike | Integrate) or is_max(op)


def _values(graph: FloatGraph, repeated: Mapping[str, str], rng: torch.Generator) -> dict[str, Tensor]:
    """Every node's value for one sample, with random values in the populations; delays let everything pass."""
    values: dict[str, Tensor] = {}
    shape = shapes(graph)
    for node in graph.nodes:
        if is_population(node.op) and node.name not in repeated:
            drawn = torch.randn(1, *shape[node.name], generator=rng, dtype=torch.float64)
            values[node.name] = drawn if isinstance(node.op, Input | Integrate) else drawn.abs()
    for node in compute_order(graph):
        if node.name not in values:
            values[node.name] = _once(node.op, [values[name] for name in node.inputs])
    return values


def _once(op: Op, inputs: Sequence[Tensor]) -> Tensor:
    """One operation in the first timestep, delays left out."""
    if isinstance(op, Spike | Integrate):
        return Neurons(op).step(inputs[0])
    if isinstance(op, Delay):
        return inputs[0]
    assert not isinstance(op, Input)
    return apply(op, inputs)


def _swapped(swap: Swap, rng: torch.Generator) -> Folding:
    x = torch.randn(1, *swap.shape, generator=rng, dtype=torch.float64)
    before = _once(swap.second.op, [_once(swap.first.op, [x])])
    after = _once(swap.first.op, [_once(swap.moved, [x])])
    return Folding(
        node=swap.first.name,
        into=swap.second.name,
        what=f"moved behind {swap.second.name}, which gives the same",
        exact=True,
        checked=_difference(after, before, swap.first.where),
    )


def _difference(found: Tensor, wanted: Tensor, where: str) -> float:
    """Largest difference over the largest value. Raises NotRepresentable above the tolerance."""
    scale = float(wanted.abs().max())
    difference = float((found - wanted).abs().max()) / (scale or 1.0)
    if not difference <= TOLERANCE:
        raise NotRepresentable(
            f"{where}: folded, it differs from the original by {difference:.1e} of its largest value, at most "
            f"{TOLERANCE:.0e} is rounding; look for weights that cancel or overflow in float64"
        )
    return difference


def _carriers(node: Node, members: Sequence[str], by_name: Mapping[str, Node]) -> set[str]:
    """A unit's own node, and the convolutions and matrices nearest to it: the ones that others are folded into."""
    found, seen = {node.name} if is_population(node.op) else set(), set()
    waiting = list(node.inputs) if is_population(node.op) else [node.name]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in members or (name == node.name and name in found):
            continue
        seen.add(name)
        if isinstance(by_name[name].op, Conv | Linear):
            found.add(name)
        else:
            waiting += by_name[name].inputs
    return found


def _what(node: Node, shape: Mapping[str, Shape], repeats: bool) -> str:
    op, source = node.op, shape[node.inputs[0]]
    if repeats:
        return "the activation before it does the same" if isinstance(op, Relu) else "only the shape changes"
    match op:
        case Affine():
            return "scale and shift went into weights and bias"
        case Pool():
            return f"each weight spread over the {op.kernel[0]} x {op.kernel[1]} window of the {op.kind} pool"
        case GlobalAverage():
            return f"each weight spread over {source[1]} x {source[2]} positions"
        case Flatten():
            return "weights read the positions in the order C, H, W"
        case Add():
            return "the sum became several edges"
        case Delay():
            return "became the edge's delay"
        case _:
            return "composed with the linear map behind it"

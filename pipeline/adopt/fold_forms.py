"""What lies between populations, as sums of linear maps of their values plus a constant.

Every value of a float graph that is no population's own is such a sum: `Form`. Batch norms, average pools, flattens,
additions and linear layers turn one form into another, exactly; a neuron reads one and becomes a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...export.floatgraph import Add, Affine, Conv, Delay, Flatten, GlobalAverage, Linear, Node, Pool
from ...hw import Shape
from .evaluate import apply, tensor
from .fold_maps import CannotFold, Map

TERMS_MAX = 1024
"""Most maps summed into one value; sums of sums double what they hold."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """A chain of maps applied to what a population gives. nodes: the graph's nodes the maps come from.

    delay: timesteps between the population and the chain, () or one per neuron of the population, flat.
    """

    source: str
    shape: Shape
    maps: tuple[Map, ...] = ()
    nodes: tuple[str, ...] = ()
    delay: np.ndarray

    def then(self, node: Node, step: Map) -> Term:
        """The term with one more map; scalings in a row become one."""
        last = self.maps[-1] if self.maps else None
        if isinstance(step, Affine) and isinstance(last, Affine):
            step = Affine(scale=last.scale * step.scale, shift=np.zeros_like(step.scale))
            return replace(self, maps=(*self.maps[:-1], step), nodes=(*self.nodes[:-1], node.name))
        return replace(self, maps=(*self.maps, step), nodes=(*self.nodes, node.name))


@dataclass(frozen=True, kw_only=True, eq=False)
class Form:
    """A value of the graph: the sum of its terms plus `bias`, float64 of the value's shape.

    through: every node between the populations and this value, as a set.
    """

    terms: tuple[Term, ...]
    bias: np.ndarray
    through: frozenset[str] = frozenset()

    @property
    def plain(self) -> bool:
        """Whether it is one population's own value."""
        return len(self.terms) == 1 and not self.terms[0].maps and not self.bias.any() and not self.terms[0].delay.any()


def own(name: str, shape: Shape) -> Form:
    """A population's own value."""
    return Form(terms=(Term(source=name, shape=shape, delay=np.zeros((), np.int64)),), bias=np.zeros(shape))


def after(node: Node, inputs: Sequence[Form]) -> Form:
    """The form of a node between populations from the forms it reads. Raises CannotFold."""
    through = frozenset({node.name}).union(*(form.through for form in inputs))
    op = node.op
    if isinstance(op, Add):
        terms = tuple(term for form in inputs for term in form.terms)
        if len(terms) > TERMS_MAX:
            raise CannotFold(
                f"it sums {len(terms)} maps, at most {TERMS_MAX} are followed", "put a ReLU after the sums"
            )
        return Form(terms=terms, bias=np.sum([form.bias for form in inputs], axis=0), through=through)
    (form,) = inputs
    if isinstance(op, Delay):
        return replace(_delayed(form, op.steps), through=through)
    assert isinstance(op, Conv | Linear | Affine | Pool | GlobalAverage | Flatten)
    step: Map = op
    if isinstance(op, Affine):
        step = Affine(scale=op.scale, shift=np.zeros_like(op.shift))
    elif isinstance(op, Conv | Linear) and op.bias is not None:
        step = replace(op, bias=None)
    bias = apply(op, [tensor(form.bias)[None]])[0].numpy()
    return Form(terms=tuple(term.then(node, step) for term in form.terms), bias=bias, through=through)


def _delayed(form: Form, steps: np.ndarray) -> Form:
    """A form held back. Raises CannotFold where the delay cannot be moved to the populations it reads."""
    if form.bias.any() and steps.any():
        raise CannotFold(
            "it holds back a sum with a constant in it, which is not there before the delay has passed",
            "put the delay directly behind a neuron",
        )
    if np.ptp(steps) == 0:
        return replace(form, terms=tuple(replace(t, delay=t.delay + steps.flat[0]) for t in form.terms))
    if any(not isinstance(step, Flatten) for term in form.terms for step in term.maps):
        raise CannotFold(
            "its delays differ per element, and behind a linear map no source neuron has one of its own",
            "put the delay directly behind a neuron, or give one delay for all",
        )
    return replace(form, terms=tuple(replace(t, delay=t.delay + steps.ravel()) for t in form.terms))


def compact_bias(bias: np.ndarray) -> np.ndarray:
    """One value per channel where all positions agree up to float rounding, else the whole map."""
    if bias.ndim != 3:
        return bias
    low, high = bias.min(axis=(1, 2)), bias.max(axis=(1, 2))
    if np.all(high - low <= 1e-12 * np.abs(bias).max(initial=0.0)):
        return bias[:, 0, 0].copy()
    return bias

"""Folded ANNs written out by hand, with every kind of edge. Not a test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from spikeport.export.floatgraph import Conv, Linear, Pool, Relu
from spikeport.pipeline.adopt.folded import Edge, Folded, Same, Unit

Array = np.ndarray


def draw(*shape: int, seed: int, spread: float | None = None) -> Array:
    """Weights of about unit gain: normal, variance 2 / fan-in."""
    fan_in = int(np.prod(shape[1:])) or 1
    scale = (2 / fan_in) ** 0.5 if spread is None else spread
    return np.random.default_rng(seed).normal(0, scale, shape)


def unit(name: str, shape: tuple[int, ...], edges: list[Edge], bias: Array | None = None, **settings) -> Unit:
    settings = {"op": Relu(), "members": (name,), "where": f"node {name}"} | settings
    return Unit(
        name=name, shape=shape, edges=tuple(edges), bias=np.zeros(shape[0]) if bias is None else bias, **settings
    )


def folded(units: list[Unit], source_shape: tuple[int, ...], name: str) -> Folded:
    return Folded(
        name=name,
        source="x",
        source_shape=source_shape,
        units=tuple(units),
        foldings=(),
        n_steps=None,
        assumed=(),
    )


def chain() -> Folded:
    """Uneven kernels, strides, paddings, dilation; groups; a bias per neuron; a dense hidden layer."""
    first = Conv(weight=draw(6, 2, 1, 3, seed=1), stride=(1, 2), padding=(0, 1))
    second = Conv(weight=draw(6, 2, 3, 2, seed=2), dilation=(2, 1), padding=(1, 0), groups=3)
    units = [
        unit("a", (6, 7, 5), [Edge(source="x", op=first)], draw(6, 7, 5, seed=3, spread=0.1)),
        unit("b", (6, 5, 4), [Edge(source="a", op=second)], draw(6, seed=4, spread=0.1)),
        unit("c", (9,), [Edge(source="b", op=Linear(weight=draw(9, 120, seed=5)))], draw(9, seed=6, spread=0.1)),
        unit(
            "out", (4,), [Edge(source="c", op=Linear(weight=draw(4, 9, seed=7)))], draw(4, seed=8, spread=0.1), op=None
        ),
    ]
    return folded(units, (2, 7, 9), "chain")


def residual() -> Folded:
    """A scaled identity, a projection beside a convolution, a sum of identities alone, a max pool, a spatial mean."""
    mean = np.repeat(draw(3, 6, seed=9), 4, axis=1) / 4
    units = [
        unit("stem", (4, 8, 8), [conv("x", 4, 2, seed=1)], draw(4, seed=2, spread=0.1)),
        unit("pool", (4, 4, 4), [Edge(source="stem", op=pool())], op=None),
        unit("b1", (4, 4, 4), [conv("pool", 4, 4, seed=3)], draw(4, seed=4, spread=0.1)),
        unit("b2", (4, 4, 4), [same("pool", 0.5), conv("b1", 4, 4, seed=5)], draw(4, seed=6, spread=0.1)),
        unit("sum", (4, 4, 4), [same("b2", 1.0), same("b1", 0.25)], draw(4, seed=7, spread=0.1)),
        unit("b3", (6, 2, 2), [conv("sum", 6, 4, seed=8, stride=2), conv("b2", 6, 4, seed=9, stride=2, kernel=1)]),
        unit("out", (3,), [Edge(source="b3", op=Linear(weight=mean))], draw(3, seed=10, spread=0.1), op=None),
    ]
    return folded(units, (2, 8, 8), "residual")


def vectors() -> Folded:
    """A multilayer perceptron with a shortcut and a ceiling, on vectors."""
    units = [
        unit("h.1", (8,), [Edge(source="x", op=Linear(weight=draw(8, 5, seed=1)))], draw(8, seed=2, spread=0.1)),
        unit(
            "h.2",
            (8,),
            [same("h.1", 0.5), Edge(source="h.1", op=Linear(weight=draw(8, 8, seed=3)))],
            draw(8, seed=4, spread=0.1),
            op=Relu(ceiling=0.5),
        ),
        unit("input", (3,), [Edge(source="h.2", op=Linear(weight=draw(3, 8, seed=5)))], op=None),
    ]
    return folded(units, (5,), "vectors")


def conv(source: str, out: int, into: int, *, seed: int, stride: int = 1, kernel: int = 3) -> Edge:
    weight = draw(out, into, kernel, kernel, seed=seed)
    return Edge(source=source, op=Conv(weight=weight, stride=(stride, stride), padding=(kernel // 2, kernel // 2)))


def same(source: str, scale: float) -> Edge:
    return Edge(source=source, op=Same(scale=scale))


def pool(kind: str = "max") -> Pool:
    return Pool(kind=kind, kernel=(3, 3), stride=(2, 2), padding=(1, 1))  # pyright: ignore[reportArgumentType]


NETS: dict[str, Callable[[], Folded]] = {"chain": chain, "residual": residual, "vectors": vectors}

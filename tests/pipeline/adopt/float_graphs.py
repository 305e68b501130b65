"""Float graphs written by hand, for the tests of folding and evaluation. Not a test."""

from __future__ import annotations

import numpy as np
from spikeport.export.floatgraph import (
    Add,
    Affine,
    Conv,
    Flatten,
    FloatGraph,
    GlobalAverage,
    Input,
    Linear,
    Node,
    Op,
    Pool,
    Relu,
    Spike,
)

RNG = np.random.default_rng(0)


def graph(*nodes: tuple[str, Op, tuple[str, ...]], output: str | None = None) -> FloatGraph:
    """A graph of (name, operation, inputs), in order; the last node answers."""
    built = tuple(Node(name=name, op=op, inputs=inputs, where=f"test: node {name!r}") for name, op, inputs in nodes)
    return FloatGraph(name="test", nodes=built, output=output or nodes[-1][0])


def conv(out: int, channels: int, kernel: int = 3, *, bias: bool = True, **geometry) -> Conv:
    weight = RNG.normal(size=(out, channels // geometry.get("groups", 1), kernel, kernel))
    return Conv(weight=weight, bias=RNG.normal(size=out) if bias else None, **geometry)


def linear(out: int, size: int, *, bias: bool = True) -> Linear:
    return Linear(weight=RNG.normal(size=(out, size)), bias=RNG.normal(size=out) if bias else None)


def norm(channels: int) -> Affine:
    return Affine(scale=RNG.normal(size=channels), shift=RNG.normal(size=channels))


def pool(kind, kernel: int, stride: int | None = None, padding: int = 0) -> Pool:
    step = stride or kernel
    return Pool(kind=kind, kernel=(kernel, kernel), stride=(step, step), padding=(padding, padding))


def spike(**changed) -> Spike:
    return Spike(**{"threshold": np.array(1.0), "v_decay": np.array(0.1), **changed})


def residual() -> FloatGraph:
    """A block with an identity and one with a projection, batch norms, average pools and a global average."""
    return graph(
        ("x", Input(shape=(2, 8, 8)), ()),
        ("conv1", conv(4, 2, padding=(1, 1)), ("x",)),
        ("bn1", norm(4), ("conv1",)),
        ("relu1", Relu(), ("bn1",)),
        ("conv2", conv(4, 4, padding=(1, 1), bias=False), ("relu1",)),
        ("bn2", norm(4), ("conv2",)),
        ("add1", Add(), ("bn2", "relu1")),
        ("relu2", Relu(), ("add1",)),
        ("pool", pool("average", 2), ("relu2",)),
        ("conv3", conv(6, 4, padding=(1, 1)), ("pool",)),
        ("short", conv(6, 4, 1), ("pool",)),
        ("add2", Add(), ("conv3", "short")),
        ("relu3", Relu(), ("add2",)),
        ("mean", GlobalAverage(), ("relu3",)),
        ("head", linear(3, 6), ("mean",)),
    )


def flat_head() -> FloatGraph:
    """Convolution, max pool before its ReLU, average pool, flatten, two linear layers in a row."""
    return graph(
        ("x", Input(shape=(1, 8, 8)), ()),
        ("conv", conv(3, 1, padding=(1, 1)), ("x",)),
        ("max", pool("max", 2), ("conv",)),
        ("relu", Relu(), ("max",)),
        ("average", pool("average", 2), ("relu",)),
        ("flatten", Flatten(), ("average",)),
        ("fc1", linear(5, 12), ("flatten",)),
        ("fc2", linear(4, 5), ("fc1",)),
    )

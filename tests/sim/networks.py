"""Small networks to run: random ones for hypothesis, and a few plain ones by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from spikeport import hw


def network(
    connections: list[hw.Connection],
    shapes: dict[str, hw.Shape],
    neurons: dict[str, hw.Cuba],
    *,
    payload_bits: int = 0,
    n_steps: int = 1,
    readout: hw.Readout | None = None,
) -> hw.Network:
    """Populations in the order of `shapes`; the first one is the source, the last one answers unless said otherwise."""
    source, *others = shapes
    populations = [hw.Population(name=source, shape=shapes[source], neuron=hw.Source(payload_bits=payload_bits))]
    populations += [hw.Population(name=name, shape=shapes[name], neuron=neurons[name]) for name in others]
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=readout or hw.Readout(population=others[-1]),
        n_steps=n_steps,
    )


def dense_chain(
    weights: list[np.ndarray], *, v_th_mant: int = 1, payload_bits: int = 0, n_steps: int = 1, kind: str = "membrane"
) -> hw.Network:
    """in -> p0 -> p1 ... , lossless integrators; the last population never fires if it is read by its membrane."""
    shapes: dict[str, hw.Shape] = {"in": (weights[0].shape[1],)}
    connections: list[hw.Connection] = []
    neurons = {}
    for i, weight in enumerate(weights):
        connections.append(hw.Dense(source=list(shapes)[-1], target=f"p{i}", weight=weight))
        shapes[f"p{i}"] = (weight.shape[0],)
        last = i == len(weights) - 1 and kind == "membrane"
        neurons[f"p{i}"] = hw.Cuba(v_th_mant=hw.NEVER_FIRES if last else v_th_mant)
    readout = hw.Readout(population=list(shapes)[-1], kind="membrane" if kind == "membrane" else "spike_count")
    return network(connections, shapes, neurons, payload_bits=payload_bits, n_steps=n_steps, readout=readout)


DECAYS = st.sampled_from([0, 1, 100, 2048, 4095, 4096])


@st.composite
def networks(draw: st.DrawFn) -> hw.Network:
    """Convolutions of any stride, padding, dilation and groups, perhaps a residual block, perhaps a dense end."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from([2, 30, 256]))
    source = (draw(st.integers(1, 4)), draw(st.integers(2, 5)), draw(st.integers(2, 5)))
    shapes: dict[str, hw.Shape] = {"in": source}
    connections: list[hw.Connection] = []
    for i in range(draw(st.integers(1, 2))):
        name, previous = f"conv{i}", list(shapes)[-1]
        conv = draw(_conv(rng, previous, name, shapes[previous], largest))
        connections.append(conv)
        shapes[name] = conv.out_shape(shapes[previous])
    if draw(st.booleans()):
        _add_residual_block(rng, connections, shapes, largest)
    if draw(st.booleans()):
        previous = list(shapes)[-1]
        weight = _weight(rng, (3, int(np.prod(shapes[previous]))), largest)
        connections.append(hw.Dense(source=previous, target="out", weight=weight))
        shapes["out"] = (3,)
    neurons = {name: draw(_neuron(rng, shapes[name])) for name in list(shapes)[1:]}
    kind = draw(st.sampled_from(["membrane", "spike_count"]))
    return network(
        connections,
        shapes,
        neurons,
        payload_bits=draw(st.sampled_from([0, 1, 4, 8])),
        n_steps=draw(st.integers(1, 4)),
        readout=hw.Readout(population=list(shapes)[-1], kind=kind),
    )


@st.composite
def runs(draw: st.DrawFn) -> tuple[hw.Network, torch.Tensor]:
    """A network and an input for it, constant (B, ...) or changing (T, B, ...)."""
    net = draw(networks())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    source = net.sources[0]
    assert isinstance(source.neuron, hw.Source)
    shape = (draw(st.integers(1, 3)), *source.shape)
    if draw(st.booleans()):
        shape = (net.n_steps, *shape)
    silent = rng.random(shape) < draw(st.sampled_from([0.0, 0.5, 0.9]))
    values = rng.integers(0, source.neuron.max_payload, shape, endpoint=True)
    dtype = draw(st.sampled_from([torch.uint8, torch.int32, torch.int64]))
    return net, torch.from_numpy(np.where(silent, 0, values)).to(dtype)


def over_time(net: hw.Network, inputs: torch.Tensor) -> np.ndarray:
    """The inputs at every timestep, (T, B, *shape)."""
    values = inputs.numpy()
    held = values.ndim == len(net.sources[0].shape) + 1
    return np.broadcast_to(values, (net.n_steps, *values.shape)) if held else values


def _weight(rng: np.random.Generator, shape: tuple[int, ...], largest: int) -> np.ndarray:
    """Both signs, about a third zero."""
    return rng.integers(-largest, largest, shape, endpoint=True) * (rng.random(shape) < 0.67)


@st.composite
def _conv(
    draw: st.DrawFn, rng: np.random.Generator, source: str, target: str, shape: hw.Shape, largest: int
) -> hw.Conv:
    groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    out = groups * draw(st.integers(1, 2))
    stride, padding, dilation, kernel = [], [], [], []
    for size in shape[1:]:
        stride.append(draw(st.integers(1, 3)))
        padding.append(draw(st.integers(0, 2)))
        dilation.append(draw(st.integers(1, 2)))
        room = size + 2 * padding[-1]
        kernel.append(draw(st.integers(1, min(3, (room - 1) // dilation[-1] + 1))))
    return hw.Conv(
        source=source,
        target=target,
        weight=_weight(rng, (out, shape[0] // groups, *kernel), largest),
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1]),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )


def _add_residual_block(
    rng: np.random.Generator, connections: list[hw.Connection], shapes: dict[str, hw.Shape], largest: int
) -> None:
    """start -> inner -> joined, and start -> joined beside it."""
    start = list(shapes)[-1]
    channels = shapes[start][0]

    def square(source: str, target: str, size: int) -> hw.Conv:
        weight = _weight(rng, (channels, channels, size, size), largest)
        return hw.Conv(source=source, target=target, weight=weight, padding=(size // 2, size // 2))

    connections += [square(start, "inner", 3), square("inner", "joined", 3), square(start, "joined", 1)]
    shapes["inner"] = shapes["joined"] = shapes[start]


@st.composite
def _neuron(draw: st.DrawFn, rng: np.random.Generator, shape: hw.Shape) -> hw.Cuba:
    bias_shape = draw(st.sampled_from([(), (shape[0],), shape]))
    return hw.Cuba(
        v_th_mant=draw(st.sampled_from([1, 50, 1000, hw.NEVER_FIRES])),
        i_decay=draw(DECAYS),
        v_decay=draw(DECAYS),
        bias_mant=rng.integers(-40, 40, bias_shape, endpoint=True),
    )

"""Small networks to run: random ones for hypothesis, and a few plain ones by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from hypothesis import reject
from hypothesis import strategies as st
from spikeport import hw, sim


def network(
    connections: list[hw.Connection],
    shapes: dict[str, hw.Shape],
    neurons: dict[str, hw.Cuba],
    *,
    payload_bits: int = 0,
    signed: bool = False,
    n_steps: int = 1,
    readout: hw.Readout | None = None,
) -> hw.Network:
    """Populations in the order of `shapes`; the first one is the source, the last one answers unless said otherwise."""
    source, *others = shapes
    outside = hw.Source(payload_bits=payload_bits, signed=signed)
    populations = [hw.Population(name=source, shape=shapes[source], neuron=outside)]
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
    """Graphs: convolutions of any stride, padding, dilation and groups, perhaps a residual block, perhaps a shortcut of
    one-to-one synapses, perhaps a dense end; delays and recurrence where synapses are dense."""
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
        connections.append(
            draw(_dense(rng, list(shapes)[-1], "out", 3, int(np.prod(shapes[list(shapes)[-1]])), largest))
        )
        shapes["out"] = (3,)
    if draw(st.booleans()):
        last, size = list(shapes)[-1], int(np.prod(shapes[list(shapes)[-1]]))
        connections.append(draw(_dense(rng, last, last, size, size, largest)))
    neurons = {name: draw(_neuron(rng, shapes[name])) for name in list(shapes)[1:]}
    kind = draw(st.sampled_from(["membrane", "spike_count"]))
    payload_bits = draw(st.sampled_from([0, 1, 4, 8]))
    return network(
        connections,
        shapes,
        neurons,
        payload_bits=payload_bits,
        signed=payload_bits > 1 and draw(st.booleans()),
        n_steps=draw(st.integers(1, 5)),
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
    values = rng.integers(source.neuron.min_payload, source.neuron.max_payload, shape, endpoint=True)
    dtype = draw(st.sampled_from([torch.int32, torch.int64] if source.neuron.signed else [torch.uint8, torch.int64]))
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
    """start -> inner -> joined, and start -> joined beside it, by a convolution and one to one."""
    start = list(shapes)[-1]
    channels = shapes[start][0]

    def square(source: str, target: str, size: int) -> hw.Conv:
        weight = _weight(rng, (channels, channels, size, size), largest)
        return hw.Conv(source=source, target=target, weight=weight, padding=(size // 2, size // 2))

    connections += [square(start, "inner", 3), square("inner", "joined", 3), square(start, "joined", 1)]
    connections.append(hw.OneToOne(source=start, target="joined", weight=_weight(rng, (), largest)))
    shapes["inner"] = shapes["joined"] = shapes[start]


@st.composite
def _dense(
    draw: st.DrawFn, rng: np.random.Generator, source: str, target: str, outputs: int, inputs: int, largest: int
) -> hw.Dense:
    """Delays of any of the three kinds, some beyond the sample's end."""
    shape = draw(st.sampled_from([(), (outputs, 1), (outputs, inputs)]))
    delay = np.array(rng.integers(0, draw(st.sampled_from([0, 2, 6])), shape, endpoint=True))
    return hw.Dense(source=source, target=target, weight=_weight(rng, (outputs, inputs), largest), delay=delay)


@st.composite
def _neuron(draw: st.DrawFn, rng: np.random.Generator, shape: hw.Shape) -> hw.Cuba:
    bias_shape = draw(st.sampled_from([(), (shape[0],), shape]))
    return hw.Cuba(
        v_th_mant=draw(st.sampled_from([1, 50, 1000, hw.NEVER_FIRES])),
        i_decay=draw(DECAYS),
        v_decay=draw(DECAYS),
        bias_mant=rng.integers(-40, 40, bias_shape, endpoint=True),
        bias_exp=draw(st.sampled_from([6, 6, 0, 3, 7])),
    )


@st.composite
def chains(draw: st.DrawFn) -> hw.Network:
    """What a netx file can hold, every feature of it: a source, convolutions, then dense layers, each fed by the last.

    Convolutions of any stride, padding, dilation and groups; dense synapses delayed by one value, per neuron or per
    synapse; dense recurrence, delayed or not; current and voltage decay; biases of one value, per channel or per
    neuron; binary or graded payloads, signed or not; spike count or membrane read-out. Weights are even and have both
    signs, and no sum leaves 17 bits, whatever the input.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    payload_bits = draw(st.sampled_from([0, 2, 4, 8]))
    shape: hw.Shape = (draw(st.integers(1, 4)), draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    n_convs = draw(st.integers(0, 2))
    if n_convs == 0 and draw(st.booleans()):
        shape = (draw(st.integers(1, 12)),)
    shapes: dict[str, hw.Shape] = {"in": shape}
    connections: list[hw.Connection] = []
    for i in range(n_convs):
        previous = list(shapes)[-1]
        conv = draw(_conv(rng, previous, f"conv{i}", shapes[previous], 0))
        weight = _two_signs(rng, conv.weight.shape, _room(conv.weight[0].size, payload_bits if i == 0 else 0))
        connections.append(dataclasses.replace(conv, weight=weight))
        shapes[f"conv{i}"] = conv.out_shape(shapes[previous])
    for i in range(draw(st.integers(0 if n_convs else 1, 2))):
        previous, name, size = list(shapes)[-1], f"dense{i}", draw(st.integers(2, 8))
        inputs = int(np.prod(shapes[previous]))
        delay = draw(_delays(rng, size, inputs))
        weight = _two_signs(rng, (size, inputs), _room(inputs, payload_bits if previous == "in" else 0))
        connections.append(hw.Dense(source=previous, target=name, weight=weight, delay=delay))
        if draw(st.booleans()):
            own = _two_signs(rng, (size, size), 254)
            connections.append(hw.Dense(source=name, target=name, weight=own, delay=draw(_delays(rng, size, size))))
        shapes[name] = (size,)
    neurons = {name: draw(_chain_neuron(rng, shapes[name])) for name in list(shapes)[1:]}
    last = list(shapes)[-1]
    kind = draw(st.sampled_from(["membrane", "spike_count"]))
    if kind == "membrane":
        neurons[last] = dataclasses.replace(neurons[last], v_th_mant=hw.NEVER_FIRES)
    return network(
        connections,
        shapes,
        neurons,
        payload_bits=payload_bits,
        signed=payload_bits > 1 and draw(st.booleans()),
        n_steps=draw(st.integers(1, 10)),
        readout=hw.Readout(population=last, kind=kind),
    )


@st.composite
def inputs_for(draw: st.DrawFn, net: hw.Network, batch: int = 1) -> torch.Tensor:
    """Payloads that change at every timestep, (T, B, *shape), some of them silent. int32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    source = net.sources[0]
    assert isinstance(source.neuron, hw.Source)
    shape = (net.n_steps, batch, *source.shape)
    values = rng.integers(source.neuron.min_payload, source.neuron.max_payload, shape, endpoint=True)
    sent = rng.random(shape) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    return torch.from_numpy(np.where(sent, values, 0).astype(np.int32))


def _room(synapses: int, payload_bits: int) -> int:
    """The largest weight with which that many synapses, and the recurrent ones, stay within 17 bits."""
    recurrent = 8 * 254
    return min(254, (2**17 - 1 - recurrent) // (synapses * 2**payload_bits))


def _two_signs(rng: np.random.Generator, shape: tuple[int, ...], largest: int) -> np.ndarray:
    """Even weights of both signs, some zero; a single synapse is positive."""
    assert largest >= 2
    weight = 2 * rng.integers(-(largest // 2), largest // 2, shape, endpoint=True)
    weight.flat[0] = 2
    if weight.size > 1:
        weight.flat[1] = -2
    return weight


@st.composite
def _delays(draw: st.DrawFn, rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    shape = draw(st.sampled_from([(), (outputs, 1), (outputs, inputs)]))
    return np.array(rng.integers(0, draw(st.sampled_from([0, 1, 4, 62])), shape, endpoint=True))


@st.composite
def _chain_neuron(draw: st.DrawFn, rng: np.random.Generator, shape: hw.Shape) -> hw.Cuba:
    bias_shape = draw(st.sampled_from([(), (shape[0],), shape]))
    return hw.Cuba(
        v_th_mant=draw(st.sampled_from([1, 60, 400])),
        i_decay=draw(DECAYS),
        v_decay=draw(DECAYS),
        bias_mant=rng.integers(-40, 40, bias_shape, endpoint=True),
    )


def counted(case: tuple[hw.Network, torch.Tensor]) -> tuple[hw.Network, sim.Counts]:
    """A drawn network and the counts of its run; one whose sums leave the chip's range is drawn again."""
    net, inputs = case
    try:
        return net, sim.run(net, inputs).counts
    except hw.NotRepresentable:
        reject()

"""Random networks of everything a netx file can hold, for hypothesis."""

import dataclasses
import itertools

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from spikeport import hw

LARGEST_SUM = 1 << 17
"""Of one synaptic sum: shifted by 6 it fills the 24 bits of the current, which then wraps at most once."""

LARGEST_INPUT = 27_000
"""Of weight * payload in an input layer with neurons: with a bias of 4096 it stays within 16 bits."""

DECAYS = st.one_of(st.sampled_from([0, 1, 410, 2048, 4095, 4096]), st.integers(0, 4096))
SEEDS = st.integers(0, 2**32 - 1)


def examples(strategy, count, key):
    """The first `count` draws of a strategy that differ in `key(draw)`, always the same ones."""
    found = {}

    @settings(
        max_examples=2 * count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value):
        found.setdefault(key(value), value)

    collect()
    return list(found.values())[:count]


def weights(draw, shape):
    """Integers Lava keeps: mixed signs, odd ones too, of any magnitude up to 8 bits, some of them zero."""
    rng = np.random.default_rng(draw(SEEDS))
    most = draw(st.sampled_from([6, 40, 127, 254]))
    values = rng.integers(-most, most + 1, shape) * (rng.random(shape) < draw(st.sampled_from([0.4, 1.0])))
    if draw(st.booleans()):
        values = np.abs(values)
    values.flat[0] = most
    if values.size > 1 and values.min() < 0:
        values.flat[-1] = -most
    return values


def even(values):
    """Without the lowest bit and within 8 bits of either sign, so that netx's common fit of two matrices keeps both."""
    return np.clip(values - values % 2, -254, 254)


def delays(draw, shape):
    most = draw(st.sampled_from([0, 0, 1, 3, 62]))
    shape = draw(st.sampled_from([(), (shape[0], 1), shape]))
    return np.random.default_rng(draw(SEEDS)).integers(0, most + 1, shape)


@st.composite
def convs(draw, source, target, shape):
    groups = draw(st.sampled_from([g for g in (1, 1, 2, 3) if shape[0] % g == 0]))
    kernel = [draw(st.integers(1, min(3, n))) for n in shape[1:]]
    return hw.Conv(
        source=source,
        target=target,
        weight=weights(draw, (groups * draw(st.integers(1, 2)), shape[0] // groups, *kernel)),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        dilation=tuple(
            draw(st.integers(1, max(1, (n - 1) // max(1, k - 1)))) for n, k in zip(shape[1:], kernel, strict=True)
        ),
        groups=groups,
    )


@st.composite
def denses(draw, source, target, inputs):
    """A dense connection, perhaps delayed, perhaps with one from the target to itself."""
    size = draw(st.sampled_from([5, 8, 3, 1, 12]))
    recurrent = draw(st.booleans())
    if recurrent and draw(st.booleans()):
        size = min(inputs, 12)  # only then can a recurrent layer have delays, if inputs are that few
    shape = (size, inputs)
    forward = weights(draw, shape)
    if not recurrent:
        return [hw.Dense(source=source, target=target, weight=forward, delay=delays(draw, shape))]
    forward, loop = even(forward), even(weights(draw, (size, size)))
    delay = delays(draw, shape) if size == inputs else np.array(0)
    if delay.any():
        forward.flat[0] = 254  # fills 8 bits; netx would not shift smaller weights back
    return [
        hw.Dense(source=source, target=target, weight=forward, delay=delay),
        hw.Dense(source=target, target=target, weight=loop, delay=delay),
    ]


@st.composite
def cubas(draw, shape, *, entry=False):
    rng = np.random.default_rng(draw(SEEDS))
    low, high = draw(st.sampled_from([(0, 1), (-9, 30), (-300, 400), (-4096, 4096)]))
    bias = rng.integers(low, high, draw(st.sampled_from([()] if entry else [(), shape[:1], shape])))
    return hw.Cuba(
        v_th_mant=draw(st.sampled_from([1, 25, 80, 300, 2000, 40_000, hw.NEVER_FIRES])),
        i_decay=4096 if entry else draw(DECAYS),
        v_decay=draw(DECAYS),
        bias_mant=bias,
    )


def payload(first, bits, *, signed):
    """A source of at most `bits` bits whose largest spike keeps the sums of the first connection in range."""
    rows = np.abs(first.weight.astype(np.int64)).reshape(first.weight.shape[0] if first.weight.ndim else 1, -1)
    limit = LARGEST_INPUT if isinstance(first, hw.OneToOne) else LARGEST_SUM
    while bits and int(rows.sum(axis=1).max()) << bits > limit:
        bits -= 1
    return hw.Source(payload_bits=bits, signed=signed and bits > 1)


def overdriven(connection, population, draw):
    """The first layer made to overflow: one sign, and a current that hardly forgets."""
    weight = np.maximum(np.abs(connection.weight), 100)
    neuron = dataclasses.replace(population.neuron, i_decay=draw(st.sampled_from([0, 1, 60])), v_th_mant=hw.NEVER_FIRES)
    return dataclasses.replace(connection, weight=weight), dataclasses.replace(population, neuron=neuron)


@st.composite
def networks(draw):
    """A source, perhaps neurons right behind it, then 1 to 3 layers, convolutions before dense ones."""
    entry = draw(st.booleans())
    kinds = draw(st.sampled_from(["c", "d", "cc", "cd", "dd", "ccd", "cdd", "ddd"] + [""] * entry))
    image = "c" in kinds or draw(st.booleans())
    sides = [st.sampled_from(sizes) for sizes in ([2, 3, 4, 1], [5, 6, 4, 3, 1], [4, 7, 5, 2, 1])]
    shape = tuple(draw(side) for side in sides) if image else (draw(st.sampled_from([8, 12, 5, 1])),)
    names = ["in", *(["entry"] if entry else []), *(f"{kind}{i}" for i, kind in enumerate(kinds))]
    connections, populations = [], []
    start = shape
    for before, name in itertools.pairwise(names):
        if name == "entry":
            made = [hw.OneToOne(source=before, target=name, weight=np.array(draw(st.integers(-60, 200))))]
        elif name[0] == "c":
            made = [draw(convs(before, name, shape))]
        else:
            made = draw(denses(before, name, int(np.prod(shape))))
        shape = made[0].out_shape(shape)
        populations.append(hw.Population(name=name, shape=shape, neuron=draw(cubas(shape, entry=name == "entry"))))
        connections += made
    bits, signed = draw(st.sampled_from([0, 0, 1, 3, 6, 10, 13])), draw(st.booleans())
    if not entry and len(connections) == len(populations) and draw(st.integers(0, 3)) == 0:
        connections[0], populations[0] = overdriven(connections[0], populations[0], draw)
        bits, signed = 16, False
    source = hw.Population(name="in", shape=start, neuron=payload(connections[0], bits, signed=signed))
    return hw.Network(
        populations=(source, *populations),
        connections=tuple(connections),
        readout=hw.Readout(population=names[-1], kind=draw(st.sampled_from(["membrane", "spike_count"]))),
        n_steps=draw(st.sampled_from([5, 8, 3, 6, 4, 7])),
    )


@st.composite
def cases(draw):
    """(network, inputs (T, B, *shape) or (B, *shape)), with 1 or 2 samples and spikes of any density."""
    network = draw(networks())
    source = network.sources[0]
    rng = np.random.default_rng(draw(SEEDS))
    shape = ((network.n_steps,) if draw(st.booleans()) else ()) + (draw(st.integers(1, 2)), *source.shape)
    values = rng.integers(source.neuron.min_payload, source.neuron.max_payload + 1, shape)
    return network, values * (rng.random(shape) < draw(st.sampled_from([0.3, 0.8, 1.0])))

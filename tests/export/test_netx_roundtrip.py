"""Reading gives back the very network that was written, for random chains."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.export import netx

NAMES = st.text(max_size=8)  # any text: spaces, quotes, NUL, other scripts


@st.composite
def cubas(draw, shape):
    """A neuron with any bias: one value, one per channel, one per neuron, or broadcast along a row."""
    shapes = [(), shape[:1], shape]
    if len(shape) == 3:
        shapes.append((shape[0], 1, shape[2]))
    seed = draw(st.integers(0, 2**32 - 1))
    bias = np.random.default_rng(seed).integers(-2048, 2048, draw(st.sampled_from(shapes)))
    exponent = draw(st.sampled_from([6, 6, 0, 3, 7]))
    if exponent < 6:
        bias <<= 6 - exponent  # what a finer exponent holds of the file's own grid
    return hw.Cuba(
        v_th_mant=draw(st.integers(1, hw.NEVER_FIRES)),
        i_decay=draw(st.integers(0, 4096)),
        v_decay=draw(st.integers(0, 4096)),
        bias_mant=bias * draw(st.integers(0, 1)),
        bias_exp=exponent,
    )


def weights(draw, shape):
    """Random integers with at least one of each sign, which Lava keeps as they are."""
    values = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(-256, 255, shape)
    if values.size > 1:
        values.flat[0], values.flat[-1] = 1, -1
    else:
        values.flat[0] = abs(values.flat[0]) or 1
    return values


@st.composite
def convs(draw, source, target, shape):
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if shape[0] % g == 0]))
    kernel = [draw(st.integers(1, min(3, n))) for n in shape[1:]]
    dilation = [draw(st.integers(1, max(1, (n - 1) // max(1, k - 1)))) for n, k in zip(shape[1:], kernel, strict=True)]
    return hw.Conv(
        source=source,
        target=target,
        weight=weights(draw, (groups * draw(st.integers(1, 2)), shape[0] // groups, *kernel)),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        dilation=tuple(dilation),
        groups=groups,
    )


@st.composite
def delays(draw, shape):
    """No delay, one for all, one per output, or one per synapse."""
    shape = draw(st.sampled_from([(), (shape[0], 1), shape]))
    most = draw(st.sampled_from([0, 1, 62]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, most + 1, shape)


@st.composite
def sources(draw):
    bits = draw(st.integers(0, 10))
    return hw.Source(payload_bits=bits, signed=bits > 1 and draw(st.booleans()))


@st.composite
def denses(draw, source, target, inputs):
    """A dense connection, perhaps with one from the target to itself; both delayed only where netx can."""
    size = draw(st.integers(1, 4))
    shape = (size, inputs)
    if draw(st.booleans()):
        return [hw.Dense(source=source, target=target, weight=weights(draw, shape), delay=draw(delays(shape)))]
    forward, loop = (
        np.clip(w - w % 2, -254, 254) for w in (weights(draw, shape), weights(draw, (size, size)))
    )  # even, so that netx's common fit keeps both
    delay = draw(delays(shape)) if size == inputs else np.array(0)
    forward.flat[0] = 254 if delay.any() else 2  # fills 8 bits, so that delays do no harm
    return [
        hw.Dense(source=source, target=target, weight=forward, delay=delay),
        hw.Dense(source=target, target=target, weight=loop, delay=delay),
    ]


@st.composite
def chains(draw):
    """input (neurons)? -> conv* -> dense*, at least one layer, connections listed in any order."""
    n_conv, n_dense = draw(st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (0, 3)]))
    entry = n_conv + n_dense == 0 or draw(st.booleans())
    n_names = 1 + entry + n_conv + n_dense
    names = draw(st.lists(NAMES, min_size=n_names, max_size=n_names, unique=True))
    image = n_conv > 0 or draw(st.booleans())
    shape = tuple(draw(st.integers(1, 6)) for _ in range(3 if image else 1))
    populations = [hw.Population(name=names[0], shape=shape, neuron=draw(sources()))]
    connections = []
    for i, name in enumerate(names[1:]):
        neuron = None
        if entry and i == 0:
            made = [hw.OneToOne(source=names[0], target=name, weight=np.array(draw(st.integers(-20, 20))))]
            bias = np.array(draw(st.integers(-512, 512)))
            neuron = hw.Cuba(v_th_mant=draw(st.integers(1, 999)), v_decay=draw(st.integers(0, 4096)), bias_mant=bias)
        elif i < entry + n_conv:
            made = [draw(convs(names[i], name, shape))]
        else:
            made = draw(denses(names[i], name, int(np.prod(shape))))
        shape = made[0].out_shape(shape)
        populations.append(hw.Population(name=name, shape=shape, neuron=neuron or draw(cubas(shape))))
        connections += made
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(draw(st.permutations(connections))),
        readout=hw.Readout(
            population=draw(st.sampled_from(names)), kind=draw(st.sampled_from(["membrane", "spike_count"]))
        ),
        n_steps=draw(st.integers(1, 64)),
    )


@settings(deadline=None)
@given(chains())
def test_reading_gives_back_what_was_written(network):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.net"
        netx.write(network, path, chip=None)
        assert hw.same(netx.read(path), network)


@settings(deadline=None, max_examples=25)
@given(chains())
def test_without_our_group_the_layers_still_compute_the_same(network):
    """What others read: names are lost, numbers are not."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.net"
        netx.write(network, path, chip=None)
        with h5py.File(path, "a") as file:
            del file["spikeport"]
        found = netx.read(path, n_steps=network.n_steps)
        chain = netx.as_chain(network)
        for (connection, population), (here, target) in zip(chain, netx.as_chain(found), strict=True):
            assert type(here) is type(connection)
            assert target.shape == population.shape
            for field in ("v_th_mant", "i_decay", "v_decay"):
                assert getattr(target.neuron, field) == getattr(population.neuron, field)
            bias = population.neuron.bias_over(population.shape).astype(int) << population.neuron.bias_exp
            if isinstance(here, hw.OneToOne):
                transform = netx.read_transform(path)
                assert (int(here.weight), transform.weight) == (1, int(connection.weight))
                assert np.all(bias == transform.bias << 6)
                continue
            assert np.array_equal(here.weight, connection.weight)
            assert np.array_equal(target.neuron.bias_over(target.shape).astype(int) << 6, bias)
            for field in ("stride", "padding", "dilation", "groups", "delay"):
                assert np.array_equal(getattr(here, field, None), getattr(connection, field, None))
            for there, loop in zip(found.recurrent(target.name), network.recurrent(population.name), strict=True):
                assert np.array_equal(there.weight, loop.weight)
                assert np.array_equal(there.delay, loop.delay)


@pytest.fixture
def written(tmp_path):
    network = hw.Network(
        populations=(
            hw.Population(name="in", shape=(2,), neuron=hw.Source(payload_bits=5)),
            hw.Population(name="fc", shape=(1,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
        ),
        connections=(hw.Dense(source="in", target="fc", weight=np.array([[2, -2]])),),
        readout=hw.Readout(population="fc"),
        n_steps=6,
    )
    netx.write(network, tmp_path / "a.net")
    return tmp_path / "a.net"


def test_arguments_override_what_our_file_says(written):
    readout = hw.Readout(population="fc", kind="spike_count")
    network = netx.read(written, n_steps=9, payload_bits=2, readout=readout)
    assert network.n_steps == 9
    assert network.sources[0].neuron.payload_bits == 2
    assert network.readout == readout
    assert netx.read(written).n_steps == 6


def test_an_override_is_checked_too(written):
    with pytest.raises(hw.BadInput, match="n_steps is 0"):
        netx.read(written, n_steps=0)
    with pytest.raises(hw.BadInput, match="read-out population 'nobody'"):
        netx.read(written, readout=hw.Readout(population="nobody"))

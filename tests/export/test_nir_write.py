"""An integer network as NIR and back: every number the same, and readable by nir itself."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.export.floatgraph import Integrate, Linear, Spike
from spikeport.export.nir_read import read
from spikeport.export.nir_write import read_network, write

DECAYS = st.sampled_from([0, 1, 410, 2048, 4095, 4096])


@st.composite
def networks(draw: st.DrawFn) -> hw.Network:
    """Convolutions with groups and strides, dense layers with every form of delay, recurrence, one-to-one skips."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = draw(st.sampled_from([0, 0, 1, 8]))
    populations = [hw.Population(name="in/put", shape=(2, 5, 6), neuron=hw.Source(payload_bits=bits, signed=bits == 8))]
    connections: list[hw.Connection] = []

    def neuron(shape: tuple[int, ...], last: bool = False) -> hw.Cuba:
        form = draw(st.sampled_from([(), shape[:1], shape]))
        bias = rng.integers(-4096, 4096, form, dtype=np.int64) * draw(st.integers(0, 1))
        threshold = hw.NEVER_FIRES if last and draw(st.booleans()) else int(rng.integers(1, 1000))
        return hw.Cuba(
            v_th_mant=threshold,
            i_decay=draw(DECAYS),
            v_decay=draw(DECAYS),
            bias_mant=bias,
            bias_exp=draw(st.sampled_from([6, 6, 0, 7])),
        )

    kernel = draw(st.sampled_from([1, 3]))
    groups = draw(st.sampled_from([1, 2]))
    conv = hw.Conv(
        source="in/put",
        target="c",
        weight=rng.integers(-256, 256, (4, 2 // groups, kernel, kernel)),
        stride=draw(st.sampled_from([(1, 1), (2, 1)])),
        padding=draw(st.sampled_from([(0, 0), (1, 1)])),
        groups=groups,
    )
    shape = conv.out_shape((2, 5, 6))
    populations.append(hw.Population(name="c", shape=shape, neuron=neuron(shape)))
    connections.append(conv)
    if draw(st.booleans()):
        populations.append(hw.Population(name="copy", shape=shape, neuron=neuron(shape)))
        connections.append(hw.OneToOne(source="c", target="copy", weight=np.array(int(rng.integers(-9, 9)))))
    size, width = int(np.prod(shape)), 3
    delay = draw(st.sampled_from([(), (width, 1), (width, size)]))
    weight = rng.integers(-256, 256, (width, size))
    delays = rng.integers(0, 5, delay)
    connections.append(hw.Dense(source=populations[-1].name, target="d.1", weight=weight, delay=delays))
    if draw(st.booleans()):
        own = rng.integers(-256, 256, (width, width))
        connections.append(hw.Dense(source="d.1", target="d.1", weight=own, delay=rng.integers(0, 3, ())))
    populations.append(hw.Population(name="d.1", shape=(width,), neuron=neuron((width,), last=True)))
    kind = "membrane" if populations[-1].neuron.v_th_mant == hw.NEVER_FIRES else "spike_count"  # pyright: ignore
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=hw.Readout(population="d.1", kind=kind),
        n_steps=draw(st.integers(1, 9)),
    )


@settings(max_examples=40, deadline=None)
@given(net=networks())
def test_what_is_written_reads_back_as_the_same_network_and_nir_accepts_it(tmp_path_factory, net):
    path = tmp_path_factory.mktemp("nir") / "net.nir"
    write(net, path)
    assert hw.same(read_network(path), net)
    graph = nir.read(path)
    assert graph.check_types()
    read(path)


@pytest.fixture
def small() -> hw.Network:
    """Two inputs, two neurons that leak a half per step, an integrator."""
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2,), neuron=hw.Source()),
            hw.Population(
                name="lif",
                shape=(2,),
                neuron=hw.Cuba(v_th_mant=10, v_decay=2048, i_decay=1024, bias_mant=np.array([3, -5])),
            ),
            hw.Population(name="sum", shape=(1,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
        ),
        connections=(
            hw.Dense(source="in", target="lif", weight=np.array([[8, -2], [0, 6]])),
            hw.Dense(source="lif", target="sum", weight=np.array([[4, 2]])),
        ),
        readout=hw.Readout(population="sum"),
        n_steps=5,
    )


def test_times_are_in_timesteps_and_potentials_in_mantissas(small, tmp_path):
    write(small, tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    lif = graph.nodes["lif"]
    assert isinstance(lif, nir.CubaLIF)
    assert (lif.tau_mem[0], lif.tau_syn[0]) == (4096 / 2048, 4096 / 1024)
    # Gains of 1: w_in dt / tau_syn = 1 and r dt / tau_mem = 1 at dt = 1.
    assert (lif.r[0], lif.w_in[0]) == (lif.tau_mem[0], lif.tau_syn[0])
    np.testing.assert_array_equal(lif.v_leak / lif.tau_mem, [3, -5])
    np.testing.assert_array_equal(lif.v_threshold, [10, 10])
    assert lif.metadata == {"reset": "value", "fires": "above the threshold"}
    assert isinstance(graph.nodes["sum"], nir.I)


def test_our_own_file_reads_as_a_float_graph_with_the_same_equations(small, tmp_path):
    write(small, tmp_path / "net.nir")
    graph = read(tmp_path / "net.nir")
    lif = graph["lif"].op
    assert isinstance(lif, Spike)
    assert (lif.v_decay, lif.i_decay, lif.gain, lif.threshold, lif.strict) == (0.5, 0.25, 1.0, 10.0, True)
    np.testing.assert_allclose(lif.offset, [3, -5])
    assert isinstance(graph["sum"].op, Integrate)
    assert isinstance(graph["in->lif"].op, Linear)


def test_a_node_changed_after_writing_is_noticed(small, tmp_path):
    path = tmp_path / "net.nir"
    write(small, path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/in->lif/weight"][0, 0] = 9
    with pytest.raises(hw.BadInput, match="in->lif is not what the metadata say"):
        read_network(path)


def test_metadata_changed_after_writing_are_noticed(small, tmp_path):
    path = tmp_path / "net.nir"
    write(small, path)
    with h5py.File(path, "r+") as file:
        file["node/metadata/spikeport/weight_0"][0] = 9
    with pytest.raises(hw.BadInput, match="their own fingerprint"):
        read_network(path)


def test_a_file_of_others_has_no_integers(tmp_path):
    one = {"input": np.array([1])}
    nodes = {"input": nir.Input(one), "output": nir.Output({"output": np.array([1])})}
    nir.write(tmp_path / "x.nir", nir.NIRGraph(nodes=nodes, edges=[("input", "output")]))
    with pytest.raises(hw.BadInput, match="no integers of this project"):
        read_network(tmp_path / "x.nir")


def test_recurrence_of_a_population_with_positions_is_refused(tmp_path):
    net = hw.Network(
        populations=(
            hw.Population(name="in", shape=(1, 2, 2), neuron=hw.Source()),
            hw.Population(name="c", shape=(1, 2, 2), neuron=hw.Cuba(v_th_mant=3)),
        ),
        connections=(
            hw.OneToOne(source="in", target="c", weight=np.array(4)),
            hw.Dense(source="c", target="c", weight=np.ones((4, 4), np.int16)),
        ),
        readout=hw.Readout(population="c", kind="spike_count"),
        n_steps=2,
    )
    with pytest.raises(hw.UnsupportedLayer, match="recurrent synapses of a population of shape"):
        write(net, tmp_path / "x.nir")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(small, tmp_path):
    with pytest.raises(hw.BadInput, match="does not exist"):
        write(small, tmp_path / "nowhere" / "x.nir")

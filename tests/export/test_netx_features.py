"""Recurrent layers, delays and input layers with neurons: what is written, what is read, and what is refused."""

import dataclasses

import h5py
import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx

WEIGHT = np.array([[4, -6, 2], [8, 2, -2], [-4, 6, 10]])
LOOP = np.array([[0, -2, 4], [6, 0, -8], [2, 2, 0]])
CUBA = hw.Cuba(v_th_mant=30, i_decay=4096, v_decay=410)


def network(*connections, shapes=(("in", (3,)), ("a", (3,))), neuron=CUBA, source=None):
    (first, shape), *others = shapes
    populations = [hw.Population(name=first, shape=shape, neuron=source or hw.Source())]
    populations += [hw.Population(name=name, shape=shape, neuron=neuron) for name, shape in others]
    return hw.Network(
        populations=tuple(populations),
        connections=connections,
        readout=hw.Readout(population=populations[-1].name, kind="spike_count"),
        n_steps=5,
    )


def dense(source="in", target="a", weight=WEIGHT, **delay):
    return hw.Dense(source=source, target=target, weight=weight, **delay)


def one_to_one(weight, source="in", target="a"):
    return hw.OneToOne(source=source, target=target, weight=np.array(weight))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.net"


def stored(path):
    """The layers of a file as {field: value}, nested."""

    def values(group):
        return {name: values(item) if isinstance(item, h5py.Group) else item[()] for name, item in group.items()}

    with h5py.File(path) as file:
        return [values(file["layer"][str(i)]) for i in range(len(file["layer"]))]


def edit(path, changes):
    with h5py.File(path, "a") as file:
        for field, value in changes.items():
            if field in file:
                del file[field]
            if value is not None:
                file[field] = value


def test_a_recurrent_population_becomes_dense_rec(path):
    net = network(dense(), dense("a", "a", LOOP))
    netx.write(net, path)
    layer = stored(path)[1]
    assert layer["type"] == b"dense_rec"
    assert np.array_equal(layer["weight"], WEIGHT)
    assert np.array_equal(layer["weight_rec"], LOOP)
    assert "delay" not in layer
    assert hw.same(netx.read(path), net)


@pytest.mark.parametrize(
    ("delay", "in_file"),
    [
        (np.array(7), 7),
        (np.array([[1], [0], [62]]), [1, 0, 62]),  # per output, which is how netx reads one axis of a square matrix
        (np.arange(9).reshape(3, 3), np.arange(9).reshape(3, 3).tolist()),
    ],
)
def test_delays_are_stored_as_netx_spreads_them(path, delay, in_file):
    net = network(dense(delay=delay))
    netx.write(net, path)
    assert stored(path)[1]["delay"].tolist() == in_file
    assert hw.same(netx.read(path), net)


def test_no_delay_is_left_out(path):
    netx.write(network(dense(delay=np.zeros((3, 1), int))), path)
    assert "delay" not in stored(path)[1]


def test_one_delay_serves_both_matrices_of_a_recurrent_layer(path):
    weight = WEIGHT.copy()
    weight[0, 0] = 200  # fills 8 bits, so that netx does not shift
    delay = {"delay": np.arange(9).reshape(3, 3)}
    net = network(dense(weight=weight, **delay), dense("a", "a", LOOP, **delay))
    netx.write(net, path)
    assert stored(path)[1]["delay"].shape == (3, 3)
    assert hw.same(netx.read(path), net)


def test_neurons_behind_the_source_become_an_input_layer(path):
    neuron = hw.Cuba(v_th_mant=30, v_decay=410, bias_mant=np.array(-5))
    net = network(
        one_to_one(12),
        dense("a", "b"),
        shapes=(("in", (3,)), ("a", (3,)), ("b", (3,))),
        neuron=neuron,
        source=hw.Source(payload_bits=8, signed=True),
    )
    netx.write(net, path)
    first, second = stored(path)
    assert (first["type"], first["weight"], first["bias"]) == (b"input", 12, -5)
    assert first["weight"].shape == first["bias"].shape == ()  # netx takes int() of them
    assert first["neuron"] == {"type": b"CUBA", "iDecay": 4096, "vDecay": 410, "vThMant": 30}
    assert second["type"] == b"dense"
    assert hw.same(netx.read(path), net)
    assert netx.read_transform(path) == netx.Transform(weight=12, bias=-5)


def test_an_image_behind_input_neurons_is_flattened_for_a_dense_layer(path):
    shapes = (("in", (1, 3, 1)), ("a", (1, 3, 1)), ("b", (3,)))
    net = network(one_to_one(1), dense("a", "b"), shapes=shapes)
    netx.write(net, path)
    assert [layer["type"] for layer in stored(path)] == [b"input", b"flatten", b"dense"]
    assert hw.same(netx.read(path), net)


@pytest.mark.parametrize(
    ("mantissa", "exponent", "in_file"), [(3, 7, 6), (5, 6, 5), (16, 3, 2), (-64, 0, -1), (0, 0, None)]
)
def test_a_bias_exponent_is_folded_into_the_mantissa(path, mantissa, exponent, in_file):
    neuron = dataclasses.replace(CUBA, bias_mant=np.array(mantissa), bias_exp=exponent)
    net = network(dense(), neuron=neuron)
    netx.write(net, path, chip=None)
    bias = stored(path)[1].get("bias")
    assert (bias is None and in_file is None) or bias.tolist() == [in_file] * 3
    assert hw.same(netx.read(path), net)


def test_signed_payloads_are_kept(path):
    net = network(dense(), source=hw.Source(payload_bits=5, signed=True))
    netx.write(net, path)
    assert hw.same(netx.read(path), net)
    assert netx.read(path, payload_bits=3).sources[0].neuron == hw.Source(payload_bits=3, signed=True)


def test_files_without_the_newer_fields_keep_the_older_format(path):
    def version(net):
        netx.write(net, path, chip=None)
        with h5py.File(path) as file:
            return int(file["spikeport/format"][()])

    assert version(network(dense(), dense("a", "a", LOOP))) == 1
    assert version(network(dense(), source=hw.Source(payload_bits=2, signed=True))) == 2
    assert version(network(dense(), neuron=hw.Cuba(v_th_mant=1, bias_mant=np.array(1), bias_exp=7))) == 2


FULL = np.where(WEIGHT == 10, 200, WEIGHT)
THREE = (("in", (3,)), ("a", (3,)), ("b", (3,)))
WIDE = (("in", (1, 3, 1)), ("a", (1, 3, 1)))
CONV = hw.Conv(source="in", target="a", weight=np.array([[[[2]]]]))

REFUSED = {
    "delays of a recurrent layer that differ": (
        network(dense(weight=FULL, delay=np.array(2)), dense("a", "a", LOOP, delay=np.array(1))),
        "in -> a: its delays differ from the recurrent ones of a, and netx has one delay for both",
    ),
    "a delay on one side only": (
        network(dense(weight=FULL), dense("a", "a", LOOP, delay=np.array(1))),
        "in -> a: its delays differ",
    ),
    "delays of a recurrent layer that is not square": (
        network(
            dense(weight=FULL[:2], delay=np.array(2)),
            dense("a", "a", LOOP[:2, :2], delay=np.array(2)),
            shapes=(("in", (3,)), ("a", (2,))),
        ),
        r"in -> a: a dense_rec layer with delays and a weight of shape \(2, 3\) fails in Lava",
    ),
    "delays of a recurrent layer with small weights": (
        network(dense(delay=np.array(2)), dense("a", "a", LOOP, delay=np.array(2))),
        "in -> a: .* never shifted back, and its largest weight is 10",
    ),
    "recurrent weights Lava would change": (
        network(dense(), dense("a", "a", LOOP * 50)),
        "in -> a: Lava would multiply by .* where weight_rec",
    ),
    "one-to-one synapses further on": (
        network(dense(), one_to_one(2, "a", "b"), shapes=THREE),
        "a -> b: a netx file has one-to-one synapses right behind the source only; export.lowering.to_chain writes",
    ),
    "input neurons whose current remembers": (
        network(one_to_one(2), neuron=hw.Cuba(v_th_mant=3, i_decay=4095)),
        "in -> a: i_decay is 4095, but netx drives .* past the current; use 4096",
    ),
    "input neurons with different biases": (
        network(one_to_one(2), neuron=hw.Cuba(v_th_mant=3, bias_mant=np.array([1, 2, 1]))),
        "in -> a: the biases of a differ, a netx input layer has one",
    ),
    "an input beyond the bias register": (
        network(
            one_to_one(129),
            neuron=hw.Cuba(v_th_mant=3, bias_mant=np.array(-128)),
            source=hw.Source(payload_bits=9, signed=True),
        ),
        r"weight \* payload \+ bias can reach -33152, outside the -32768..32767",  # 129 * -256 - 128
    ),
    "a bias that is finer than the file's": (
        network(dense(), neuron=hw.Cuba(v_th_mant=3, bias_mant=np.array(9), bias_exp=5)),
        "a: a bias with exponent 5 is no multiple of 2\\^6, and a netx file always shifts by 6",
    ),
    "a folded bias beyond 16 bits": (
        network(dense(), neuron=hw.Cuba(v_th_mant=3, bias_mant=np.array(20000), bias_exp=7)),
        "a: bias mantissa 40000 is outside Lava's -32768..32767",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_lava_would_compute_differently_is_refused(path, what):
    net, match = REFUSED[what]
    with pytest.raises(hw.NotRepresentable, match=match):
        netx.write(net, path, chip=None)
    assert not path.exists()


def test_recurrence_behind_a_convolution_has_no_layer(path):
    net = network(CONV, dense("a", "a", LOOP), shapes=WIDE)
    with pytest.raises(
        hw.UnsupportedLayer, match=r"a -> a: netx has recurrent connections in dense layers only, .* Conv"
    ):
        netx.write(net, path, chip=None)


def test_two_recurrent_connections_of_one_population_are_refused(path):
    net = network(dense(), dense("a", "a", LOOP), dense("a", "a", LOOP))
    with pytest.raises(hw.UnsupportedLayer, match="a has 2 recurrent connections, a dense_rec layer has 1"):
        netx.write(net, path, chip=None)


# Other people's files: ours without the group `spikeport`, edited.


@pytest.fixture
def foreign(path):
    def save(net, **changes):
        netx.write(net, path, chip=None)
        edit(path, {"spikeport": None, **{f"layer/{name}": value for name, value in changes.items()}})
        return path

    return save


def test_a_foreign_recurrent_layer(foreign):
    net = netx.read(foreign(network(dense(), dense("a", "a", LOOP))), n_steps=2)
    assert [p.name for p in net.populations] == ["input", "dense1"]
    (loop,) = net.recurrent("dense1")
    assert np.array_equal(loop.weight, LOOP)


def test_a_recurrent_layer_of_one_neuron_may_be_flat(foreign):
    one = network(dense(weight=WEIGHT[:1]), dense("a", "a", [[2]]), shapes=(("in", (3,)), ("a", (1,))))
    flat = {"1/weight": WEIGHT[0], "1/weight_rec": np.array([2])}
    net = netx.read(foreign(one, **flat), n_steps=2)
    assert net.connections[0].weight.shape == (1, 3)
    assert net.recurrent("dense1")[0].weight.tolist() == [[2]]


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (np.float32(3.9), np.full((3, 3), 3)),  # cut, as netx does
        (np.array([1.0, 2.0, 3.0]), [[1, 1, 1], [2, 2, 2], [3, 3, 3]]),  # outputs, where inputs are as many
        (np.arange(9).reshape(3, 3), np.arange(9).reshape(3, 3)),
    ],
)
def test_foreign_delays_of_a_square_matrix(foreign, delay, expected):
    net = netx.read(foreign(network(dense()), **{"1/delay": delay}), n_steps=2)
    assert np.broadcast_to(net.connections[0].delay, (3, 3)).tolist() == np.asarray(expected).tolist()


def test_foreign_delays_per_input_where_the_sizes_tell(foreign):
    net = network(dense(weight=WEIGHT[:2]), shapes=(("in", (3,)), ("a", (2,))))
    found = netx.read(foreign(net, **{"1/delay": np.array([4, 5, 6])}), n_steps=2)
    assert found.connections[0].delay.tolist() == [[4, 5, 6], [4, 5, 6]]


def input_file(foreign, **changes):
    neuron = hw.Cuba(v_th_mant=30, v_decay=410, bias_mant=np.array(-5))
    net = network(one_to_one(12), dense("a", "b"), shapes=THREE, neuron=neuron)
    return foreign(net, **changes)


def test_a_foreign_input_layer_leaves_its_transform_to_the_caller(foreign):
    path = input_file(foreign, **{"0/neuron/iDecay": 1024})
    net = netx.read(path, n_steps=4)
    assert [p.name for p in net.populations] == ["input", "input0", "dense1"]
    assert net.sources[0].neuron == hw.Source(payload_bits=16, signed=True)
    synapses, _ = net.connections
    assert isinstance(synapses, hw.OneToOne)
    assert int(synapses.weight) == 1
    neuron = net["input0"].neuron
    assert (neuron.i_decay, neuron.v_decay, neuron.v_th_mant, int(neuron.bias_mant)) == (4096, 410, 30, 0)
    assert netx.read_transform(path) == netx.Transform(weight=12, bias=-5)


@pytest.mark.parametrize(
    ("changes", "weight", "bias"),
    [
        ({"0/weight": None, "0/bias": None}, 64, 0),  # netx's defaults
        ({"0/weight": np.array([36.0], np.float32), "0/bias": np.array([34.9])}, 36, 34),
        ({"0/weight": np.array([[-2.7]])}, -2, -5),
    ],
)
def test_transforms_of_other_people(foreign, changes, weight, bias):
    assert netx.read_transform(input_file(foreign, **changes)) == netx.Transform(weight=weight, bias=bias)


def test_an_input_without_neurons_has_no_transform(foreign):
    assert netx.read_transform(foreign(network(dense()))) is None


def test_the_neurons_of_an_input_layer_may_answer(foreign):
    net = netx.read(input_file(foreign), n_steps=2, num_layers=1)
    assert net.readout == hw.Readout(population="input0", kind="spike_count")


def test_num_layers_leaves_our_own_group_aside(path):
    net = network(dense(), dense("a", "b"), shapes=THREE)
    netx.write(net, path)
    assert [p.name for p in netx.read(path, num_layers=2, n_steps=3).populations] == ["input", "dense1"]

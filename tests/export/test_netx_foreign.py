"""Other people's files: every spelling netx accepts is read, everything else is refused by name."""

import h5py
import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx

NEURON = {"type": "LOIHI", "iDecay": 4096, "vDecay": 128, "vThMant": 80}


def conv_layer(**fields):
    """2 channels of 3 x 4 from 1 channel of 3 x 4, kernel 3 x 3, padding 1."""
    return {
        "type": "conv",
        "shape": np.array([2, 3, 4]),
        "weight": np.arange(18).reshape(2, 1, 3, 3) - 4,
        "stride": np.array([1, 1]),
        "padding": np.array([1, 1]),
        "dilation": np.array([1, 1]),
        "groups": 1,
        "neuron": NEURON,
        **fields,
    }


def dense_layer(**fields):
    return {
        "type": "dense",
        "shape": np.array([2]),
        "weight": np.arange(48).reshape(2, 24) - 20,
        "neuron": NEURON,
        **fields,
    }


def layers(*, conv=None, dense=None, source=None):
    return [
        {"type": "input", "shape": np.array([1, 3, 4]), **(source or {})},
        conv_layer(**(conv or {})),
        {"type": "flatten"},
        dense_layer(**(dense or {})),
    ]


@pytest.fixture
def store(tmp_path):
    """Writes a list of layers (dicts; a value of None leaves a field out) and returns the path."""

    def put(group, fields):
        for name, value in fields.items():
            if isinstance(value, dict):
                put(group.create_group(name), value)
            elif value is not None:
                group[name] = value

    def save(content):
        path = tmp_path / "foreign.net"
        with h5py.File(path, "w") as file:
            put(file.create_group("layer"), {str(i): fields for i, fields in enumerate(content)})
            file.create_group("simulation")["Ts"] = 1.0  # slayer's, ignored
        return path

    return save


def test_a_plain_foreign_file(store):
    network = netx.read(store(layers()), n_steps=5)
    assert [p.name for p in network.populations] == ["input", "conv1", "dense3"]
    assert [p.shape for p in network.populations] == [(1, 3, 4), (2, 3, 4), (2,)]
    assert network["conv1"].neuron.v_decay == 128
    assert network.readout == hw.Readout(population="dense3", kind="spike_count")
    assert network.sources[0].neuron.payload_bits == 0
    assert network.n_steps == 5


@pytest.mark.parametrize("text", ["conv", b"conv", np.bytes_("conv"), np.array([b"conv"]), np.array(["conv"], object)])
def test_types_may_be_any_kind_of_string(store, text):
    network = netx.read(store(layers(conv={"type": text})), n_steps=1)
    assert isinstance(network.incoming("conv1")[0], hw.Conv)


def test_neuron_parameters_may_have_shape_1(store):
    ones = {"type": "CUBA", "iDecay": np.array([1]), "vDecay": np.array([2], np.uint16), "vThMant": np.array([3])}
    neuron = netx.read(store(layers(conv={"neuron": ones})), n_steps=1)["conv1"].neuron
    assert (neuron.i_decay, neuron.v_decay, neuron.v_th_mant) == (1, 2, 3)


def test_neuron_parameters_may_be_arrays_of_one_value(store):
    same = {"type": "CUBA", "iDecay": np.full(2, 7), "vDecay": np.full((2, 1), 9), "vThMant": np.full((1,), 3)}
    neuron = netx.read(store(layers(conv={"neuron": same})), n_steps=1)["conv1"].neuron
    assert (neuron.i_decay, neuron.v_decay, neuron.v_th_mant) == (7, 9, 3)


def test_slayers_extra_fields_are_ignored(store):
    neuron = {**NEURON, "refDelay": 1, "gradedSpike": False}
    extra = {"neuron": neuron, "kernelSize": np.array([3, 3]), "inChannels": 1, "outChannels": 2}
    plain, more = (netx.read(store(layers(conv=fields)), n_steps=1) for fields in ({}, extra))
    assert hw.same(plain, more)


def test_float_weights_are_cut_towards_zero(store):
    weight = np.zeros((2, 24), np.float32)
    weight[0, :5] = [2.7, -0.9, -2.7, 0.9, 254.99]
    assert netx.read(store(layers(dense={"weight": weight})), n_steps=1).connections[1].weight[0, :5].tolist() == [
        2,
        0,
        -2,
        0,
        254,
    ]


def test_float_bias_is_cut_towards_zero(store):
    network = netx.read(store(layers(conv={"bias": np.array([1.9, -1.9])})), n_steps=1)
    assert network["conv1"].neuron.bias_over((2, 3, 4))[:, 0, 0].tolist() == [1, -1]


def test_bias_per_neuron_is_turned(store):
    bias = np.arange(24).reshape(4, 3, 2)  # (W, H, C)
    neuron = netx.read(store(layers(conv={"bias": bias})), n_steps=1)["conv1"].neuron
    for c, h, w in np.ndindex(2, 3, 4):
        assert neuron.bias_mant[c, h, w] == bias[w, h, c]


@pytest.mark.parametrize("bias", [3, np.array([3]), np.array([3, 3])])
def test_dense_bias_may_be_one_number(store, bias):
    neuron = netx.read(store(layers(dense={"bias": bias})), n_steps=1)["dense3"].neuron
    assert neuron.bias_over((2,)).tolist() == [3, 3]


def test_a_dense_layer_without_neuron_gets_netxs_default(store):
    network = netx.read(store(layers(dense={"neuron": None})), n_steps=1)
    neuron = network["dense3"].neuron
    assert (neuron.v_th_mant, neuron.i_decay, neuron.v_decay) == (1 << 17, 0, 4096)
    assert network.readout.kind == "membrane"  # it can never fire


@pytest.mark.parametrize(("shape", "weight"), [((2, 1, 1), (2, 24)), ((1,), (24,))])
def test_dense_spellings(store, shape, weight):
    network = netx.read(store(layers(dense={"shape": np.array(shape), "weight": np.ones(weight, np.int8)})), n_steps=1)
    assert network["dense3"].shape == (shape[0],)
    assert network.connections[1].weight.shape == (shape[0], 24)


def test_conv_spellings(store):
    weight = conv_layer()["weight"]
    scalars = {"stride": 1, "padding": 1, "dilation": 1, "weight": weight[..., None]}
    plain, short = (netx.read(store(layers(conv=fields)), n_steps=1) for fields in ({}, scalars))
    assert hw.same(plain, short)


def test_a_dense_layer_may_come_first(store):
    alone = netx.read(store([dense_layer()]), n_steps=1)
    after_vector = netx.read(store([{"type": "input", "shape": np.array([24])}, dense_layer()]), n_steps=1)
    assert alone.sources[0].shape == after_vector.sources[0].shape == (24,)


def test_an_image_may_be_flattened_at_once(store):
    source = {"type": "input", "shape": np.array([2, 3, 4])}
    for content in ([source, {"type": "flatten"}, dense_layer()], [source, dense_layer()]):
        assert netx.read(store(content), n_steps=1).sources[0].shape == (2, 3, 4)


def test_sample_length_must_be_given(store):
    with pytest.raises(hw.BadInput, match="does not say how long a sample lasts; give n_steps"):
        netx.read(store(layers()))


BAD_FIELDS = [
    # conv
    ({"conv": {"weight": None}}, r"layer: 1: weight is missing; the group holds dilation, groups"),
    ({"conv": {"neuron": None}}, "layer: 1: neuron is missing"),
    ({"conv": {"neuron": 3}}, "layer: 1: neuron: found dataset, expected a group"),
    ({"conv": {"weight": {"real": 1}}}, "layer: 1: weight: found group, expected a dataset"),
    ({"conv": {"weight": np.ones((2, 3, 3))}}, r"weight: found shape \(2, 3, 3\), expected \(out, in / groups"),
    ({"conv": {"weight": np.full((2, 1, 3, 3), np.nan)}}, "weight: found NaN or infinity, expected finite numbers"),
    ({"conv": {"weight": np.full((2, 1, 3, 3), -np.inf)}}, "weight: found NaN or infinity"),
    ({"conv": {"weight": np.full((2, 1, 3, 3), 1e12)}}, r"weight: found values up to 1e\+12"),
    ({"conv": {"weight": np.full((2, 1, 3, 3), 40000)}}, "weight 40000 is beyond 16 bits"),
    (
        {"conv": {"weight": np.ones((2, 1, 3, 3), complex)}},
        "weight: found dtype complex128, expected integers or floats",
    ),
    ({"conv": {"weight": np.full((2, 1, 3, 3), b"x")}}, r"weight: found dtype \|S1"),
    ({"conv": {"weight": h5py.Empty("f4")}}, "weight: found an empty dataset"),
    ({"conv": {"weight": np.ones((2, 2, 3, 3))}}, r"the weight takes 2 channels, but its source \(1, 3, 4\) has 1"),
    ({"conv": {"shape": np.array([2, 4, 3])}}, r"shape: found \(2, 4, 3\), expected \(2, 3, 4\)"),
    ({"conv": {"shape": np.array([2.0, 3.0, 4.0])}}, "shape: found dtype float64, expected integers"),
    ({"conv": {"shape": 3}}, r"shape: found shape \(\), expected 1 to 3 integers"),
    ({"conv": {"shape": np.array([0, 3, 4])}}, r"shape: found \(0, 3, 4\), expected positive"),
    ({"conv": {"stride": np.array([1])}}, r"stride: found shape \(1,\), expected one number or two"),
    ({"conv": {"stride": np.array([1, 0])}}, r"stride: found \(1, 0\), expected 1..127"),
    ({"conv": {"padding": np.array([-1, 0])}}, r"padding: found \(-1, 0\), expected 0..127"),
    ({"conv": {"dilation": np.array([128, 1])}}, r"dilation: found \(128, 1\), expected 1..127"),
    ({"conv": {"dilation": np.array([1.0, 1.0])}}, "dilation: found dtype float64, expected integers"),
    ({"conv": {"groups": np.array([1])}}, r"groups: found shape \(1,\), expected one value of shape \(\)"),
    ({"conv": {"groups": 128}}, "groups: found 128, expected 1..127"),
    ({"conv": {"groups": 2}}, "layer: 1: .* has 1"),
    ({"conv": {"bias": np.zeros(3)}}, r"bias: found shape \(3,\), expected \(2,\) or \(4, 3, 2\)"),
    ({"conv": {"bias": np.zeros((2, 3, 4))}}, r"bias: found shape \(2, 3, 4\), expected \(2,\) or \(4, 3, 2\)"),
    ({"conv": {"bias": 1}}, r"bias: found shape \(\)"),
    ({"conv": {"neuron": {**NEURON, "vThMant": 80.0}}}, "neuron: vThMant: found dtype float64, expected integers"),
    ({"conv": {"neuron": {**NEURON, "vThMant": -1}}}, "vThMant: found -1, expected 0.."),
    ({"conv": {"neuron": {**NEURON, "iDecay": 4097}}}, "iDecay: found 4097, expected 0..4096"),
    (
        {"conv": {"neuron": {**NEURON, "vDecay": np.array([1, 2])}}},
        r"vDecay: found 1\.\.2, expected one number, the same",
    ),
    ({"conv": {"neuron": {**NEURON, "vDecay": np.zeros(0, int)}}}, r"vDecay: found no value, expected one number"),
    ({"conv": {"neuron": {**NEURON, "vDecay": None}}}, "layer: 1: neuron: vDecay is missing"),
    ({"conv": {"type": "dense"}}, r"weight: found shape \(2, 1, 3, 3\), expected \(24, inputs\)"),
    ({"conv": {"type": np.array([b"conv", b"conv"])}}, r"type: found .* \(2,\), expected one string"),
    ({"conv": {"type": 7}}, "type: found int64"),
    ({"conv": {"type": b"c\xc3\xb6nv"}}, "type: found .* expected ASCII text"),
    ({"conv": {"type": None}}, "layer: 1: type is missing"),
    # dense
    ({"dense": {"weight": np.ones((3, 24))}}, r"weight: found shape \(3, 24\), expected \(2, inputs\)"),
    ({"dense": {"weight": np.ones((2, 23))}}, "takes 23 inputs, but its source .* has 24"),
    ({"dense": {"weight": np.ones(25)}}, r"weight: found shape \(25,\)"),
    ({"dense": {"bias": np.zeros((2, 1, 1))}}, r"bias: found shape \(2, 1, 1\)"),
    # input
    ({"source": {"shape": np.array([3, 4])}}, r"layer: 0: shape: found \(3, 4\), expected \(C, H, W\) or \(F,\)"),
    ({"source": {"shape": np.array([12])}}, r"layer: 1: conv follows a population of shape \(12,\)"),
    ({"source": {"shape": np.array([10**6, 10**6, 10**6])}}, "shape: found .* expected positive numbers of at most"),
    ({"source": {"type": "flatten"}}, "layer: 1: conv follows nothing"),
    (
        {"source": {"neuron": NEURON, "weight": np.array([1, 2])}},
        r"layer: 0: weight: found shape \(2,\), expected one n",
    ),
    ({"source": {"neuron": NEURON, "shape": None}}, "layer: 0: shape is missing"),
    # delays
    ({"dense": {"delay": np.zeros(5)}}, r"delay: found shape \(5,\), expected \(\), \(2,\), \(24,\) or \(2, 24\)"),
    ({"dense": {"delay": np.zeros((2, 1))}}, r"delay: found shape \(2, 1\), expected"),
    ({"dense": {"delay": -1}}, r"delay: found -1, expected 0..62"),
    # recurrence
    ({"dense": {"type": "dense_rec"}}, "layer: 3: weight_rec is missing"),
    (
        {"dense": {"type": "dense_rec", "weight_rec": np.ones((2, 3))}},
        r"weight_rec: found shape \(2, 3\), expected \(2, 2\)",
    ),
    (
        {"dense": {"type": "dense_rec", "weight_rec": np.ones((2, 2)), "delay": 0}},
        r"delay: found delays beside a weight of shape \(2, 24\), expected none: netx lays them over \(2, 2\) as well",
    ),
]


@pytest.mark.parametrize(("change", "match"), BAD_FIELDS)
def test_bad_fields_are_named(store, change, match):
    path = store(layers(**change))
    with pytest.raises(hw.BadInput, match=match) as caught:
        netx.read(path, n_steps=1)
    assert str(caught.value).startswith(f"{path}: layer")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"conv": {"delay": np.ones(2)}}, "layer: 1: a convolution with delays has no rule here"),
        ({"conv": {"type": "pool"}}, "layer: 1: pool has no rule here, nor in netx; supported: input, conv, flatten"),
        ({"conv": {"type": "average"}}, "layer: 1: average has no rule here"),
        ({"dense": {"type": "average"}}, "layer: 3: average has no rule in netx, .* with num_layers=3"),
        ({"conv": {"type": "convv"}}, "unknown layer type 'convv': did you mean 'conv'"),
        (
            {"conv": {"neuron": {**NEURON, "type": "SDNN"}}},
            "'SDNN' has no rule here: sigma-delta neurons send differences",
        ),
        ({"source": {"neuron": {**NEURON, "type": "SDNN"}}}, "layer: 0: neuron: neuron type 'SDNN' has no rule here"),
        (
            {"conv": {"neuron": {**NEURON, "type": "RF_PHASE"}}},
            "'RF_PHASE' has no rule here: resonate-and-fire neurons",
        ),
        ({"conv": {"neuron": {**NEURON, "type": "ALIF"}}}, "'ALIF' has no rule here: its threshold adapts"),
        ({"conv": {"neuron": {**NEURON, "type": "Izhikevich"}}}, "'Izhikevich' has no rule here: netx cannot build it"),
        ({"conv": {"neuron": {**NEURON, "messageBits": 8}}}, "netx cannot build a neuron with messageBits"),
    ],
)
def test_kinds_without_a_rule_are_named(store, change, match):
    with pytest.raises(hw.UnsupportedLayer, match=match):
        netx.read(store(layers(**change)), n_steps=1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dense": {"weight": np.zeros((2, 24))}}, "layer: 3: .* all weights are zero"),
        ({"dense": {"weight": np.full((2, 24), -1)}}, "layer: 3: .* Lava would multiply by 0 where"),
        ({"conv": {"bias": np.array([40000, 0])}}, "layer: 1: conv1: bias mantissa 40000 is outside Lava's"),
        ({"dense": {"delay": 63}}, "layer: 3: a delay of 63 timesteps is cut to 62 by netx"),
        (
            {"dense": {"type": "dense_rec", "weight": np.ones((2, 24)), "weight_rec": np.full((2, 2), 300)}},
            "layer: 3: .* Lava would multiply by 0 where weight",
        ),
    ],
)
def test_numbers_lava_would_change_are_refused(store, change, match):
    with pytest.raises(hw.NotRepresentable, match=match):
        netx.read(store(layers(**change)), n_steps=1)


def test_zero_delays_of_a_convolution_change_nothing(store):
    plain, delayed = (netx.read(store(layers(conv=fields)), n_steps=1) for fields in ({}, {"delay": np.zeros(2)}))
    assert hw.same(plain, delayed)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([], r"found 0 layers named \(none\)"),
        (layers()[:1], "found no layer that computes"),
        ([conv_layer()], "layer: 0: conv follows nothing"),
        ([*layers()[:2], layers()[3]], r"layer: 2: dense follows \(2, 3, 4\) directly, expected a flatten"),
        ([*layers(), layers()[0]], "layer: 4: found an input layer, expected it as layer 0 only"),
        ([*layers(), conv_layer()], r"layer: 4: conv follows a population of shape \(2,\)"),
        ([*layers(), {"type": "flatten"}, dense_layer(weight=np.ones((2, 2)))], r"layer: 5: flatten follows \(2,\)"),
    ],
)
def test_layers_must_follow_each_other(store, content, match):
    with pytest.raises(hw.BadInput, match=match):
        netx.read(store(content), n_steps=1)


def test_a_flatten_waits_for_the_next_dense_layer(store):
    """netx remembers it: before a convolution it does nothing, twice is once, and at the end it is forgotten."""
    flatten = {"type": "flatten"}
    source, conv, _, dense = layers()
    plain = netx.read(store(layers()), n_steps=1)
    for content in ([source, flatten, conv, dense], [source, conv, flatten, flatten, dense], [*layers(), flatten]):
        found = netx.read(store(content), n_steps=1)
        assert [c.weight.tolist() for c in found.connections] == [c.weight.tolist() for c in plain.connections]


def test_an_input_may_leave_its_shape_to_a_dense_layer(store):
    content = [{"type": "input"}, dense_layer()]
    assert netx.read(store(content), n_steps=1).sources[0].shape == (24,)


def test_only_the_first_layers_are_read_on_demand(store):
    content = [*layers(), {"type": "average", "shape": np.array([1])}]
    assert [p.name for p in netx.read(store(content), n_steps=1, num_layers=4).populations] == [
        "input",
        "conv1",
        "dense3",
    ]
    assert [p.name for p in netx.read(store(content), n_steps=1, num_layers=2).populations] == ["input", "conv1"]
    with pytest.raises(hw.BadInput, match=r"num_layers is 0; give 1\.\.5"):
        netx.read(store(content), n_steps=1, num_layers=0)


def test_layer_indices_have_no_gaps(store):
    path = store(layers())
    with h5py.File(path, "a") as file:
        file["layer"].move("2", "7")
    with pytest.raises(hw.BadInput, match=r"found 4 layers named 0, 1, 3, 7, expected 0, 1, 2, \.\.\. without gaps"):
        netx.read(path, n_steps=1)


def test_a_layer_is_a_group(store):
    path = store(layers())
    with h5py.File(path, "a") as file:
        del file["layer/1"]
        file["layer/1"] = 3
    with pytest.raises(hw.BadInput, match="layer: 1: found dataset, expected a group"):
        netx.read(path, n_steps=1)

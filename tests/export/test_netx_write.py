"""What a written file looks like to netx, what is refused, and that a file appears whole or not at all."""

import h5py
import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx

LAYER_FIELDS = {
    "input": {"type", "shape"},
    "flatten": {"type"},
    "conv": {"type", "shape", "weight", "stride", "padding", "dilation", "groups", "neuron", "bias"},
    "dense": {"type", "shape", "weight", "neuron", "bias"},
}


def image_net(*, bias=None, n_steps=3):
    """in (2, 5, 4) -> conv (4, 3, 4) -> out (3,)."""
    rng = np.random.default_rng(0)
    bias = np.arange(4) if bias is None else bias
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2, 5, 4), neuron=hw.Source(payload_bits=3)),
            hw.Population(
                name="conv", shape=(4, 3, 4), neuron=hw.Cuba(v_th_mant=30, i_decay=410, v_decay=7, bias_mant=bias)
            ),
            hw.Population(name="out", shape=(3,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES, bias_mant=np.array(1))),
        ),
        connections=(
            hw.Conv(
                source="in",
                target="conv",
                weight=2 * rng.integers(-9, 9, (4, 1, 3, 2)),
                stride=(2, 1),
                padding=(1, 1),
                dilation=(1, 2),
                groups=2,
            ),
            hw.Dense(source="conv", target="out", weight=2 * rng.integers(-9, 9, (3, 48))),
        ),
        readout=hw.Readout(population="out"),
        n_steps=n_steps,
    )


def dense_net(weight, **neuron):
    weight = np.array(weight)
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=weight.shape[1:], neuron=hw.Source()),
            hw.Population(name="fc", shape=weight.shape[:1], neuron=hw.Cuba(**{"v_th_mant": 9, **neuron})),
        ),
        connections=(hw.Dense(source="in", target="fc", weight=weight),),
        readout=hw.Readout(population="fc", kind="spike_count"),
        n_steps=2,
    )


def test_layers_are_what_netx_expects(tmp_path):
    netx.write(image_net(), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net") as file:
        layers = [file["layer"][str(i)] for i in range(len(file["layer"]))]
        assert [layer["type"][()] for layer in layers] == [b"input", b"conv", b"flatten", b"dense"]
        for layer in layers:
            assert set(layer) == LAYER_FIELDS[layer["type"][()].decode()]
        conv, dense = layers[1], layers[3]
        assert layers[0]["shape"][()].tolist() == [2, 5, 4]
        assert conv["weight"].shape == (4, 1, 3, 2)
        assert [conv[field][()].tolist() for field in ("stride", "padding", "dilation")] == [[2, 1], [1, 1], [1, 2]]
        assert conv["groups"].shape == ()
        assert dense["weight"].shape == (3, 48)
        for layer in (conv, dense):
            assert layer["weight"].dtype.kind == layer["bias"].dtype.kind == "i"
            neuron = layer["neuron"]
            assert set(neuron) == {"type", "iDecay", "vDecay", "vThMant"}
            assert neuron["type"][()] == b"CUBA"
            for field in ("iDecay", "vDecay", "vThMant"):
                assert neuron[field].shape == ()
                assert neuron[field].dtype.kind == "i"
        assert [conv["neuron"][field][()] for field in ("iDecay", "vDecay", "vThMant")] == [410, 7, 30]


def test_bias_is_per_channel_where_it_can_be(tmp_path):
    netx.write(image_net(bias=np.arange(4)), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net") as file:
        assert file["layer/1/bias"][()].tolist() == [0, 1, 2, 3]
        assert file["layer/3/bias"][()].tolist() == [1, 1, 1]


def test_bias_per_neuron_is_in_width_height_channel_order(tmp_path):
    bias = np.arange(48).reshape(4, 3, 4)
    netx.write(image_net(bias=bias), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net") as file:
        stored = file["layer/1/bias"][()]
    assert stored.shape == (4, 3, 4)
    for c, h, w in np.ndindex(4, 3, 4):
        assert stored[w, h, c] == bias[c, h, w]


def test_no_bias_is_left_out(tmp_path):
    netx.write(dense_net([[2, -2]]), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net") as file:
        assert "bias" not in file["layer/1"]


def test_equal_networks_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        netx.write(image_net(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def branching(*, merge):
    """in -> a -> b, in -> c, and b, c -> d if merge."""
    weight = np.array([[2, -2], [-2, 2]])

    def dense(source, target):
        return hw.Dense(source=source, target=target, weight=weight)

    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2,), neuron=hw.Source()),
            *(hw.Population(name=name, shape=(2,), neuron=hw.Cuba(v_th_mant=1)) for name in "abcd"),
        ),
        connections=(
            dense("in", "a"),
            dense("a", "b"),
            dense("b", "c"),
            *((dense("c", "d"), dense("a", "d")) if merge else (dense("a", "d"),)),
        ),
        readout=hw.Readout(population="d", kind="spike_count"),
        n_steps=1,
    )


def test_a_branching_graph_is_refused():
    with pytest.raises(
        hw.UnsupportedLayer, match=r"a has 2 outgoing connections \(b, d\); a netx file holds one chain"
    ):
        netx.as_chain(branching(merge=False))


def test_a_merging_graph_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(hw.UnsupportedLayer, match=r"relay channels of the main path"):
        netx.write(branching(merge=True), tmp_path / "a.net")
    assert list(tmp_path.iterdir()) == []


def test_two_sources_are_refused():
    net = dense_net([[2, -2]])
    two = hw.Network(
        populations=(*net.populations, hw.Population(name="other", shape=(1,), neuron=hw.Source())),
        connections=net.connections,
        readout=net.readout,
        n_steps=1,
    )
    with pytest.raises(hw.UnsupportedLayer, match=r"2 sources \(in, other\), a netx file has exactly 1"):
        netx.as_chain(two)


def test_a_source_alone_is_refused():
    alone = hw.Network(
        populations=(hw.Population(name="in", shape=(1,), neuron=hw.Source()),),
        connections=(),
        readout=hw.Readout(population="in", kind="spike_count"),
        n_steps=1,
    )
    with pytest.raises(hw.UnsupportedLayer, match="in leads nowhere"):
        netx.as_chain(alone)


@pytest.mark.parametrize(
    ("net", "match"),
    [
        (dense_net([[0, 0]]), "in -> fc: all weights are zero"),
        (dense_net([[-64, 0]]), r"Lava would multiply by -32 where weight\[0, 0\] is -64"),
        (dense_net([[2, -2]], i_decay=4097), "fc: i_decay 4097 is outside Lava's 0..4096"),
        (dense_net([[2, -2]], v_decay=-1), "fc: v_decay -1 is outside"),
        (dense_net([[2, -2]], v_th_mant=-1), "fc: threshold mantissa -1 is outside"),
        (dense_net([[2, -2]], v_th_mant=1 << 25), "fc: threshold mantissa 33554432 is outside"),
        (dense_net([[2, -2]], bias_mant=np.array([32768])), "fc: bias mantissa 32768 is outside Lava's -32768..32767"),
        (dense_net([[2, -2]], bias_mant=np.array([-32769])), "fc: bias mantissa -32769 is outside"),
    ],
)
def test_numbers_lava_would_change_are_refused_whatever_the_chip(tmp_path, net, match):
    with pytest.raises(hw.NotRepresentable, match=match):
        netx.write(net, tmp_path / "a.net", chip=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("groups", "stride", "match"), [(128, 1, "128 groups exceed 127"), (1, 128, "128 exceeds 127")]
)
def test_conv_fields_are_int8(tmp_path, groups, stride, match):
    net = hw.Network(
        populations=(
            hw.Population(name="in", shape=(groups, 1, 1), neuron=hw.Source()),
            hw.Population(name="out", shape=(groups, 1, 1), neuron=hw.Cuba(v_th_mant=1)),
        ),
        connections=(
            hw.Conv(
                source="in",
                target="out",
                weight=np.ones((groups, 1, 1, 1), np.int16),
                groups=groups,
                stride=(stride, 1),
            ),
        ),
        readout=hw.Readout(population="out", kind="spike_count"),
        n_steps=1,
    )
    with pytest.raises(hw.NotRepresentable, match=match):
        netx.write(net, tmp_path / "a.net", chip=None)


def test_the_chip_is_asked_first(tmp_path):
    odd = dense_net([[3, -2]])
    with pytest.raises(hw.NotRepresentable, match="must be multiples of 2"):
        netx.write(odd, tmp_path / "a.net")
    netx.write(odd, tmp_path / "a.net", chip=None)  # Lava's CPU model keeps odd weights
    assert hw.same(netx.read(tmp_path / "a.net"), odd)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.net"
    netx.write(dense_net([[2, -2]]), path)
    before = path.read_bytes()

    def fail(*_args):
        raise OSError("disk full")

    monkeypatch.setattr("spikeport.export.netx_write._write_extras", fail)
    with pytest.raises(OSError, match="disk full"):
        netx.write(dense_net([[4, -4]]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_writing_replaces_a_file_that_is_there(tmp_path):
    for scale in (2, 4):
        netx.write(dense_net([[scale, -2]]), tmp_path / "a.net")
    assert netx.read(tmp_path / "a.net").connections[0].weight[0, 0] == 4


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(hw.BadInput, match=r"the folder .*nowhere does not exist"):
        netx.write(dense_net([[2, -2]]), tmp_path / "nowhere" / "a.net")

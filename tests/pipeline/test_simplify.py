"""Plain layers only: average pools folded, units without neurons left out, and the same spikes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spikeport.hw import NotRepresentable, UnsupportedLayer
from spikeport.models import (
    ARCHITECTURES,
    INPUT,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Unit,
)
from spikeport.models.zoo.preactivation import wide_resnet
from spikeport.models.zoo.resnet import resnet
from spikeport.models.zoo.spikformer import spikformer
from spikeport.models.zoo.vgg import vgg
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.simplify import notices_of, simplify, why_not_on_chip
from torch.nn import functional

from . import tiny_nets


def network(*units: Unit, shape: tuple[int, ...] = (4, 8, 8)) -> GraphNet:
    """A folded float64 ANN of these units, with biases."""
    architecture = Architecture(name="net", input_shape=shape, n_classes=units[-1].channels, units=units, taps=())
    return fold_batchnorm(tiny_nets.ann(architecture)).double()


def same_outputs(net: GraphNet) -> GraphNet:
    """Simplify a network; every remaining unit must give what it gave. Returns the plain network."""
    plain = simplify(net)
    assert plain.architecture.plain
    names = [unit.name for unit in plain.architecture.units]
    x = tiny_nets.images(net.architecture, 3).double()
    with torch.no_grad():
        (_, expected), (_, got) = net(x, names), plain(x, names)
    for name in names:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-10, atol=1e-10)
    return plain


def conv_of(net: GraphNet, name: str = "a") -> ConvWire:
    (wire,) = net.architecture.units[[unit.name for unit in net.architecture.units].index(name)].wires
    assert isinstance(wire, ConvWire)
    return wire


@settings(deadline=None, max_examples=40)
@given(
    pool=st.integers(2, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    side=st.integers(2, 4),
)
def test_an_average_pool_folds_into_the_convolution_after_it(pool, kernel, stride, padding, dilation, groups, side):
    """T-HW-2: equal to AvgPool, then Conv, at the borders too: kernel K k, stride s k, padding p k, weights W / k^2."""
    assume(all(dilation * (k - 1) < side + 2 * padding for k in kernel))
    wire = ConvWire(
        source=INPUT,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        norm=False,
        pool=pool,
    )
    net = network(Unit(name="a", channels=4, wires=(wire,)), shape=(4, side * pool, side * pool))
    plain = same_outputs(net)
    weight, bias = (
        net.state_dict()["nodes.a.synapses.0.weighted.weight"],
        net.state_dict()["nodes.a.synapses.0.weighted.bias"],
    )
    x = tiny_nets.images(net.architecture, 3).double()
    expected = functional.conv2d(functional.avg_pool2d(x, pool), weight, bias, stride, padding, dilation, groups)
    torch.testing.assert_close(plain(x)[0].detach(), expected, rtol=0, atol=1e-6)
    folded = conv_of(plain)
    assert folded.window.stride == (stride * pool, stride * pool)
    assert folded.window.padding == (padding * pool, padding * pool)
    assert folded.window.kernel == tuple((dilation * (k - 1) + 1) * pool for k in kernel)


def test_the_mean_over_a_whole_map_becomes_the_mean_of_the_chip():
    """T-HW-3: pools over all 4 x 4 positions, then Linear, is Linear over 4 x 4 x 4 with each weight / 16 repeated."""
    a = Unit(name="a", channels=4, wires=(ConvWire(source=INPUT, stride=2),))
    net = network(a, Unit(name="out", channels=3, wires=(LinearWire(source="a", pool=4),)))
    plain = same_outputs(net)
    assert plain.architecture.units[-1].wires == (LinearWire(source="a", mean=True),)
    weight = plain.state_dict()["nodes.out.synapses.0.weighted.weight"]
    assert torch.equal(weight, net.state_dict()["nodes.out.synapses.0.weighted.weight"])
    x = tiny_nets.images(net.architecture, 3).double()
    with torch.no_grad():
        logits, taps = plain(x, ["a"])
    repeated = (weight / 16).repeat_interleave(16, dim=1)
    bias = plain.state_dict()["nodes.out.synapses.0.weighted.bias"]
    torch.testing.assert_close(logits, taps["a"].flatten(1) @ repeated.T + bias, rtol=1e-10, atol=1e-10)


def test_an_average_pool_folds_into_a_matrix():
    """T-HW-3: the weights of a 2 x 2 map of means, each over four positions of 4 x 4."""
    a = Unit(name="a", channels=4, wires=(ConvWire(source=INPUT, stride=2),))
    net = network(a, Unit(name="out", channels=3, wires=(LinearWire(source="a", pool=2),)))
    weight = same_outputs(net).state_dict()["nodes.out.synapses.0.weighted.weight"].reshape(3, 4, 4, 4)
    for row in (0, 2):
        for column in (0, 2):
            window = weight[:, :, row : row + 2, column : column + 2]
            assert torch.equal(window, window[:, :, :1, :1].expand_as(window))


@pytest.mark.parametrize("side", [8, 16])
def test_linear_layers_in_a_row_become_one(side):
    """T-HW-4: the head of SASTC's VGG-11, 3 matrices without neurons between, small."""
    layers = (4, (6, 2), 6, (8, 2))
    architecture = vgg((2, side, side), 5, name="small", layers=layers, head=(16, 16), head_activation="none")
    net = fold_batchnorm(tiny_nets.ann(architecture)).double()
    plain = same_outputs(net)
    assert [unit.name for unit in plain.architecture.units] == ["conv1", "conv2", "conv3", "conv4", "readout"]
    assert plain.architecture.units[-1].wires == (LinearWire(source="conv4"),)
    state, before = plain.state_dict(), net.state_dict()
    matrices = [before[f"nodes.{name}.synapses.0.weighted.weight"] for name in ("readout", "fc2", "fc1")]
    torch.testing.assert_close(state["nodes.readout.synapses.0.weighted.weight"], torch.linalg.multi_dot(matrices))


def test_a_chain_behind_a_spatial_mean_stays_behind_it():
    """T-HW-4: CKDSNN's head, mean - 256 - classes without neurons."""
    architecture = resnet(
        (2, 8, 8),
        3,
        name="r",
        stem=4,
        widths=(4, 6),
        blocks=(1, 1),
        pooled_shortcuts=True,
        head=9,
        head_activation="none",
    )
    plain = same_outputs(fold_batchnorm(tiny_nets.ann(architecture)).double())
    assert plain.architecture.units[-1].wires == (LinearWire(source="stage2.1b", mean=True),)
    shortcut = next(unit for unit in plain.architecture.units if unit.name == "stage2.1b").wires[1]
    assert isinstance(shortcut, ConvWire)
    assert shortcut.window == ((2, 2), (2, 2), (0, 0), (1, 1))


def test_what_reads_a_sum_of_spikes_reads_each_with_the_same_weights():
    """SEW: the sum of a sum and of spikes, read by a convolution, a projection and a mean."""
    add = {"channels": 4, "activation": "none"}
    net = network(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=4, wires=(ConvWire(source="a"),)),
        Unit(name="first", wires=(IdentityWire(source="a"), IdentityWire(source="b")), **add),
        Unit(name="c", channels=4, wires=(ConvWire(source="first"),)),
        Unit(name="second", wires=(IdentityWire(source="first"), IdentityWire(source="c", scale=2.0)), **add),
        Unit(name="out", channels=3, wires=(LinearWire(source="second", mean=True),)),
    )
    plain = same_outputs(net)
    units = {unit.name: unit for unit in plain.architecture.units}
    assert [wire.source for wire in units["c"].wires] == ["a", "b"]
    assert [wire.source for wire in units["out"].wires] == ["a", "b", "c"]
    state = plain.state_dict()
    assert torch.equal(state["nodes.c.synapses.0.weighted.weight"], state["nodes.c.synapses.1.weighted.weight"])
    torch.testing.assert_close(
        state["nodes.out.synapses.2.weighted.weight"], 2 * state["nodes.out.synapses.0.weighted.weight"]
    )
    assert "nodes.c.synapses.1.weighted.bias" not in state  # it counts once


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    mean=st.booleans(),
)
def test_a_matrix_of_a_convolutions_sums_is_a_matrix_of_its_source(kernel, stride, padding, dilation, groups, mean):
    """Every geometry: taps that fall on zeros around the source, and rows that no window reaches, count for nothing."""
    conv = ConvWire(
        source="a", kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, norm=False
    )
    net = network(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="sums", channels=4, wires=(conv,), activation="none"),
        Unit(name="out", channels=3, wires=(LinearWire(source="sums", mean=mean),)),
        shape=(2, 7, 8),
    )
    plain = same_outputs(net)
    assert plain.architecture.units[-1].wires == (LinearWire(source="a"),)
    assert [unit.name for unit in plain.architecture.units] == ["a", "out"]


def test_ways_that_meet_again_are_one_wire():
    add = {"channels": 4, "activation": "none"}
    net = network(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="twice", wires=(IdentityWire(source="a"), IdentityWire(source="a", scale=0.5)), **add),
        Unit(name="out", channels=3, wires=(LinearWire(source="twice"), LinearWire(source="a"))),
    )
    plain = same_outputs(net)
    assert plain.architecture.units[-1].wires == (LinearWire(source="a"),)
    before = net.state_dict()
    expected = 1.5 * before["nodes.out.synapses.0.weighted.weight"] + before["nodes.out.synapses.1.weighted.weight"]
    torch.testing.assert_close(plain.state_dict()["nodes.out.synapses.0.weighted.weight"], expected)


def test_the_stream_of_a_wide_resnet_is_projected_from_every_block_of_the_stage():
    """WRN-16-1: two blocks in a stage, so the third reader of the stream reads both and the stage's shortcut."""
    architecture = wide_resnet((2, 8, 8), 3, name="wrn", depth=16, width=2)
    plain = same_outputs(fold_batchnorm(tiny_nets.ann(architecture)).double())
    units = {unit.name: unit for unit in plain.architecture.units}
    assert not any(unit.linear for unit in plain.architecture.units)
    assert [wire.source for wire in units["stage1.2a"].wires] == ["stage1.1b", "stage1.1a"]
    assert [wire.source for wire in units["stage2.1a"].wires] == ["stage1.2b", "stage1.1b", "stage1.1a"]
    assert [wire.source for wire in units["stage1.1a"].wires] == [INPUT]
    assert plain.architecture.taps == ("end",)


def test_a_shift_before_a_padded_convolution_is_a_bias_per_neuron():
    """Spikes through a batch norm and a 3 x 3 convolution: zeros around the map are not shifted."""
    net = network(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="norm", channels=4, wires=(IdentityWire(source="a", norm=True),), activation="none"),
        Unit(name="b", channels=5, wires=(ConvWire(source="norm", stride=2),)),
        Unit(name="out", channels=3, wires=(LinearWire(source="b"),)),
    )
    plain = same_outputs(net)
    assert conv_of(plain, "b").bias == "neuron"
    bias = dict(plain.node("b").named_parameters())["synapses.0.bias"]
    assert bias.shape == (5, 4, 4)
    assert not torch.equal(bias[:, 0, 0], bias[:, 1, 1])


@pytest.mark.parametrize("channels", [4, 7])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("norm", [False, True])
def test_a_shortcut_that_pools_norms_or_pads_becomes_a_convolution(channels, pool, norm):
    wire = IdentityWire(source="a", pool=pool, norm=norm, pad=channels > 4, scale=1.5)
    net = network(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=channels, wires=(ConvWire(source="a", stride=pool), wire)),
        Unit(name="out", channels=3, wires=(LinearWire(source="b"),)),
    )
    plain = same_outputs(net)
    made = plain.architecture.units[1].wires[1]
    if channels == 4 and pool == 1 and not norm:
        assert made == wire
    else:
        assert isinstance(made, ConvWire)
        assert made.window == ((pool, pool), (pool, pool), (0, 0), (1, 1))
        assert made.groups == (4 if channels == 4 else 1)


@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
def test_a_plain_network_stays_as_it_is(name):
    _, net = tiny_nets.converted(tiny_nets.WITH_VARIED[name]())
    plain = simplify(net)
    assert plain.architecture == net.architecture
    before, after = net.state_dict(), plain.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(value.data_ptr() != after[key].data_ptr() for key, value in before.items() if value.numel())


def test_taps_that_remain_are_kept_and_without_any_all_populations_are_tapped():
    architecture = wide_resnet((2, 8, 8), 3, name="wrn", depth=10, width=1)
    kept = simplify(fold_batchnorm(tiny_nets.ann(architecture))).architecture
    assert kept.taps == kept.stages == ("end",)
    add = Unit(name="sum", channels=4, wires=(IdentityWire(source="a"), IdentityWire(source="b")), activation="none")
    units = (
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="pool", channels=4, wires=(PoolWire(source="a"),)),
        Unit(name="b", channels=4, wires=(ConvWire(source="a"),)),
        add,
        Unit(name="out", channels=3, wires=(LinearWire(source="sum"), LinearWire(source="pool"))),
    )
    only_sums = Architecture(name="net", input_shape=(4, 8, 8), n_classes=3, units=units, taps=("sum",))
    assert simplify(fold_batchnorm(tiny_nets.ann(only_sums))).architecture.taps == ("a", "b")


def test_attention_is_refused_with_the_reason():
    net = fold_batchnorm(tiny_nets.ann(spikformer((2, 8, 8), 3, name="small", depth=1, width=16, heads=2)))
    with pytest.raises(
        UnsupportedLayer, match=r"small/block1\.attention: attention multiplies spike trains, .* deploy"
    ):
        simplify(net)


def test_a_convolution_of_a_sum_of_convolutions_is_refused():
    net = network(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),), activation="none"),
        Unit(name="b", channels=4, wires=(ConvWire(source="a"),)),
        Unit(name="out", channels=3, wires=(LinearWire(source="b"),)),
    )
    message = (
        "net/b: it is a convolution of a, which has no neurons and is itself a convolution of input.*give a neurons"
    )
    with pytest.raises(NotRepresentable, match=message):
        simplify(net)


def test_an_average_pool_that_leaves_positions_out_is_refused():
    a = Unit(name="a", channels=4, wires=(ConvWire(source=INPUT, pool=3, norm=False),))
    with pytest.raises(
        NotRepresentable, match="input: an average pool of 3 x 3 leaves a part of its 8 x 8 positions out"
    ):
        simplify(network(a))


REFUSED = {
    "pyramidnet20": "which has no neurons",
    "spikformer_4_384": "attention multiplies spike trains",
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_before_any_training_it_is_known_what_can_go_to_a_chip(name):
    shape = (2, 48, 48) if name in ("vggsnn", "ckd_vggsnn", "ckd_resnet18") else (3, 32, 32)
    reason = why_not_on_chip(ARCHITECTURES[name](shape, 10))
    if name in REFUSED:
        assert reason is not None
        assert reason.startswith(f"{name}/")
        assert REFUSED[name] in reason
    else:
        assert reason is None


def test_every_layer_that_changed_is_named():
    architecture = vgg((2, 8, 8), 3, name="v", layers=(4, "A", 4), head=(8,), head_activation="none")
    rows = {row["layer"]: row for row in notices_of(architecture)}
    assert set(rows) == {"conv2", "fc1"}
    assert rows["conv2"]["what"] == "average pool of 2 x 2 folded into the layer after it"
    assert rows["fc1"]["what"].startswith("left out")
    assert notices_of(tiny_nets.varied()) == []

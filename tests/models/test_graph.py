"""One walk over the graph: the ANN against plain torch, its spiking twin, and what is kept on the way."""

from __future__ import annotations

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import (
    INPUT,
    PROFILES,
    Architecture,
    Attention,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    Unit,
    as_spiking,
    build_ann,
    outline,
)
from spikeport.models.graph import attend
from spikeport.models.zoo.resnet import resnet
from torch.nn import functional


def tiny() -> Architecture:
    """One block with an identity shortcut, one with a projection."""
    return resnet((2, 8, 8), 3, name="tiny", stem=4, widths=(4, 6), blocks=(1, 1))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(net: GraphNet, x: torch.Tensor) -> torch.Tensor:
    """The tiny ANN written out in plain torch, from its state dict."""
    state = net.state_dict()

    def conv_norm(name: str, wire: int, x: torch.Tensor, stride: int) -> torch.Tensor:
        at = f"nodes.{name}.synapses.{wire}."
        weight = state[at + "weighted.weight"]
        y = functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2)
        norm = [state[at + f"norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(y, *norm)

    stem = conv_norm("stem", 0, x, 1).relu()
    first = (conv_norm("stage1_1b", 0, conv_norm("stage1_1a", 0, stem, 1).relu(), 1) + stem).relu()
    inner = conv_norm("stage2_1a", 0, first, 2).relu()
    second = (conv_norm("stage2_1b", 0, inner, 1) + conv_norm("stage2_1b", 1, first, 2)).relu()
    at = "nodes.readout.synapses.0.weighted."
    return functional.linear(second.mean(dim=(2, 3)), state[at + "weight"], state[at + "bias"])


def test_the_ann_is_the_network_it_describes():
    net = build_ann(tiny(), rng())
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(8, 2, 8, 8, generator=rng(1)))  # running statistics away from 0 and 1
        net.eval()
        x = torch.rand(4, 2, 8, 8, generator=rng(2))
        torch.testing.assert_close(net(x)[0], by_hand(net, x), rtol=1e-5, atol=1e-6)


def test_a_generator_decides_every_weight():
    first, second, other = (build_ann(tiny(), rng(seed)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_convolutions_start_with_hes_variance():
    wide = Unit(name="a", channels=64, wires=(ConvWire(source=INPUT),))
    out = Unit(name="out", channels=2, wires=(LinearWire(source="a", mean=True),))
    architecture = Architecture(name="wide", input_shape=(64, 4, 4), n_classes=2, units=(wide, out), taps=())
    weight = build_ann(architecture, rng()).state_dict()["nodes.a.synapses.0.weighted.weight"]
    variance = 2 / (9 * 64)  # gain of ReLU over the fan-out
    n = weight.numel()
    assert float(weight.square().mean()) == pytest.approx(variance, rel=5 * (2 / n) ** 0.5)  # 5 standard errors


def test_only_the_named_taps_are_returned():
    net = build_ann(tiny(), rng()).eval()
    x = torch.rand(2, 2, 8, 8)
    _, nothing = net(x)
    logits, taps = net(x, ["stem", "readout"])
    assert nothing == {}
    assert list(taps) == ["stem", "readout"]
    assert torch.equal(taps["readout"], logits)
    assert float(taps["stem"].detach().min()) == 0  # after the ReLU


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 7)])
def test_an_image_of_another_shape_is_refused(shape):
    with pytest.raises(BadInput, match=r"tiny: an input of shape .* does not end in \(2, 8, 8\)"):
        build_ann(tiny(), rng())(torch.zeros(3, *shape))


@pytest.mark.parametrize("name", ["loihi", "tet_lif", "qcfs_if"])
def test_a_held_image_is_the_same_image_at_every_timestep(name):
    net = as_spiking(build_ann(tiny(), rng()).eval(), PROFILES[name], 5)
    x = torch.rand(3, 2, 8, 8, generator=rng(5)) * 3
    units = [unit.name for unit in net.architecture.units]
    with torch.no_grad():
        held, held_taps = net(x, units)
        sent, sent_taps = net(x.expand(5, *x.shape), units)
    assert held.shape == (5, 3, 3)
    torch.testing.assert_close(held, sent)
    for unit in units[:-1]:
        assert torch.equal(held_taps[unit], sent_taps[unit])
        assert set(held_taps[unit].unique().tolist()) <= {0.0, 1.0}


def test_the_twin_has_copies_of_the_weights_and_spikes_where_the_ann_rectifies():
    ann = build_ann(tiny(), rng()).eval()
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    twin = as_spiking(ann, PROFILES["loihi"], 4)
    assert [s.n_steps for s in twin.spiking] == [4] * (len(tiny().units) - 1)
    assert ann.spiking == []
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in ann.state_dict().items())


def test_a_spiking_network_reads_the_time_before_it():
    """A sample's first steps do not depend on how many follow, and a later frame changes no earlier step."""
    ann = build_ann(tiny(), rng()).eval()
    frames = torch.rand(6, 2, 2, 8, 8, generator=rng(6)) * 3
    changed = frames.clone()
    changed[4:] = 0
    with torch.no_grad():
        whole = as_spiking(ann, PROFILES["loihi"], 6)(frames)[0]
        short = as_spiking(ann, PROFILES["loihi"], 4)(frames[:4])[0]
        other = as_spiking(ann, PROFILES["loihi"], 6)(changed)[0]
    torch.testing.assert_close(whole[:4], short)
    torch.testing.assert_close(whole[:4], other[:4])
    assert not torch.equal(whole[4:], other[4:])


def test_an_ann_sees_the_mean_of_a_sequence():
    net = build_ann(tiny(), rng()).eval()
    sequence = torch.rand(5, 4, 2, 8, 8, generator=rng(6))
    with torch.no_grad():
        assert torch.equal(net(sequence)[0], net(sequence.mean(dim=0))[0])
        assert not torch.equal(net(sequence)[0], net(sequence[0])[0])


def test_gradients_reach_every_parameter_of_the_twin():
    twin = as_spiking(build_ann(tiny(), rng()), PROFILES["loihi"], 4)
    logits, _ = twin(torch.rand(4, 2, 8, 8, generator=rng(7)))
    functional.cross_entropy(logits.mean(0), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def net_of(*units: Unit, shape: tuple[int, ...] = (4, 6, 7)) -> GraphNet:
    architecture = Architecture(name="net", input_shape=shape, n_classes=2, units=units, taps=())
    return build_ann(architecture, rng()).eval()


def test_a_wire_may_average_its_source_first():
    """Windows of 2 x 2 over 6 x 7: the last column is left out."""
    x = torch.rand(3, 4, 6, 7, generator=rng(1))
    mean = functional.avg_pool2d(x, 2)
    assert mean.shape[2:] == (3, 3)
    conv = net_of(Unit(name="a", channels=5, wires=(ConvWire(source=INPUT, pool=2, stride=2),)))
    weight = conv.state_dict()["nodes.a.synapses.0.weighted.weight"]
    torch.testing.assert_close(conv(x)[0], functional.conv2d(mean, weight, None, 2, 1) / (1 + 1e-5) ** 0.5)
    linear = net_of(Unit(name="a", channels=5, wires=(LinearWire(source=INPUT, pool=2),)))
    state = linear.state_dict()
    assert state["nodes.a.synapses.0.weighted.weight"].shape == (5, 4 * 3 * 3)
    torch.testing.assert_close(linear(x)[0], mean.flatten(1) @ state["nodes.a.synapses.0.weighted.weight"].T)


def test_an_identity_averages_scales_norms_and_pads_in_this_order():
    """The added channels are zeros, whatever the batch norm's shift."""
    wire = IdentityWire(source=INPUT, pool=3, scale=2.0, norm=True, pad=True)
    net = net_of(Unit(name="a", channels=6, wires=(wire,)))
    norm = net.node("a").synapses[0].norm
    assert isinstance(norm, torch.nn.BatchNorm2d)
    with torch.no_grad():
        norm.bias.fill_(0.5)
        x = torch.rand(3, 4, 6, 7, generator=rng(1))
        out = net(x)[0]
    assert net.architecture.shapes()["a"] == (6, 2, 2)
    torch.testing.assert_close(out[:, :4], 2 * functional.avg_pool2d(x, 3) / (1 + 1e-5) ** 0.5 + 0.5)
    assert not out[:, 4:].any()


def test_a_bias_before_a_batch_norm_is_taken_back_by_it():
    """In training mode the norm subtracts the mean, so the bias, which starts at 0, changes nothing."""
    net = net_of(Unit(name="a", channels=3, wires=(ConvWire(source=INPUT, norm_bias=True),))).train()
    x = torch.rand(5, 4, 6, 7, generator=rng(1))
    before = net(x)[0]
    bias = net.node("a").synapses[0].weighted.bias
    assert isinstance(bias, torch.nn.Parameter)
    assert not bias.any()
    with torch.no_grad():
        bias.fill_(3.0)
    torch.testing.assert_close(net(x)[0], before, rtol=1e-4, atol=1e-4)


def streamed() -> tuple[Unit, ...]:
    """Analog sums before, between and after neurons."""
    return (
        Unit(
            name="early",
            channels=4,
            wires=(ConvWire(source=INPUT, norm=False), IdentityWire(source=INPUT)),
            activation="none",
        ),
        Unit(name="a", channels=4, wires=(ConvWire(source="early"),)),
        Unit(name="sum", channels=4, wires=(IdentityWire(source="a"), IdentityWire(source="early")), activation="none"),
        Unit(name="b", channels=4, wires=(ConvWire(source="sum"),)),
        Unit(name="out", channels=2, wires=(LinearWire(source="b"), LinearWire(source="sum"))),
    )


def test_a_linear_unit_hands_on_its_sum():
    net = net_of(*streamed())
    x = torch.rand(2, 4, 6, 7, generator=rng(1))
    _, taps = net(x, ["early", "a", "sum"])
    early = net.node("early").synapses[0](x) + x
    assert float(early.detach().min()) < 0
    torch.testing.assert_close(taps["early"], early)
    torch.testing.assert_close(taps["sum"], taps["a"] + early)


def test_a_linear_unit_is_computed_over_time_only_where_a_source_has_time():
    """What is tapped has a time axis always; without time before it, that is one map seen at every step."""
    twin = as_spiking(net_of(*streamed()), PROFILES["loihi"], 3)
    assert [node.unit.name for node in twin.walk() if node.neuron in twin.spiking] == ["a", "b"]
    x = torch.rand(2, 4, 6, 7, generator=rng(1))
    units = ["early", "a", "sum"]
    held, taps = twin(x, units)
    sent, sent_taps = twin(x.expand(3, *x.shape), units)
    assert taps["early"].shape == taps["sum"].shape == sent_taps["early"].shape == (3, 2, 4, 6, 7)
    assert [taps[name].stride(0) == 0 for name in units] == [True, False, False]
    torch.testing.assert_close(taps["early"], sent_taps["early"])
    assert torch.equal(taps["a"], sent_taps["a"])
    torch.testing.assert_close(held, sent)


def test_attention_is_the_product_over_positions_head_by_head():
    """Written out: tokens are positions, and an N x N matrix weighs the values of each head."""
    q, k, v = ((torch.rand(2, 3, 6, 2, 5, generator=rng(seed)) < 0.5).float() for seed in (1, 2, 3))
    got = attend(q, k, v, Attention(heads=3, scale=0.25))
    expected = torch.zeros_like(q)
    for head in range(3):
        rows = slice(2 * head, 2 * head + 2)
        tokens = [x[:, :, rows].flatten(-2).transpose(-1, -2) for x in (q, k, v)]  # (T, B, N, d)
        scores = tokens[0] @ tokens[1].transpose(-1, -2)
        assert scores.shape[-2:] == (10, 10)
        expected[:, :, rows] = 0.25 * (scores @ tokens[2]).transpose(-1, -2).unflatten(-1, (2, 5))
    assert torch.equal(got, expected)


def test_attention_spikes_and_learns():
    def unit(name: str, source: str = INPUT) -> Unit:
        return Unit(name=name, channels=4, wires=(ConvWire(source=source, kernel=1, norm_bias=True),))

    product = Unit(
        name="att",
        channels=4,
        wires=tuple(IdentityWire(source=part) for part in "qkv"),
        attention=Attention(heads=2, scale=0.5),
    )
    out = Unit(name="out", channels=2, wires=(LinearWire(source="att", mean=True),))
    twin = as_spiking(net_of(unit("q"), unit("k"), unit("v"), product, out), PROFILES["loihi"], 4).train()
    x = 3 * torch.rand(4, 4, 6, 7, generator=rng(1))
    logits, taps = twin(x, ["q", "k", "v", "att"])
    assert [set(taps[name].unique().tolist()) for name in taps] == [{0.0, 1.0}] * 4
    functional.cross_entropy(logits.mean(0), torch.tensor([0, 1, 0, 1])).backward()
    for name in "qkv":
        weight = dict(twin.node(name).named_parameters())["synapses.0.weighted.weight"]
        assert weight.grad is not None
        assert weight.grad.any()


def test_an_outline_has_the_shapes_and_no_numbers():
    outlined, built = outline(tiny()), build_ann(tiny(), rng())
    assert {n: p.shape for n, p in outlined.state_dict().items()} == {n: p.shape for n, p in built.state_dict().items()}
    assert all(p.is_meta for p in outlined.parameters())

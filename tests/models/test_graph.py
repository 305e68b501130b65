"""One walk over the graph: the ANN against plain torch, its spiking twin, and what is kept on the way."""

from __future__ import annotations

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import INPUT, PROFILES, Architecture, ConvWire, GraphNet, LinearWire, Unit, as_spiking, build_ann
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


def test_gradients_reach_every_parameter_of_the_twin():
    twin = as_spiking(build_ann(tiny(), rng()), PROFILES["loihi"], 4)
    logits, _ = twin(torch.rand(4, 2, 8, 8, generator=rng(7)))
    functional.cross_entropy(logits.mean(0), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name

"""Batch norm folded into the weights before it: the same function, without the norm."""

from __future__ import annotations

import pytest
import torch
from spikeport.models import INPUT, PROFILES, Architecture, IdentityWire, LinearWire, Unit, as_spiking
from spikeport.pipeline.folding import fold_batchnorm
from torch import nn

from . import tiny_nets


@pytest.mark.parametrize("name", tiny_nets.ARCHITECTURES)
def test_folding_changes_no_output(name):
    """T-B-1: within 1e-5 in evaluation mode, at every population."""
    architecture = tiny_nets.ARCHITECTURES[name]()
    net = tiny_nets.ann(architecture)
    folded = fold_batchnorm(net)
    assert any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    units = [unit.name for unit in architecture.units]
    with torch.no_grad():
        x = tiny_nets.images(architecture)
        (logits, taps), (expected, expected_taps) = folded(x, units), net(x, units)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for unit in units:
        torch.testing.assert_close(taps[unit], expected_taps[unit], rtol=1e-5, atol=1e-5)


def test_folding_by_the_formula():
    """T-B-1: W' = W g / sqrt(var + eps), b' = beta - mean g / sqrt(var + eps), per output channel."""
    net = tiny_nets.ann(tiny_nets.chain())
    before, after = net.state_dict(), fold_batchnorm(net).state_dict()
    at = "nodes.b.synapses.0."
    norm = {k: before[at + f"norm.{k}"] for k in ("weight", "bias", "running_mean", "running_var")}
    for channel in range(6):
        gain = float(norm["weight"][channel]) / (float(norm["running_var"][channel]) + 1e-5) ** 0.5
        torch.testing.assert_close(
            after[at + "weighted.weight"][channel], before[at + "weighted.weight"][channel] * gain
        )
        bias = float(norm["bias"][channel]) - float(norm["running_mean"][channel]) * gain
        assert float(after[at + "weighted.bias"][channel]) == pytest.approx(bias, rel=1e-5)


def test_a_norm_on_an_identity_becomes_a_gain_and_a_shift_per_channel():
    """T-B-1: pre-activation blocks have one before their first convolution."""
    units = (
        Unit(name="a", channels=3, wires=(IdentityWire(source=INPUT, norm=True, pool=2, scale=0.5),)),
        Unit(name="out", channels=2, wires=(LinearWire(source="a", mean=True),)),
    )
    architecture = Architecture(name="pre", input_shape=(3, 4, 4), n_classes=2, units=units, taps=("a",))
    net = tiny_nets.ann(architecture)
    folded = fold_batchnorm(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    state, norm = folded.state_dict(), net.node("a").synapses[0].norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    gain = 0.5 * norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(state["nodes.a.synapses.0.weighted.weight"].flatten(), gain.detach())
    x = tiny_nets.images(architecture)
    with torch.no_grad():
        torch.testing.assert_close(folded(x, ["a"])[1]["a"], net(x, ["a"])[1]["a"], rtol=1e-5, atol=1e-5)


def test_folding_copies():
    net = tiny_nets.ann(tiny_nets.residual()).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_batchnorm(net)
    assert net.training
    assert not folded.training
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_a_spiking_twin_folds_alike():
    """The norm sits before the neuron, so folding it changes no spike of a spiking network either."""
    architecture = tiny_nets.residual()
    net = as_spiking(tiny_nets.ann(architecture), PROFILES["loihi"], 4)
    x = tiny_nets.images(architecture).double()
    with torch.no_grad():
        logits, taps = net.double()(x, architecture.taps)
        folded_logits, folded_taps = fold_batchnorm(net)(x, architecture.taps)
    torch.testing.assert_close(folded_logits, logits)
    assert all(torch.equal(folded_taps[name], taps[name]) for name in taps)

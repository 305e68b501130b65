"""A network run population by population computes what the walk over the graph computes."""

from __future__ import annotations

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, Spiking
from spikeport.pipeline.conversion import layerwise
from spikeport.pipeline.conversion.layerwise import Upstream, channel_mean, shift_
from spikeport.pipeline.folding import fold_batchnorm

from .. import tiny_nets


@pytest.mark.parametrize("budget", [1, 3000, layerwise.BUDGET])
@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
def test_it_is_the_network_whatever_is_held_at_a_time(name, budget, monkeypatch):
    _, net = tiny_nets.converted(tiny_nets.WITH_VARIED[name](), PROFILES["loihi"], 5, thresholds=0.5)
    x = tiny_nets.images(net.architecture, 7)
    monkeypatch.setattr(layerwise, "BUDGET", budget)
    hidden = [unit.name for unit in net.architecture.units[:-1]]
    with torch.no_grad():
        logits, expected = net(x, hidden)
        behind = Upstream(net, x, 5)
        for node in net.walk()[:-1]:
            spikes = behind.spikes(node.unit, node.neuron if isinstance(node.neuron, Spiking) else None)
            assert torch.equal(spikes, expected[node.unit.name] > 0)
            behind.put(node.unit, spikes)
        torch.testing.assert_close(behind.logits(), logits)


def test_a_sequence_of_images_is_refused():
    _, net = tiny_nets.converted(tiny_nets.chain())
    with pytest.raises(BadInput, match=r"chain: images of shape \(4, 2, 2, 6, 6\) are not \(N, \*\(2, 6, 6\)\)"):
        Upstream(net, torch.zeros(4, 2, 2, 6, 6), 4)


def test_the_mean_of_a_channel_is_over_images_and_positions():
    values = torch.arange(2 * 3 * 2 * 2, dtype=torch.float32).reshape(2, 3, 2, 2)
    assert channel_mean(values).shape == (1, 3, 1, 1)
    assert channel_mean(values).flatten().tolist() == [(1.5 + 12 + 1.5) / 2 + 4 * c for c in range(3)]
    assert channel_mean(torch.tensor([[1.0, 4.0], [3.0, 8.0]])).tolist() == [[2, 6]]


def test_a_shift_reaches_the_current_of_every_position():
    for name in ("chain", "residual", "varied"):
        net = fold_batchnorm(tiny_nets.ann(tiny_nets.WITH_VARIED[name]()))
        first = net.architecture.units[0]
        x = tiny_nets.images(net.architecture, 2)
        before, _ = Upstream(net, x, 1).current(first)
        shift = torch.arange(first.channels, dtype=torch.float32).reshape(1, -1, 1, 1)
        with torch.no_grad():
            shift_(net.node(first.name), shift)
        torch.testing.assert_close(Upstream(net, x, 1).current(first)[0], before + shift)


def test_a_unit_without_bias_is_refused_by_name():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.varied()))
    with pytest.raises(BadInput, match="b: has no bias that could be corrected; give one of its wires a bias"):
        shift_(net.node("b"), torch.zeros(4))

"""A trained residual network on its way into a file: relays, their proof, and real Lava."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spikeport import sim
from spikeport.export import lava, netx, relays
from spikeport.hw import Network, SpikeportError, same
from spikeport.pipeline.deploy import require_same_spikes, write_checked
from spikeport.pipeline.scales import relay_hosts

from . import tiny_nets


@pytest.fixture(scope="module")
def graph() -> Network:
    return tiny_nets.integer(tiny_nets.residual(), v_decay=410)[2]


def test_only_the_units_a_shortcut_passes_host_relays():
    assert relay_hosts(tiny_nets.residual()) == {"stage1.1a", "stage2.1a"}
    assert relay_hosts(tiny_nets.chain()) == set()


def test_quantization_leaves_room_for_relay_weights(graph):
    _, added = relays.to_chain(graph)
    assert [(row.layer, row.carries) for row in added] == [("stage1.1a", "stem"), ("stage2.1a", "stage1.1b")]
    assert all(row.weight > graph[row.layer].neuron.v_th_mant for row in added)


def test_a_residual_network_passes_the_chips_check_and_reads_back(graph, tmp_path):
    chain, _ = relays.to_chain(graph)
    write_checked(chain, tmp_path / "a.net", "loihi2")
    assert same(netx.read(tmp_path / "a.net"), chain)


def test_the_proof_holds_for_the_chain_and_fails_for_another_network(graph):
    chain, _ = relays.to_chain(graph)
    payload = tiny_nets.payloads(tiny_nets.residual(), graph.sources[0].neuron.payload_bits)
    require_same_spikes(graph, chain, payload)
    other = list(chain.populations)
    other[2] = replace(other[2], neuron=replace(other[2].neuron, v_th_mant=other[2].neuron.v_th_mant - 20))
    with pytest.raises(SpikeportError, match=r"stage1\.1a fires differently"):
        require_same_spikes(graph, replace(chain, populations=tuple(other)), payload)


@pytest.mark.oracle
def test_a_residual_network_runs_in_real_lava(graph, tmp_path):
    if not lava.available():
        pytest.skip(f"real Lava is not installed; {lava.WAY_OUT}")
    chain, _ = relays.to_chain(graph)
    write_checked(chain, tmp_path / "a.net", "loihi2")
    payload = tiny_nets.payloads(tiny_nets.residual(), graph.sources[0].neuron.payload_bits)
    ours = sim.run(graph, payload, record=("spikes", "u", "v"))
    theirs = lava.run(tmp_path / "a.net", payload.numpy(), network=chain, timeout_s=300)
    assert theirs.layers_built == len(graph.populations) - 1
    for population, _ in graph.neurons:
        own = slice(population.shape[0])
        for quantity in ("spikes", "u", "v"):
            expected = getattr(ours, quantity)[population.name].numpy()
            assert np.array_equal(getattr(theirs, quantity)[population.name][:, :, own], expected)
    assert ours.spikes["stage2.1b"].any()  # the comparison is of something

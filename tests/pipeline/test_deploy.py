"""A trained residual network on its way into a file: relays, their proof, and real Lava."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spikeport import sim
from spikeport.export import lava, lava_graph, netx
from spikeport.export.lowering import to_chain
from spikeport.export.lowering_rewrite import RelayRewrite
from spikeport.hw import CHIPS, Network, SpikeportError, same
from spikeport.pipeline import deploy
from spikeport.pipeline.deploy import notices_of, proven_chain, require_same_spikes, write_checked
from spikeport.pipeline.scales import relay_hosts

from . import tiny_nets


@pytest.fixture(scope="module")
def graph() -> Network:
    return tiny_nets.integer(tiny_nets.residual(), v_decay=410)[2]


def test_only_the_units_a_shortcut_passes_host_relays():
    assert relay_hosts(tiny_nets.residual()) == {"stage1.1a", "stage2.1a"}
    assert relay_hosts(tiny_nets.chain()) == set()


def test_quantization_leaves_room_for_relay_weights(graph):
    _, rewrites = to_chain(graph)
    added = [row for row in rewrites if isinstance(row, RelayRewrite)]
    assert [(row.layer, row.carries) for row in added] == [("stage1.1a", "stem"), ("stage2.1a", "stage1.1b")]
    assert all(row.weight > graph[row.layer].neuron.v_th_mant for row in added)
    assert {(row.inputs, row.bias) for row in added} == {(1, 0)}


def payload_of(graph: Network):
    return tiny_nets.payloads(tiny_nets.residual(), graph.sources[0].neuron.payload_bits)


def test_without_that_room_the_export_adds_biases_and_copies_and_proves_them(tmp_path):
    graph = tiny_nets.integer(tiny_nets.residual(), v_decay=410)[2]
    hosts = [replace(p, neuron=replace(p.neuron, v_th_mant=600)) if p.name.endswith("a") else p
             for p in graph.populations]  # fmt: skip
    graph = replace(graph, populations=tuple(hosts))
    chain, rewrites = proven_chain(graph, payload_of(graph), CHIPS["loihi2"])
    added = [row for row in rewrites if isinstance(row, RelayRewrite)]
    # without a bias three would be needed: 2 254 = 508; floor((600 410 + 63) / 4096) = 60, but T = 4 leaves 93 be
    assert {(row.inputs, row.weight, row.bias, row.lasting) for row in added} == {(2, 254, 93, False)}
    write_checked(chain, tmp_path / "a.net", "loihi2")


def test_a_chain_is_proven_by_being_one(monkeypatch):
    graph = tiny_nets.integer(tiny_nets.chain())[2]
    monkeypatch.setattr(deploy, "require_same_spikes", lambda *_: pytest.fail("a chain needs no simulation"))
    chain, rewrites = proven_chain(graph, payload_of(graph), CHIPS["loihi2"])
    assert chain is graph
    assert rewrites == ()


def test_every_rewrite_is_a_notice_with_its_cost(graph):
    chain, rewrites = proven_chain(graph, payload_of(graph), CHIPS["loihi2"])
    notices = notices_of(rewrites)
    assert [row["layer"] for row in notices] == ["stage1.1a", "stage1.1b", "stage2.1a", "stage2.1b"]
    assert notices[0]["what"].startswith("relays added that repeat stem: weight ")
    assert f"({rewrites[0].neurons} neurons and {rewrites[0].synapses} stored synapses more)" in notices[0]["what"]
    more = sum(p.size for p in chain.populations) - sum(p.size for p in graph.populations)
    assert sum(row.neurons for row in rewrites) == more


def test_a_residual_network_passes_the_chips_check_and_reads_back(graph, tmp_path):
    chain, _ = to_chain(graph)
    write_checked(chain, tmp_path / "a.net", "loihi2")
    assert same(netx.read(tmp_path / "a.net"), chain)


def test_the_proof_holds_for_the_chain_and_fails_for_another_network(graph):
    chain, _ = to_chain(graph)
    payload = payload_of(graph)
    require_same_spikes(graph, chain, payload)
    other = list(chain.populations)
    other[2] = replace(other[2], neuron=replace(other[2].neuron, v_th_mant=other[2].neuron.v_th_mant - 20))
    with pytest.raises(SpikeportError, match=r"stage1\.1a fires differently"):
        require_same_spikes(graph, replace(chain, populations=tuple(other)), payload)


@pytest.mark.oracle
def test_a_residual_network_runs_in_real_lava(graph, tmp_path):
    if not lava.available():
        pytest.skip(f"real Lava is not installed; {lava.WAY_OUT}")
    chain, _ = to_chain(graph)
    write_checked(chain, tmp_path / "a.net", "loihi2")
    payload = payload_of(graph)
    ours = sim.run(graph, payload, record=("spikes", "u", "v"))
    theirs = lava.run(tmp_path / "a.net", payload.numpy(), network=chain, timeout_s=300)
    direct = lava_graph.run(payload.numpy(), network=graph, timeout_s=300)
    assert theirs.layers_built == direct.layers_built == len(graph.populations) - 1
    for population, _ in graph.neurons:
        own = slice(population.shape[0])
        for quantity in ("spikes", "u", "v"):
            expected = getattr(ours, quantity)[population.name].numpy()
            assert np.array_equal(getattr(theirs, quantity)[population.name][:, :, own], expected)
            assert np.array_equal(getattr(direct, quantity)[population.name], expected)
    assert ours.spikes["stage2.1b"].any()  # the comparison is of something

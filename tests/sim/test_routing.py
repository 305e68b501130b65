"""Messages and hops of a run are those of every spike that was sent, to every core that holds a synapse of it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spikeport import hw, sim
from spikeport.hw.chip import Mesh
from spikeport.hw.placement import Core, Placement, place
from spikeport.sim.routing import Messages, messages, tallies_of, traffic

from . import twin
from .networks import dense_chain, network, runs

LOIHI1, LOIHI2 = hw.CHIPS["loihi1"], hw.CHIPS["loihi2"]
SMALL = Mesh(columns=2, rows=2, cores_per_tile=2)
KINDS = ("messages", "off_chip", "hops_ew", "hops_ns")


def tiny(chip: hw.Chip, compartments: int, mesh: Mesh | None, per_chip: int = 8) -> hw.Chip:
    """A chip of few small cores whose axons and memory suffice for anything."""
    endless = dict.fromkeys(("input_axons", "output_axons", "synapse_words", "words_per_axon", "destination_groups"))
    cores = dataclasses.replace(chip.cores, compartments=compartments, per_chip=per_chip, mesh=mesh, **endless)
    return dataclasses.replace(chip, cores=cores)


def walked(placement: Placement, name: str) -> dict[str, np.ndarray]:
    """What one spike of each neuron of a population sends, int64 (neurons,), found synapse by synapse."""
    net, cores = placement.network, placement.chip.cores
    found = {kind: np.zeros(net[name].size, np.int64) for kind in KINDS}
    for connection in net.outgoing(name):
        reached: dict[int, set[Core]] = defaultdict(set)
        for start, end, _, _ in twin.synapses(connection, net[name].shape):
            reached[start].add(holder(placement, connection.target, end))
        for start, targets in reached.items():
            for target in targets:
                found["messages"][start] += 1
                if isinstance(net[name].neuron, hw.Source):
                    continue
                sender = holder(placement, name, start)
                found["off_chip"][start] += sender.chip != target.chip
                if sender.chip == target.chip and cores.mesh is not None:
                    (x, y), (to_x, to_y) = (
                        (tile % cores.mesh.columns, tile // cores.mesh.columns)
                        for tile in (c.index % cores.per_chip // cores.mesh.cores_per_tile for c in (sender, target))
                    )
                    found["hops_ew"][start] += abs(x - to_x)
                    found["hops_ns"][start] += abs(y - to_y)
    return found


def holder(placement: Placement, name: str, neuron: int) -> Core:
    """The core of a neuron, counted in C, H, W order."""
    at = np.unravel_index(neuron, placement.network[name].shape)
    return next(
        core
        for core in placement.of(name)
        if all(a <= i < b for a, i, b in zip(core.part.start, at, core.part.stop, strict=True))
    )


@settings(max_examples=40, deadline=None)
@given(runs())
def test_what_is_tallied_is_what_every_spike_of_every_neuron_sends(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    placements = place(net, tiny(LOIHI1, 12, SMALL)), place(net, tiny(LOIHI2, 20, None))
    try:
        trace = sim.run(net, inputs, batch_size=2, record=("spikes", "activity"), tallies=tallies_of(*placements))
    except hw.NotRepresentable:
        return
    counts, senders = trace.counts, [p.name for p in net.populations if net.outgoing(p.name)]
    for placement in placements:
        sent, mean = traffic(counts, placement), messages(counts, placement)
        tables = {"messages": sent.messages, "hops_ew": sent.hops_ew, "hops_ns": sent.hops_ns}
        tables["off_chip"] = counts.tallies[f"{placement.chip.name}.off_chip"]
        totals = dict.fromkeys(KINDS, 0)
        for name in senders:
            per_spike = walked(placement, name)
            spikes = (trace.spikes[name].numpy() != 0).reshape(counts.n_steps, counts.n_samples, -1)
            times = trace.activity[name].numpy().reshape(counts.n_steps, -1).sum(axis=0)
            for kind in KINDS:
                totals[kind] += int((times * per_spike[kind]).sum())
                if tables[kind]:
                    assert np.array_equal(tables[kind][name].numpy(), spikes @ per_spike[kind])
        known = placement.chip.cores.mesh is not None
        for kind in KINDS:
            counted = known or not kind.startswith("hops")
            assert list(tables[kind]) == (senders if counted else [])
            assert getattr(mean, kind) == (totals[kind] / counts.n_samples if counted else None)


def placed_by_hand(mesh: Mesh | None = SMALL) -> tuple[Placement, sim.Counts]:
    """in (2) -> p0 (2) -> p1 (1), one neuron per core: p0 on cores 0 and 1, p1 on core 2; all fire in sample 1.

    One core per tile, tiles 2 x 2: core 0 is at (0, 0), core 1 at (1, 0), core 2 at (0, 1). Sample 0 sends one input
    spike, which makes the second neuron of p0 fire.
    """
    net = dense_chain([np.array([[2, 0], [0, 2]]), np.array([[2, 2]])], v_th_mant=0, kind="spike_count")
    one_core = None if mesh is None else dataclasses.replace(mesh, cores_per_tile=1)
    placement = place(net, tiny(LOIHI1, 1, one_core, per_chip=4))
    assert [(core.population, core.part.start) for core in placement.cores] == [
        ("p0", (0,)),
        ("p0", (1,)),
        ("p1", (0,)),
    ]
    return placement, sim.run(net, torch.tensor([[0, 1], [1, 1]]), tallies=tallies_of(placement)).counts


def test_a_small_network_has_the_messages_and_hops_counted_by_hand() -> None:
    placement, counts = placed_by_hand()
    sent = traffic(counts, placement)
    # A dense connection reaches all cores of its target, zero weights included: 2 from each input, 1 from each of p0.
    assert {name: events.tolist() for name, events in sent.messages.items()} == {"in": [[2, 4]], "p0": [[1, 2]]}
    # From (1, 0) to (0, 1) in sample 0, and from (0, 0) besides in sample 1. Nothing inside comes from outside.
    assert {name: events.tolist() for name, events in sent.hops_ew.items()} == {"in": [[0, 0]], "p0": [[1, 1]]}
    assert {name: events.tolist() for name, events in sent.hops_ns.items()} == {"in": [[0, 0]], "p0": [[1, 2]]}
    assert messages(counts, placement) == Messages(messages=9 / 2, off_chip=0, hops_ew=2 / 2, hops_ns=3 / 2)


def test_messages_and_hops_are_priced_by_a_convention_of_loihi_1() -> None:
    placement, counts = placed_by_hand()
    report = sim.price(placement.network, counts, "loihi1_davies2018", traffic=traffic(counts, placement))
    synops, updates = (3 * 2 + 3 * 1) / 2, 3  # 3 input spikes reach 2 synapses each, 3 spikes of p0 one
    expected = 23.6 * synops + 81 * updates + 1.7 * 9 / 2 + 3.0 * 2 / 2 + 4.0 * 3 / 2
    assert report.snn_pj == pytest.approx(expected, rel=1e-12)
    assert "1.7 pJ per message to a core, 3 pJ per hop east or west and 4 pJ per hop north or south" in report.scope
    assert "for want of" not in report.scope


def test_a_bill_says_that_hops_are_missing_where_the_mesh_is_not_known() -> None:
    placement, counts = placed_by_hand(mesh=None)
    found = traffic(counts, placement)
    assert (found.hops_ew, found.hops_ns) == ({}, {})
    with_messages = sim.price(placement.network, counts, "loihi1_davies2018", traffic=found)
    alone = sim.price(placement.network, counts, "loihi1_davies2018")
    assert with_messages.snn_pj - alone.snn_pj == pytest.approx(1.7 * 9 / 2)
    missing = "for want of a published mesh of cores: hop east or west, hop north or south."
    assert with_messages.scope.endswith(f"; {missing}")
    assert "1.7 pJ per message to a core" in with_messages.scope.split("Excluded")[0]
    assert "for want of a placement on cores: message to a core, hop east or west, hop north or south." in alone.scope


def test_a_chip_that_is_left_costs_no_hops() -> None:
    net = dense_chain([np.array([[2]]), np.array([[2]])], v_th_mant=0, kind="spike_count")
    placement = place(net, tiny(LOIHI1, 1, Mesh(columns=1, rows=1, cores_per_tile=1), per_chip=1))
    counts = sim.run(net, torch.tensor([[1]]), tallies=tallies_of(placement)).counts
    assert messages(counts, placement) == Messages(messages=2, off_chip=1, hops_ew=0, hops_ns=0)


def test_parallel_and_recurrent_connections_send_messages_of_their_own() -> None:
    twice = [hw.Dense(source="in", target="p", weight=np.ones((2, 1), int)) for _ in range(2)]
    own = hw.Dense(source="p", target="p", weight=np.ones((2, 2), int))
    net = network(
        [*twice, own],
        {"in": (1,), "p": (2,)},
        {"p": hw.Cuba(v_th_mant=0)},
        readout=hw.Readout(population="p", kind="spike_count"),
    )
    placement = place(net, tiny(LOIHI1, 1, SMALL))
    counts = sim.run(net, torch.tensor([[1]]), tallies=tallies_of(placement)).counts
    sent = traffic(counts, placement).messages
    assert sent["in"].tolist() == [[2 * 2]]  # two connections, two cores each
    assert sent["p"].tolist() == [[2 * 2]]  # two neurons, each to its own core and to the other


def test_counts_of_a_run_without_the_tallies_are_refused() -> None:
    placement, counts = placed_by_hand()
    bare = dataclasses.replace(counts, tallies={})
    for ask in (traffic, messages):
        with pytest.raises(hw.BadInput, match=r"loihi1.messages was not tallied \(they hold no tallies\); run the net"):
            ask(bare, placement)
    other = place(placement.network, LOIHI2)
    with pytest.raises(hw.BadInput, match=r"loihi2.messages was not tallied \(they hold \['loihi1.hops_ew', "):
        traffic(counts, other)


def test_two_placements_whose_tallies_would_mix_are_refused() -> None:
    placement, _ = placed_by_hand()
    again = place(placement.network, LOIHI1, rule="nengo")
    with pytest.raises(hw.BadInput, match=r"several are on one chip \(loihi1, loihi1\)"):
        tallies_of(placement, again)
    other = place(dense_chain([np.array([[2, 2]])]), LOIHI2)
    with pytest.raises(hw.BadInput, match="loihi1 and loihi2 hold different networks"):
        tallies_of(placement, other)


def test_nothing_placed_is_nothing_tallied() -> None:
    assert tallies_of() == {}

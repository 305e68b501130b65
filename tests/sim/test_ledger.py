"""The ledger shows what was counted, all of it, and nothing that depends on how it is priced."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spikeport import hw, sim
from spikeport.sim.ledger import KINDS, Events, ledger
from spikeport.sim.report import scrutiny

from .networks import counted, network, runs

T, B = 3, 2
Key = tuple[str, str, str | None]


def tiny() -> tuple[hw.Network, sim.Counts]:
    """Graded (1, 2, 2) -> conv, 3 x 3 taps, padding 1 -> `a` (2, 2, 2), biased -> conv 1 x 1 and one to one -> `b`.

    On 2 x 2 pixels a 3 x 3 kernel takes each pixel to all 4 positions. Of the first layer's kernels the second is zero;
    of the 1 x 1 kernels, what reads channel 1 is. Sample 0 sends one pixel at every timestep, sample 1 none. Threshold
    0: channel 0 of `a` fires as a whole in sample 0; channel 1 has a bias and fires as a whole in both; `b` never.
    """
    kernel = np.zeros((2, 1, 3, 3), int)
    kernel[0] = 2
    net = network(
        [
            hw.Conv(source="in", target="a", weight=kernel, padding=(1, 1)),
            hw.Conv(source="a", target="b", weight=np.array([[5, 0], [5, 0]]).reshape(2, 2, 1, 1)),
            hw.OneToOne(source="a", target="b", weight=np.array(4)),
        ],
        {"in": (1, 2, 2), "a": (2, 2, 2), "b": (2, 2, 2)},
        {"a": hw.Cuba(v_th_mant=0, bias_mant=np.array([0, 1])), "b": hw.Cuba(v_th_mant=hw.NEVER_FIRES)},
        payload_bits=2,
        n_steps=T,
    )
    images = torch.zeros(B, 1, 2, 2, dtype=torch.uint8)
    images[0, 0, 0, 0] = 3
    return net, sim.run(net, images).counts


def keyed(lines: tuple[Events, ...]) -> dict[Key, Events]:
    found: dict[Key, Events] = {(line.what, line.population, line.source): line for line in lines}
    assert len(found) == len(lines)
    return found


FIRED = (4 + 2 * 4) * T / B  # channel 0 in one sample, channel 1 in both
PIXELS = 1 * T / B

BY_HAND: dict[Key, float] = {
    ("input_spikes", "in", None): PIXELS,
    ("spikes", "a", None): FIRED,
    ("spikes", "b", None): 0,
    ("synops_stored", "a", "in"): PIXELS * 4 * 2,
    ("synops_stored", "b", "a"): FIRED * (2 + 1),
    ("synops_effective", "a", "in"): PIXELS * 4,
    ("synops_effective", "b", "a"): (4 * 3 + 8 * 1) * T / B,  # a spike of channel 1 meets one weight that is not zero
    ("acs", "b", "a"): FIRED * 3,
    ("graded_macs", "a", "in"): PIXELS * 8,
    ("updates", "a", None): 8 * T,
    ("updates", "b", None): 8 * T,
    ("updates_fired", "a", None): FIRED,
    ("updates_fired", "b", None): 0,
    ("updates_silent", "a", None): 8 * T - FIRED,
    ("updates_silent", "b", None): 8 * T,
    ("lemaire_input_reads", "a", "in"): PIXELS,
    ("lemaire_input_reads", "b", "a"): FIRED * 2,  # once for each connection
    ("lemaire_weight_reads", "a", "in"): PIXELS * 9 * 2,  # the paper's kernel knows no border
    ("lemaire_weight_reads", "b", "a"): FIRED * (2 + 1),
    ("lemaire_bias_reads", "a", None): 8 * T,
    ("lemaire_potential_reads", "a", "in"): PIXELS * 18,
    ("lemaire_potential_reads", "b", "a"): FIRED * 3,
    ("lemaire_potential_reads", "a", None): 8 * T,
    ("lemaire_potential_reads", "b", None): 8 * T,
    ("lemaire_potential_writes", "a", "in"): PIXELS * 18,
    ("lemaire_potential_writes", "b", "a"): FIRED * 3,
    ("lemaire_potential_writes", "a", None): 8 * T,
    ("lemaire_potential_writes", "b", None): 8 * T,
    ("lemaire_output_writes", "a", None): FIRED,
    ("lemaire_output_writes", "b", None): 0,
    ("ann_macs_edge_exact", "a", "in"): 4 * 4 * 2,
    ("ann_macs_edge_exact", "b", "a"): 2 * 2 * 4 + 8,
    ("ann_macs_formula", "a", "in"): 9 * 4 * 2,
    ("ann_macs_formula", "b", "a"): 2 * 2 * 4 + 8,
    ("ann_neurons", "a", None): 8,
    ("ann_neurons", "b", None): 8,
    ("lemaire_ann_input_reads", "a", "in"): 72,
    ("lemaire_ann_input_reads", "b", "a"): 16 + 8,
    ("lemaire_ann_weight_reads", "a", "in"): 72,
    ("lemaire_ann_weight_reads", "b", "a"): 16 + 8,
    ("lemaire_ann_bias_reads", "a", None): 8,
    ("lemaire_ann_output_writes", "a", None): 8,
    ("lemaire_ann_output_writes", "b", None): 8,
}


def test_every_line_of_a_tiny_network_by_hand() -> None:
    net, counts = tiny()
    lines = keyed(ledger(sim.Workload(network=net, counts=counts)))
    assert {key: line.total for key, line in lines.items()} == BY_HAND
    for (what, *_), line in lines.items():
        steps = 1 if line.side == "ann" else T
        assert (line.side == "ann") == ("ann" in what)
        assert line.by_step == (line.total / steps,) * steps  # the input is held, so every timestep is the same


def test_events_are_told_by_the_timestep_they_happen_at() -> None:
    net, _ = tiny()
    images = torch.zeros(T, 1, 1, 2, 2, dtype=torch.uint8)
    images[1] = 1
    lines = keyed(ledger(sim.Workload(network=net, counts=sim.run(net, images).counts)))
    assert lines["input_spikes", "in", None].by_step == (0, 4, 0)
    assert lines["spikes", "a", None].by_step == (4, 8, 4)
    assert lines["graded_macs", "a", "in"].by_step == (0, 32, 0)


@settings(max_examples=30, deadline=None)
@given(runs())
def test_totals_are_the_counts_to_the_last_event(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, counts = counted(case)
    lines = keyed(ledger(sim.Workload(network=net, counts=counts)))

    def events(line: Events) -> list[int]:
        assert line.total * counts.n_samples == pytest.approx(sum(line.by_step) * counts.n_samples)
        return [round(n * counts.n_samples) for n in line.by_step]

    for what, table in (("synops_stored", counts.synops), ("synops_effective", counts.synops_effective)):
        pairs = {(source, target): line for (key, target, source), line in lines.items() if key == what}
        assert pairs.keys() == table.keys()
        for pair, line in pairs.items():
            assert events(line) == table[pair].sum(dim=1).tolist()
    spikes = {name: line for (what, name, _), line in lines.items() if what in ("input_spikes", "spikes")}
    assert spikes.keys() == counts.spikes.keys()
    for name, line in spikes.items():
        assert events(line) == counts.spikes[name].sum(dim=1).tolist()


@settings(max_examples=30, deadline=None)
@given(runs())
def test_what_is_sorted_adds_up_and_layers_add_up_to_what_a_price_counts(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, counts = counted(case)
    sums: dict[str, float] = defaultdict(float)
    for line in ledger(sim.Workload(network=net, counts=counts)):
        sums[line.what] += line.total
    assert sums["updates_fired"] + sums["updates_silent"] == pytest.approx(sums["updates"])
    assert sums["updates"] == sum(sim.neuron_updates(net).values())
    assert sums["acs"] + sums["graded_macs"] == pytest.approx(sums["synops_stored"])
    priced = sim.price(net, counts)
    assert (sums["acs"], sums["graded_macs"]) == pytest.approx((priced.acs_per_sample, priced.macs_per_sample))
    assert sums["ann_macs_edge_exact"] == priced.dense_macs
    assert sums["ann_macs_formula"] == sim.price(net, counts, ann_macs="formula").dense_macs
    accesses = {"read": 0.0, "write": 0.0}
    for line in ledger(sim.Workload(network=net, counts=counts)):
        if line.what.startswith("lemaire") and line.side == "snn":
            accesses[line.per.split()[-1]] += line.total
    # Under memory cost c every access costs 5 pJ, so the energy tells their number.
    rows = [row for row in sim.price(net, counts, "lemaire_int32_c").items if row.unit_pj == 5 and row.side == "snn"]
    assert 5 * sum(accesses.values()) == pytest.approx(sum(row.pj for row in rows))


@settings(max_examples=15, deadline=None)
@given(runs())
def test_a_line_is_a_value_of_the_report(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, counts = counted(case)
    for line in ledger(sim.Workload(network=net, counts=counts)):
        assert scrutiny.Events(**asdict(line)).model_dump() == asdict(line)


def test_a_line_has_the_fields_of_the_report() -> None:
    assert [field.name for field in fields(Events)] == list(scrutiny.Events.model_fields)


def test_choices_of_a_price_change_no_count() -> None:
    net, counts = tiny()
    work = sim.Workload(network=net, counts=counts)
    other = sim.Choices(
        first_layer="once",
        first_macs="dense",
        synops="effective",
        ann_macs="formula",
        active="never",
        errata="printed",
    )
    assert ledger(replace(work, choices=other)) == ledger(work)


def test_messages_and_hops_come_with_a_placement() -> None:
    net, counts = tiny()
    table = torch.tensor([[3, 1], [0, 0], [5, 2]])
    traffic = sim.Traffic(
        messages={"a": table}, hops_ew={"a": 2 * table}, hops_ns={"a": 0 * table}, off_chip={"a": 3 * table}
    )
    work = sim.Workload(network=net, counts=counts)
    placed = keyed(ledger(replace(work, traffic=traffic)))
    new = {key: line.by_step for key, line in placed.items() if key not in keyed(ledger(work))}
    assert new == {
        ("messages", "a", None): (2, 0, 3.5),
        ("hops_ew", "a", None): (4, 0, 7),
        ("hops_ns", "a", None): (0, 0, 0),
        ("off_chip", "a", None): (6, 0, 10.5),
    }


LEFT_OUT = {
    "dense_synops": "synaptic operations once more, sorted by how their weights are stored",
    "conv_synops": "the other half of them",
    "touched_updates": "all updates or those of neurons that fire",
    "lemaire_accs": "arithmetic by formula, which exact events replace",
    "lemaire_macs": "the same",
    "lemaire_address_accs": "arithmetic of addresses, no event of the network",
    "lemaire_address_macs": "the same",
    "lemaire_ann_macs": "MACs of the ANN by formula, padding included",
    "lemaire_ann_accs": "one per biased neuron, as its bias reads",
    "lemaire_ann_address_accs": "arithmetic of addresses",
}


def test_every_countable_is_in_the_ledger_or_says_why_not() -> None:
    shown = {kind.countable for kind in KINDS}
    assert not shown & set(LEFT_OUT)
    assert shown | set(LEFT_OUT) == set(sim.COUNTABLES)

"""Energies follow from counts by arithmetic that can be done on paper."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spikeport import hw, sim
from spikeport.sim.constants import FP32_ADD, FP32_MULTIPLY, INT8_ADD, INT8_MULTIPLY

from .networks import dense_chain, network, runs
from .pricing import counts_of

PJ_PER_MJ = 1e9
PJ_PER_UJ = 1e6


@pytest.mark.parametrize(
    ("giga_acs", "giga_macs", "millijoule"),
    [(0.10, 0.14, 0.734), (0.50, 2.75, 13.10), (1.69, 0.20, 2.441), (0.0, 1.82, 8.372)],
)
def test_e1_the_published_table_of_syops(giga_acs: float, giga_macs: float, millijoule: float) -> None:
    """N-E-1."""
    net = dense_chain([np.ones((1, 1), int)] * 2, payload_bits=8)
    counts = counts_of(net, {("in", "p0"): round(giga_macs * 1e9), ("p0", "p1"): round(giga_acs * 1e9)})
    report = sim.price(net, counts)
    assert report.snn_pj / PJ_PER_MJ == pytest.approx(millijoule, rel=1e-9)
    assert (report.macs_per_sample, report.acs_per_sample) == (round(giga_macs * 1e9), round(giga_acs * 1e9))


def test_e3_the_firing_rate_is_not_charged_twice() -> None:
    """N-E-3: a published table multiplies by the rate again and prints 0.309 uJ and a ratio of 273.8."""
    macs, rate = 18_390_000, 0.1366
    conv = hw.Conv(source="in", target="p", weight=np.ones((100, 1839, 1, 1), int))  # 183900 * 100 positions
    net = network([conv], {"in": (1839, 10, 10), "p": (100, 10, 10)}, {"p": hw.Cuba(v_th_mant=1)})
    assert sim.dense_macs(net, conv) == macs
    report = sim.price(net, counts_of(net, {("in", "p"): round(rate * macs)}))
    assert report.snn_pj / PJ_PER_UJ == pytest.approx(2.261, abs=5e-4)
    assert report.ann_pj / PJ_PER_UJ == pytest.approx(84.59, abs=5e-3)
    assert report.ratio == pytest.approx(37.4, abs=0.05)
    assert report.acs_per_sample == pytest.approx(2.512e6, abs=500)
    assert rate * report.snn_pj / PJ_PER_UJ == pytest.approx(0.309, abs=5e-4)
    assert (report.ratio or 0) / rate == pytest.approx(273.8, abs=0.2)


def small_net() -> tuple[hw.Network, sim.Counts]:
    """Graded (1, 3, 3) -> conv 2 x 3 x 3, padding 1 -> dense of 2, three timesteps, two samples.

    The first kernel is all ones, the second is zero. Pixels: one in the corner of sample 0 (its fan-out is the 4
    in-bounds taps per channel), one in the middle of sample 1 (9 taps per channel). Threshold 0 mantissas and payload
    1 make channel 0 fire wherever the pixel reaches, at every timestep: 4 and 9 neurons.
    """
    kernel = np.zeros((2, 1, 3, 3), int)
    kernel[0] = 1
    conv = hw.Conv(source="in", target="hidden", weight=kernel, padding=(1, 1))
    dense = hw.Dense(source="hidden", target="out", weight=np.ones((2, 18), int))
    net = network(
        [conv, dense],
        {"in": (1, 3, 3), "hidden": (2, 3, 3), "out": (2,)},
        {"hidden": hw.Cuba(v_th_mant=0), "out": hw.Cuba(v_th_mant=hw.NEVER_FIRES)},
        payload_bits=1,
        n_steps=3,
    )
    images = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    images[0, 0, 0, 0] = images[1, 0, 1, 1] = 1
    return net, sim.run(net, images).counts


# By hand. First layer, stored: (4 + 9) taps * 2 channels * 3 steps = 78; effective: half. Second: (4 + 9) * 2 * 3 = 78.
# Dense: 49 in-bounds taps (per axis 3 * 3 - 2 = 7) * 2 = 98, or 9 * 9 * 2 = 162 with padding; and 18 * 2 = 36.
@pytest.mark.parametrize(
    ("flags", "macs", "ann"),
    [
        ({}, 78, 98 + 36),
        ({"first_layer": "once"}, 26, 98 + 36),
        ({"synops": "effective"}, 39, 98 + 36),
        ({"synops": "effective", "first_layer": "once"}, 13, 98 + 36),
        ({"first_macs": "dense"}, 98 * 3 * 2, 98 + 36),
        ({"first_macs": "dense", "first_layer": "once"}, 98 * 2, 98 + 36),
        ({"first_macs": "dense", "synops": "effective"}, 49 * 3 * 2, 98 + 36),
        ({"first_macs": "dense", "ann_macs": "formula"}, 162 * 3 * 2, 162 + 36),
        ({"ann_macs": "formula"}, 78, 162 + 36),
    ],
)
def test_each_flag_changes_the_count_it_names_and_nothing_else(flags: dict[str, Any], macs: int, ann: int) -> None:
    net, counts = small_net()
    report = sim.price(net, counts, "op_count_int8", **flags)
    first, second = report.connections
    assert (first.operation, first.operations) == ("MAC", macs)
    assert (second.operation, second.operations) == ("AC", 78)
    assert first.snn_pj == pytest.approx(macs / 2 * 0.23)
    assert second.snn_pj == pytest.approx(78 / 2 * 0.03)
    assert report.dense_macs == ann
    assert report.ann_pj == pytest.approx(ann * 0.23)
    assert report.ratio == pytest.approx(ann * 0.23 / ((macs * 0.23 + 78 * 0.03) / 2))
    assert report.choices == sim.Choices(**flags)


def test_populations_are_reported_with_their_spikes_and_unpriced_updates() -> None:
    net, counts = small_net()
    rows = {row.name: row for row in sim.price(net, counts).populations}
    assert (rows["in"].spikes, rows["in"].neuron_updates) == (6, 0)
    assert (rows["hidden"].spikes, rows["hidden"].neurons, rows["hidden"].neuron_updates) == (39, 18, 54)
    assert rows["hidden"].spikes_per_neuron == pytest.approx(39 / (18 * 2))
    assert (rows["out"].spikes, rows["out"].neuron_updates) == (0, 6)


def test_spikes_per_synapse_is_operations_over_synapses_and_samples() -> None:
    net, counts = small_net()
    assert sim.price(net, counts).spikes_per_synapse == pytest.approx((78 + 78) / ((98 + 36) * 2))
    assert sim.price(net, counts, synops="effective").spikes_per_synapse == pytest.approx((39 + 78) / ((49 + 36) * 2))


def test_the_scope_names_the_choices_and_what_is_left_out() -> None:
    net, counts = small_net()
    assert sim.price(net, counts, first_layer="once").scope == (
        "op_count_fp32: arithmetic of synaptic operations only, 0.9 pJ per AC and 4.6 pJ per MAC (45 nm, 0.9 V). "
        "Graded input as MAC once per sample, zero payloads free; zero weights included; "
        "ANN: one MAC per synapse of the same graph, padding left out. "
        "Excluded: neuron updates and biases, memory access, spike routing, input and output, static power."
    )


def test_a_silent_network_costs_nothing_and_has_no_ratio() -> None:
    net = dense_chain([np.ones((1, 1), int)])
    report = sim.price(net, sim.run(net, torch.tensor([[0]])).counts)
    assert (report.snn_pj, report.ratio, report.ann_pj) == (0.0, None, 4.6)


def test_a_binary_first_layer_accumulates() -> None:
    net = dense_chain([np.ones((5, 1), int)])
    (row,) = sim.price(net, sim.run(net, torch.tensor([[1]])).counts).connections
    assert (row.operation, row.operations, row.snn_pj) == ("AC", 5, pytest.approx(4.5))


@settings(max_examples=40, deadline=None)
@given(runs())
def test_totals_are_the_sums_of_rows_and_int8_never_costs_more(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    try:
        counts = sim.run(net, inputs).counts
    except hw.NotRepresentable:
        return
    report = sim.price(net, counts)
    assert report.snn_pj == pytest.approx(0.9 * report.acs_per_sample + 4.6 * report.macs_per_sample)
    assert report.ann_pj == pytest.approx(4.6 * sum(sim.n_synapses(net).values()))
    assert sum(row.operations for row in report.connections) == sum(int(t.sum()) for t in counts.synops.values())
    assert sim.price(net, counts, "op_count_int8").snn_pj <= report.snn_pj
    assert sim.price(net, counts, synops="effective").snn_pj <= report.snn_pj


@pytest.mark.parametrize(("add", "multiply", "name"), [(FP32_ADD, FP32_MULTIPLY, "op_count_fp32"),
                                                       (INT8_ADD, INT8_MULTIPLY, "op_count_int8")])  # fmt: skip
def test_a_mac_is_an_add_and_a_multiply(add: sim.Constant, multiply: sim.Constant, name: str) -> None:
    convention = sim.CONVENTIONS[name]
    ac, mac = convention.constant("acs"), convention.constant("graded_macs")
    assert mac is not None
    assert mac.value == pytest.approx(add.value + multiply.value, abs=1e-12)
    assert ac == add
    assert convention.constant("ann_macs") == mac
    assert (mac.kind, add.kind) == ("derived", "simulated")


@pytest.mark.parametrize("name", ["unit", "source", "scope"])
def test_a_constant_says_its_unit_source_and_scope(name: str) -> None:
    with pytest.raises(hw.BadInput, match=f"empty {name}"):
        replace(FP32_ADD, **{name: " "})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1])
def test_a_constant_that_is_no_energy_is_refused(value: float) -> None:
    with pytest.raises(hw.BadInput, match="is no energy, power or time; give a number >= 0"):
        replace(FP32_ADD, value=value)


def test_a_convention_in_another_unit_is_refused() -> None:
    with pytest.raises(hw.BadInput, match="mine: constants of a convention are in pJ, got 'nJ'"):
        sim.operation_counts("mine", "mine", ac=replace(FP32_ADD, unit="nJ"), mac=FP32_ADD)


def test_a_convention_of_ones_own_prices_as_well() -> None:
    net, counts = small_net()
    mine = sim.operation_counts("mine", "mine", ac=replace(FP32_ADD, value=2.0), mac=replace(FP32_ADD, value=3.0))
    assert sim.price(net, counts, mine).snn_pj == pytest.approx((78 * 3 + 78 * 2) / 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"convention": "op_count_fp23"}, "unknown energy convention 'op_count_fp23': did you mean 'op_count_fp32'"),
        ({"first_layer": "never"}, "unknown first_layer 'never'"),
        ({"first_macs": "event"}, "unknown first_macs 'event'; did you mean 'events'"),
        ({"synops": "store"}, "unknown synops 'store'; did you mean 'stored'"),
        ({"ann_macs": "formulae"}, "unknown ann_macs 'formulae'; did you mean 'formula'"),
        ({"active": "fire"}, "unknown active 'fire'; did you mean 'fired'"),
        ({"errata": "print"}, "unknown errata 'print'; did you mean 'printed'"),
    ],
)
def test_unknown_names_suggest_the_nearest(arguments: dict[str, Any], message: str) -> None:
    net, counts = small_net()
    with pytest.raises(hw.BadInput, match=message):
        sim.price(net, counts, **arguments)


def test_an_input_that_changes_cannot_be_charged_once() -> None:
    net = dense_chain([np.ones((1, 2), int)], payload_bits=2, n_steps=2)
    counts = sim.run(net, torch.tensor([[[3, 0]], [[3, 1]]])).counts
    with pytest.raises(hw.BadInput, match="in -> p0: first_layer='once' is for an input that never changes"):
        sim.price(net, counts, first_layer="once")


def test_an_input_that_changes_is_charged_at_every_step() -> None:
    net = dense_chain([np.ones((1, 2), int)], payload_bits=2, n_steps=2)
    counts = sim.run(net, torch.tensor([[[3, 0]], [[3, 1]]])).counts
    assert sim.price(net, counts).macs_per_sample == 3


def test_counts_of_another_network_are_refused() -> None:
    net, counts = small_net()
    with pytest.raises(hw.BadInput, match=r"they are of populations \['hidden', 'in', 'out'\], the network has"):
        sim.price(dense_chain([np.ones((1, 1), int)]), counts)
    with pytest.raises(hw.BadInput, match="they cover 3 timesteps, the network's sample lasts 4"):
        sim.price(replace(net, n_steps=4), counts)

"""Where spiking stops to pay: numbers by hand, and margins that a plain repricing crosses where they say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim.baselines import BY_BITS, baseline_energies, convention_of
from spikeport.sim.break_even import BreakEven, Margin, Threshold, break_even, dense_ratio
from spikeport.sim.choices import Synops
from spikeport.sim.report import scrutiny

from .networks import counted, dense_chain, runs
from .pricing import counts_of

INT8 = {"ann_int8": {"op_count_int8": 15.0}}


def chain(n_steps: int = 4) -> tuple[hw.Network, sim.Counts]:
    """Graded 2 -> 5 -> 3; one sample. 20 MACs of the input; 6 spikes of p0, 18 ACs; 3 spikes of p1, to nobody."""
    net = dense_chain([np.ones((5, 2), int), np.ones((3, 5), int)], payload_bits=8, n_steps=n_steps, kind="count")
    return net, counts_of(net, {("in", "p0"): 20, ("p0", "p1"): 18}, {"in": 4, "p0": 6, "p1": 3})


@pytest.mark.parametrize(("n_steps", "ratio"), [(1, 1.0), (3, 1.5), (7, 7 / 3), (15, 3.75)])
def test_the_dense_ratio_of_the_fair_twin(n_steps: int, ratio: float) -> None:
    """N-E-8."""
    assert dense_ratio(n_steps) == pytest.approx(ratio)
    net, counts = chain(n_steps)
    found = break_even(net, counts, {})
    assert (found.dense_ratio, found.matched_bits) == (pytest.approx(ratio), math.ceil(math.log2(n_steps + 1)))


def test_activity_by_hand() -> None:
    net, counts = chain()
    found = break_even(net, counts, {})
    assert found.spikes_per_synapse == pytest.approx((20 + 18) / (10 + 15))
    assert found.spikes_per_step == pytest.approx(6 / (5 * 4))  # p1 fires as well, but sends to nobody
    assert found.margins == ()


def test_margins_by_hand() -> None:
    net, counts = chain()
    # Silence costs the input's 20 * 0.23 = 4.6 pJ; the spikes 18 * 0.03 = 0.54 more.
    found = break_even(net, counts, {**INT8, "dear": {"op_count_fp32": 93.0}, "cheap": {"op_count_int8": 4.5}})
    factor = (15 - 4.6) / 0.54
    assert found.margins == (
        Margin(
            convention="op_count_int8",
            baseline="ann_int8",
            factor=pytest.approx(factor),
            spikes_per_synapse=pytest.approx((20 + 18 * factor) / 25),
        ),
        Margin(
            convention="op_count_fp32",
            baseline="dear",
            factor=pytest.approx((93 - 20 * 4.6) / (18 * 0.9)),  # below 1: it costs more already
            spikes_per_synapse=pytest.approx((20 + 18 * (93 - 92) / 16.2) / 25),
        ),
        Margin(convention="op_count_int8", baseline="cheap", factor=None, spikes_per_synapse=None),
    )


def test_a_baseline_that_costs_what_silence_does_leaves_no_room() -> None:
    net, counts = chain()
    silence = sim.price(net, counts_of(net, {("in", "p0"): 20}, {"in": 4}), "op_count_int8").snn_pj
    (margin,) = break_even(net, counts, {"silence": {"op_count_int8": silence}}).margins
    assert (margin.factor, margin.spikes_per_synapse) == (0.0, pytest.approx(20 / 25))


def test_where_no_spike_costs_anything_there_is_no_margin_but_for_what_silence_exceeds() -> None:
    net = dense_chain([np.ones((5, 2), int)], payload_bits=8)
    counts = counts_of(net, {("in", "p0"): 10}, {"in": 2})
    found = break_even(net, counts, {**INT8, "cheap": {"op_count_int8": 2.0}})
    assert [(margin.baseline, margin.factor) for margin in found.margins] == [("cheap", None)]
    assert found.spikes_per_step == 0.0


def test_choices_are_those_of_the_prices() -> None:
    net, counts = chain()
    fewer = replace(counts, synops_effective={**counts.synops, ("p0", "p1"): counts.synops[("p0", "p1")] // 2})
    once = break_even(net, fewer, INT8, sim.Choices(synops="effective")).margins[0]
    assert once.factor == pytest.approx((15 - 4.6) / (9 * 0.03))


def multiplied(net: hw.Network, counts: sim.Counts, factor: int) -> sim.Counts:
    """Cell by cell: all events but those that begin outside."""
    sources = [source.name for source in net.sources]

    def table(before: Mapping) -> dict:
        after = {}
        for key, events in before.items():
            sender = key if isinstance(key, str) else key[0]
            after[key] = torch.tensor([[int(e) * (1 if sender in sources else factor) for e in row] for row in events])
        return after

    return sim.Counts(
        spikes=table(counts.spikes), synops=table(counts.synops), synops_effective=table(counts.synops_effective)
    )


@settings(max_examples=40, deadline=None)
@given(runs(), st.sampled_from([0.5, 1.0, 4.0]), st.sampled_from(["stored", "effective"]))
def test_repricing_crosses_the_baseline_where_the_margin_says(
    case: tuple[hw.Network, torch.Tensor], scale: float, synops: Synops
) -> None:
    net, counts = counted(case)
    baselines = {
        key: {name: scale * pj for name, pj in energies.items()} for key, energies in baseline_energies(net).items()
    }

    def per_synapse(factor: int) -> float:
        return sim.price(net, multiplied(net, counts, factor), synops=synops).spikes_per_synapse

    found = break_even(net, counts, baselines, sim.Choices(synops=synops))
    margins = {(margin.baseline, margin.convention): margin for margin in found.margins}
    for baseline, energies in baselines.items():
        for name, pj in energies.items():

            def cost(factor: int, name: str = name) -> float:
                more = multiplied(net, counts, factor)
                return sim.price(net, more, convention_of(name, net), synops=synops).snn_pj

            silence = cost(0)
            margin = margins.get((baseline, name))
            if margin is None:
                assert cost(1) == silence <= pj
            elif margin.factor is None:
                assert silence > pj
            else:
                below, above = math.floor(margin.factor), math.ceil(margin.factor)
                assert cost(below) <= pj * (1 + 1e-9)
                assert cost(above) >= pj * (1 - 1e-9)
                assert cost(below) + (margin.factor - below) * (cost(above) - cost(below)) == pytest.approx(pj)
                few, many = per_synapse(below), per_synapse(above)
                assert margin.spikes_per_synapse == pytest.approx(few + (margin.factor - below) * (many - few))
    assert found.spikes_per_synapse == pytest.approx(per_synapse(1))
    assert scrutiny.BreakEven.model_validate(asdict(found)).model_dump() == asdict(found)


def test_an_snn_is_compared_only_under_the_convention_that_priced_the_baseline() -> None:
    net, counts = chain()
    found = break_even(net, counts, baseline_energies(net))
    assert [(margin.baseline, margin.convention) for margin in found.margins] == [
        ("ann_fp32", "op_count_fp32"),
        ("ann_int8", "op_count_int8"),
        ("ann_matched", "op_count_int8"),
        ("ann_matched", BY_BITS),
        *(("ann_int32", f"lemaire_int32_{letter}") for letter in "abc"),
    ]


def test_a_price_that_is_no_straight_line_is_refused_and_the_choice_that_makes_it_one_is_not() -> None:
    # With all updates active, states are written anyway until there are more spikes than neurons.
    net, counts = chain()
    baselines = {"mine": {"loihi1_nahuku": 1e5}}
    with pytest.raises(hw.BadInput, match=r"under loihi1_nahuku .* a straight line gives .*active='never' or 'fired'"):
        break_even(net, counts, baselines)
    (margin,) = break_even(net, counts, baselines, sim.Choices(active="fired")).margins
    # A spike of p0 reaches 3 dense synapses and is written and sent; one of p1 is written and sent; 8 neurons, 4 steps.
    slope = 18 * 35.5 + (6 + 3) * (21.6 + 69.3)
    assert margin.factor == pytest.approx((1e5 - 20 * 35.5 - 8 * 4 * 51.2) / slope)


def threshold(found: BreakEven, unit: str) -> list[Threshold]:
    return [threshold for threshold in found.thresholds if threshold.unit == unit]


def test_published_limits_stand_beside_what_was_measured() -> None:
    net, counts = chain()
    found = break_even(net, counts, {})
    assert [(t.measured, t.low, t.high) for t in threshold(found, "spikes per synapse")] == [
        (found.spikes_per_synapse, 0.15, 1.38),
        (found.spikes_per_synapse, None, 1.72),
    ]
    # T s_r beside MAC / AC: (0.2 * 3 / 8 + 0.03) / 0.03 for the twin's 3 bits, 0.23 / 0.03 for 8.
    (arithmetic,) = threshold(found, "spikes per neuron")
    assert (arithmetic.measured, arithmetic.low, arithmetic.high) == pytest.approx((6 / 5, 3.5, 23 / 3))
    assert all(limit.source for limit in found.thresholds)


@pytest.mark.parametrize("n_steps", [1, 4, 5, 6])
def test_a_limit_published_for_five_timesteps_is_shown_for_five_alone(n_steps: int) -> None:
    net, counts = chain(n_steps)
    found = break_even(net, counts, {})
    limits = threshold(found, "spikes per neuron and timestep")
    assert [(limit.measured, limit.high) for limit in limits] == [(6 / 25, 0.057)] * (n_steps == 5)
    assert all("T = 5, 4-bit weights, 4096 inputs" in limit.what for limit in limits)


def test_nothing_is_called_a_verdict() -> None:
    net, counts = chain(5)
    for limit in break_even(net, counts, {}).thresholds:
        assert limit.what.startswith("spikes per ")
        assert not {"wins", "loses", "better", "worse"} & set(limit.what.split())


def test_a_report_takes_its_fields_as_they_are() -> None:
    for mine, theirs in (
        (BreakEven, scrutiny.BreakEven),
        (Margin, scrutiny.Margin),
        (Threshold, scrutiny.Threshold),
    ):
        assert [field.name for field in fields(mine)] == list(theirs.model_fields)


def test_a_convention_that_does_not_exist_is_refused() -> None:
    net, counts = chain()
    with pytest.raises(hw.BadInput, match="did you mean 'op_count_int8'"):
        break_even(net, counts, {"mine": {"op_count_int9": 1.0}})

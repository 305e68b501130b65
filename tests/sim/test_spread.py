"""The spread of single samples: statistics that can be done on paper, and what no order of the samples changes."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim.constants import FP32_ADD
from spikeport.sim.report import scrutiny
from spikeport.sim.spread import Spread, spread

from .networks import dense_chain, network, runs

ONE_PJ = replace(FP32_ADD, value=1.0)
NAMES = list(sim.CONVENTIONS)


def bill_of(energies: list[int]) -> sim.Bill:
    """Samples that cost these whole picojoules, the first half of each at the first of two timesteps."""
    net = dense_chain([np.ones((1, 1), int)], n_steps=2)
    cells = torch.tensor([[pj // 2 for pj in energies], [pj - pj // 2 for pj in energies]])
    table = {("in", "p0"): cells}
    counts = sim.Counts(spikes={"in": cells, "p0": 0 * cells}, synops=table, synops_effective=table)
    convention = sim.operation_counts("one", "1 pJ per operation", ac=ONE_PJ, mac=ONE_PJ)
    return sim.bill(sim.Workload(network=net, counts=counts), convention)


def shuffled(counts: sim.Counts, order: list[int]) -> sim.Counts:
    def taken(table: dict) -> dict:
        return {key: events[:, order] for key, events in table.items()}

    return sim.Counts(
        spikes=taken(counts.spikes), synops=taken(counts.synops), synops_effective=taken(counts.synops_effective)
    )


def test_four_samples_by_hand() -> None:
    found = spread(bill_of([1, 6, 2, 3]), bins=5)
    assert (found.convention, found.samples, found.mean_pj) == ("one", 4, 3.0)
    # Squares 4 + 9 + 1 + 0 = 14 over n - 1 = 3; t of 3 degrees of freedom is 3.1824; 3 - 3.44 is below nothing.
    assert found.ci95_pj == pytest.approx((0.0, 3 + 3.1824463 * (14 / 3) ** 0.5 / 2), rel=1e-7)
    # Of 1, 2, 3, 6 at positions 0.05 * 3, 0.5 * 3 and 0.95 * 3, counted from 0.
    assert (found.p5_pj, found.median_pj, found.p95_pj) == pytest.approx((1.15, 2.5, 3 + 0.85 * 3))
    assert (found.worst_pj, found.worst_sample) == (6.0, 1)
    # Bins of 1 pJ from 1 to 6; an inner edge belongs to the bin above it, the last edge to the last bin.
    assert found.histogram == type(found.histogram)(low_pj=1.0, high_pj=6.0, samples=(1, 1, 1, 0, 1))


def test_the_interval_is_centred_where_nothing_is_negative() -> None:
    low, high = spread(bill_of([99, 100, 101])).ci95_pj
    assert (low, high) == pytest.approx((100 - 4.3026527 / 3**0.5, 100 + 4.3026527 / 3**0.5), rel=1e-7)


def test_one_sample_has_no_interval_but_itself() -> None:
    found = spread(bill_of([7]))
    assert found.ci95_pj == (7.0, 7.0)
    assert (found.p5_pj, found.median_pj, found.p95_pj, found.worst_pj) == (7.0,) * 4
    assert sum(found.histogram.samples) == 1


@pytest.mark.parametrize(("pj", "low", "high"), [(8, 4.0, 12.0), (0, 0.0, 1.0)])
def test_equal_samples_stand_together_in_a_histogram_of_some_width(pj: int, low: float, high: float) -> None:
    found = spread(bill_of([pj] * 5), bins=4)
    assert found.ci95_pj == (pj, pj)
    assert (found.histogram.low_pj, found.histogram.high_pj) == (low, high)
    assert sorted(found.histogram.samples) == [0, 0, 0, 5]


def test_of_equally_dear_samples_the_first_is_the_worst() -> None:
    assert spread(bill_of([1, 5, 2, 5])).worst_sample == 1


def test_the_interval_covers_the_mean_of_all_samples_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    drawn = np.rint(rng.normal(1e6, 1e4, (2000, 3))).astype(int)
    inside = sum(low <= 1e6 <= high for low, high in (spread(bill_of(row.tolist())).ci95_pj for row in drawn))
    assert inside / len(drawn) == pytest.approx(0.95, abs=0.015)  # three times sqrt(0.95 * 0.05 / 2000)


@settings(max_examples=40, deadline=None)
@given(runs(), st.sampled_from(NAMES), st.data())
def test_the_order_of_the_samples_changes_nothing_and_the_mean_is_the_bills(
    case: tuple[hw.Network, torch.Tensor], name: str, data: st.DataObject
) -> None:
    net, inputs = case
    try:
        counts = sim.run(net, inputs).counts
    except hw.NotRepresentable:
        assume(False)
    order = data.draw(st.permutations(range(counts.n_samples)))
    convention = sim.CONVENTIONS[name]
    first = sim.bill(sim.Workload(network=net, counts=counts), convention)
    assume(first.side())
    second = sim.bill(sim.Workload(network=net, counts=shuffled(counts, order)), convention)
    found, moved = spread(first), spread(second)
    assert found.mean_pj == pytest.approx(first.total_pj())
    samples = first.by_step_and_sample_pj().sum(dim=0)
    assert float(samples[order[moved.worst_sample]]) == pytest.approx(found.worst_pj)
    assert replace(moved, worst_sample=found.worst_sample) == found


def test_the_order_of_many_samples_changes_no_bit() -> None:
    net = dense_chain([np.ones((3, 5), int), np.ones((2, 3), int)], n_steps=7)
    rng = np.random.default_rng(11)
    counts = sim.run(net, torch.from_numpy(rng.integers(0, 2, (7, 37, 5)).astype(np.uint8))).counts
    order = rng.permutation(37).tolist()
    found, moved = (
        spread(sim.bill(sim.Workload(network=net, counts=each), sim.CONVENTIONS["lemaire_int32_a"]))
        for each in (counts, shuffled(counts, order))
    )
    assert found.worst_pj > found.median_pj > found.p5_pj
    assert replace(moved, worst_sample=found.worst_sample) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 12))
def test_the_histogram_is_that_of_a_plain_loop_and_loses_no_sample(energies: list[int], bins: int) -> None:
    found = spread(bill_of(energies), bins).histogram
    samples = [0] * bins
    for pj in energies:
        k = 0
        while k < bins - 1 and bins * (pj - found.low_pj) >= (k + 1) * (found.high_pj - found.low_pj):
            k += 1
        samples[k] += 1
    assert found.samples == tuple(samples)
    assert sum(found.samples) == len(energies)


def test_a_report_takes_it_as_it_is() -> None:
    found = spread(bill_of([3, 1, 4, 1, 5]))
    assert asdict(scrutiny_of(found)) == asdict(found)
    assert [field.name for field in fields(Spread)] == list(scrutiny.Spread.model_fields)


def scrutiny_of(found: Spread) -> Spread:
    """Through the report's own check and back."""
    checked = scrutiny.Spread.model_validate(asdict(found)).model_dump()
    return Spread(**{**checked, "histogram": type(found.histogram)(**checked["histogram"])})


def test_what_has_no_spread_is_refused() -> None:
    convention = sim.Convention(
        name="dense only", title="x", about="x", excluded="y", snn=(sim.Term(count="dense_synops", cost=ONE_PJ),)
    )
    conv = hw.Conv(source="in", target="p", weight=np.ones((1, 1, 1, 1), int))
    net = network([conv], {"in": (1, 1, 1), "p": (1, 1, 1)}, {"p": hw.Cuba(v_th_mant=1)})
    counts = sim.run(net, torch.ones(2, 1, 1, 1, dtype=torch.uint8)).counts
    with pytest.raises(hw.BadInput, match="dense only counts nothing in this spiking network"):
        spread(sim.bill(sim.Workload(network=net, counts=counts), convention))
    with pytest.raises(hw.BadInput, match="0 bins hold no samples"):
        spread(bill_of([1]), bins=0)

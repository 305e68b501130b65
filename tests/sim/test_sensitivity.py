"""The bars of a tornado are prices: each is what `price` says with one constant or one choice replaced."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim.choices import Active, Errata, FirstLayer, FirstMacs, Synops
from spikeport.sim.constants import FP32_ADD
from spikeport.sim.conventions import keras_spiking, loihi1_davies2018, loihi1_nahuku
from spikeport.sim.counts import DenseMacs
from spikeport.sim.report import scrutiny
from spikeport.sim.sensitivity import RANGES, Sensitivity, Swing, sensitivity

from .networks import counted, dense_chain, network, runs
from .pricing import counts_of

NAMES = list(sim.CONVENTIONS)
SETTINGS: dict[str, tuple[str, ...]] = {
    "first_layer": get_args(FirstLayer),
    "first_macs": get_args(FirstMacs),
    "synops": get_args(Synops),
    "ann_macs": get_args(DenseMacs),
    "active": get_args(Active),
    "errata": get_args(Errata),
}


def pj(value: float) -> sim.Constant:
    return replace(FP32_ADD, value=value, scope=f"one event at {value} pJ")


def convolved() -> tuple[hw.Network, sim.Counts]:
    """Graded (1, 2, 2) -> conv 1 x 1, padding 1 -> dense of 3; two timesteps; one sample, counts by hand."""
    conv = hw.Conv(source="in", target="a", weight=np.ones((1, 1, 3, 3), int), padding=(1, 1))
    dense = hw.Dense(source="a", target="b", weight=np.ones((3, 4), int))
    net = network(
        [conv, dense],
        {"in": (1, 2, 2), "a": (1, 2, 2), "b": (3,)},
        {"a": hw.Cuba(v_th_mant=1), "b": hw.Cuba(v_th_mant=1)},
        payload_bits=8,
        n_steps=2,
    )
    still = torch.tensor([[8], [8]])
    counts = counts_of(net, {("a", "b"): 30}, {"a": 10, "in": 2})
    steady = {**counts.synops, ("in", "a"): still}
    return net, sim.Counts(
        spikes=counts.spikes, synops=steady, synops_effective={**steady, ("a", "b"): counts.synops[("a", "b")] // 3}
    )


def bars(found: Sensitivity) -> dict[str, Swing]:
    return {swing.what: swing for swing in found.swings}


def ends(swing: Swing) -> tuple[float, ...]:
    return (swing.low_pj, swing.high_pj, swing.low_ratio or 0.0, swing.high_ratio or 0.0)


def test_a_tornado_by_hand() -> None:
    # 16 MACs at 3 pJ and 30 ACs at 1 pJ: 78 pJ. ANN: 16 taps inside of 36 with padding, and 12, at 3 pJ each: 84 pJ.
    net, counts = convolved()
    found = sensitivity(net, counts, sim.operation_counts("mine", "mine", ac=pj(1), mac=pj(3)))
    assert (found.convention, found.snn_pj, found.ratio) == ("mine", 78.0, pytest.approx(84 / 78))
    bar = bars(found)
    assert ends(bar["MAC (the ANN's too)"]) == pytest.approx((54, 126, 42 / 54, 168 / 126))
    assert ends(bar["AC"]) == pytest.approx((63, 108, 84 / 63, 84 / 108))
    assert ends(bar["first macs"]) == pytest.approx((78, 126, 84 / 78, 84 / 126))  # 16 taps at each of 2 timesteps
    assert ends(bar["first layer"]) == pytest.approx((54, 78, 84 / 54, 84 / 78))
    assert ends(bar["synops"]) == pytest.approx((58, 78, 84 / 58, 84 / 78))
    assert ends(bar["ann macs"]) == pytest.approx((78, 78, 84 / 78, (36 + 12) * 3 / 78))
    # 72, 48, 45, 24, 20 and 0 pJ.
    assert list(bar) == ["MAC (the ANN's too)", "first macs", "AC", "first layer", "synops", "ann macs"]
    assert [(bar[name].low, bar[name].high) for name in ("AC", "first layer", "synops")] == [
        ("0.5 pJ (half)", "2 pJ (twice)"),
        ("once", "per_step"),
        ("effective", "stored"),
    ]


def replaced(convention: sim.Convention, old: object, new: Any) -> sim.Convention:
    def terms(before: tuple[sim.Term, ...]) -> tuple[sim.Term, ...]:
        return tuple(sim.Term(count=t.count, cost=new) if t.cost == old else t for t in before)

    return replace(convention, snn=terms(convention.snn), ann=terms(convention.ann), routing=terms(convention.routing))


def expected_ends(cost: Any) -> tuple[Any, Any]:
    if cost in RANGES:
        found = RANGES[cost]
        return replace(cost, value=found.low.value), replace(cost, value=found.high.value)
    if isinstance(cost, sim.AccessCost):
        return tuple(replace(cost, points=tuple((at, f * y) for at, y in cost.points)) for f in (0.5, 2))  # type: ignore[return-value]
    if isinstance(cost, sim.LinearAccessCost):
        return tuple(replace(cost, base_pj=f * cost.base_pj, pj_per_bit=f * cost.pj_per_bit) for f in (0.5, 2))  # type: ignore[return-value]
    return replace(cost, value=cost.value * 0.5), replace(cost, value=cost.value * 2)


@settings(max_examples=40, deadline=None)
@given(runs(), st.sampled_from(NAMES), st.sampled_from(SETTINGS["active"]), st.sampled_from(SETTINGS["synops"]))
def test_every_bar_is_the_price_with_one_thing_replaced_and_none_is_missing(
    case: tuple[hw.Network, torch.Tensor], name: str, active: Any, synops: Any
) -> None:
    net, counts = counted(case)
    convention, chosen = sim.CONVENTIONS[name], {"active": active, "synops": synops}
    found = sensitivity(net, counts, name, sim.Choices(**chosen))

    def priced(convention: sim.Convention, **flags: Any) -> tuple[float, float]:
        report = sim.price(net, counts, convention, **{**chosen, **flags})
        return report.snn_pj, report.ratio or 0.0

    assert (found.snn_pj, found.ratio or 0.0) == pytest.approx(priced(convention))
    pairs = []
    for cost in {term.cost for term in convention.snn}:
        (low, low_ratio), (high, high_ratio) = (priced(replaced(convention, cost, end)) for end in expected_ends(cost))
        pairs.append((low, high, low_ratio, high_ratio))
    for choice in convention.reads:
        outcomes = []
        for setting in SETTINGS[choice]:
            try:
                outcomes.append(priced(convention, **{choice: setting}))
            except hw.BadInput:
                assert (choice, setting) == ("first_layer", "once")
        (low, low_ratio), (high, high_ratio) = min(outcomes), max(outcomes)
        pairs.append((low, high, low_ratio, high_ratio))
    moving = sorted(pair for pair in pairs if pair[0] != pair[1] or pair[2] != pair[3])
    assert len(found.swings) == len(moving)
    for got, wanted in zip(sorted(map(ends, found.swings)), moving, strict=True):
        assert got == pytest.approx(wanted)
    widths = [swing.high_pj - swing.low_pj for swing in found.swings]
    assert widths == sorted(widths, reverse=True)
    assert min(widths, default=0.0) >= 0
    assert scrutiny.Sensitivity.model_validate(asdict(found)).model_dump() == asdict(found)


@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_a_memory_scales_as_a_whole_and_the_anns_with_it(letter: str) -> None:
    net, counts = convolved()
    found = sensitivity(net, counts, f"lemaire_int32_{letter}")
    bar = bars(found)["memory accesses (the ANN's too)"]
    report = sim.price(net, counts, f"lemaire_int32_{letter}")
    memory = {
        side: sum(
            item.pj for item in report.items if item.side == side and ("read" in item.what or "write" in item.what)
        )
        for side in ("snn", "ann")
    }
    assert report.ann_pj is not None
    assert (bar.low, bar.high) == ("half", "twice")
    assert (bar.low_pj, bar.high_pj) == pytest.approx((found.snn_pj - memory["snn"] / 2, found.snn_pj + memory["snn"]))
    assert bar.high_ratio == pytest.approx((report.ann_pj + memory["ann"]) / bar.high_pj)


@pytest.mark.parametrize("constant", list(RANGES))
def test_a_published_range_holds_the_constant_and_its_ends_are_sourced(constant: sim.Constant) -> None:
    found = RANGES[constant]
    assert found.low.value <= constant.value <= found.high.value
    assert found.low.value < found.high.value
    assert found.low.source
    assert found.high.source


def test_the_published_range_of_a_loihi_synapse_stands_in_for_half_and_twice() -> None:
    net, counts = convolved()
    for name, what in (
        ("loihi1_davies2018", "synaptic operation"),
        ("loihi1_nahuku", "operation of a dense synapse"),
        ("loihi1_nahuku", "operation of a shared synapse"),
    ):
        bar = bars(sensitivity(net, counts, name))[what]
        assert bar.low == f"{loihi1_davies2018.SYNOP.value} pJ (simulated, the minimum)"
        assert bar.high == f"{loihi1_nahuku.DENSE_SYNOP.value} pJ (fitted to silicon, stored densely)"
    keras = bars(sensitivity(net, counts, "keras_spiking_loihi"))
    assert (keras["neuron update"].low, keras["neuron update"].high) == ("52 pJ (inactive)", "81 pJ (active)")
    # As in KerasSpiking's own composition, a mean hop of 3.5 pJ on top.
    assert keras["synaptic operation"].low_pj == pytest.approx(sim.price(net, counts, "keras_spiking_loihi").snn_pj)
    wide = keras_spiking.Device(synop=pj(35.5 + 3.5), neuron=keras_spiking.DEVICES["loihi"].neuron)
    dear = sim.price(net, counts, keras_spiking.on_devices("x", "x", snn=wide, ann=keras_spiking.DEVICES["cpu"]))
    assert keras["synaptic operation"].high_pj == pytest.approx(dear.snn_pj)


def test_of_bars_that_move_only_the_ratio_the_one_that_moves_it_more_comes_first() -> None:
    # A binary pixel accumulates, so the MAC is the ANN's alone: 9 with padding, 1 without; the price moves it 4 times.
    conv = hw.Conv(source="in", target="p", weight=np.ones((1, 1, 3, 3), int), padding=(1, 1))
    net = network([conv], {"in": (1, 1, 1), "p": (1, 1, 1)}, {"p": hw.Cuba(v_th_mant=1)})
    found = sensitivity(net, sim.run(net, torch.ones(1, 1, 1, 1, dtype=torch.uint8)).counts, "op_count_int8")
    assert [(swing.what, swing.width_pj > 0) for swing in found.swings] == [
        ("AC", True),
        ("ann macs", False),
        ("MAC (the ANN's too)", False),
    ]
    assert (found.swings[1].low, found.swings[1].high) == ("edge_exact", "formula")


def test_an_input_that_changes_has_no_first_layer_to_choose() -> None:
    net = dense_chain([np.ones((1, 2), int)], payload_bits=2, n_steps=2)
    still, moving = (
        sim.run(net, torch.tensor(inputs)).counts for inputs in ([[[3, 0]], [[3, 0]]], [[[3, 0]], [[3, 1]]])
    )
    assert "first layer" in bars(sensitivity(net, still))
    found = bars(sensitivity(net, moving))
    assert "first layer" not in found
    assert "first macs" in found


def test_the_prices_of_a_placement_are_bars_where_there_is_one() -> None:
    net, counts = convolved()
    table = {"a": torch.tensor([[3], [0]])}
    traffic = sim.Traffic(messages=table, hops_ew={"a": table["a"] * 2}, hops_ns={"a": table["a"] * 0})
    placed = bars(sensitivity(net, counts, "loihi1_davies2018", traffic=traffic))
    width = placed["message to a core"].high_pj - placed["message to a core"].low_pj
    assert width == pytest.approx(1.5 * 3 * 1.7)
    assert "hop east or west" in placed
    assert "hop north or south" not in placed  # none was made
    assert "message to a core" not in bars(sensitivity(net, counts, "loihi1_davies2018"))


def test_a_constant_that_two_terms_share_is_one_bar() -> None:
    net, counts = convolved()
    found = bars(sensitivity(net, counts, sim.operation_counts("equal", "equal", ac=FP32_ADD, mac=FP32_ADD)))
    bar = found["AC, MAC (the ANN's too)"]
    assert (bar.low_pj, bar.high_pj) == pytest.approx((46 * 0.45, 46 * 1.8))
    assert bar.low_ratio == pytest.approx(bar.high_ratio)


def test_a_silent_network_has_no_ratio_and_only_bars_that_make_it_speak() -> None:
    net = dense_chain([np.ones((1, 1), int)], payload_bits=4)
    found = sensitivity(net, sim.run(net, torch.tensor([[0]])).counts)
    assert (found.snn_pj, found.ratio) == (0.0, None)
    assert [(swing.what, swing.low_ratio, swing.high_ratio) for swing in found.swings] == [("first macs", None, 1.0)]


def test_a_report_takes_its_fields_as_they_are() -> None:
    assert [field.name for field in fields(Swing)] == list(scrutiny.Swing.model_fields)
    assert [field.name for field in fields(Sensitivity)] == list(scrutiny.Sensitivity.model_fields)


def test_counts_of_another_network_are_refused() -> None:
    net, counts = convolved()
    with pytest.raises(hw.BadInput, match="price the counts of a run of this network"):
        sensitivity(replace(net, n_steps=3), counts)

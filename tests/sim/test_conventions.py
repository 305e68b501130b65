"""Every convention: where its numbers come from, that its sums agree, and what each charges for."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim.choices import Active, Errata
from spikeport.sim.constants import FP32_ADD
from spikeport.sim.conventions import hala_point, keras_spiking, loihi1_davies2018
from spikeport.sim.references import REFERENCES

from .networks import counted, dense_chain, network, runs
from .pricing import counts_of, line

NAMES = list(sim.CONVENTIONS)
ACTIVE, ERRATA = get_args(Active), get_args(Errata)


def constants(convention: sim.Convention) -> list[sim.Constant]:
    costs = (term.cost for term in convention.terms())
    return [cost if isinstance(cost, sim.Constant) else cost.at(1000) for cost in costs]


@pytest.mark.parametrize("name", NAMES)
def test_every_constant_says_where_it_comes_from(name: str) -> None:
    convention = sim.CONVENTIONS[name]
    assert convention.name == name
    assert convention.title
    assert convention.excluded
    for constant in constants(convention):
        assert constant.unit == "pJ"
        assert any(digit in constant.source for digit in "0123456789") or "papers" in constant.source
        assert len(constant.scope) > 10


def test_every_countable_is_priced_by_some_convention() -> None:
    priced = {term.count for convention in sim.CONVENTIONS.values() for term in convention.terms()}
    assert priced == set(sim.COUNTABLES)


def test_no_convention_prices_an_operation_of_loihi_2() -> None:
    assert [name for name in NAMES if "loihi2" in name] == ["loihi2_hala_point_bound"]
    assert "bound" in sim.CONVENTIONS["loihi2_hala_point_bound"].title


@settings(max_examples=60, deadline=None)
@given(runs(), st.sampled_from(NAMES), st.sampled_from(ACTIVE), st.sampled_from(ERRATA))
def test_the_total_is_the_sum_of_layers_and_of_timesteps_and_samples(
    case: tuple[hw.Network, torch.Tensor], name: str, active: Active, errata: Errata
) -> None:
    net, counts = counted(case)
    choices = sim.Choices(active=active, errata=errata)
    work = sim.Workload(network=net, counts=counts, choices=choices)
    found = sim.bill(work, sim.CONVENTIONS[name])
    report = sim.price(net, counts, name, active=active, errata=errata)
    for side, reported in (("snn", report.snn_pj), ("ann", report.ann_pj)):
        total = found.total_pj(side)
        cells = found.by_step_and_sample_pj(side)
        assert total == pytest.approx(reported or 0.0)
        assert sum(found.by_layer_pj(side).values()) == pytest.approx(total)
        assert float(cells.sum(dim=0).mean()) == pytest.approx(total)
        assert float(cells.mean(dim=1).sum()) == pytest.approx(total)
        assert sum(item.pj for item in report.items if item.side == side) == pytest.approx(total)
    rows = sum(row.snn_pj for row in report.connections) + sum(row.snn_pj for row in report.populations)
    assert rows == pytest.approx(report.snn_pj)
    for item in found.items:
        assert item.events.dtype == torch.int64
        assert int(item.events.min()) >= 0
        assert item.events.shape[1] == counts.n_samples


@settings(max_examples=30, deadline=None)
@given(runs(), st.sampled_from(NAMES))
def test_a_price_is_linear_in_its_samples(case: tuple[hw.Network, torch.Tensor], name: str) -> None:
    """The mean over all samples is the mean of what each sample costs alone."""
    net, counts = counted(case)

    def only(sample: int) -> sim.Counts:
        def cut(table: dict) -> dict:
            return {key: events[:, sample : sample + 1] for key, events in table.items()}

        return sim.Counts(
            spikes=cut(counts.spikes), synops=cut(counts.synops), synops_effective=cut(counts.synops_effective)
        )

    alone = [sim.price(net, only(i), name).snn_pj for i in range(counts.n_samples)]
    assert sum(alone) / len(alone) == pytest.approx(sim.price(net, counts, name).snn_pj)


def one_dense(outputs: int = 128, inputs: int = 784, n_steps: int = 1) -> hw.Network:
    return dense_chain([np.ones((outputs, inputs), int)], n_steps=n_steps)


def test_e2_the_worked_example_of_keras_spiking() -> None:
    """N-E-2."""
    net = one_dense()
    counts = counts_of(net, {})
    cpu = sim.price(net, counts, "keras_spiking_loihi")
    assert (line(cpu, "MAC of the ANN")[0], line(cpu, "neuron of the ANN")[0]) == (100_352, 128)
    assert cpu.ann_pj == pytest.approx((100_352 + 128) * 8600)
    assert f"{cpu.ann_pj * 1e-12:.3e}" == "8.641e-04"
    mine = keras_spiking.Device(synop=replace(FP32_ADD, value=100.0), neuron=replace(FP32_ADD, value=2000.0))
    own = keras_spiking.on_devices("mine", "mine", snn=keras_spiking.DEVICES["loihi"], ann=mine)
    assert f"{(sim.price(net, counts, own).ann_pj or 0) * 1e-12:.3e}" == "1.029e-05"


def test_e2_a_spiking_device_charges_operations_and_every_update() -> None:
    """N-E-2."""
    net = one_dense(3, 2, n_steps=4)
    report = sim.price(net, counts_of(net, {("in", "p0"): 6}, {"in": 2}), "keras_spiking_spinnaker2")
    assert report.snn_pj == pytest.approx(6 * 450 + 3 * 4 * 2190)


def test_e4_a_published_worked_example_and_what_its_constants_mean() -> None:
    """N-E-4."""
    # Layers 18-256-128-4, activation sparsity 0.79. The paper charges P_w, the within-tile spike, for every synapse,
    # and P_s, the synaptic operation, for every neuron that fires.
    n_in, n1, n2, n_out, rate = 18, 256, 128, 4, 1 - 0.79
    p_s, p_w, p_u = (loihi1_davies2018.SYNOP, loihi1_davies2018.TILE_SPIKE, loihi1_davies2018.ACTIVE)
    printed = (
        n1 * (p_u.value + n_in * p_w.value)
        + p_s.value * rate * n1
        + n2 * (p_u.value + n1 * p_w.value)
        + p_s.value * rate * n2
        + n_out * n2 * p_w.value
    )
    assert printed == pytest.approx(97_416.7, abs=0.05)
    # As Davies et al. define them, one timestep of the same rates charges synapses reached and all neurons.
    net = dense_chain([np.ones((n1, n_in), int), np.ones((n2, n1), int), np.ones((n_out, n2), int)])
    spikes = {"in": n_in, "p0": round(rate * n1), "p1": round(rate * n2)}
    synops = {("in", "p0"): n_in * n1, ("p0", "p1"): spikes["p0"] * n2, ("p1", "p2"): spikes["p1"] * n_out}
    meant = sim.price(net, counts_of(net, synops, spikes), "loihi1_davies2018").snn_pj
    assert meant == pytest.approx(23.6 * (18 * 256 + 54 * 128 + 27 * 4) + 81 * (256 + 128 + 4))
    assert meant / printed == pytest.approx(3.14, abs=0.01)


def test_e5_truenorth_all_in() -> None:
    """N-E-5."""
    assert REFERENCES["TrueNorth, all-in"].value == pytest.approx(26.82, abs=0.005)


def test_e6_the_bound_of_hala_point() -> None:
    """N-E-6."""
    assert hala_point.SYNOP.value == pytest.approx(6.84, abs=0.005)
    assert hala_point.SYNOP.kind == "derived"
    net = one_dense(2, 1)
    assert sim.price(net, counts_of(net, {("in", "p0"): 2}), "loihi2_hala_point_bound").snn_pj == pytest.approx(
        13.684, abs=0.001
    )


def test_e7_the_static_power_of_loihi_1() -> None:
    """N-E-7."""
    static = REFERENCES["Loihi 1, static"]
    assert static.value == pytest.approx(104.4, abs=0.05)
    assert static.value / 128 == pytest.approx(0.815, abs=0.001)


def mixed_net() -> tuple[hw.Network, sim.Counts]:
    """Conv, then dense; 2 timesteps. Spikes and operations by hand."""
    conv = hw.Conv(source="in", target="a", weight=np.ones((1, 1, 1, 1), int))
    dense = hw.Dense(source="a", target="b", weight=np.ones((2, 4), int))
    net = network(
        [conv, dense],
        {"in": (1, 2, 2), "a": (1, 2, 2), "b": (2,)},
        {"a": hw.Cuba(v_th_mant=1), "b": hw.Cuba(v_th_mant=1)},
        n_steps=2,
    )
    return net, counts_of(net, {("in", "a"): 3, ("a", "b"): 6}, {"in": 3, "a": 3, "b": 1})


# 6 neurons, 2 timesteps: 12 updates, 4 of them of neurons that fire.
@pytest.mark.parametrize(("active", "n_active"), [("every", 12), ("fired", 4), ("never", 0)])
def test_active_updates_are_bounded_by_the_policy(active: str, n_active: int) -> None:
    net, counts = mixed_net()
    report = sim.price(net, counts, "loihi1_davies2018", active=active)  # type: ignore[arg-type]
    assert line(report, "active neuron update")[0] == n_active
    assert line(report, "inactive neuron update")[0] == 12 - n_active
    assert report.snn_pj == pytest.approx(9 * 23.6 + n_active * 81 + (12 - n_active) * 52)
    assert "no published definition" in report.scope


@pytest.mark.parametrize(("active", "written"), [("every", 12), ("fired", 4), ("never", 4)])
def test_the_calibrated_loihi_knows_kinds_of_synapses_and_writes_where_a_neuron_fires(
    active: str, written: int
) -> None:
    net, counts = mixed_net()
    report = sim.price(net, counts, "loihi1_nahuku", active=active)  # type: ignore[arg-type]
    assert report.snn_pj == pytest.approx(3 * 24.0 + 6 * 35.5 + 12 * 51.2 + written * 21.6 + 4 * 69.3)
    assert report.ann_pj is None
    assert report.ratio is None


@pytest.mark.parametrize(
    ("name", "message", "east", "north"), [("loihi1_davies2018", 1.7, 3.0, 4.0), ("loihi1_nahuku", 111.0, 3.0, 4.2)]
)
def test_messages_and_hops_are_priced_with_a_placement_and_said_to_be_missing_without(
    name: str, message: float, east: float, north: float
) -> None:
    net, counts = mixed_net()
    table = {"a": torch.tensor([[3], [0]])}
    traffic = sim.Traffic(messages=table, hops_ew={"a": table["a"] * 2}, hops_ns={"a": table["a"] * 3})
    without, placed = sim.price(net, counts, name), sim.price(net, counts, name, traffic=traffic)
    assert placed.snn_pj - without.snn_pj == pytest.approx(3 * message + 6 * east + 9 * north)
    assert "for want of a placement on cores: message to a core, hop east or west, hop north or south" in without.scope
    assert "placement" not in placed.scope
    assert f"{message:g} pJ per message to a core" in placed.scope
    assert f"{message:g} pJ" not in without.scope


def test_a_convention_of_memory_alone_says_so() -> None:
    net, counts = mixed_net()
    reads = sim.AccessCost(
        points=((0, 0.0), (8192, 10.0)),
        bytes_per_word=4,
        source="x",
        kind="derived",
        scope="x",
        voltage=None,
        node=None,
    )
    terms = (sim.Term(count="lemaire_weight_reads", cost=reads),)
    convention = sim.Convention(name="reads", title="x", about="weights", excluded="all else", snn=terms)
    assert sim.price(net, counts, convention).scope.startswith(
        "reads: weights, memory accesses by the size of the memory."
    )


def test_traffic_of_other_populations_or_runs_is_refused() -> None:
    net, counts = mixed_net()
    strange = sim.Traffic(messages={"x": torch.zeros(2, 1, dtype=torch.int64)}, hops_ew={}, hops_ns={})
    with pytest.raises(hw.BadInput, match="'x' is none of the network's populations"):
        sim.price(net, counts, "loihi1_nahuku", traffic=strange)
    long = sim.Traffic(messages={}, hops_ew={"a": torch.zeros(3, 1, dtype=torch.int64)}, hops_ns={})
    with pytest.raises(hw.BadInput, match=r"a has shape \(3, 1\), the counts have \(2, 1\)"):
        sim.price(net, counts, "loihi1_nahuku", traffic=long)


def test_77_femtojoules_are_operation_counts_with_other_prices() -> None:
    net, counts = mixed_net()
    report = sim.price(net, counts, "rolls_77fJ")
    assert report.snn_pj == pytest.approx(9 * 0.077)
    assert report.ann_pj == pytest.approx((4 + 8) * 12.5)


def test_side_by_side_are_the_single_prices_and_a_flag_changes_only_who_reads_it() -> None:
    net, counts = mixed_net()
    every = sim.price_all(net, counts, sim.Choices(active="fired"))
    assert list(every) == NAMES
    for name, report in every.items():
        reads = "active" in sim.CONVENTIONS[name].reads
        assert reads == (name in ("loihi1_davies2018", "loihi1_nahuku"))
        assert report == sim.price(net, counts, name, active="fired")
        assert (report.choices.active == "fired") == reads
        assert (report.snn_pj != sim.price(net, counts, name).snn_pj) == reads


def test_two_conventions_that_rank_two_models_differently_are_named() -> None:
    # One network fires a lot over few neurons, the other hardly fires over many.
    busy, wide = one_dense(4, 100), one_dense(400, 1)
    models = {
        "busy": (busy, counts_of(busy, {("in", "p0"): 400}, {"in": 100})),
        "wide": (wide, counts_of(wide, {("in", "p0"): 300}, {"in": 1})),
    }
    reports = {model: sim.price_all(*case).values() for model, case in models.items()}
    (conflict,) = sim.ranking_conflicts(reports)
    energies = {model: {r.convention.name: r.snn_pj for r in found} for model, found in reports.items()}
    assert (conflict.first, conflict.second) == ("busy", "wide")
    for side, sign in ((conflict.below, -1), (conflict.above, 1)):
        expected = [name for name in NAMES if np.sign(energies["busy"][name] - energies["wide"][name]) == sign]
        assert [verdict.convention for verdict in side] == expected
    # 400 AC against 300 AC; 400 * 23.6 + 4 * 81 against 300 * 23.6 + 400 * 81.
    below = {verdict.convention: (verdict.first_pj, verdict.second_pj) for verdict in conflict.below}
    above = {verdict.convention: (verdict.first_pj, verdict.second_pj) for verdict in conflict.above}
    assert below["loihi1_davies2018"] == pytest.approx((9764, 39_480))
    assert above["op_count_fp32"] == pytest.approx((360, 270))


def test_equal_energies_contradict_nothing() -> None:
    # As many operations; the second network has more neurons, which only some conventions charge.
    few, many = one_dense(2, 6), one_dense(6, 2)
    names = ("op_count_int8", "loihi1_nahuku")
    reports = {
        "few": [sim.price(few, counts_of(few, {("in", "p0"): 12}), name) for name in names],
        "many": [sim.price(many, counts_of(many, {("in", "p0"): 12}), name) for name in names],
    }
    (equal_few, less), (equal_many, more) = ([r.snn_pj for r in found] for found in reports.values())
    assert equal_few == equal_many
    assert less < more
    assert sim.ranking_conflicts(reports) == ()


def test_a_conflict_reads_as_a_sentence() -> None:
    def verdict(name: str) -> sim.Verdict:
        return sim.Verdict(convention=name, first_pj=1, second_pj=2)

    conflict = sim.Conflict(first="a", second="b", below=(verdict("x"), verdict("y")), above=(verdict("z"),))
    assert str(conflict) == "a costs less than b under x, y, and more under z"


def test_models_priced_under_different_conventions_are_not_ranked() -> None:
    net, counts = mixed_net()
    one, two = sim.price(net, counts, "op_count_fp32"), sim.price(net, counts, "op_count_int8")
    with pytest.raises(hw.BadInput, match="price both under the same"):
        sim.ranking_conflicts({"a": [one], "b": [two]})
    with pytest.raises(hw.BadInput, match="priced twice under op_count_fp32"):
        sim.ranking_conflicts({"a": [one, one]})
    assert sim.ranking_conflicts({"a": [one], "b": [one]}) == ()


def test_conventions_that_disagree_on_the_network_and_its_ann_are_named() -> None:
    # 20 operations against 15 MACs: dearer than the ANN at equal prices, cheaper at 0.9 against 4.6.
    net = one_dense(5, 3)
    counts = counts_of(net, {("in", "p0"): 20}, {"in": 4})
    equal = sim.operation_counts("equal", "equal", ac=FP32_ADD, mac=FP32_ADD)
    (conflict,) = sim.twin_conflicts(
        [sim.price(net, counts), sim.price(net, counts, equal), sim.price(net, counts, "loihi1_nahuku")]
    )
    assert (conflict.first, conflict.second) == ("the SNN", "the ANN")
    assert [(v.convention, v.first_pj, v.second_pj) for v in conflict.below] == [
        ("op_count_fp32", pytest.approx(20 * 0.9), pytest.approx(15 * 4.6))
    ]
    assert [(v.convention, v.first_pj, v.second_pj) for v in conflict.above] == [
        ("equal", pytest.approx(20 * 0.9), pytest.approx(15 * 0.9))
    ]


def test_a_convention_of_an_unknown_countable_is_refused() -> None:
    with pytest.raises(hw.BadInput, match="unknown countable 'synop': did you mean 'synops'"):
        sim.Convention(
            name="mine", title="mine", about="x", excluded="y", snn=(sim.Term(count="synop", cost=FP32_ADD),)
        )

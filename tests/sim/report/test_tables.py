"""The tables that scrutinise energies, place the network and compare it: each cell follows from report.json."""

from collections.abc import Callable
from typing import Any

import pytest
from spikeport.sim.report import Report, parse, tables
from spikeport.sim.report.tables import NONE, Table

EVERY: list[Callable[[Report], Table]] = [
    tables.waterfall, tables.timesteps, tables.anytime, tables.drift, tables.activity, tables.event_kinds,
    tables.events, tables.correlations, tables.cka, tables.energy_layers, tables.energy_totals, tables.conventions,
    tables.bills, tables.audit, tables.spread, tables.sensitivity, tables.baselines, tables.baseline_energies,
    tables.thresholds, tables.margins, tables.placements, tables.populations_on_chip, tables.resources, tables.times,
    tables.chip_energies, tables.refusals, tables.notices, tables.populations, tables.versions,
]  # fmt: skip
ALWAYS = {"waterfall", "activity", "energy_layers", "energy_totals", "populations", "versions"}
OPTIONAL = {
    "conventions": [], "audits": [], "events": [], "spread": [], "sensitivity": [], "baselines": [], "break_even": None,
    "on_chip": [], "refusals": [], "portrait": None, "drift": [], "timesteps": [], "anytime": [], "notices": [],
}  # fmt: skip


@pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
def test_a_table_is_named_like_its_function_and_every_row_has_all_columns(
    make: Callable[[Report], Table], report: Report
):
    table = make(report)
    assert table.key == make.__name__
    assert len(table.align) == len(table.header)
    assert set(table.align) <= set("lrp")
    assert {len(row) for row in (*table.rows, *([table.total] if table.total else []))} <= {len(table.header)}
    assert table.caption.startswith(table.title)
    assert not table.title.endswith(".")


@pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
def test_a_table_of_what_a_report_leaves_out_has_no_rows(make: Callable[[Report], Table], values: dict[str, Any]):
    assert bool(make(parse(values | OPTIONAL)).rows) == (make.__name__ in ALWAYS)


# --- events -----------------------------------------------------------------------------------------------------------


def event(population: str, by_step: list[float], **given: Any) -> dict[str, Any]:
    one = {"side": "snn", "what": "updates", "per": "neuron", "source": None}
    return one | {"population": population, "total": sum(by_step), "by_step": by_step} | given


def test_events_have_a_column_per_timestep_and_a_pass_of_the_ann_has_one(values: dict[str, Any]):
    ann = event("a", [9.0], side="ann", what="MAC", per="multiplication", source="input")
    values["events"] = [event("a", [1.0, 2.5]), ann]
    table = tables.events(parse(values))
    assert table.header[-2:] == ("t = 0", "t = 1")
    assert table.rows == (
        ("SNN", "updates", "a", NONE, "3.500", "1", "2.500"),
        ("ANN", "MAC", "a", "input", "9", "9", NONE),
    )


def test_events_of_long_samples_are_totals_and_say_where_the_rest_is(values: dict[str, Any]):
    values["events"] = [event("a", [1.0] * 17)]
    table = tables.events(parse(values))
    assert table.rows == (("SNN", "updates", "a", NONE, "17"),)
    assert "Of every timestep: report.json." in table.caption


def test_kinds_of_events_add_up_over_layers_and_not_over_networks(values: dict[str, Any]):
    values["events"] = [event("a", [1.0, 2.5]), event("b", [4.0]), event("a", [7.0], side="ann")]
    assert tables.event_kinds(parse(values)).rows == (
        ("SNN", "updates", "7.500", "neuron"),
        ("ANN", "updates", "7", "neuron"),
    )


# --- scrutiny ---------------------------------------------------------------------------------------------------------


def test_the_spread_names_the_worst_sample(report: Report):
    # 189.645 nJ times 1, 0.98 to 1.02, 0.7, 0.99, 1.4, 1.9
    assert tables.spread(report).rows == (
        ("op_count_fp32", "189.6 nJ", "185.9 nJ to 193.4 nJ", "132.8 nJ", "187.7 nJ", "265.5 nJ", "360.3 nJ", "123",
         "360"),
    )  # fmt: skip


def test_swings_without_an_ann_have_no_ratio(values: dict[str, Any]):
    values["sensitivity"][0] |= {"convention": "chip", "ratio": None}
    for swing in values["sensitivity"][0]["swings"]:
        swing |= {"low_ratio": None, "high_ratio": None}
    rows = tables.sensitivity(parse(values)).rows
    assert rows[0] == ("chip", "AC", "constant", "0.45 pJ", "1.8 pJ", "113.8 nJ", "322.4 nJ", NONE, NONE)


def test_conventions_shown_in_detail_come_first(values: dict[str, Any]):
    one = values["spread"][0]
    values["spread"] = [{**one, "convention": name} for name in ("a", "op_count_int8", "b", "op_count_fp32")]
    assert [row[0] for row in tables.spread(parse(values)).rows] == ["op_count_int8", "op_count_fp32", "a", "b"]


def test_baselines_begin_with_the_network_itself_and_give_accuracy_and_energy(report: Report):
    table = tables.baselines(report)
    assert table.header[6] == "op_count_fp32"
    assert table.rows[0] == (
        "SNN (.net read back)", NONE, NONE, "98.06 %", "96.04–99.05 %", "360", "189.6 nJ", NONE
    )  # fmt: skip
    assert table.rows[1][:4] + table.rows[1][6:] == (
        "ANN, fp32", "float32", "float32", "98.61 %", "914.1 nJ", "as trained"
    )  # fmt: skip
    assert table.rows[3][1:3] == ("8 bits", "3 bits")


def test_without_a_file_read_back_the_latest_step_stands_for_the_network(values: dict[str, Any]):
    values["waterfall"] = [step for step in values["waterfall"] if step["step"] not in ("netx", "integer")]
    values["skipped"] = {"netx": "no export", "integer": "no integers"}
    assert tables.baselines(parse(values)).rows[0][:4] == ("SNN (Refined)", NONE, NONE, "98.33 %")


def test_every_convention_that_prices_a_baseline_has_a_row(values: dict[str, Any]):
    values["baselines"][0]["energy_pj"] = {"elsewhere": 5000.0, "op_count_fp32": 1000.0}
    rows = tables.baseline_energies(parse(values)).rows
    assert rows == (
        ("op_count_fp32", "189.6 nJ", "1 nJ", "45.71 nJ", "36.56 nJ"),
        ("elsewhere", NONE, "5 nJ", NONE, NONE),
    )


@pytest.mark.parametrize(
    ("measured", "low", "high", "limit", "side"),
    [(0.73, 0.15, 1.38, "0.15 to 1.38", "within"), (0.1, 0.15, 1.38, "0.15 to 1.38", "below"),
     (2.0, 0.15, 1.38, "0.15 to 1.38", "above"), (1.0, None, 1.38, "1.38", "below"), (1.5, None, 1.38, "1.38", "above"),
     (1.38, None, 1.38, "1.38", "at"), (1.38, 0.15, 1.38, "0.15 to 1.38", "within")],
)  # fmt: skip
def test_a_limit_is_a_range_or_one_number_and_the_side_is_said(
    measured: float, low: float | None, high: float, limit: str, side: str, values: dict[str, Any]
):
    values["break_even"]["thresholds"][0] |= {"measured": measured, "low": low, "high": high}
    row = tables.thresholds(parse(values)).rows[0]
    assert row[1:5] == (f"{measured:.3g}", limit, "spikes per synapse", side)


def test_margins_say_who_costs_less_today(report: Report):
    assert tables.margins(report).rows == (
        ("op_count_fp32", "ANN, fp32", "6.2×", "4.5", "costs less"),
        ("op_count_fp32", "ANN, int8", "0.31×", "0.23", "costs more"),
        ("op_count_fp32", "ANN, 8-bit weights, 3-bit activations", NONE, NONE, "costs more even without spikes"),
    )


# --- chips ------------------------------------------------------------------------------------------------------------


def test_hops_of_a_mesh_that_is_not_published_are_dashes(report: Report):
    known, unknown = tables.placements(report).rows
    assert known[3:8] == ("compartments, 100.0 %", "2,210.500", "0", "310.250", "0")
    assert unknown[6:8] == (NONE, NONE)


def test_a_resource_without_a_published_limit_is_named(report: Report):
    rows = tables.resources(report).rows
    assert ("loihi2", "input axons", "limit not published") in rows
    assert ("loihi1", "words of synaptic memory", "40.0 %") in rows


def test_dynamic_static_and_total_energy_stand_apart(values: dict[str, Any]):
    assert tables.chip_energies(parse(values)).rows[0][2:7] == (
        "250 pJ", "238.6 nJ", "5.095 µJ", "238.9 nJ", "5.095 µJ"
    )  # fmt: skip
    values["on_chip"][0]["energies"][0]["static_pj"] = None
    assert tables.chip_energies(parse(values)).rows[0][2:7] == ("250 pJ", NONE, NONE, NONE, NONE)


def test_a_bound_on_time_names_its_parts(report: Report):
    assert tables.times(report).rows[0][:7] == ("loihi1", "6.1 µs", "113 ns", "conv1", "8", "48.8 µs", "24.4 µs")


def test_populations_on_chip_name_their_cut(report: Report):
    rows = tables.populations_on_chip(report).rows
    assert rows[0] == ("loihi1", "conv1", "1,024", "2", "blocks of 8 channels", "compartments", "50.0 %")
    assert len(rows) == 2 * 4


# --- likeness ---------------------------------------------------------------------------------------------------------


def test_networks_that_were_not_made_have_no_coefficient(values: dict[str, Any]):
    values["portrait"]["correlations"][0] |= {"converted": -0.125, "refined": None}
    assert tables.correlations(parse(values)).rows[0] == ("conv1", "\u22120.12", NONE, "0.85")


def test_similarity_of_layers_of_one_name_before_and_after(values: dict[str, Any]):
    after = {"rows": ["a", "b"], "columns": ["c", "b", "a"], "values": [[0.1, 0.2, 0.9], [0.3, 0.8, 0.4]]}
    values["portrait"] |= {"cka_refined": after}
    rows = tables.cka(parse(values)).rows
    assert rows[0] == ("conv1", "0.55", NONE)
    assert rows[-2:] == (("a", NONE, "0.90"), ("b", NONE, "0.80"))

"""CSV: every number of the report, in full precision, under a name with its unit."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.pipeline.paper import sheets_energy, sheets_network
from spikeport.pipeline.paper.sheet import sheet, text
from spikeport.sim.report import parse

from .conftest import ODD, without


def read(content: bytes | str) -> list[dict[str, str]]:
    if isinstance(content, bytes):
        content = content.decode()
    return list(csv.DictReader(io.StringIO(content, newline=""), strict=True))


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")),
            st.floats(allow_nan=False),
            st.integers(),
        ),
        min_size=1,
    )
)
def test_text_and_numbers_come_back_as_they_were(rows):
    found = list(csv.reader(io.StringIO(text(sheet("a b c", rows)), newline="")))
    assert found[0] == ["a", "b", "c"]
    assert [(a, float(b), int(c)) for a, b, c in found[1:]] == rows


def test_lines_end_as_rfc_4180_has_it_and_nothing_is_an_empty_cell():
    assert text(sheet("a b c", [('x,"y"', None, True)])) == 'a,b,c\r\n"x,""y""",,true\r\n'


def test_the_counts_are_those_of_the_report_by_layer_and_timestep(report, members):
    totals = {
        (r["network"], r["population"], r["event"]): float(r["events_per_sample"])
        for r in read(members["csv/counts.csv"])
    }
    steps = read(members["csv/counts_by_timestep.csv"])
    for e in report.events:
        key = (e.side, e.population, e.what)
        assert totals[key] == e.total
        mine = [r for r in steps if (r["network"], r["population"], r["event"]) == key]
        assert [int(r["timestep"]) for r in mine] == list(range(1, len(e.by_step) + 1))
        assert tuple(float(r["events_per_sample"]) for r in mine) == e.by_step


def test_layers_and_their_energies_are_exact_and_odd_names_survive(report, members):
    rows = read(members["csv/layers.csv"])
    assert [r["layer"] for r in rows] == [row.name for row in report.layers]
    assert ODD in {r["layer"] for r in rows}
    assert [float(r["synops_per_sample"]) for r in rows] == [row.synops for row in report.layers]
    assert [r["is_mac"] for r in rows] == ["true", "false", "false", "false"]
    energies = {
        (r["layer"], r["convention"]): float(r["snn_pj_per_sample"]) for r in read(members["csv/energy_layers.csv"])
    }
    assert energies == {(row.name, name): pj for row in report.layers for name, pj in row.energy_pj.items()}


def test_bills_add_up_to_the_conventions(members):
    totals = {r["convention"]: float(r["snn_pj_per_sample"]) for r in read(members["csv/conventions.csv"])}
    bills = read(members["csv/bills.csv"])
    for name, pj in totals.items():
        assert sum(
            float(r["pj_per_sample"]) for r in bills if (r["convention"], r["network"]) == (name, "snn")
        ) == pytest.approx(pj)


def test_the_audit_leads_from_one_total_to_the_other(members):
    *steps, audited, ann = [float(r["pj_per_sample"]) for r in read(members["csv/audit.csv"])]
    assert sum(steps) == pytest.approx(audited)
    assert ann == 930_000.0


def test_the_histogram_covers_its_range_and_holds_every_sample(report, members):
    rows = read(members["csv/spread_histogram.csv"])
    (spread,) = report.spread
    assert sum(int(r["samples"]) for r in rows) == spread.samples
    assert float(rows[0]["bin_low_pj"]) == spread.histogram.low_pj
    assert float(rows[-1]["bin_high_pj"]) == pytest.approx(spread.histogram.high_pj)
    assert [r["bin_high_pj"] for r in rows[:-1]] == [r["bin_low_pj"] for r in rows[1:]]


def test_the_spread_is_exact(report, members):
    (row,) = read(members["csv/spread.csv"])
    (spread,) = report.spread
    assert float(row["mean_pj"]) == spread.mean_pj
    assert (float(row["mean_ci95_low_pj"]), float(row["mean_ci95_high_pj"])) == spread.ci95_pj
    assert float(row["worst_pj"]) == spread.worst_pj


def test_a_baseline_has_its_accuracy_bits_and_energies(report, members):
    rows = read(members["csv/baselines.csv"])
    assert [(r["weight_bits"], r["activation_bits"]) for r in rows] == [("", ""), ("8", "8"), ("8", "3")]
    assert [float(r["accuracy"]) for r in rows] == [b.score.accuracy for b in report.baselines]
    assert len(read(members["csv/baseline_energies.csv"])) == sum(len(b.energy_pj) for b in report.baselines)


def test_dynamic_static_and_total_stand_apart(members):
    (row,) = read(members["csv/on_chip_energy.csv"])
    dynamic, cores, chips = (float(row[f"{k}_pj_per_sample"]) for k in ("dynamic", "static_cores", "static_chips"))
    assert float(row["total_cores_pj_per_sample"]) == dynamic + cores
    assert float(row["total_chips_pj_per_sample"]) == dynamic + chips


def test_every_core_of_every_chip_has_a_row(report, members):
    assert len(read(members["csv/on_chip_cores.csv"])) == sum(o.cores for o in report.on_chip)


def test_an_unpublished_number_is_an_empty_cell(members):
    hops = {r["chip"]: r["hops_ew_per_sample"] for r in read(members["csv/on_chip.csv"])}
    assert hops == {"loihi1": "310.25", "loihi2": ""}


def test_the_waterfall_names_steps_that_were_not_run(values, lavaless):
    report = parse(lavaless(values, "not installed"))
    rows = read(text(sheets_network.sheets(report)["waterfall"]))
    assert [r["step"] for r in rows][-1] == "lava"
    assert (rows[-1]["accuracy"], rows[-1]["note"]) == ("", "not run: not installed")


def test_the_heat_maps_have_a_row_for_every_pair(report, members):
    rows = read(members["csv/cka.csv"])
    assert len(rows) == 2 * 4 * 4
    own = [float(r["cka"]) for r in rows if r["ann_layer"] == r["snn_layer"] and r["network"] == "refined"]
    assert own == pytest.approx([0.93] * 4)


@pytest.mark.parametrize("module", [sheets_energy, sheets_network])
def test_every_energy_and_time_has_its_unit_in_the_name(report, module):
    for name, found in module.sheets(report).items():
        assert len(set(found.columns)) == len(found.columns), name
        assert all(len(row) == len(found.columns) for row in found.rows), name
        for column in found.columns:
            if any(word in column for word in ("energy", "dynamic", "static", "latency")) and "source" not in column:
                assert "_pj" in column or column.endswith("_s"), (name, column)


def test_what_the_report_does_not_hold_has_no_rows(values):
    report = parse(without(values))
    found = {**sheets_energy.sheets(report), **sheets_network.sheets(report)}
    assert {name for name, each in found.items() if each.rows} == {
        "layers", "energy_layers", "energy", "constants", "waterfall", "timesteps", "populations",
    }  # fmt: skip

"""LaTeX tables: the numbers of the report, whole names, and a form that fits the page."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.pipeline.paper import constants, tables, tabular
from spikeport.sim.report import parse
from spikeport.sim.report.latex import escape
from spikeport.sim.report.tables import Table

from .conftest import ODD, without


def rows(text: str) -> list[list[str]]:
    """Cells of every line of a table as LaTeX, header and total included."""
    lines = [line.strip().removesuffix("\\tabularnewline") for line in text.splitlines() if "\\tabularnewline" in line]
    return [[cell.strip().removeprefix("\\raggedright ") for cell in re.split(r"(?<!\\)&", line)] for line in lines]


def test_the_tables_of_the_paper_are_there_with_their_labels(texts):
    for key in ("waterfall", "energy_layers", "conventions", "audit", "baselines", "spread", "placements",
                "chip_energies", "thresholds", "margins", "times", "sensitivity", "bills", "constants"):  # fmt: skip
        assert f"\\label{{tab:{key}}}" in texts[f"tables/{key}.tex"]
        assert f"\\input{{tables/{key}}}" in texts["paper.tex"]


def test_the_accuracies_of_the_waterfall_are_the_reports(report, texts):
    printed = [float(row[1].removesuffix(" \\%")) for row in rows(texts["tables/waterfall.tex"])[1:]]
    assert printed == [round(100 * step.accuracy, 2) for step in report.waterfall]


def test_the_energies_of_a_convention_are_the_reports_in_the_unit_of_the_header(report, texts):
    header, *lines = rows(texts["tables/conventions.tex"])
    assert header[1] == "SNN (pJ)" or header[1] == "SNN (nJ)"
    factor = {"SNN (pJ)": 1.0, "SNN (nJ)": 1e3}[header[1]]
    for line, c in zip(lines, report.conventions, strict=True):
        assert line[0] == escape(c.convention)
        assert float(line[1].replace(",", "")) * factor == pytest.approx(c.snn_pj, rel=5e-3, abs=5e-4 * factor)


def test_the_layers_add_up_to_the_printed_total(texts):
    _, *lines, total = rows(texts["tables/energy_layers.tex"])
    for column in (2, 3, 4):
        parts = [float(line[column].replace(",", "")) for line in lines]
        assert sum(parts) == pytest.approx(float(total[column].replace(",", "")), abs=0.0005 * (len(parts) + 1))


def test_a_name_with_special_characters_stands_in_the_table_as_it_is(texts):
    names = [row[0] for row in rows(texts["tables/energy_layers.tex"])]
    assert escape(ODD) in [name.replace("\\allowbreak{}", "") for name in names]


def test_the_constants_have_kind_process_and_source(texts):
    lines = rows(texts["tables/constants.tex"])
    assert ["op\\_count\\_fp32", "AC", "0.9 pJ", "simulated", "45 nm, 0.9 V", "\\cite{horowitz2014}"] in lines


def test_a_report_priced_with_other_constants_is_refused(values):
    item = values["conventions"][0]["items"][0]
    item["unit_pj"] = 0.8
    with pytest.raises(BadInput, match=r"op_count_fp32: the report charges 0.8 pJ per AC.*`spikeport run RECIPE`"):
        constants.check(parse(values))


def test_the_bare_report_has_the_tables_it_has_numbers_for(values):
    report = parse(without(values))
    assert set(tables.results(report)) == {"waterfall", "energy_layers"}
    assert set(tables.details(report)) == {"populations", "activity", "timesteps", "energy_totals", "constants"}


def test_a_long_table_goes_on_in_another_with_a_label_of_its_own():
    value = Table("t", "Many rows. More.", ("a", "b"), "lr", tuple((f"x{i}", str(i)) for i in range(120)), ("sum", "1"))
    text = tabular.tables(value)
    parts = text.split("\\begin{table}")[1:]
    assert len(parts) == -(-120 // tabular.PAGE)
    assert [re.findall(r"\\label\{(.*?)\}", part) for part in parts] == [["tab:t"], ["tab:t-2"], ["tab:t-3"]]
    assert "\\caption{Many rows, continued.}" in parts[1]
    assert "sum" in parts[-1]
    assert "sum" not in parts[0]
    body = [row[0] for part in parts for row in rows(part)[1:]]
    assert body == [f"x{i}" for i in range(120)] + ["sum"]
    assert [len(rows(part)) for part in parts] == [1 + 40, 1 + 40, 1 + 40 + 1]  # heads, equal parts, the total


def test_no_page_is_left_with_a_rest_of_a_few_rows():
    long = "word " * 90
    value = Table("t", "C.", ("a", "b"), "lp", tuple((f"x{i}", long if i % 3 else "") for i in range(60)))
    parts = tabular.tables(value).split("\\begin{table}")[1:]
    counts = [len(rows(part)) - 1 for part in parts]
    assert sum(counts) == 60
    assert len(counts) > 2
    assert min(counts) > max(counts) / 2


def test_a_narrow_table_wraps_nothing():
    text = tabular.tables(Table("t", "C.", ("name", "n"), "lr", (("a name of thirty characters ...", "1"),)))
    assert "p{" not in text
    assert "\\begin{tabular}{lr}" in text


def test_of_a_wide_table_the_longest_texts_wrap_and_numbers_never():
    text = tabular.tables(Table("t", "C.", ("a", "b", "c"), "lpr", (("short", "word " * 60, "123,456.789"),)))
    (columns,) = re.findall(r"\\sbox0\{\\begin\{tabular\}\{(.*)\}$", text, re.MULTILINE)
    assert re.fullmatch(r"lp\{[\d.]+em\}r", columns)


@example(["a" * 30 + " b", "b " * 20, ""])
@given(st.lists(st.lists(st.text("ab./", max_size=30), max_size=4).map(" ".join), min_size=3, max_size=3))
def test_no_column_is_narrower_than_its_longest_word_and_no_cell_is_lost(cells):
    value = Table("t", "C.", ("x", "y", "z"), "lpl", (tuple(cells),))
    widths = tabular._widths(value, 30)
    for cell, width in zip(cells, widths, strict=True):
        pieces = re.sub(r"([/.])(?=[A-Za-z])", r"\1 ", cell).split()
        assert width is None or width >= max(map(len, pieces), default=0)
    assert rows(tabular.tables(value))[1][0].replace("\\allowbreak{}", "") == escape(cells[0])


def test_a_long_header_stands_on_several_lines_above_short_numbers():
    text = tabular.tables(Table("t", "C.", ("Spikes per neuron", "b"), "rl", (("0.5", "x"),)))
    assert "\\begin{tabular}[b]{@{}r@{}}Spikes\\\\per\\\\neuron\\end{tabular}" in text

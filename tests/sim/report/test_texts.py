"""report.md, report.tex and report.html say the same, and say what report.json holds."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from spikeport.sim.report import Report, figures, html, latex, markdown, parse, prose, tables

PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "pJ": 1.0, "nJ": 1e3, "µJ": 1e6}  # energies in pJ
HALF = 0.5e-3 * (1 + 1e-9)  # half of the last of three decimals


class Page(HTMLParser):
    """Collects the visible text, every attribute, and the cells of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_data(self, data: str) -> None:
        data = data.replace("\u00a0", " ")
        if self.tags and self.tags[-1] in ("td", "th") and data.strip():
            self.tables[-1][-1][-1] += data
        self.words.append(data)


def all_tables(report: Report) -> list[tables.Table]:
    return [
        tables.waterfall(report), tables.timesteps(report), tables.activity(report), tables.energy_layers(report),
        tables.energy_totals(report), tables.drift(report), tables.notices(report), tables.populations(report),
        tables.versions(report), tables.conventions(report), tables.bills(report), tables.audit(report),
        tables.event_kinds(report), tables.spread(report), tables.sensitivity(report), tables.baselines(report),
        tables.baseline_energies(report), tables.thresholds(report), tables.margins(report), tables.placements(report),
        tables.populations_on_chip(report), tables.resources(report), tables.times(report),
        tables.chip_energies(report), tables.correlations(report), tables.cka(report),
    ]  # fmt: skip


def number(cell: str, header: str) -> float:
    """The amount in a cell, in the unit its column's header names."""
    unit = re.search(r"\((\w+)\)$", header)
    return float(cell.replace(",", "")) * PREFIX[unit.group(1) if unit else ""]


def column(table: tables.Table, start: str) -> tuple[list[float], float, float]:
    """(amounts of the rows, the total, half of the last decimal) of the column whose header starts so."""
    index, header = next((i, h) for i, h in enumerate(table.header) if h.startswith(start))
    assert table.total
    rows = [number(row[index], header) for row in table.rows]
    return rows, number(table.total[index], header), HALF * number("1", header)


@pytest.mark.parametrize(
    ("start", "key"),
    [("Neurons", "neurons"), ("Synapses", "synapses"), ("Spikes (", "spikes"), ("Synaptic", "synops"),
     ("Effective", "synops_effective"), ("Dense", "dense_macs")],
)  # fmt: skip
def test_counts_in_the_table_are_those_of_the_json_and_add_up(start: str, key: str, report: Report):
    rows, total, half = column(tables.activity(report), start)
    expected = [getattr(row, key) for row in report.layers]
    assert rows == pytest.approx(expected, abs=half)
    assert total == pytest.approx(sum(expected), abs=half)
    assert total == pytest.approx(sum(rows), abs=half * (len(rows) + 1))


@pytest.mark.parametrize("convention", ["op_count_fp32", "op_count_int8"])
def test_energies_in_the_table_are_those_of_the_json_and_add_up(convention: str, report: Report):
    rows, total, half = column(tables.energy_layers(report), convention)
    energy = next(e for e in report.energy if e.convention == convention)
    assert rows == pytest.approx([row.energy_pj[convention] for row in report.layers], abs=half)
    assert total == pytest.approx(energy.snn_pj, abs=half)


def test_each_energy_stands_beside_the_count_it_prices(report: Report):
    table = tables.energy_layers(report)
    operations, _, _ = column(table, "Operations")
    assert [row[1] for row in table.rows] == ["MAC", "AC", "AC", "AC"]
    assert operations == pytest.approx([row.synops for row in report.layers], abs=0.5 + 1e-6)  # three decimals of k
    totals = tables.energy_totals(report).rows[0]
    assert totals[3] == "15.672"  # the MACs of conv1, in k
    assert totals[6] == "198.720"  # 7744 + 61952 + 123904 + 5120


def test_charging_the_first_layer_once_is_a_count_of_its_own(values: dict[str, Any]):
    once = {**values["energy"][0], "convention": "fp32_once", "first_layer": "once"}
    for row in values["layers"]:
        energy = row["energy_pj"]["op_count_fp32"]
        row["energy_pj"]["fp32_once"] = energy / 4 if row["is_mac"] else energy  # one of T = 4 timesteps
    once["snn_pj"] = sum(row["energy_pj"]["fp32_once"] for row in values["layers"])
    values["energy"].append({**once, "ratio": once["ann_pj"] / once["snn_pj"]})
    table = tables.energy_layers(parse(values))
    assert table.header[2:4] == (
        "Operations, first layer at every timestep, all stored synapses (k)",
        "Operations, first layer once, all stored synapses (k)",
    )
    assert [float(cell) for cell in table.rows[0][2:4]] == pytest.approx([15.6725, 15.6725 / 4], abs=HALF)


def test_the_three_texts_hold_the_same_cells(report: Report, page_text: str):
    page = Page(page_text)
    text = markdown.render(report)
    for table in all_tables(report):
        lines = [table.header, *table.rows, *([table.total] if table.total else [])]
        assert [tuple(cells) for cells in lines] in [[tuple(row) for row in found] for found in page.tables]
        for row in table.rows:
            assert f"| {' | '.join(map(markdown.escape, row))} |" in text
    tex = latex.render(report)
    for table in (tables.waterfall(report), tables.energy_layers(report)):
        for row in table.rows:
            assert f"{' & '.join(map(latex.escape, row))} \\\\" in tex


def test_every_step_and_every_n_is_in_every_text(report: Report, page_text: str):
    page = " ".join(Page(page_text).words)
    for text in (markdown.render(report), page, latex.render(report).replace("\\%", "%").replace("--", "–")):
        for step in report.waterfall:
            assert tables.STEP_TITLES[step.step] in text
            assert f"{100 * step.accuracy:.2f} %" in text
            assert f"{100 * step.ci95[0]:.2f}–{100 * step.ci95[1]:.2f} %" in text
        assert "360" in text
        assert "64" in text


def test_change_is_given_only_between_equal_numbers_of_images(report: Report):
    changes = [row[4] for row in tables.waterfall(report).rows]
    # 347 - 355, 142 - 347, 354 - 142, 353 - 354 of 360, in points; Lava saw 64 images
    assert changes == ["—", "−2.22", "−56.94", "+58.89", "−0.28", "0.00", "—"]


def test_the_scope_is_in_every_text(report: Report, page_text: str):
    for text in (markdown.render(report), latex.render(report), " ".join(Page(page_text).words)):
        assert f"Scope: {report.scope}." in text


def test_missing_lava_is_said_with_its_reason(values: dict[str, Any], lavaless: Any):
    report = parse(lavaless(values, "it did not start"))
    for text in (markdown.render(report), latex.render(report), html.render(report)):
        assert "Lava was not run: it did not start." in text
        assert "spike for spike" not in text


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "The file does in Lava what the simulator says, spike for spike."),
        (
            {"mismatches": 3, "first_mismatch": "conv2 v at t=1"},
            "First: conv2 v at t=1. The file and Lava do not agree.",
        ),
        ({"layers_built": 4}, "This does not show that the file and Lava agree."),
        ({"values": 0}, "This does not show that the file and Lava agree."),
    ],
)
def test_lava_agrees_only_if_all_was_built_and_compared_and_equal(
    change: dict[str, Any], verdict: str, values: dict[str, Any]
):
    values["lava"] |= change
    assert prose.lava(parse(values)).endswith(f"mismatches. {verdict}")


def test_accuracy_against_t_says_on_which_images_it_was_measured(values: dict[str, Any]):
    assert "T, with" in tables.timesteps(parse(values)).caption
    for row in values["timesteps"]:
        row["split"] = "validation"
    assert "T on the validation images, with" in tables.timesteps(parse(values)).caption


def test_a_skipped_step_is_a_row_and_a_sentence(values: dict[str, Any]):
    values["waterfall"] = [step for step in values["waterfall"] if step["step"] != "refined"]
    values["skipped"] = {"refined": "the recipe names no method"}
    report = parse(values)
    assert ("Refined", "not run", "—", "—", "—", "the recipe names no method") in tables.waterfall(report).rows
    assert prose.skipped(report) == ["Refined was not run: the recipe names no method."]


def test_empty_parts_are_left_out_and_no_notices_is_said(values: dict[str, Any]):
    values |= {"drift": [], "timesteps": [], "notices": [], "commands": []}
    report = parse(values)
    for text in (markdown.render(report), html.render(report)):
        assert prose.NO_NOTICES in text
        assert "Drift and refinement" not in text
        assert "Accuracy against timesteps" not in text


# --- Markdown ---------------------------------------------------------------------------------------------------------


def test_markdown_shows_names_as_they_are():
    assert markdown.escape("op_count_fp32") == "op_count_fp32"
    assert markdown.escape("a|b *c* _d_ <b>\n`e`") == r"a\|b \*c\* \_d\_ \<b\> \`e\`"


def test_a_command_with_backticks_stays_inside_its_block(values: dict[str, Any]):
    values["commands"] = ["echo ```"]
    assert "````sh\necho ```\n````" in markdown.render(parse(values))


# --- LaTeX ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "tex"),
    [
        ("a_b%c", r"a\_b\%c"),
        (r"{\x}", r"\{\textbackslash{}x\}"),
        ("$1 & #2 ^ ~", r"\$1 \& \#2 \textasciicircum{} \textasciitilde{}"),
        ("--set T=4", "-{}-set T=4"),
        ("θ ≥ 3 µJ", r"$\theta$ $\ge$ 3 $\mu$J"),
        ("two\nlines", "two lines"),
        ("é 鬼", "é U+9B3C"),
        ("", ""),
    ],
)
def test_latex_special_characters_are_escaped(plain: str, tex: str):
    assert latex.escape(plain) == tex


def test_names_with_special_characters_do_not_break_the_tables(values: dict[str, Any]):
    values["recipe"] = "a_b%c\n\\input{x}"
    values["data"]["name"] = "a_b%c"
    values["layers"][0]["name"] = "conv_1 & 50%"
    tex = latex.render(parse(values))
    outside = [line for line in tex.splitlines() if not line.startswith("% ")]
    assert not any(r"\input" in line for line in outside)
    assert r"on a\_b\%c, T = 4" in tex
    assert r"conv\_1 \& 50\% & MAC & " in tex


def test_every_row_has_as_many_cells_as_the_tabular_has_columns(report: Report):
    for body in re.findall(r"\\begin\{tabular\}\{([^\n]*)\}\n(.*?)\\end\{tabular\}", latex.render(report), re.DOTALL):
        columns = len(re.sub(r"p\{[^}]*\}", "p", body[0]))
        rows = [line for line in body[1].splitlines() if line.endswith(r" \\")]
        assert len(rows) >= 6
        assert all(len(re.split(r"(?<!\\)&", row)) == columns for row in rows)


def test_latex_uses_the_rules_of_booktabs_and_closes_what_it_opens(report: Report):
    tex = latex.render(report)
    assert tex.count(r"\toprule") == tex.count(r"\bottomrule") == tex.count(r"\begin{table}") == 2
    assert re.findall(r"\\begin\{(\w+)\}", tex) == ["table", "tabular"] * 2
    assert re.findall(r"\\end\{(\w+)\}", tex) == ["tabular", "table"] * 2
    unescaped = re.sub(r"\\[{}]", "", tex)
    assert unescaped.count("{") == unescaped.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_tables_compile_with_booktabs_alone(values: dict[str, Any], lavaless: Any, tmp_path: Path):
    values = lavaless(values, r"a_b%c \x {y} \"z\" `--q` <&> ~^ [1] é 鬼 θ² m|n")
    values["layers"][0]["name"] = "[conv]"  # after a row's end, a bare bracket would be an argument
    (tmp_path / "report.tex").write_text(latex.render(parse(values)), encoding="utf-8")
    paper = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report.tex}\end{document}"
    (tmp_path / "paper.tex").write_text(paper, encoding="utf-8")
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


# --- HTML -------------------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_runs_nothing(page_text: str):
    page = Page(page_text)
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("href", "src", "xlink:href"):
            assert (value or "").startswith("#"), (tag, name, value)
        assert not name.startswith("on"), (tag, name)
    assert not re.search(r"https?:|@import|url\((?!#)", page_text)


def test_names_cannot_become_markup(values: dict[str, Any]):
    values["recipe"] = "<script>alert(1)</script>"
    values["layers"][0]["name"] = "<img src=x onerror=y>"
    page = Page(html.render(parse(values)))
    assert not {"script", "img"} & set(page.tags)
    assert any("<script>alert(1)</script>" in words for words in page.words)


def test_every_figure_has_a_description_and_every_table_a_caption(page_text: str):
    page = Page(page_text)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-labelledby")]
    assert len(labels) == page.tags.count("figure") == 18
    assert all(part in ids for label in labels for part in (label or "").split())
    assert page.tags.count("caption") == page.tags.count("table") == 27
    assert ("html", "lang", "en") in page.attributes


def test_every_reference_inside_the_page_has_its_target(page_text: str):
    ids = {value for _, name, value in Page(page_text).attributes if name == "id"}
    references = set(re.findall(r'href="#([^"]+)"', page_text)) | set(re.findall(r"url\(#([^)]+)\)", page_text))
    assert references
    assert references <= ids


def test_the_page_follows_the_reader_s_colours(page_text: str):
    assert "prefers-color-scheme: dark" in page_text
    drawn = "".join(re.findall(r"<svg.*?</svg>", page_text, re.DOTALL))
    assert set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", drawn)) == set()  # each colour is a variable with a fallback


def test_coordinates_are_rounded_and_words_are_not():
    svg = '<svg viewBox="0 0 1 1"><path d="M 1.23456 -0.00049 L 7 8.5"/><text x="1.5"> d="1.23456" 2.34567</text></svg>'
    inline = html.inline(figures.Drawing("k", "Caption.", "Caption.", svg))
    assert '<path d="M 1.23 -0.00 L 7 8.5"/>' in inline
    assert '> d="1.23456" 2.34567<' in inline


def test_the_contents_lead_to_every_section_of_this_report(values: dict[str, Any]):
    values |= {"portrait": None, "spread": [], "sensitivity": [], "on_chip": [], "refusals": []}
    text = html.render(parse(values))
    links = re.findall(r'<li><a href="#([^"]+)">', text)
    assert links == re.findall(r'<h2 id="([^"]+)">', text)
    assert "baselines" in links
    assert not {"portrait", "scrutiny", "chip"} & set(links)
    headings = re.findall(r"^## (.*)$", markdown.render(parse(values)), re.MULTILINE)
    assert headings == re.findall(r"<h2 id=[^>]*>([^<]*)</h2>", text)


def test_long_tables_are_folded_under_their_title_and_their_length(values: dict[str, Any]):
    values["notices"] *= 7
    page = html.render(parse(values))
    assert "<summary>Everything that was folded, approximated, clipped or refused " in page
    assert '<span class="rows">(14 rows)</span>' in page

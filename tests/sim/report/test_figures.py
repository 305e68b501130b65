import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from spikeport.sim.report import Report, figures, parse, units

from .drawn import draw, keys, words

KEYS = [
    "waterfall", "timesteps", "drift", "activity", "rasters", "correlation", "correlation_points", "cka",
    "energy_totals", "energy_layers", "audit", "spread", "sensitivity", "baselines", "break_even", "core_map_loihi1",
    "core_map_loihi2", "chip_energies",
]  # fmt: skip
OPTIONAL = {
    "conventions": [], "audits": [], "events": [], "spread": [], "sensitivity": [], "baselines": [], "break_even": None,
    "on_chip": [], "refusals": [], "portrait": None, "drift": [], "timesteps": [], "anytime": [],
}  # fmt: skip
"""What a report may leave out, without it."""


def test_every_figure_is_valid_svg_with_text_and_a_description(report: Report):
    drawings = figures.draw(report)
    assert list(drawings) == KEYS
    for key, drawing in drawings.items():
        assert drawing.key == key
        assert len(words(drawing)) > 4
        assert drawing.alt.startswith(drawing.caption)
        assert drawing.pdf == b""


def test_a_figure_without_numbers_is_left_out(values: dict[str, Any]):
    assert keys(parse(values | OPTIONAL)) == ["waterfall", "activity", "energy_totals", "energy_layers"]


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        ("spread", {"spread"}),
        ("sensitivity", {"sensitivity"}),
        ("baselines", {"baselines"}),
        ("break_even", {"break_even"}),
        ("portrait", {"rasters", "correlation", "correlation_points", "cka"}),
        ("on_chip", {"core_map_loihi1", "core_map_loihi2", "chip_energies"}),
        ("audits", {"audit"}),
        ("drift", {"drift"}),
        ("timesteps", {"timesteps"}),
    ],
)
def test_each_part_of_a_report_brings_its_own_figures(key: str, gone: set[str], values: dict[str, Any]):
    values[key] = OPTIONAL[key]
    assert keys(parse(values)) == [name for name in KEYS if name not in gone]


def test_the_waterfall_shows_every_step_with_its_accuracy_and_n(report: Report):
    drawing = draw(report, "waterfall")
    shown = words(drawing)
    for step in report.waterfall:
        assert f"{100 * step.accuracy:.2f} %, n = {step.n}" in shown
        assert f"{100 * step.accuracy:.2f} %, n = {step.n}" in drawing.alt
    assert "Converted, hard reset" in shown


def test_layer_figures_show_the_numbers_of_the_json(report: Report):
    shown = words(draw(report, "activity"))
    for row in report.layers:
        assert row.name in shown
        assert units.rate(row.spikes_per_neuron) in shown
        assert f"{row.synops / 1000:,.3g}" in shown
    assert f"{report.layers[1].energy_pj['op_count_fp32'] / 1000:,.3g}" in words(draw(report, "energy_layers"))


def test_error_against_t_is_what_accuracy_leaves_and_its_axis_shows_every_interval(values: dict[str, Any]):
    drawing = draw(parse(values), "timesteps")
    assert "Refined: T = 2: 3.89 %, T = 4: 1.67 %" in drawing.alt  # 346 and 354 of 360 are right
    assert "Error (%), logarithmic" in words(drawing)
    perfect = {"accuracy": 1.0, "n": 360, "ci95": [0.98944, 1.0]}
    values["timesteps"][-1]["refined"] = perfect
    assert "Error (%)" in words(draw(parse(values), "timesteps"))  # a logarithmic axis has no zero


def test_shorter_samples_of_the_file_join_the_error_against_t(values: dict[str, Any]):
    half = {"accuracy": 0.75, "n": 8, "ci95": [0.40927, 0.92852]}
    values["anytime"] = [{"T": 3, "score": half, "synops": 1.0, "energy_pj": {}, "chosen": False}]
    values["timesteps"] = []
    drawing = draw(parse(values), "timesteps")
    assert "Chip integers: T = 3: 25.00 %" in drawing.alt
    assert "chip integers: on the validation images" in drawing.caption


def test_a_network_that_never_spikes_is_still_drawn(values: dict[str, Any]):
    for row in values["layers"]:
        row |= dict.fromkeys(("spikes", "spikes_per_neuron", "spikes_per_step", "synops", "synops_effective"), 0.0)
        row["energy_pj"] = dict.fromkeys(row["energy_pj"], 0.0)
    for e in values["energy"]:
        e |= {"snn_pj": 0.0, "ratio": None}
    report = parse(values | {"conventions": []})
    assert "op_count_fp32: 0 pJ against 914.1 nJ" in draw(report, "energy_totals").alt
    for sketch in figures.sketches(report):
        figures.render(sketch)


def test_every_convention_has_a_row_and_one_without_an_ann_says_so(report: Report):
    drawing = draw(report, "energy_totals")
    shown = words(drawing)
    assert "189.6 nJ against 914.1 nJ, 4.82×" in shown
    assert "250 pJ, no ANN" in shown
    assert report.scope in drawing.alt


def test_the_audit_shows_every_step_with_its_sign(report: Report):
    drawing = draw(report, "audit")
    shown = words(drawing)
    for text in ("As usually reported", "150", "Neuron updates", "+60", "Events counted", "\u22122", "Audited", "208"):
        assert text in shown
    assert "Events counted: \u22122 nJ" in drawing.alt


@pytest.mark.parametrize("name", ["a$b$c", "x_{1}", "<b>&", "鬼", "a_very_long_layer_name_" * 4, "-->"])
def test_any_layer_name_can_be_drawn(name: str, values: dict[str, Any]):
    values["layers"][0]["name"] = name
    shown = words(draw(parse(values), "activity"))
    if len(name) <= 26:
        assert name in shown
    else:
        assert f"{name[:12]}…{name[-13:]}" in shown


def test_many_layers_and_conventions_can_be_drawn(values: dict[str, Any]):
    first = values["layers"][1]
    more = [{**first, "name": f"layer{i}", "energy_pj": dict(first["energy_pj"])} for i in range(30)]
    values["layers"] += more
    values["network"]["synapses"] += 30 * first["synapses"]
    values["conventions"] = []
    copies = [{**values["energy"][0], "convention": f"op_count_fp32 copy {i}"} for i in range(3)]
    values["energy"] += copies
    for row in values["layers"]:
        row["energy_pj"] |= {e["convention"]: row["energy_pj"]["op_count_fp32"] for e in copies}
    for e in values["energy"]:
        e["snn_pj"] = sum(row["energy_pj"][e["convention"]] for row in values["layers"])
        e["ann_pj"] = e["mac_pj"] * sum(row["dense_macs"] for row in values["layers"])
        e["ratio"] = e["ann_pj"] / e["snn_pj"]
    assert "layer29" in words(draw(parse(values), "energy_layers"))


def test_a_pdf_has_its_fonts_inside_and_no_date(report: Report):
    sketch = next(figures.sketches(report))
    drawing = figures.render(sketch, "pdf")
    assert drawing.svg == ""
    assert drawing.pdf.startswith(b"%PDF")
    assert b"/FontFile2" in drawing.pdf  # TrueType
    assert b"CreationDate" not in drawing.pdf
    assert figures.render(sketch, "pdf").pdf == drawing.pdf


def test_the_same_report_gives_the_same_bytes_in_another_process(report: Report, tmp_path: Path):
    """Hashes of texts differ from process to process; nothing of them may reach a figure."""
    file = tmp_path / "report.json"
    file.write_text(report.model_dump_json())
    script = tmp_path / "draw.py"
    script.write_text(
        "import sys\n"
        "from spikeport.sim.report import figures, load\n"
        "cka = next(sketch for sketch in figures.sketches(load(sys.argv[1])) if sketch.key == 'cka')\n"
        "sys.stdout.buffer.write(figures.render(cka, 'pdf').pdf + figures.render(cka).svg.encode())\n"
    )
    run = [sys.executable, script, file]
    there = subprocess.run(run, capture_output=True, check=True, env={"PYTHONHASHSEED": "1"}, timeout=120).stdout
    cka = next(sketch for sketch in figures.sketches(report) if sketch.key == "cka")
    assert there == figures.render(cka, "pdf").pdf + figures.render(cka).svg.encode()


def test_the_caller_s_matplotlib_neither_changes_nor_matters(report: Report):
    plain = draw(report, "drift").svg
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "path"}):
        before = dict(mpl.rcParams)
        assert draw(report, "drift").svg == plain
        assert dict(mpl.rcParams) == before


def test_every_colour_has_a_dark_one():
    assert list(figures.DARK) == list(figures.PALETTE)
    assert len(set(figures.PALETTE.values())) == len(figures.PALETTE)


def test_pyplot_is_not_used():
    folder = Path(figures.__file__).parent
    for file in folder.glob("*.py"):
        assert not re.search(r"pyplot", file.read_text(encoding="utf-8")), file

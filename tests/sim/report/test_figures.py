import re
import sys
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from spikeport.sim.report import Report, figures, parse, units

SVG = "{http://www.w3.org/2000/svg}"


def words(drawing: figures.Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.svg)
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def test_every_figure_is_valid_svg_with_text_and_a_description(report: Report):
    drawings = figures.draw(report)
    assert list(drawings) == ["waterfall", "activity", "energy_layers", "energy_totals", "audit", "timesteps", "drift"]
    for key, drawing in drawings.items():
        assert drawing.key == key
        assert len(words(drawing)) > 4
        assert drawing.alt.startswith(drawing.caption)


def test_the_waterfall_shows_every_step_with_its_accuracy_and_n(report: Report):
    drawing = figures.waterfall(report)
    shown = words(drawing)
    for step in report.waterfall:
        assert f"{100 * step.accuracy:.2f} %, n = {step.n}" in shown
        assert f"{100 * step.accuracy:.2f} %, n = {step.n}" in drawing.alt
    assert "Converted, hard reset" in shown


def test_layer_figures_show_the_numbers_of_the_json(report: Report):
    shown = words(figures.activity(report))
    for row in report.layers:
        assert row.name in shown
        assert units.rate(row.spikes_per_neuron) in shown
        assert f"{row.synops / 1000:,.3g}" in shown
    assert f"{report.layers[1].energy_pj['op_count_fp32'] / 1000:,.3g}" in words(figures.energy_layers(report))


def test_figures_without_numbers_are_left_out(values: dict[str, Any]):
    values |= {"drift": [], "audits": []}
    for row in values["timesteps"]:
        row |= {"converted_soft": None, "converted_hard": None, "refined": None}
    assert list(figures.draw(parse(values))) == ["waterfall", "activity", "energy_layers", "energy_totals"]


def test_a_network_that_never_spikes_is_still_drawn(values: dict[str, Any]):
    for row in values["layers"]:
        row |= dict.fromkeys(("spikes", "spikes_per_neuron", "spikes_per_step", "synops", "synops_effective"), 0.0)
        row["energy_pj"] = dict.fromkeys(row["energy_pj"], 0.0)
    for e in values["energy"]:
        e |= {"snn_pj": 0.0, "ratio": None}
    values["conventions"] = []
    assert "energy_totals" not in figures.draw(parse(values))


def test_the_audit_shows_every_step_with_its_sign(report: Report):
    shown = words(figures.audit(report))
    for text in ("As usually reported", "150", "Neuron updates", "+60", "Events counted", "\u22122", "Audited", "208"):
        assert text in shown
    assert "Events counted: \u22122 nJ" in figures.audit(report).alt


@pytest.mark.parametrize("name", ["a$b$c", "x_{1}", "<b>&", "鬼", "a_very_long_layer_name_" * 4, "-->"])
def test_any_layer_name_can_be_drawn(name: str, values: dict[str, Any]):
    values["layers"][0]["name"] = name
    shown = words(figures.activity(parse(values)))
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
    assert "layer29" in words(figures.energy_layers(parse(values)))


def test_the_same_report_gives_the_same_bytes(report: Report):
    assert figures.waterfall(report).svg == figures.waterfall(report).svg


def test_the_caller_s_matplotlib_is_left_alone(report: Report):
    before = dict(mpl.rcParams)
    figures.drift(report)
    assert dict(mpl.rcParams) == before


def test_pyplot_is_not_used():
    source = figures.__file__
    assert source is not None
    with open(source, encoding="utf-8") as file:
        assert not re.search(r"pyplot", file.read())
    assert "spikeport.sim.report.figures" in sys.modules

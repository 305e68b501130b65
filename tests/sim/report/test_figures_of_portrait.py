"""Rasters, correlations and similarity: every spike and every number of the report is drawn."""

import re
from typing import Any

import pytest
from spikeport.sim.report import Report, parse

from .drawn import draw, keys, words


def strokes(svg: str, colour: str = "#1f5fa8") -> list[int]:
    """Pen-downs in each stroked path of a colour."""
    tags = [path[: path.index(">")] for path in svg.split("<path ")[1:]]
    return [tag.count("M ") for tag in tags if f"stroke: {colour}" in tag and "fill: none" in tag]


def test_a_raster_has_a_mark_for_every_spike(report: Report):
    assert report.portrait
    assert report.portrait.rasters
    drawing = draw(report, "rasters")
    assert strokes(drawing.svg) == [len(layer.spikes) for layer in report.portrait.rasters.layers]
    assert "conv1: 40 of 1,024 neurons" in words(drawing)
    assert "Sample 0 of the validation images, taken for class 6, rightly." in drawing.caption


def test_a_layer_without_a_spike_keeps_its_panel(values: dict[str, Any]):
    values["portrait"]["rasters"]["layers"][1]["spikes"] = []
    values["portrait"]["rasters"]["label"] = 5
    drawing = draw(parse(values), "rasters")
    assert "conv2: 40 of 512 neurons" in words(drawing)
    assert "conv2: 0 spikes" in drawing.alt
    assert "taken for class 6, but of class 5" in drawing.caption


def test_correlations_are_drawn_for_the_networks_that_were_made(values: dict[str, Any]):
    drawing = draw(parse(values), "correlation")
    assert {"Converted", "Refined", "Chip integers", "conv1", "conv2", "conv3"} <= set(words(drawing))
    assert "conv2: r converted 0.41, refined 0.86, chip integers 0.85" in drawing.alt
    for row in values["portrait"]["correlations"]:
        row["refined"] = None
    assert "Refined" not in words(draw(parse(values), "correlation"))


def test_a_negative_correlation_lies_inside_the_axis(values: dict[str, Any]):
    values["portrait"]["correlations"][0]["converted"] = -0.8
    assert any(word.startswith("\u22120.") for word in words(draw(parse(values), "correlation")))


def test_scatters_have_a_dot_per_pair_and_name_r(report: Report):
    drawing = draw(report, "correlation_points")
    assert "conv1, r = 0.85" in words(drawing)
    assert drawing.svg.count("<use ") >= 3 * 60
    assert "conv3: 60 points" in drawing.alt


@pytest.mark.parametrize(("layers", "shown"), [(6, [0, 1, 2, 3, 4, 5]), (11, [0, 2, 4, 6, 8, 10])])
def test_of_many_layers_six_are_scattered_from_the_first_to_the_last(
    layers: int, shown: list[int], values: dict[str, Any]
):
    one = values["portrait"]["correlations"][0]
    values["portrait"]["correlations"] = [{**one, "layer": f"layer{i}", "points": [(0, 0)]} for i in range(layers)]
    drawing = draw(parse(values), "correlation_points")
    assert [word for word in words(drawing) if "r =" in word] == [f"layer{i}, r = 0.85" for i in shown]
    assert ("6 of 11 layers" in drawing.caption) == (layers == 11)


def test_small_heat_maps_hold_their_numbers_and_large_ones_do_not(values: dict[str, Any]):
    drawing = draw(parse(values), "cka")
    assert words(drawing).count("0.55") == words(drawing).count("0.93") == 4  # the diagonals
    assert words(drawing).count("0.30") == 2 * 12
    assert "Before refinement, layers of one name: 0.55 to 0.55, 0.55 on average." in drawing.alt
    names = [f"layer{i}" for i in range(9)]
    nine = {"rows": names, "columns": names, "values": [[0.25] * 9] * 9}
    values["portrait"] |= {"cka_converted": None, "cka_refined": nine}
    drawing = draw(parse(values), "cka")
    assert "0.25" not in words(drawing)
    assert not any("Before" in word for word in words(drawing))


def test_tints_of_both_heat_maps_are_on_one_scale(values: dict[str, Any]):
    names = ["a"]
    values["portrait"]["cka_converted"] = {"rows": names, "columns": names, "values": [[-0.01]]}
    values["portrait"]["cka_refined"] = {"rows": names, "columns": names, "values": [[1.0]]}
    svg = draw(parse(values), "cka").svg
    assert len(re.findall(r'opacity: 0\.6[;"]', svg)) == 2  # the cell of 1 and the end of the scale
    assert "\u22120.01" in svg


def test_an_empty_portrait_draws_nothing(values: dict[str, Any]):
    empty = {"rows": [], "columns": [], "values": []}
    values["portrait"] = {"split": "test", "samples": 8, "cka_converted": empty}
    assert not {"rasters", "correlation", "correlation_points", "cka"} & set(keys(parse(values)))

"""Spread, tornado, baselines, break-even and chips: every drawn number is one of the report."""

from typing import Any

import pytest
from spikeport.sim.report import Report, parse

from .drawn import draw, keys, words


def test_the_spread_marks_its_percentiles(report: Report):
    drawing = draw(report, "spread")
    shown = words(drawing)
    # of 189.645 nJ: 0.7, 0.99, 1.4 and 1.9 times
    for text in ("5 % 133", "median 188", "95 % 266", "worst 360", "op_count_fp32, one sample (nJ)"):
        assert text in shown
    assert "half below 187.7 nJ" in drawing.alt


def test_samples_that_all_cost_the_same_can_be_drawn(values: dict[str, Any]):
    same = dict.fromkeys(("mean_pj", "p5_pj", "median_pj", "p95_pj", "worst_pj"), 7.0)
    histogram = {"low_pj": 7.0, "high_pj": 7.0, "samples": [360]}
    values["spread"][0] |= {**same, "ci95_pj": [7.0, 7.0], "histogram": histogram}
    assert "median 7" in words(draw(parse(values), "spread"))


def test_a_tornado_names_each_setting_and_the_ratio_it_gives(report: Report):
    drawing = draw(report, "sensitivity")
    shown = words(drawing)
    ratio = 914.112 / 189.644975
    assert "AC: 0.45 pJ, 1.8 pJ" in shown
    assert f"{ratio / 0.6:.3g}×, {ratio / 1.7:.3g}×" in shown
    assert "op_count_fp32: as published 189.6 nJ (ANN / SNN 4.82×)" in shown
    assert "first layer: once 132.8 nJ, per_step 189.6 nJ" in drawing.alt


def test_conventions_shown_in_detail_come_first_and_three_are_drawn(values: dict[str, Any]):
    values["conventions"] = []
    for key in ("spread", "sensitivity"):
        one = values[key][0]
        values[key] = [{**one, "convention": name} for name in ("a", "b", "op_count_int8", "c", "op_count_fp32")]
    report = parse(values)
    for key, text in (
        ("spread", "{}, one sample (nJ)"),
        ("sensitivity", "{}: as published 189.6 nJ (ANN / SNN 4.82×)"),
    ):
        shown = [word for word in words(draw(report, key)) if word in [text.format(n) for n in "abc"] or "op_c" in word]
        assert shown == [text.format(name) for name in ("op_count_int8", "op_count_fp32", "a")]


def test_a_long_tornado_shows_the_largest_eight_and_says_so(values: dict[str, Any]):
    swing = values["sensitivity"][0]["swings"][1]
    values["sensitivity"][0]["swings"] = [{**swing, "what": f"choice {i}"} for i in range(9)]
    drawing = draw(parse(values), "sensitivity")
    assert "the largest 8" in drawing.caption
    assert "choice 7: once, per_step" in words(drawing)
    assert not any(word.startswith("choice 8") for word in words(drawing))


def test_baselines_stand_below_the_spiking_network(report: Report):
    drawing = draw(report, "baselines")
    shown = words(drawing)
    assert "op_count_fp32 (nJ)" in shown
    for energy in (189.644975, 914.112, 914.112 / 20, 914.112 / 25):
        assert f"{energy:,.3g}" in shown
    assert drawing.alt.index("SNN (.net read back), 98.06 %") < drawing.alt.index("ANN, int8, 98.33 %")


def test_a_baseline_that_was_not_measured_or_priced_is_drawn_without(values: dict[str, Any]):
    values["baselines"][1] |= {"score": None, "energy_pj": {}}
    drawing = draw(parse(values), "baselines")
    assert "—" in words(drawing)
    assert "ANN, int8, not measured;" in drawing.alt


@pytest.mark.parametrize(
    ("measured", "low", "side"),
    [(0.1, 0.15, "below"), (0.73, 0.15, "within"), (2.0, 0.15, "above"), (1.0, None, "below")],
)
def test_break_even_says_on_which_side_of_a_limit_the_network_is(
    measured: float, low: float | None, side: str, values: dict[str, Any]
):
    values["break_even"]["thresholds"][0] |= {"measured": measured, "low": low}
    drawing = draw(parse(values), "break_even")
    assert f"{measured:.3g}" in words(drawing)
    assert drawing.alt.endswith(f", {side}.")


# --- chips ------------------------------------------------------------------------------------------------------------


def filled(svg: str, colour: str) -> list[int]:
    """Squares in each path of a colour: a path begins one with every M."""
    found = []
    for path in svg.split("<path ")[1:]:
        tag = path[: path.index(">")]
        if f"fill: {colour}" in tag:
            found.append(tag.count("M "))
    return found


def test_the_core_map_has_a_square_per_core_in_the_colour_of_its_population(report: Report):
    svg = draw(report, "core_map_loihi1").svg
    for colour, cores in (
        ("#1f5fa8", 2),
        ("#b4531a", 1),
        ("#3a8a7d", 2),
        ("#8a4fa3", 1),
    ):  # conv1, conv2, conv3, readout
        assert filled(svg, colour) == [cores, cores, 1]  # light, filled, and one in the legend
    free = max(path.count("M ") for path in svg.split("<path ")[1:])
    assert free == 128 - 6


def test_a_core_is_filled_as_far_as_its_fullest_resource(values: dict[str, Any]):
    values["on_chip"] = values["on_chip"][:1]
    values["on_chip"][0]["layout"][2]["share"] = 0.25
    svg = draw(parse(values), "core_map_loihi1").svg
    heights = []
    for path in svg.split("<path ")[1:]:
        if "fill: #b4531a" in path[: path.index(">")]:
            ys = [float(line.split()[2]) for line in path.split('"')[1].splitlines() if line[0] in "ML"]
            heights.append(max(ys) - min(ys))
    assert heights[1] == pytest.approx(0.25 * heights[0], rel=1e-4)


def test_sixteen_chips_are_drawn_and_the_caption_says_of_how_many(values: dict[str, Any]):
    chip = values["on_chip"][0]
    chip |= {
        "cores": 40, "chips": 20, "cores_per_chip": 2,
        "populations": [{**chip["populations"][0], "cores": 40}],
        "layout": [{"chip": i // 2, "population": "conv1", "share": 0.5} for i in range(40)],
    }  # fmt: skip
    drawing = draw(parse(values), "core_map_loihi1")
    assert "chip 15" in words(drawing)
    assert "chip 16" not in words(drawing)
    assert "40 cores on 20 chips, the first 16 drawn" in drawing.caption


def test_two_placements_on_chips_of_one_name_have_two_keys(values: dict[str, Any]):
    chips = values["on_chip"]
    values["on_chip"] = [{**chips[0], "chip": name} for name in ("a/b", "a/b", "a b", "c")]
    maps = [key for key in keys(parse(values)) if key.startswith("core_map")]
    assert maps == ["core_map_a_b", "core_map_a_b-2", "core_map_a_b-3", "core_map_c"]


def test_dynamic_and_static_energy_are_drawn_apart(values: dict[str, Any]):
    drawing = draw(parse(values), "chip_energies")
    assert {"Dynamic", "Static, cores in use", "Static, whole chips"} <= set(words(drawing))
    assert "loihi1: chip: dynamic 250 pJ; 238.6 nJ to 5.095 µJ" in drawing.alt
    values["on_chip"][0]["energies"][0]["static_pj"] = None
    assert "250 pJ; static not published" in words(draw(parse(values), "chip_energies"))

"""The sentences about scrutiny, chips and likeness say what the numbers say."""

from typing import Any

import pytest
from spikeport.sim.report import Report, parse, prose


def test_the_spread_is_said_for_the_conventions_shown_in_detail(values: dict[str, Any]):
    one = values["spread"][0]
    values["spread"] = [{**one, "convention": "a"}, one, {**one, "convention": "b"}]
    (line,) = prose.spread(parse(values))
    assert line == (
        "op_count_fp32: 189.6 nJ on average (185.9 nJ to 193.4 nJ, n = 360); one sample in twenty costs more than "
        "265.5 nJ, the worst 360.3 nJ."
    )


def test_where_none_is_shown_in_detail_the_first_is_said(values: dict[str, Any]):
    one = values["spread"][0]
    values["spread"] = [{**one, "convention": "a"}, {**one, "convention": "b"}]
    assert [line[:2] for line in prose.spread(parse(values))] == ["a:"]


def test_a_setting_that_turns_the_comparison_around_is_named(values: dict[str, Any]):
    assert prose.sensitivity(parse(values)) == [
        "op_count_fp32: AC moves it most, 113.8 nJ at 0.45 pJ and 322.4 nJ at 1.8 pJ; 189.6 nJ as published."
    ]
    values["sensitivity"][0]["swings"][1] |= {"low_ratio": 0.99, "high_ratio": 1.01}
    assert prose.sensitivity(parse(values))[1:] == ["op_count_fp32: which network costs less depends on first layer."]


def test_break_even_is_said_with_the_side_of_each_limit(report: Report):
    lines = prose.break_even(report)
    assert lines[0] == "An ANN as fine as T = 4 timesteps has 3-bit activations."
    assert lines[2] == "Where moving data is all that costs, 4 timesteps cost 1.33 times as much as 3 bits."
    assert lines[3].startswith("Spikes per synapse and inference at which an SNN is competitive: 0.73 is within 0.15")


def test_a_chip_that_holds_the_network_a_limit_nobody_published_and_a_refusal_are_said(report: Report):
    lines = prose.on_chip(report)
    assert "loihi1: 6 cores of 128 per chip, 1 chip; fullest: compartments, 100.0 %." in lines
    assert "loihi1: conv1: 4 channels less save 1 core." in lines
    assert lines[2].endswith("Not checked, for no limit is published: input axons.")
    assert lines[-1].startswith("tiny does not hold the network: conv3: 5120 words")


def test_latency_is_said_to_be_a_bound_and_static_energy_stands_apart(values: dict[str, Any]):
    report = parse(values)
    (line,) = prose.times(report)
    assert line == (
        "loihi1, times of Davies et al. 2018: an answer takes at least 48.8 µs and one follows another after at least "
        "24.4 µs; conv1 is busiest; a lower bound: no host, no input and output."
    )
    assert prose.chip_energies(report) == [
        (
            "loihi1, chip: 250 pJ dynamic; static over the bound on time 238.6 nJ for the cores in use and "
            "5.095 µJ for whole chips."
        )
    ]
    values["on_chip"][0]["energies"][0]["static_pj"] = None
    assert prose.chip_energies(parse(values)) == ["loihi1, chip: 250 pJ dynamic; no static power is published."]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["a", "b"], ["After refinement, CKA of a layer with its own in the ANN: 0.60 to 0.90, 0.75 on average."]),
        (["c", "d"], []),
    ],
)
def test_likeness_is_said_of_layers_of_one_name(columns: list[str], said: list[str], values: dict[str, Any]):
    heatmap = {"rows": ["a", "b"], "columns": columns, "values": [[0.6, 0.1], [0.2, 0.9]]}
    values["portrait"] |= {"cka_converted": None, "cka_refined": heatmap}
    report = parse(values)
    assert report.portrait
    assert prose.portrait(report.portrait) == said

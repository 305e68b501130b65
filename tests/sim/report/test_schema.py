"""report.json: what loads comes back equal, and what disagrees with itself does not load."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.sim.report import STEPS, Report, json_schema, json_text, load, parse, wilson95


def refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        parse(values)


def saved(folder: Path, values: Any) -> Path:
    path = folder / "report.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_a_report_survives_the_round_trip_through_a_file(report: Report, tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text(json_text(report), encoding="utf-8")
    assert load(path) == report
    assert json_text(load(path)) == json_text(report)


def test_the_keys_promised_to_readers_are_there(report: Report):
    written = json.loads(json_text(report))
    assert [step["step"] for step in written["waterfall"]] == list(STEPS)
    assert {"step", "accuracy", "n", "ci95"} <= written["waterfall"][0].keys()
    assert {"samples", "layers_written", "layers_built", "mismatches"} <= written["lava"].keys()
    assert {"spikes", "synops", "energy_pj"} <= written["layers"][0].keys()
    assert written["schema_version"] == 1


@given(st.lists(st.integers(0, 360), min_size=7, max_size=7), st.text(min_size=1, max_size=20))
def test_any_accuracies_and_any_name_survive_the_round_trip(make_values: Any, corrects: list[int], name: str):
    values = make_values()
    values["recipe"] = name
    for step, given_correct in zip(values["waterfall"], corrects, strict=True):
        correct = min(given_correct, step["n"])
        step |= {"accuracy": correct / step["n"], "correct": correct, "ci95": wilson95(correct, step["n"])}
    report = parse(values)
    assert parse(json.loads(json_text(report))) == report


def test_lava_may_be_left_out_with_a_reason(values: dict[str, Any], lavaless: Any):
    report = parse(lavaless(values))
    assert report.lava is None
    assert report.skipped == {"lava": "its environment is not installed"}


def test_lava_left_out_without_a_reason_is_refused(values: dict[str, Any], lavaless: Any):
    values = lavaless(values)
    values["skipped"] = {}
    refused(values, r"'lava' is missing; give its accuracy, or the reason in skipped")
    values["skipped"] = {"lava": ""}
    refused(values, r"skipped\.lava: String should have at least 1 character")


def test_an_unknown_key_names_the_nearest_one_of_its_own_place(values: dict[str, Any]):
    values["layers"][1]["synop"] = 3
    refused(values, r"unknown key 'layers\.1\.synop'; did you mean 'synops'\?")
    del values["layers"][1]["synop"]
    values["waterfal"] = []
    refused(values, r"unknown key 'waterfal'; did you mean 'waterfall'\?")


def test_every_problem_is_told_at_once(values: dict[str, Any]):
    values["seed"] = "seven"
    del values["scope"]
    with pytest.raises(BadInput) as caught:
        parse(values, "runs/x")
    assert [line.split(":")[1].strip() for line in str(caught.value).splitlines()] == ["seed", "scope is missing"]


@pytest.mark.parametrize("version", [2, 0, "1", None, True])
def test_another_version_is_refused_before_anything_else(version: Any, values: dict[str, Any], tmp_path: Path):
    path = saved(tmp_path, {**values, "schema_version": version, "what": 1})
    with pytest.raises(BadInput, match=r"schema_version is .*, this Spikeport reads 1; make the report again"):
        load(path)


def test_a_file_without_a_version_is_refused(values: dict[str, Any], tmp_path: Path):
    del values["schema_version"]
    with pytest.raises(BadInput, match="schema_version is None"):
        load(saved(tmp_path, values))


def test_a_missing_file_is_bad_input(tmp_path: Path):
    with pytest.raises(BadInput, match=r"report\.json: cannot be read \(No such file or directory\)"):
        load(tmp_path / "report.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"3"])
def test_a_file_that_is_no_json_object_is_bad_input(content: bytes, tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"is not JSON|a report is an object"):
        load(path)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_no_numbers_are_refused(number: float, values: dict[str, Any], tmp_path: Path):
    values["layers"][0]["spikes"] = number
    refused(values, r"layers\.0\.spikes: Input should be a finite number")
    with pytest.raises(BadInput, match=r"layers\.0\.spikes"):
        load(saved(tmp_path, values))


def test_a_number_written_as_text_is_refused_in_a_file(values: dict[str, Any], tmp_path: Path):
    values["seed"] = "7"
    with pytest.raises(BadInput, match=r"seed: Input should be a valid integer \(got '7'\)"):
        load(saved(tmp_path, values))


def test_percent_instead_of_a_fraction_is_refused(values: dict[str, Any]):
    values["waterfall"][0]["accuracy"] = 98.6
    refused(values, r"waterfall\.0\.accuracy: Input should be less than or equal to 1 \(got 98\.6\)")


def test_an_interval_of_another_accuracy_is_refused(values: dict[str, Any]):
    values["waterfall"][1]["ci95"] = values["waterfall"][2]["ci95"]
    refused(values, r"waterfall\.1: ci95 .* is not the Wilson interval of accuracy 0\.96")


def test_a_count_of_right_answers_must_give_the_accuracy(values: dict[str, Any]):
    values["waterfall"][0]["correct"] = 354
    refused(values, r"is not 354 right answers of n=360")


def test_steps_out_of_order_or_twice_are_refused(values: dict[str, Any]):
    steps = values["waterfall"]
    values["waterfall"] = [steps[1], steps[0], *steps[2:]]
    refused(values, "must be distinct and in the order")
    values["waterfall"] = [steps[0], *steps]
    refused(values, "must be distinct and in the order")


def test_a_step_cannot_be_both_run_and_skipped(values: dict[str, Any]):
    values["skipped"] = {"refined": "no method"}
    refused(values, "'refined' is in the waterfall too")


def test_lava_accuracy_and_lava_check_are_of_the_same_images(values: dict[str, Any]):
    values["lava"]["samples"] = 32
    refused(values, "accuracy over n=64, but 32 samples compared")
    values["lava"] = None
    refused(values, "come together, or neither does")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("spikes_per_neuron", "conv2 has spikes_per_neuron"),
        ("spikes_per_step", "conv2 has spikes_per_step"),
        ("synops_effective", "effective synops of"),
        ("synops", "op_count_fp32: conv2 costs"),
        ("dense_macs", "ann_pj is"),
        ("synapses", "network.synapses is 198720, but the layers hold"),
    ],
)
def test_a_layer_that_disagrees_with_the_rest_is_refused(key: str, message: str, values: dict[str, Any]):
    values["layers"][1][key] = values["layers"][1][key] * 2 + 100_000
    refused(values, message)


@pytest.mark.parametrize(("key", "message"), [("snn_pj", "the layers add up to"), ("ratio", "must be ann_pj / snn_pj")])
def test_an_energy_total_that_is_not_its_sum_is_refused(key: str, message: str, values: dict[str, Any]):
    values["energy"][1][key] *= 1.001
    refused(values, message)


def test_every_layer_is_priced_under_every_convention(values: dict[str, Any]):
    del values["layers"][2]["energy_pj"]["op_count_int8"]
    refused(values, r"conv3 has energy under \['op_count_fp32'\]")


def test_a_population_that_does_not_fill_its_shape_is_refused(values: dict[str, Any]):
    values["network"]["populations"][1]["neurons"] = 1000
    refused(values, r"conv1: 1000 neurons, but its shape \[16, 8, 8\] holds 1024")


def test_a_time_without_a_zone_is_refused(values: dict[str, Any]):
    values["created"] = "2026-03-14T15:09:26"
    refused(values, "created: Input should have timezone info")


def test_the_scope_is_never_missing(values: dict[str, Any]):
    values["scope"] = ""
    refused(values, "scope: String should have at least 1 character")


def test_a_second_connection_into_a_population_is_a_row_without_neurons(values: dict[str, Any]):
    skip = {**values["layers"][3], "name": "conv1 -> readout", "neurons": 0, "synapses": 0, "dense_macs": 0}
    skip |= {"synops": 0.0, "synops_effective": 0.0, "energy_pj": dict.fromkeys(skip["energy_pj"], 0.0)}
    values["layers"].append(skip)
    assert parse(values).layers[-1].neurons == 0
    skip["spikes"] = 1.0
    refused(values, "has no neurons but 1.0 spikes")


def test_an_snn_without_energy_has_no_ratio(values: dict[str, Any]):
    for row in values["layers"]:
        row |= {"synops": 0.0, "synops_effective": 0.0, "energy_pj": dict.fromkeys(row["energy_pj"], 0.0)}
    for e in values["energy"]:
        e |= {"snn_pj": 0.0, "ratio": None}
    values["conventions"] = []
    assert parse(values).energy[0].ratio is None
    values["energy"][0]["ratio"] = 1.0
    refused(values, "null if snn_pj is 0")


def test_a_report_cannot_be_changed(report: Report):
    with pytest.raises(ValueError, match="frozen"):
        report.seed = 8  # pyright: ignore[reportAttributeAccessIssue]


def test_the_json_schema_requires_the_heart_of_the_report():
    schema = json.loads(json_schema())
    assert {"waterfall", "lava", "layers", "energy", "scope"} <= set(schema["required"])
    assert schema["additionalProperties"] is False

"""The assumption checklist: its answers are those of the run, and change with it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from spikeport.pipeline.paper.checklist import checklist, latex, markdown
from spikeport.pipeline.paper.question import Answer
from spikeport.sim.report import parse

yes, no = Answer.yes, Answer.no
FIRST = "Is the first layer charged"


def answer(values: dict[str, Any], begin: str):
    (item,) = (item for item in checklist(parse(values), ()) if item.question.startswith(begin))
    return item


def test_every_question_has_an_answer_and_what_was_found(values):
    items = checklist(parse(values), ())
    assert len({item.question for item in items}) == len(items) >= 20
    assert all(item.question.endswith("?") and item.found.endswith(".") for item in items)


def test_the_first_layer_is_per_step_once_or_binary(values):
    assert answer(values, FIRST).answer == yes
    for energy in values["energy"]:
        energy["first_layer"] = "once"
    assert answer(values, FIRST).answer == no
    values["network"]["payload_bits"] = 0
    assert answer(values, FIRST).answer == Answer.does_not_apply


def test_graded_inputs_are_named(values):
    assert (answer(values, "Are non-binary").answer, answer(values, "Are non-binary").found) == (
        yes,
        "Layers that read graded spikes: conv1.",
    )


def test_batch_norm_is_folded_where_a_notice_says_so(values):
    values["notices"] = [{"layer": "conv2", "what": "batch norm folded into the weights", "why": "x", "way_out": ""}]
    assert answer(values, "Is batch norm").answer == yes
    assert "conv2" in answer(values, "Is batch norm").found
    values["notices"] = []
    assert answer(values, "Is batch norm").answer == Answer.does_not_apply


@pytest.mark.parametrize(("step", "begin"), [("pooling", "Is pooling"), ("residual additions", "Are residual")])
def test_pools_and_shortcuts_are_answered_by_the_audit(values, step, begin):
    assert answer(values, begin).answer == Answer.not_measured
    audit = values["audits"][0]
    audit["steps"].append({"what": step, "pj": 1500.0})
    audit["audited_pj"] += 1500.0
    assert (answer(values, begin).answer, "1.5 nJ" in answer(values, begin).found) == (yes, True)
    audit["steps"][-1]["pj"] = 0.0
    audit["audited_pj"] -= 1500.0
    assert answer(values, begin).answer == Answer.does_not_apply


def test_biases_are_not_priced_by_operation_counts(values):
    audit = values["audits"][0]
    audit["steps"].append({"what": "biases (batch norm folded)", "pj": 1500.0})
    audit["audited_pj"] += 1500.0
    assert answer(values, "Are biases").answer == Answer.not_priced


@pytest.mark.parametrize(
    ("what", "begin"),
    [
        ("active neuron update", "Are neuron updates"),
        ("weight read", "Are memory accesses"),
        ("message to a core", "Are messages"),
    ],
)
def test_an_event_is_priced_by_the_first_convention_by_others_or_by_none(values, what, begin):
    chip = values["conventions"][1]["items"][0]
    chip["what"] = "something else"
    assert (answer(values, begin).answer, answer(values, begin).found) == (Answer.not_priced, "Under no convention.")
    chip["what"] = what
    assert (answer(values, begin).answer, answer(values, begin).found) == (Answer.not_priced, "Charged under chip.")
    values["conventions"][0]["items"][0]["what"] = what
    assert answer(values, begin).answer == yes


def test_static_energy_is_given_where_a_chip_publishes_it(values):
    assert "loihi1" in answer(values, "Is static").found
    values["on_chip"] = values["on_chip"][1:]
    assert answer(values, "Is static").answer == Answer.not_measured


def test_zero_weights_follow_the_first_convention(values):
    assert answer(values, "Are zero weights").answer == yes
    layers, energy = values["layers"], values["energy"]
    for row in energy:
        row["synops"] = "effective"
        row["snn_pj"] = 0.0
        for layer in layers:
            pj = layer["synops_effective"] * (row["mac_pj"] if layer["is_mac"] else row["ac_pj"])
            layer["energy_pj"][row["convention"]] = pj
            row["snn_pj"] += pj
        row["ratio"] = row["ann_pj"] / row["snn_pj"]
    values["conventions"] = []
    assert answer(values, "Are zero weights").answer == no


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("padding left out", no), ("padding included", yes), ("nothing of it", Answer.not_measured)],
)
def test_padding_is_as_the_scope_says(values, scope, expected):
    values["conventions"][0]["scope"] = scope
    assert answer(values, "Does the ANN pay").answer == expected


def test_input_and_output_are_as_the_scopes_say(values):
    assert answer(values, "Are input, output").answer == Answer.not_measured
    values["conventions"][0]["scope"] = "excluded: input and output"
    found = answer(values, "Are input, output")
    assert (found.answer, found.found) == (Answer.not_priced, "Left out; the scope of chip does not say so.")


def test_baselines_of_the_same_and_of_matched_bits_are_asked_for(values):
    assert "98.33 %" in answer(values, "Is there an ANN of the same").found
    assert "3 bits" in answer(values, "Is there an ANN of matched").found
    values["baselines"] = values["baselines"][:1]
    assert answer(values, "Is there an ANN of the same").answer == Answer.not_measured
    assert answer(values, "Is there an ANN of matched").answer == Answer.not_measured


def test_an_eight_bit_twin_of_many_timesteps_counts_as_matched(values):
    values["break_even"]["matched_bits"] = 8
    values["baselines"][2] |= {"key": "ann_matched", "activation_bits": 8}
    assert answer(values, "Is there an ANN of matched").answer == yes


def test_the_spread_gives_n_mean_and_interval_or_is_missing(values):
    assert "360 of 360 test samples; mean 189.6 nJ" in answer(values, "Is the spread over samples").found
    values["spread"] = []
    assert answer(values, "Is the spread over samples").answer == Answer.not_measured


@pytest.mark.parametrize(("split", "expected"), [("validation", no), ("test", yes), (None, Answer.not_measured)])
def test_the_test_set_was_used_where_the_report_says_so(values, split, expected):
    for row in values["timesteps"]:
        row["split"] = split
    assert answer(values, "Was the test set").answer == expected


def test_conventions_that_disagree_are_told(values):
    assert answer(values, "Do all conventions").answer == no
    values["conflicts"] = []
    assert answer(values, "Do all conventions").answer == yes


def test_the_kind_and_the_process_of_the_constants_are_those_of_the_registry(values):
    assert "Derived and simulated: op_count_fp32" in answer(values, "Are the constants").found
    assert answer(values, "Do the constants").found == "op_count_fp32: 45 nm, 0.9 V."


def test_lava_is_answered_by_its_check(values, lavaless):
    assert answer(values, "Was the deployed file").answer == yes
    values["lava"]["mismatches"] = 1
    assert answer(values, "Was the deployed file").answer == no
    found = answer(lavaless(values, "it is not installed"), "Was the deployed file")
    assert (found.answer, found.found) == (Answer.not_measured, "it is not installed.")


def test_where_to_look_names_files_of_the_pack_alone(report, members):
    files = {*members, "provenance.json"}
    items = checklist(report, files)
    assert all(set(item.where) <= files for item in items)
    assert all(item.where for item in items)
    assert all(item.where == () for item in checklist(report, ()))


def test_both_forms_hold_every_line(report, members):
    items = checklist(report, members)
    rows = [line for line in markdown(report, members).splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(items) == latex(report, members).count("\\tabularnewline") - 2  # two heads
    for item, row in zip(items, rows, strict=True):
        cells = re.split(r"(?<!\\)\|", row)
        assert cells[2].strip() == item.answer

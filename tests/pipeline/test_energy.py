"""The energy stage: every convention under every choice it reads, what is asked besides, and what the report shows."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from spikeport import sim
from spikeport.hw import CHIPS
from spikeport.hw.placement import place
from spikeport.pipeline import energy, report, scrutiny
from spikeport.pipeline.sections import Energy
from spikeport.sim import report as reports
from spikeport.sim.report import schema
from spikeport.sim.routing import tallies_of, traffic

from . import tiny_nets


@pytest.fixture(scope="module")
def run() -> scrutiny.CountedRun:
    """A residual network of three timesteps, counted on both chips."""
    architecture = tiny_nets.residual()
    _, scales, network = tiny_nets.integer(architecture, n_steps=3)
    tallies = tallies_of(*(place(network, chip) for chip in CHIPS.values()))
    inputs = tiny_nets.payloads(architecture, scales.payload_bits, 11)
    trace = sim.run(network, inputs, tallies=tallies, record=("activity",))
    return scrutiny.CountedRun.on_chips(network, trace.counts, trace.activity)


@pytest.fixture(scope="module")
def found(run) -> dict[str, Any]:
    """What is found out under the first choices, as it comes back from a file."""
    values = scrutiny.findings(run, chosen(run, sim.Choices()), sim.Choices(), "loihi1")
    return json.loads(json.dumps(values))


def chosen(run: scrutiny.CountedRun, choices: sim.Choices) -> list[sim.EnergyReport]:
    return [p for p in energy.every_price(run) if p.choices == choices.only(p.convention.reads)]


def test_each_convention_has_one_price_for_each_combination_that_changes_it(run):
    prices = energy.every_price(run)
    assert {price.convention.name for price in prices} == set(sim.CONVENTIONS)
    for name, convention in sim.CONVENTIONS.items():
        own = [price.choices for price in prices if price.convention.name == name]
        assert len(own) == len(set(own)) == 2 ** len(convention.reads & {"first_layer", "synops"})


@pytest.mark.parametrize("first_layer", ["per_step", "once"])
@pytest.mark.parametrize("synops", ["stored", "effective"])
def test_the_recipe_chooses_one_price_of_each_with_the_messages_of_its_chip(run, first_layer, synops):
    prices = chosen(run, energy.choices_of(Energy(first_layer=first_layer, synops=synops)))
    assert [price.convention.name for price in prices] == list(sim.CONVENTIONS)
    for price in prices:
        chip = price.convention.chip
        sent = traffic(run.counts, place(run.network, CHIPS[chip])) if chip else None
        again = sim.price(
            run.network, run.counts, price.convention.name, first_layer=first_layer, synops=synops, traffic=sent
        )
        assert price == again
        assert ("for want of" in price.scope) == (bool(price.convention.routing) and sent is None)


def test_conventions_that_price_messages_name_a_chip_that_exists():
    for convention in sim.CONVENTIONS.values():
        assert convention.chip in (None, *CHIPS)
        assert not convention.routing or convention.chip


def test_what_is_written_is_what_the_report_reads(run):
    for price in energy.every_price(run):
        stored = json.loads(json.dumps(dataclasses.asdict(price)))
        row = reports.Convention.model_validate(report.convention_row(stored))
        for side, total in (("snn", price.snn_pj), ("ann", price.ann_pj or 0.0)):
            assert sum(item.pj for item in row.items if item.side == side) == pytest.approx(total)
        for item in row.items:
            if item.unit_pj is not None:
                assert item.events * item.unit_pj == pytest.approx(item.pj)
    case = run.network, run.counts
    stored = [json.loads(json.dumps(dataclasses.asdict(sim.audit(*case, name)))) for name in energy.DETAILED]
    for audit in stored:
        assert reports.Audit.model_validate(audit).audited_pj > 0
    assert reports.NeuroBench.model_validate(dataclasses.asdict(sim.neurobench(*case))).dense > 0


def test_detailed_conventions_have_the_two_prices_the_report_shows(run):
    network, counts = run.network, run.counts
    for name in energy.DETAILED:
        price = dataclasses.asdict(sim.price(network, counts, name))
        row = schema.Energy.model_validate(report.energy_row(price))
        acs, macs = (sum(int(t.sum()) for p, t in counts.synops.items() if sim.is_graded(network, p[0]) == graded)
                     for graded in (False, True))  # fmt: skip
        assert row.snn_pj == pytest.approx((acs * row.ac_pj + macs * row.mac_pj) / counts.n_samples)


def test_every_finding_is_what_the_report_holds(run, found):
    models = {"events": reports.Events, "spread": reports.Spread, "sensitivity": reports.Sensitivity}
    models |= {"on_chip": reports.OnChip, "refusals": reports.Refusal}
    for key, model in models.items():
        for value in found[key]:
            model.model_validate(value)
    assert reports.BreakEven.model_validate(found["break_even"]).matched_bits == 2  # counts 0..3
    assert [row["chip"] for row in found["on_chip"]] == list(CHIPS)
    assert found["refusals"] == []


def test_findings_agree_with_the_prices(run, found):
    prices = {price.convention.name: price.snn_pj for price in chosen(run, sim.Choices())}
    spread = {row["convention"]: row["mean_pj"] for row in found["spread"]}
    assert spread == {name: pytest.approx(prices[name]) for name in spread}
    assert {row["convention"]: row["snn_pj"] for row in found["sensitivity"]} == pytest.approx(prices)
    loihi1 = next(row for row in found["on_chip"] if row["chip"] == "loihi1")
    assert {row["convention"]: row["dynamic_pj"] for row in loihi1["energies"]} == pytest.approx(
        {name: prices[name] for name in ("loihi1_davies2018", "keras_spiking_loihi", "loihi1_nahuku")}
    )
    messages = [row["total"] for row in found["events"] if row["what"] == "messages"]
    assert sum(messages) == pytest.approx(loihi1["traffic"]["messages"])


def test_a_baseline_that_was_not_made_is_there_for_its_energy_alone(found):
    energies = found["baseline_energies"]
    score = {"accuracy": 0.5, "n": 4, "correct": 2, "ci95": [0.15, 0.85]}
    made = {"ann_int8": {"title": "x", "weight_bits": 8, "activation_bits": 8, "how": "made", "score": score}}
    rows = {row["key"]: row for row in report.baselines(energies, made, n_steps=3)}
    assert list(rows) == list(energies)
    assert (rows["ann_int8"]["how"], rows["ann_int8"]["energy_pj"]) == ("made", energies["ann_int8"])
    assert (rows["ann_matched"]["activation_bits"], rows["ann_matched"]["score"]) == (2, None)
    told = report.baselines(energies, {"skipped": "another graph"}, n_steps=3)
    assert [row["how"] for row in told] == ["not trained: another graph"] * len(energies)

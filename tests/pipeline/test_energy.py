"""The energy stage: every convention under every choice it reads, and what of it the report shows."""

from __future__ import annotations

import dataclasses
import json

import pytest
from spikeport import sim
from spikeport.pipeline import energy, report
from spikeport.pipeline.sections import Energy
from spikeport.sim.report import schema

from . import tiny_nets


@pytest.fixture(scope="module")
def case():
    architecture = tiny_nets.residual()
    _, scales, network = tiny_nets.integer(architecture, n_steps=3)
    return network, sim.run(network, tiny_nets.payloads(architecture, scales.payload_bits, 11)).counts


def test_each_convention_has_one_price_for_each_combination_that_changes_it(case):
    prices = energy.every_price(*case)
    assert {price.convention.name for price in prices} == set(sim.CONVENTIONS)
    for name, convention in sim.CONVENTIONS.items():
        own = [price.choices for price in prices if price.convention.name == name]
        assert len(own) == len(set(own)) == 2 ** len(convention.reads & {"first_layer", "synops"})


@pytest.mark.parametrize("first_layer", ["per_step", "once"])
@pytest.mark.parametrize("synops", ["stored", "effective"])
def test_the_recipe_chooses_one_price_of_each(case, first_layer, synops):
    chosen = [
        p for p in energy.every_price(*case) if energy.is_chosen(p, Energy(first_layer=first_layer, synops=synops))
    ]
    assert [price.convention.name for price in chosen] == list(sim.CONVENTIONS)
    for price in chosen:
        assert price == sim.price(*case, price.convention.name, first_layer=first_layer, synops=synops)


def test_what_is_written_is_what_the_report_reads(case):
    for price in energy.every_price(*case):
        stored = json.loads(json.dumps(dataclasses.asdict(price)))
        row = schema.Convention.model_validate(report.convention_row(stored))
        for side, total in (("snn", price.snn_pj), ("ann", price.ann_pj or 0.0)):
            assert sum(item.pj for item in row.items if item.side == side) == pytest.approx(total)
        for item in row.items:
            if item.unit_pj is not None:
                assert item.events * item.unit_pj == pytest.approx(item.pj)
    stored = [json.loads(json.dumps(dataclasses.asdict(sim.audit(*case, name)))) for name in energy.DETAILED]
    for audit in stored:
        assert schema.Audit.model_validate(audit).audited_pj > 0
    assert schema.NeuroBench.model_validate(dataclasses.asdict(sim.neurobench(*case))).dense > 0


def test_detailed_conventions_have_the_two_prices_the_report_shows(case):
    network, counts = case
    for name in energy.DETAILED:
        price = dataclasses.asdict(sim.price(network, counts, name))
        row = schema.Energy.model_validate(report.energy_row(price))
        acs, macs = (sum(int(t.sum()) for p, t in counts.synops.items() if sim.is_graded(network, p[0]) == graded)
                     for graded in (False, True))  # fmt: skip
        assert row.snn_pj == pytest.approx((acs * row.ac_pj + macs * row.mac_pj) / counts.n_samples)

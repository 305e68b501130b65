"""Every convention in a report: bills that add up, audits whose steps lead somewhere, and words that say both."""

from __future__ import annotations

from typing import Any

import pytest
from spikeport.hw import BadInput
from spikeport.sim.report import Report, html, markdown, parse, prose, tables


def refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        parse(values)


def test_a_bill_that_does_not_add_up_is_refused(values: dict[str, Any]):
    values["conventions"][1]["items"][0]["pj"] = 249.0
    refused(values, r"chip: snn_pj is 250\.0, its items add up to 249\.0")


def test_a_convention_without_an_ann_has_no_ratio(values: dict[str, Any]):
    values["conventions"][1]["ratio"] = 2.0
    refused(values, "chip: ratio is 2.0, but must be")


def test_one_convention_cannot_cost_two_things(values: dict[str, Any]):
    c = values["conventions"][0]
    c["snn_pj"] += 10.0
    c["items"][0]["pj"] += 10.0
    c["ratio"] = c["ann_pj"] / c["snn_pj"]
    refused(values, "op_count_fp32: snn_pj is .*, in energy it is")


def test_convention_names_are_unique(values: dict[str, Any]):
    values["conventions"].append(values["conventions"][1])
    refused(values, "conventions: names are not unique")


def test_an_audit_that_leads_elsewhere_is_refused(values: dict[str, Any]):
    values["audits"][0]["audited_pj"] += 1.0
    refused(values, r"audited_pj is 208001\.0, usual and steps add up to 208000\.0")


def test_a_report_without_them_is_one_of_before(values: dict[str, Any]):
    for key in ("conventions", "conflicts", "audits", "neurobench"):
        del values[key]
    report = parse(values)
    for text in (markdown.render(report), html.render(report)):
        assert "Every convention" not in text
        assert "As usually reported" not in text


def test_conventions_stand_side_by_side_with_their_bills(report: Report):
    table = tables.conventions(report)
    assert [row[0] for row in table.rows] == ["op_count_fp32", "chip"]
    assert table.rows[1][1:4] == ("250.000", tables.NONE, tables.NONE)
    assert ("chip", "weight read", "10", "by memory size", "250 pJ") in tables.bills(report).rows


def test_the_audit_leads_from_one_total_to_the_other(report: Report):
    table = tables.audit(report)
    assert table.header == ("Step", "op_count_fp32 (nJ)")
    assert table.rows == (
        ("As usually reported", "150.000"),
        ("Neuron updates", "+60.000"),
        ("Events counted", "\u22122.000"),
    )
    assert table.total == ("Audited", "208.000")


def test_disagreement_scopes_and_metrics_are_said(report: Report, values: dict[str, Any]):
    said = " ".join(prose.conventions(report))
    assert (
        "Conventions do not agree: the SNN costs less than the ANN under op_count_fp32, and more under another." in said
    )
    assert prose.scopes(report) == ["excluded: memory.", "excluded: static power."]
    assert "footprint 33,000 bytes; connection sparsity 7.00 %, activation sparsity 84.20 %" in said
    values["conflicts"] = []
    assert "All conventions that define an ANN agree" in " ".join(prose.conventions(parse(values)))

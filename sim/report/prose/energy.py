"""Counts and energies in words, each with what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from .. import units
from ..schema import Energy, NeuroBench, Report
from ..tables import operations
from .sentence import sentence


def activity(report: Report) -> str:
    """Spikes and operations of a whole sample."""
    neurons = sum(row.neurons for row in report.layers)
    spikes = sum(row.spikes for row in report.layers)
    synops = sum(row.synops for row in report.layers)
    rate = spikes / neurons if neurons else 0.0
    return (
        f"A sample takes {units.count(spikes)} spikes ({units.rate(rate)} per neuron, "
        f"{units.rate(rate / report.network.n_steps)} per neuron and timestep) and {units.count(synops)} synaptic "
        f"operations (means over n = {report.counted_samples:,})."
    )


def energy(report: Report, conventions: Sequence[Energy] | None = None) -> list[str]:
    """One sentence for each of the given conventions, by default for all: counts, then joules."""
    dense = sum(row.dense_macs for row in report.layers)
    lines = []
    for e in conventions or report.energy:
        macs, acs = operations(report, e)
        times = f" ANN / SNN = {units.ratio(e.ratio)}." if e.ratio is not None else ""
        lines.append(
            f"{e.convention}: {units.count(macs)} MACs and {units.count(acs)} ACs per sample are "
            f"{units.joules(e.snn_pj)}; the ANN's {units.count(dense)} MACs are {units.joules(e.ann_pj)}.{times}"
        )
    return lines


def conventions(report: Report) -> list[str]:
    """Whether conventions disagree on which of the two networks costs less, and NeuroBench's metrics."""
    if not report.conventions:
        return []
    lines = [f"Conventions do not agree: {conflict}." for conflict in report.conflicts]
    if not lines and any(c.ann_pj is not None for c in report.conventions):
        lines.append("All conventions that define an ANN agree on which of the two networks costs less.")
    if report.neurobench is not None:
        lines.append(neurobench(report.neurobench))
    return lines


def scopes(report: Report) -> list[str]:
    """What each convention leaves out."""
    return [sentence(c.scope) for c in report.conventions]


def neurobench(n: NeuroBench) -> str:
    """NeuroBench's metrics in one sentence."""
    return (
        f"NeuroBench's metrics, per sample: {units.count(n.effective_macs)} effective MACs, "
        f"{units.count(n.effective_acs)} effective ACs, {units.count(n.dense)} dense operations; footprint "
        f"{n.footprint_bytes:,} bytes; connection sparsity {units.percent(n.connection_sparsity)}, activation sparsity "
        f"{units.percent(n.activation_sparsity)}."
    )


def audit(report: Report) -> list[str]:
    """How far the audited energy is from the one usually reported."""
    return [
        f"{a.convention}: {units.joules(a.usual_pj)} as usually reported, {units.joules(a.audited_pj)} audited; "
        f"the ANN as usually reported {units.joules(a.ann_usual_pj)}."
        for a in report.audits
    ]


def scope(report: Report) -> str:
    """What the energies leave out. Never missing."""
    return f"Scope: {sentence(report.scope)}"

"""CSV of what was counted and what it costs: the numbers behind the tables and figures of energy."""

from __future__ import annotations

from ...sim.report import Report
from .constants import constants
from .sheet import Cell, Sheet, sheet


def sheets(report: Report) -> dict[str, Sheet]:
    """By file name without its suffix; without rows where the report has no such numbers."""
    return {
        "layers": _layers(report),
        "energy_layers": _energy_layers(report),
        "energy": _energy(report),
        "counts": _counts(report),
        "counts_by_timestep": _counts_by_timestep(report),
        "conventions": _conventions(report),
        "bills": _bills(report),
        "constants": _constants(report),
        "audit": _audit(report),
        "neurobench": _neurobench(report),
        "spread": _spread(report),
        "spread_histogram": _histogram(report),
        "sensitivity": _sensitivity(report),
        "baselines": _baselines(report),
        "baseline_energies": _baseline_energies(report),
        "break_even": _break_even(report),
        "thresholds": _thresholds(report),
        "margins": _margins(report),
    }


def _layers(report: Report) -> Sheet:
    return sheet(
        "layer kind neurons synapses spikes_per_sample spikes_per_neuron_and_sample spikes_per_neuron_and_timestep "
        "synops_per_sample synops_effective_per_sample dense_macs is_mac",
        (
            (
                row.name,
                row.kind,
                row.neurons,
                row.synapses,
                row.spikes,
                row.spikes_per_neuron,
                row.spikes_per_step,
                row.synops,
                row.synops_effective,
                row.dense_macs,
                row.is_mac,
            )
            for row in report.layers
        ),
    )


def _energy_layers(report: Report) -> Sheet:
    return sheet(
        "layer convention snn_pj_per_sample",
        ((row.name, name, pj) for row in report.layers for name, pj in row.energy_pj.items()),
    )


def _energy(report: Report) -> Sheet:
    return sheet(
        "convention mac_pj ac_pj source first_layer synops snn_pj_per_sample ann_pj_per_sample ann_over_snn",
        (
            (e.convention, e.mac_pj, e.ac_pj, e.source, e.first_layer, e.synops, e.snn_pj, e.ann_pj, e.ratio)
            for e in report.energy
        ),
    )


def _counts(report: Report) -> Sheet:
    return sheet(
        "network population source event one_event events_per_sample",
        ((e.side, e.population, e.source, e.what, e.per, e.total) for e in report.events),
    )


def _counts_by_timestep(report: Report) -> Sheet:
    """One row per timestep, from 1; a pass of the ANN has one."""
    return sheet(
        "network population source event timestep events_per_sample",
        (
            (e.side, e.population, e.source, e.what, step, events)
            for e in report.events
            for step, events in enumerate(e.by_step, start=1)
        ),
    )


def _conventions(report: Report) -> Sheet:
    return sheet(
        "convention title snn_pj_per_sample ann_pj_per_sample ann_over_snn scope",
        ((c.convention, c.title, c.snn_pj, c.ann_pj, c.ratio, c.scope) for c in report.conventions),
    )


def _bills(report: Report) -> Sheet:
    return sheet(
        "convention network event events_per_sample pj_per_event pj_per_sample",
        (
            (c.convention, item.side, item.what, item.events, item.unit_pj, item.pj)
            for c in report.conventions
            for item in c.items
        ),
    )


def _constants(report: Report) -> Sheet:
    return sheet(
        "convention events pj_per_event cost kind scope process source",
        ((c.convention, c.events, c.pj, c.value, c.kind, c.scope, c.process, c.source) for c in constants(report)),
    )


def _audit(report: Report) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for a in report.audits:
        rows.append((a.convention, "as usually reported", a.usual_pj))
        rows += [(a.convention, step.what, step.pj) for step in a.steps]
        rows.append((a.convention, "audited", a.audited_pj))
        rows.append((a.convention, "ANN as usually reported", a.ann_usual_pj))
    return sheet("convention step pj_per_sample", rows)


def _neurobench(report: Report) -> Sheet:
    n = report.neurobench
    return sheet(
        "effective_macs_per_sample effective_acs_per_sample dense_per_sample footprint_bytes connection_sparsity "
        "activation_sparsity",
        []
        if n is None
        else [
            (
                n.effective_macs,
                n.effective_acs,
                n.dense,
                n.footprint_bytes,
                n.connection_sparsity,
                n.activation_sparsity,
            )
        ],
    )


def _spread(report: Report) -> Sheet:
    return sheet(
        "convention samples mean_pj mean_ci95_low_pj mean_ci95_high_pj p5_pj median_pj p95_pj worst_pj worst_sample",
        (
            (
                s.convention,
                s.samples,
                s.mean_pj,
                *s.ci95_pj,
                s.p5_pj,
                s.median_pj,
                s.p95_pj,
                s.worst_pj,
                s.worst_sample,
            )
            for s in report.spread
        ),
    )


def _histogram(report: Report) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for s in report.spread:
        h = s.histogram
        width = (h.high_pj - h.low_pj) / len(h.samples)
        for i, samples in enumerate(h.samples):
            rows.append((s.convention, h.low_pj + i * width, h.low_pj + (i + 1) * width, samples))
    return sheet("convention bin_low_pj bin_high_pj samples", rows)


def _sensitivity(report: Report) -> Sheet:
    return sheet(
        "convention what kind low high snn_at_low_pj snn_at_high_pj ann_over_snn_at_low ann_over_snn_at_high",
        (
            (s.convention, w.what, w.kind, w.low, w.high, w.low_pj, w.high_pj, w.low_ratio, w.high_ratio)
            for s in report.sensitivity
            for w in s.swings
        ),
    )


def _baselines(report: Report) -> Sheet:
    rows = []
    for b in report.baselines:
        score: tuple[Cell, ...] = (None,) * 4
        if b.score is not None:
            score = (b.score.accuracy, *b.score.ci95, b.score.n)
        rows.append((b.key, b.title, b.weight_bits, b.activation_bits, b.how, *score))
    return sheet("baseline title weight_bits activation_bits how accuracy ci95_low ci95_high n", rows)


def _baseline_energies(report: Report) -> Sheet:
    return sheet(
        "baseline convention pj_per_inference",
        ((b.key, name, pj) for b in report.baselines for name, pj in b.energy_pj.items()),
    )


def _break_even(report: Report) -> Sheet:
    b = report.break_even
    return sheet(
        "matched_bits spikes_per_synapse_and_inference spikes_per_neuron_and_timestep dense_ratio",
        [] if b is None else [(b.matched_bits, b.spikes_per_synapse, b.spikes_per_step, b.dense_ratio)],
    )


def _thresholds(report: Report) -> Sheet:
    limits = report.break_even.thresholds if report.break_even else ()
    return sheet(
        "what measured low high unit source", ((t.what, t.measured, t.low, t.high, t.unit, t.source) for t in limits)
    )


def _margins(report: Report) -> Sheet:
    margins = report.break_even.margins if report.break_even else ()
    return sheet(
        "convention baseline factor_of_spikes spikes_per_synapse_and_inference",
        ((m.convention, m.baseline, m.factor, m.spikes_per_synapse) for m in margins),
    )

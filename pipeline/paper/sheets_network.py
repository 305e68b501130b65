"""CSV of what the networks are, what they achieve, and where they lie on a chip."""

from __future__ import annotations

from ...sim.report import Report, Score
from .sheet import Cell, Sheet, sheet

SCORE = "accuracy ci95_low ci95_high n correct"


def sheets(report: Report) -> dict[str, Sheet]:
    """By file name without its suffix; without rows where the report has no such numbers."""
    return {
        "waterfall": _waterfall(report),
        "timesteps": _timesteps(report),
        "anytime": _anytime(report),
        "anytime_energy": _anytime_energy(report),
        "drift": sheet("layer drift weight", ((d.layer, d.drift, d.weight) for d in report.drift)),
        "populations": _populations(report),
        "notices": sheet("layer what why way_out", ((n.layer, n.what, n.why, n.way_out) for n in report.notices)),
        "on_chip": _on_chip(report),
        "on_chip_resources": _resources(report),
        "on_chip_populations": _on_chip_populations(report),
        "on_chip_cores": _cores(report),
        "on_chip_times": _times(report),
        "on_chip_energy": _on_chip_energy(report),
        "refusals": sheet("chip why", ((r.chip, r.why) for r in report.refusals)),
        "correlations": _correlations(report),
        "correlation_points": _points(report),
        "cka": _cka(report),
    }


def _waterfall(report: Report) -> Sheet:
    rows: list[tuple[Cell, ...]] = [
        (s.step, *_score(s), s.elsewhere or report.data.name, s.note) for s in report.waterfall
    ]
    rows += [(step, *_score(None), None, f"not run: {why}") for step, why in report.skipped.items()]
    return sheet(f"step {SCORE} data note", rows)


def _timesteps(report: Report) -> Sheet:
    return sheet(
        f"T split step {SCORE}",
        (
            (t.T, t.split, step, *_score(score))
            for t in report.timesteps
            for step in ("converted_soft", "converted_hard", "refined")
            if (score := getattr(t, step)) is not None
        ),
    )


def _anytime(report: Report) -> Sheet:
    return sheet(
        f"T {SCORE} synops_per_sample is_the_file",
        ((a.T, *_score(a.score), a.synops, a.chosen) for a in report.anytime),
    )


def _anytime_energy(report: Report) -> Sheet:
    return sheet(
        "T convention pj_per_sample", ((a.T, name, pj) for a in report.anytime for name, pj in a.energy_pj.items())
    )


def _populations(report: Report) -> Sheet:
    return sheet(
        "population shape neurons v_decay_of_4096 i_decay_of_4096 threshold_mantissa",
        (
            (p.name, "x".join(map(str, p.shape)), p.neurons, p.v_decay, p.i_decay, p.v_th_mant)
            for p in report.network.populations
        ),
    )


def _on_chip(report: Report) -> Sheet:
    return sheet(
        "chip rule cores cores_per_chip chips bottleneck messages_per_sample off_chip_messages_per_sample "
        "hops_ew_per_sample hops_ns_per_sample",
        (
            (
                o.chip,
                o.rule,
                o.cores,
                o.cores_per_chip,
                o.chips,
                o.bottleneck,
                o.traffic.messages,
                o.traffic.off_chip,
                o.traffic.hops_ew,
                o.traffic.hops_ns,
            )
            for o in report.on_chip
        ),
    )


def _resources(report: Report) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for o in report.on_chip:
        rows += [(o.chip, name, share) for name, share in o.shares.items()]
        rows += [(o.chip, name, None) for name in o.unknown]
    return sheet("chip resource largest_share_of_a_core", rows)


def _on_chip_populations(report: Report) -> Sheet:
    return sheet(
        "chip population neurons cores cut bottleneck share",
        (
            (o.chip, p.name, p.neurons, p.cores, p.cut, p.bottleneck, p.share)
            for o in report.on_chip
            for p in o.populations
        ),
    )


def _cores(report: Report) -> Sheet:
    """One row per core, in the order in which cores are taken."""
    return sheet(
        "placed_on core chip_number population share",
        (
            (o.chip, index, core.chip, core.population, core.share)
            for o in report.on_chip
            for index, core in enumerate(o.layout)
        ),
    )


def _times(report: Report) -> Sheet:
    return sheet(
        "chip constants step_s barrier_s busiest_population steps latency_s interval_s scope",
        (
            (o.chip, t.constants, t.step_s, t.barrier_s, t.busiest, t.steps, t.latency_s, t.interval_s, t.scope)
            for o in report.on_chip
            for t in o.times
        ),
    )


def _on_chip_energy(report: Report) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for o in report.on_chip:
        for e in o.energies:
            static: tuple[Cell, ...] = (None,) * 4
            if e.static_pj is not None:
                static = (*e.static_pj, *(e.dynamic_pj + pj for pj in e.static_pj))
            rows.append((o.chip, e.convention, e.constants, e.dynamic_pj, *static, e.source))
    return sheet(
        "chip convention constants dynamic_pj_per_sample static_cores_pj_per_sample static_chips_pj_per_sample "
        "total_cores_pj_per_sample total_chips_pj_per_sample static_source",
        rows,
    )


def _correlations(report: Report) -> Sheet:
    rows = report.portrait.correlations if report.portrait else ()
    return sheet(
        "layer pearson_r_converted pearson_r_refined pearson_r_integer",
        ((c.layer, c.converted, c.refined, c.integer) for c in rows),
    )


def _points(report: Report) -> Sheet:
    rows = report.portrait.correlations if report.portrait else ()
    return sheet(
        "layer network activation spikes_per_timestep",
        ((c.layer, c.points_of, x, y) for c in rows for x, y in c.points),
    )


def _cka(report: Report) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    if report.portrait is not None:
        for network, heatmap in (
            ("converted", report.portrait.cka_converted),
            ("refined", report.portrait.cka_refined),
        ):
            if heatmap is not None:
                rows += [
                    (network, ann, snn, heatmap.values[i][j])
                    for i, ann in enumerate(heatmap.rows)
                    for j, snn in enumerate(heatmap.columns)
                ]
    return sheet("network ann_layer snn_layer cka", rows)


def _score(score: Score | None) -> tuple[Cell, ...]:
    if score is None:
        return (None,) * 5
    return score.accuracy, *score.ci95, score.n, score.correct

"""Accuracy: at every step, against T, and of shorter samples."""

from __future__ import annotations

from .. import units
from ..schema import STEPS, Report, Score, Step
from .table import NONE, NOT_RUN, STEP_TITLES, Table


def waterfall(report: Report) -> Table:
    """Accuracy at every step, with n and interval; the change is given where both steps saw equally many images."""
    rows: list[tuple[str, ...]] = []
    before: Step | None = None
    for name in STEPS:
        step = report.step(name)
        if step is None:
            rows.append((STEP_TITLES[name], NOT_RUN, NONE, NONE, NONE, report.skipped[name]))
            continue
        comparable = before is not None and before.n == step.n and before.elsewhere == step.elsewhere
        change = units.points(step.accuracy - before.accuracy) if before and comparable else NONE
        n, interval = f"{step.n:,}", units.interval(step.ci95)
        rows.append((STEP_TITLES[name], units.percent(step.accuracy), interval, n, change, step.note))
        before = step
    return Table(
        "waterfall",
        f"Accuracy at every step on {report.data.name}, T = {report.network.n_steps}, with 95 % Wilson intervals. "
        "Change: percentage points against the step before, where both saw the same number of images.",
        ("Step", "Accuracy", "95 % interval", "n", "Change", "Note"),
        "lrrrrp",
        tuple(rows),
    )


def timesteps(report: Report) -> Table:
    """Accuracy against T, each with n and interval."""

    def cell(score: Score | None) -> str:
        if score is None:
            return NONE
        return f"{units.percent(score.accuracy)} ({units.interval(score.ci95)}, n = {score.n:,})"

    rows = [(str(t.T), cell(t.converted_soft), cell(t.converted_hard), cell(t.refined)) for t in report.timesteps]
    names = [STEP_TITLES[s] for s in ("converted_soft", "converted_hard", "refined")]
    caption = f"Accuracy against the number of timesteps T{on_split(report)}, with 95 % Wilson intervals."
    return Table("timesteps", caption, ("T", *names), "rlll", tuple(rows))


def anytime(report: Report) -> Table:
    """Accuracy, operations and energy of the deployed integers against T, under the conventions shown in detail."""
    shown = {e.convention for e in report.energy}
    conventions = [name for name in (report.anytime[0].energy_pj if report.anytime else ()) if name in shown]
    scales = {n: units.scale_of([row.energy_pj[n] * units.PICO for row in report.anytime]) for n in conventions}
    rows = tuple(
        (
            f"{row.T}{' (the file)' if row.chosen else ''}",
            f"{units.percent(row.score.accuracy)} ({units.interval(row.score.ci95)}, n = {row.score.n:,})",
            f"{row.synops:,.0f}",
            *(scales[name].text(row.energy_pj[name] * units.PICO) for name in conventions),
        )
        for row in report.anytime
    )
    caption = (
        "The deployed integers with samples of T timesteps, on the validation images: accuracy with its 95 % Wilson "
        "interval, synaptic operations and energy per image (synaptic operations only"
        f"{', the first layer at every step' if report.network.payload_bits else ''})."
    )
    heads = ("T", "Accuracy", "Synaptic operations", *(f"{n} ({scales[n].prefix}J)" for n in conventions))
    return Table("anytime", caption, heads, "llr" + "r" * len(conventions), rows)


def on_split(report: Report) -> str:
    """On which images the accuracy against T was measured, in words; empty if the report does not say."""
    splits = sorted({t.split for t in report.timesteps if t.split})
    return f" on the {' and '.join(splits)} images" if splits else ""

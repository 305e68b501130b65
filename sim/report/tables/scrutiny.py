"""How far the energies can be trusted: from sample to sample, and with other constants and choices."""

from __future__ import annotations

from .. import units
from ..schema import Report
from .table import Table, detailed_first


def spread(report: Report) -> Table:
    """Energy of single samples under each convention."""
    rows = tuple(
        (
            s.convention,
            units.joules(s.mean_pj),
            f"{units.joules(s.ci95_pj[0])} to {units.joules(s.ci95_pj[1])}",
            units.joules(s.p5_pj),
            units.joules(s.median_pj),
            units.joules(s.p95_pj),
            units.joules(s.worst_pj),
            f"{s.worst_sample:,}",
            f"{s.samples:,}",
        )
        for s in detailed_first(report, report.spread)
    )
    return Table(
        "spread",
        "Energy of single samples under each convention. The interval is of the mean over samples like these; the "
        "percentiles are of single samples; the worst one is named by its index among those counted.",
        ("Convention", "Mean", "95 % interval of the mean", "5 %", "Median", "95 %", "Worst", "Worst sample", "n"),
        "l" + "r" * 8,
        rows,
    )


def sensitivity(report: Report) -> Table:
    """What each constant and each choice does to the energy and to ANN / SNN, the largest swing first."""
    rows = tuple(
        (
            s.convention,
            swing.what,
            swing.kind,
            swing.low,
            swing.high,
            units.joules(swing.low_pj),
            units.joules(swing.high_pj),
            units.ratio(swing.low_ratio),
            units.ratio(swing.high_ratio),
        )
        for s in detailed_first(report, report.sensitivity)
        for swing in s.swings
    )
    return Table(
        "sensitivity",
        "What one constant or one choice does to the energy per sample, all others as published. Largest swing first "
        "within each convention.",
        (
            "Convention",
            "What",
            "Kind",
            "Low",
            "High",
            "SNN at low",
            "SNN at high",
            "ANN / SNN at low",
            "ANN / SNN at high",
        ),
        "lllllrrrr",
        rows,
    )

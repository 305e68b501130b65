"""Which tables a pack has, and where each stands in the paper."""

from __future__ import annotations

from collections.abc import Callable

from ...sim.report import Report
from ...sim.report import tables as of
from ...sim.report.tables import Table
from .constants import constants
from .tabular import tables

RESULTS: tuple[Callable[[Report], Table], ...] = (
    of.waterfall,
    of.energy_layers,
    of.conventions,
    of.audit,
    of.baselines,
    of.thresholds,
    of.margins,
    of.spread,
    of.placements,
    of.times,
    of.chip_energies,
)
"""In the order of the paper."""

DETAILS: tuple[Callable[[Report], Table], ...] = (
    of.populations,
    of.activity,
    of.timesteps,
    of.anytime,
    of.drift,
    of.correlations,
    of.cka,
    of.energy_totals,
    of.bills,
    of.baseline_energies,
    of.sensitivity,
    of.resources,
    of.populations_on_chip,
    of.refusals,
    of.notices,
)
"""In the order of the appendix, before the constants."""


def results(report: Report) -> dict[str, str]:
    """LaTeX by key, of the tables that the report has numbers for."""
    return _written(report, RESULTS)


def details(report: Report) -> dict[str, str]:
    """As `results`, of the appendix; the constants come last."""
    found = _written(report, DETAILS)
    rows = list(constants(report))
    if rows:
        value = Table(
            "constants",
            "The constants behind every convention, with their kind and their process. Simulated: a design estimate; "
            "measured: from silicon; derived: computed from others.",
            ("Convention", "What", "Cost", "Kind", "Process"),
            "lllll",
            tuple((c.convention, c.events, c.value, c.kind, c.process) for c in rows),
        )
        found[value.key] = tables(value, [c.cites for c in rows])
    return found


def _written(report: Report, wanted: tuple[Callable[[Report], Table], ...]) -> dict[str, str]:
    values = [make(report) for make in wanted]
    return {value.key: tables(value) for value in values if value.rows}

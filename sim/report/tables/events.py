"""Counted events: of every layer and timestep, and summed over the layers."""

from __future__ import annotations

from .. import units
from ..schema import Report
from .table import NONE, Table

MOST_STEPS = 16
"""Timesteps that get a column each; of longer samples the table gives totals alone."""

_SIDES = {"snn": "SNN", "ann": "ANN"}


def events(report: Report) -> Table:
    """Events of every kind, layer and, of short samples, timestep."""
    longest = max((len(e.by_step) for e in report.events), default=0)
    steps = longest if longest <= MOST_STEPS else 0
    rows = tuple(
        (
            _SIDES[e.side],
            e.what,
            e.population,
            e.source or NONE,
            units.amount(e.total),
            *(units.amount(e.by_step[t]) if len(e.by_step) > t else NONE for t in range(steps)),
        )
        for e in report.events
    )
    more = "" if steps else " Of every timestep: report.json."
    return Table(
        "events",
        f"Events of every layer, means per sample over n = {report.counted_samples:,} samples. From: the population "
        f"whose spikes the events follow; a dash: the layer's own neurons.{more}",
        ("Network", "Event", "Layer", "From", "Total", *(f"t = {t}" for t in range(steps))),
        "llllr" + "r" * steps,
        rows,
    )


def event_kinds(report: Report) -> Table:
    """Every kind of event, summed over the layers."""
    totals: dict[tuple[str, str, str], float] = {}
    for e in report.events:
        kind = (_SIDES[e.side], e.what, e.per)
        totals[kind] = totals.get(kind, 0.0) + e.total
    rows = tuple((side, what, units.amount(total), per) for (side, what, per), total in totals.items())
    return Table(
        "event_kinds",
        "Every kind of event that was counted, all layers together, means per sample.",
        ("Network", "Event", "Total", "One event"),
        "llrp",
        rows,
    )

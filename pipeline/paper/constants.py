"""The constants behind every convention of a report: what each is worth, its kind, scope, process and source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...hw import BadInput
from ...sim import CONVENTIONS
from ...sim.constants import Constant
from ...sim.convention import Cost, in_words
from ...sim.report import Report
from ...sim.workload import COUNTABLES
from .sources import named_in


@dataclass(frozen=True)
class Priced:
    """One constant of one convention. events: what it prices, in words. cites: of its source.

    pj: of one event; None where it depends on the size of a memory. value: the same in words, with its unit.
    """

    convention: str
    events: str
    pj: float | None
    value: str
    kind: str
    scope: str
    process: str
    source: str
    cites: tuple[str, ...]


def names(report: Report) -> tuple[str, ...]:
    """The report's conventions whose constants are known here, those shown in detail first."""
    every = dict.fromkeys([*(e.convention for e in report.energy), *(c.convention for c in report.conventions)])
    return tuple(name for name in every if name in CONVENTIONS)


def constants(report: Report) -> Iterator[Priced]:
    """Those of every convention of the report that is registered; events that share a constant are one row."""
    for name in names(report):
        shared: dict[Cost, list[str]] = {}
        for term in CONVENTIONS[name].terms():
            shared.setdefault(term.cost, []).append(COUNTABLES[term.count].per)
        for cost, events in shared.items():
            process = cost.process if isinstance(cost, Constant) else cost.at(0).process
            yield Priced(
                convention=name,
                events=", ".join(events),
                pj=cost.value if isinstance(cost, Constant) else None,
                value=in_words(cost),
                kind=cost.kind,
                scope=cost.scope,
                process=process,
                source=cost.source,
                cites=named_in(cost.source),
            )


def check(report: Report) -> None:
    """Raise BadInput for a report that was priced with other constants than those that would be cited for it."""
    for c in report.conventions:
        if c.convention not in CONVENTIONS:
            continue
        costs = [term.cost for term in CONVENTIONS[c.convention].terms()]
        known = [cost.value for cost in costs if isinstance(cost, Constant)]
        if len(known) < len(costs):
            continue  # an item may be priced by the size of its memory
        for item in c.items:
            if item.unit_pj is not None and not any(math.isclose(item.unit_pj, value) for value in known):
                raise BadInput(
                    f"{c.convention}: the report charges {item.unit_pj:g} pJ per {item.what}, this Spikeport knows no "
                    "such constant there; price the run again with `spikeport run RECIPE`"
                )

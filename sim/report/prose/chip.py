"""The network on chips, in words."""

from __future__ import annotations

from .. import units
from ..schema import Report
from .sentence import sentence


def on_chip(report: Report) -> list[str]:
    """Where the network fits and where not, and what would make it smaller."""
    lines = []
    for o in report.on_chip:
        unknown = f" Not checked, for no limit is published: {', '.join(o.unknown)}." if o.unknown else ""
        chips = f"{o.chips:,} chip{'s' * (o.chips > 1)}"
        cores = f"{o.cores:,} core{'s' * (o.cores > 1)}"
        lines.append(
            f"{o.chip}: {cores} of {o.cores_per_chip:,} per chip, {chips}; {_fullest(o.shares, o.bottleneck)}.{unknown}"
        )
        lines += [sentence(f"{o.chip}: {advice}") for advice in o.advice]
    return lines + [sentence(f"{r.chip} does not hold the network: {r.why}") for r in report.refusals]


def traffic(report: Report) -> list[str]:
    """Messages per sample."""
    return [
        f"{o.chip}: {units.amount(o.traffic.messages)} messages per sample, {units.amount(o.traffic.off_chip)} of them "
        f"to another chip."
        for o in report.on_chip
    ]


def times(report: Report) -> list[str]:
    """Latency and rate, which are bounds."""
    return [
        sentence(
            f"{o.chip}, times of {t.constants}: an answer takes at least {units.seconds(t.latency_s)} and one follows "
            f"another after at least {units.seconds(t.interval_s)}; {t.busiest} is busiest; {t.scope}"
        )
        for o in report.on_chip
        for t in o.times
    ]


def chip_energies(report: Report) -> list[str]:
    """What static power does to the energy of a sample."""
    lines = []
    for o in report.on_chip:
        for e in o.energies:
            dynamic = f"{o.chip}, {e.convention}: {units.joules(e.dynamic_pj)} dynamic"
            if e.static_pj is None:
                lines.append(f"{dynamic}; no static power is published.")
            else:
                cores, chips = e.static_pj
                lines.append(
                    f"{dynamic}; static over the bound on time {units.joules(cores)} for the cores in use and "
                    f"{units.joules(chips)} for whole chips."
                )
    return lines


def _fullest(shares: dict[str, float], bottleneck: str) -> str:
    return f"fullest: {bottleneck}" + (f", {units.share(shares[bottleneck])}" if bottleneck in shares else "")

"""What was deployed, what was lost on the way, and what made it."""

from __future__ import annotations

from ..schema import Report
from .table import NONE, Table


def drift(report: Report) -> Table:
    """Drift of each layer before refinement, and the weight that refinement gave it."""
    rows = tuple((d.layer, f"{d.drift:.4f}", f"{d.weight:.4f}") for d in report.drift)
    caption = "Drift of each layer from the ANN before refinement, and its weight in the refinement loss."
    return Table("drift", caption, ("Layer", "Drift", "Weight"), "lrr", rows)


def notices(report: Report) -> Table:
    """Everything that was folded, approximated, clipped or refused."""
    rows = tuple((n.layer, n.what, n.why, n.way_out or NONE) for n in report.notices)
    caption = "Everything that was folded, approximated, clipped or refused."
    return Table("notices", caption, ("Layer", "What", "Why", "Way out"), "lppp", rows)


def populations(report: Report) -> Table:
    """The network that was deployed, population by population."""
    rows = tuple(
        (p.name, " × ".join(map(str, p.shape)), f"{p.neurons:,}", _of(p.v_decay), _of(p.i_decay), _of(p.v_th_mant))
        for p in report.network.populations
    )
    neurons = f"{sum(p.neurons for p in report.network.populations):,}"
    return Table(
        "populations",
        "Populations of the deployed network. Decays are of 4096; the threshold is its mantissa.",
        ("Population", "Shape", "Neurons", "v decay", "i decay", "Threshold"),
        "llrrrr",
        rows,
        ("Total", "", neurons, "", "", ""),
    )


def versions(report: Report) -> Table:
    """Versions of what made the run."""
    rows = tuple(sorted(report.versions.items()))
    return Table("versions", "Versions.", ("Package", "Version"), "ll", rows)


def _of(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"

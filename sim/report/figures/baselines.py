"""The spiking network beside ANNs of the same graph, and the limits at which spiking stops to pay."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import tables, units
from ..schema import Report
from ..scrutiny import Threshold
from .canvas import PALETTE, Sketch
from .marks import bars, boxes, interval, rows

MOST_ENERGIES = 3
"""Conventions that get a panel; the tables hold all."""


def baselines(report: Report) -> Sketch:
    """Accuracy with its interval beside energy, the spiking network first; a panel per convention shown first."""
    name, score = tables.deployed(report)
    snn = tables.snn_energies(report)
    conventions = [c for c in tables.priced_baselines(report) if c in snn][:MOST_ENERGIES]
    names = [name, *(b.title for b in report.baselines)]
    scores = [score, *(b.score for b in report.baselines)]
    energies = {c: [snn[c], *(b.energy_pj.get(c) for b in report.baselines)] for c in conventions}
    columns = min(2, 1 + len(conventions))
    lines = -(-(1 + len(conventions)) // columns)

    def paint(figure: Figure) -> None:
        first, *others = figure.subplots(lines, columns, sharey=True, squeeze=False).flat
        for y, found in enumerate(scores):
            if found is not None:
                interval(first, found, y, PALETTE["accent" if y == 0 else "muted"])
        first.set_title("Accuracy (%)")
        first.grid(axis="x", linewidth=0.6)
        for axes, convention in zip(others, conventions, strict=False):
            values = [(pj or 0.0) * units.PICO for pj in energies[convention]]
            scale = units.scale_of(values)
            texts = iter([tables.NONE if pj is None else f"{scale.value(pj * units.PICO):,.3g}"
                          for pj in energies[convention]])  # fmt: skip
            colours = [PALETTE["accent"], *[PALETTE["muted"]] * len(report.baselines)]
            bars(axes, [scale.value(value) for value in values], colours, lambda _, texts=texts: next(texts))
            axes.set_title(textwrap.fill(f"{convention} ({scale.prefix}J)", 30))
        for axes in others[len(conventions) :]:
            axes.set_visible(False)
        rows(first, ["\n".join(textwrap.wrap(name, 18)) for name in names], most=54)

    caption = "Accuracy with its 95 % interval, and energy per sample, of the spiking network and of ANNs of its graph."
    said = "; ".join(
        ", ".join(
            [
                names[i],
                "not measured" if found is None else units.percent(found.accuracy),
                *(f"{units.joules(pj)} under {c}" for c in conventions if (pj := energies[c][i]) is not None),
            ]
        )
        for i, found in enumerate(scores)
    )
    return Sketch("baselines", caption, f"{caption} {said}.", lines * (0.6 + 0.5 * len(names)), paint)


def break_even(report: Report) -> Sketch:
    """Each measured value beside the published range, or the one published limit; every row has an axis of its own."""
    limits = report.break_even.thresholds if report.break_even else ()
    texts = [textwrap.wrap(f"{t.what} ({t.source})", 66) for t in limits]

    def paint(figure: Figure) -> None:
        heights = [2.2 + 0.75 * len(lines) for lines in texts]
        panels = figure.subplots(len(limits), 1, squeeze=False, height_ratios=heights)
        for axes, threshold, lines in zip(panels.flat, limits, texts, strict=True):
            _limit(axes, threshold, "\n".join(lines))

    caption = "Measured values (dots) beside published limits (bands and lines)."
    said = "; ".join(
        f"{t.what}: measured {t.measured:.3g} {t.unit}, limit {tables.limit(t)}, {tables.side(t)}" for t in limits
    )
    return Sketch("break_even", caption, f"{caption} {said}.", sum(0.8 + 0.17 * len(lines) for lines in texts), paint)


def _limit(axes: Axes, t: Threshold, text: str) -> None:
    if t.low is None or t.low == t.high:
        axes.axvline(t.high, color=PALETTE["warm"], linewidth=2)
    else:
        boxes(axes, [(t.low, -0.35, t.high - t.low, 0.7)], facecolor=PALETTE["warm"], alpha=0.35, linewidth=0)
    axes.plot([t.measured], [0], "o", color=PALETTE["accent"], markersize=6.5)
    axes.annotate(f"{t.measured:.3g}", (t.measured, 0), xytext=(0, 5), textcoords="offset points", ha="center",
                  va="bottom", fontsize=8.5)  # fmt: skip
    axes.set_xlim(0, 1.15 * max(t.measured, t.high) or 1.0)
    axes.set_ylim(-0.6, 1.4)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title(text, fontsize=8.5)
    axes.set_xlabel(t.unit, fontsize=8.5)

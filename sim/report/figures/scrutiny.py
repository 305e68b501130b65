"""How far the energies can be trusted: their spread over samples, and what other constants and choices do to them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import tables, units
from ..schema import Report
from ..scrutiny import Sensitivity, Spread, Swing
from .canvas import PALETTE, Sketch
from .marks import above, legend_above, short

MOST_PANELS = 3
"""Conventions that get a panel; the tables hold all."""
MOST_SWINGS = 8
"""Bars of one tornado; the table holds all."""


def spread(report: Report) -> Sketch:
    """How many samples cost how much, with the percentiles marked, for each of the conventions shown first."""
    shown = tables.detailed_first(report, report.spread)[:MOST_PANELS]

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(shown), 1, squeeze=False)
        for axes, s in zip(panels.flat, shown, strict=True):
            _histogram(axes, s)

    caption = "Energy of single samples: how many cost how much."
    said = "; ".join(
        f"{s.convention}: mean {units.joules(s.mean_pj)}, 5 % of samples below {units.joules(s.p5_pj)}, half below "
        f"{units.joules(s.median_pj)}, 95 % below {units.joules(s.p95_pj)}, worst {units.joules(s.worst_pj)}"
        for s in shown
    )
    return Sketch("spread", caption, f"{caption} {said}.", 1.75 * len(shown), paint)


def _histogram(axes: Axes, s: Spread) -> None:
    scale = units.scale_of([s.worst_pj * units.PICO])
    low, high = (scale.value(pj * units.PICO) for pj in (s.histogram.low_pj, s.histogram.high_pj))
    width = (high - low) / len(s.histogram.samples) or 1.0
    lefts = [low + i * width for i in range(len(s.histogram.samples))]
    axes.bar(lefts, s.histogram.samples, width=width, align="edge", color=PALETTE["accent"], alpha=0.55)
    marks = (
        ("5 %", s.p5_pj, "muted", "-"),
        ("median", s.median_pj, "ink", "-"),
        ("95 %", s.p95_pj, "warm", "-"),
        ("worst", s.worst_pj, "warm", ":"),
    )
    for name, pj, colour, line in marks:
        at = scale.value(pj * units.PICO)
        axes.axvline(at, color=PALETTE[colour], linewidth=1.6, linestyle=line, label=f"{name} {at:,.3g}")
    axes.set_xlabel(f"{s.convention}, one sample ({scale.prefix}J)")
    axes.set_ylabel("Samples")
    legend_above(axes, len(marks))


def sensitivity(report: Report) -> Sketch:
    """A tornado for each of the conventions shown first: the energy with one setting low and high, and ANN / SNN."""
    shown = [s for s in tables.detailed_first(report, report.sensitivity) if s.swings][:MOST_PANELS]
    lengths = [min(len(s.swings), MOST_SWINGS) for s in shown]

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=[n + 1.5 for n in lengths])
        for axes, s in zip(panels.flat, shown, strict=True):
            _tornado(axes, s)

    most = f", the largest {MOST_SWINGS}" if any(len(s.swings) > MOST_SWINGS for s in shown) else ""
    caption = (
        f"What one constant or choice does to the energy{most}: its two settings, and ANN / SNN under each. Green: the "
        "setting named first; orange: the other."
    )
    said = "; ".join(
        f"{s.convention}, {swing.what}: {swing.low} {units.joules(swing.low_pj)}, {swing.high} "
        f"{units.joules(swing.high_pj)}"
        for s in shown
        for swing in s.swings[:MOST_SWINGS]
    )
    return Sketch("sensitivity", caption, f"{caption} {said}.", sum(0.75 + 0.4 * n for n in lengths), paint)


def _tornado(axes: Axes, s: Sensitivity) -> None:
    swings = s.swings[:MOST_SWINGS]
    ends = [pj for swing in swings for pj in (swing.low_pj, swing.high_pj)] + [s.snn_pj]
    scale = units.scale_of([max(ends) * units.PICO])
    middle = scale.value(s.snn_pj * units.PICO)
    for y, swing in enumerate(swings):
        for pj, colour in ((swing.low_pj, "cool"), (swing.high_pj, "warm")):
            axes.barh(y, scale.value(pj * units.PICO) - middle, left=middle, color=PALETTE[colour], height=0.34)
        above(axes, y, short(f"{swing.what}: {swing.low}, {swing.high}", 46), _ratios(swing))
    axes.axvline(middle, color=PALETTE["ink"], linewidth=1)
    axes.set_yticks([])
    axes.set_ylim(len(swings) - 0.5, -0.85)
    axes.margins(x=0.04)
    axes.spines["left"].set_visible(False)
    published = f" (ANN / SNN {units.ratio(s.ratio)})" if s.ratio is not None else ""
    axes.set_title(f"{s.convention}: as published {units.joules(s.snn_pj)}{published}", fontsize=8.5)
    axes.set_xlabel(f"Energy per sample ({scale.prefix}J)")


def _ratios(swing: Swing) -> str:
    if swing.low_ratio is None or swing.high_ratio is None:
        return ""
    return f"{units.ratio(swing.low_ratio)}, {units.ratio(swing.high_ratio)}"

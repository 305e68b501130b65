"""Bars layer by layer: spikes and operations, energy, drift."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from .. import tables, units
from ..schema import Report
from .canvas import PALETTE, ROW_IN, Sketch
from .marks import bars, rows


def activity(report: Report) -> Sketch:
    """Spikes per neuron and synaptic operations of every layer, side by side."""
    layers = report.layers
    scale = units.count_scale([row.synops for row in layers])

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        bars(left, [row.spikes_per_neuron for row in layers], PALETTE["accent"], units.rate)
        left.set_title("Spikes per neuron")
        bars(right, [scale.value(row.synops) for row in layers], _colours(report), lambda value: f"{value:,.3g}")
        right.set_title(f"Synaptic\noperations ({scale.prefix})" if scale.prefix else "Synaptic\noperations")
        rows(left, [row.name for row in layers])

    caption = f"Spikes per neuron and synaptic operations of every layer, means per sample.{_key(report)}"
    said = "; ".join(
        f"{row.name}: {units.rate(row.spikes_per_neuron)} spikes per neuron, {units.count(row.synops)} operations"
        for row in layers
    )
    return Sketch("activity", caption, f"{caption} {said}.", 0.85 + ROW_IN * len(layers), paint)


def energy_layers(report: Report) -> Sketch:
    """Energy of every layer under the first counting rule, one panel and one axis per convention.

    Two panels to a line, unless the layers' names leave no room.
    """
    layers, conventions = report.layers, tables.first_rule(report)
    columns = min(2, len(conventions)) if max(len(row.name) for row in layers) <= 16 else 1
    lines = -(-len(conventions) // columns)

    def paint(figure: Figure) -> None:
        panels = list(figure.subplots(lines, columns, sharey=True, squeeze=False).flat)
        for axes, e in zip(panels, conventions, strict=False):
            values = [row.energy_pj[e.convention] * units.PICO for row in layers]
            scale = units.scale_of(values)
            bars(axes, [scale.value(v) for v in values], _colours(report), lambda value: f"{value:,.3g}")
            axes.set_title(textwrap.fill(f"{e.convention} ({scale.prefix}J)", 30))
        for axes in panels[len(conventions) :]:
            axes.set_visible(False)
        rows(panels[0], [row.name for row in layers])

    rule = tables.rule_text(report, conventions[0])
    caption = f"Energy of every layer per sample ({rule}).{_key(report)}"
    said = "; ".join(
        f"{e.convention}, {row.name}: {units.joules(row.energy_pj[e.convention])}"
        for e in conventions
        for row in layers
    )
    return Sketch("energy_layers", caption, f"{caption} {said}.", lines * (0.75 + ROW_IN * len(layers)), paint)


def drift(report: Report) -> Sketch:
    """Drift of every layer before refinement, and the weight it was given."""

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        bars(left, [d.drift for d in report.drift], PALETTE["accent"], lambda value: f"{value:.3f}")
        left.set_title("Drift")
        bars(right, [d.weight for d in report.drift], PALETTE["cool"], lambda value: f"{value:.3f}")
        right.set_title("Weight")
        rows(left, [d.layer for d in report.drift])

    caption = "Drift of every layer before refinement, and its weight in the loss."
    said = "; ".join(f"{d.layer}: drift {d.drift:.4f}, weight {d.weight:.4f}" for d in report.drift)
    return Sketch("drift", caption, f"{caption} {said}.", 0.7 + ROW_IN * len(report.drift), paint)


def _colours(report: Report) -> list[str]:
    """Orange for what multiplies, blue for what only adds."""
    return [PALETTE["warm"] if row.is_mac else PALETTE["accent"] for row in report.layers]


def _key(report: Report) -> str:
    """What the colours mean, where there are two."""
    return " Orange: multiply-accumulate." if any(row.is_mac for row in report.layers) else ""

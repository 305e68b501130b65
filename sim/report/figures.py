"""The figures of a report: matplotlib through its object-oriented interface, one SVG text each.

Narrow on purpose (324 points), with layers and steps down the side: they are readable on a phone and scale up.
Text stays text. Colours are the values of `PALETTE`, so that a page can replace them for a dark background.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from . import prose, tables, units
from .schema import Report, Score

PALETTE = {
    "ink": "#1d2430",
    "muted": "#5f6b7a",
    "line": "#d5dae1",
    "accent": "#1f5fa8",
    "warm": "#b4531a",
    "cool": "#3a8a7d",
}
WIDTH_IN = 4.5
ROW_IN = 0.27

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spikeport",  # the same report gives the same bytes
    "text.parse_math": False,  # a layer may be called a$b
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["line"],
    "axes.labelcolor": PALETTE["muted"],
    "axes.titlecolor": PALETTE["ink"],
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "text.color": PALETTE["ink"],
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["ink"],
    "grid.color": PALETTE["line"],
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass(frozen=True)
class Drawing:
    """A figure. key: its name in a page. caption: what it shows. alt: the same for who cannot see it. svg: its text."""

    key: str
    caption: str
    alt: str
    svg: str


def waterfall(report: Report) -> Drawing:
    """Accuracy with its 95 % interval at every step that was run, from top to bottom."""
    steps = report.waterfall
    with _figure(0.55 + 0.36 * len(steps)) as figure:
        axes = figure.add_subplot()
        ys = range(len(steps))
        line = [(100 * s.accuracy, y) for y, s in zip(ys, steps, strict=True) if s.elsewhere is None]
        axes.plot([x for x, _ in line], [y for _, y in line], color=PALETTE["line"], linewidth=1.5, zorder=1)
        for y, step in zip(ys, steps, strict=True):
            _interval(axes, step, y, PALETTE["accent"])
        _rows(axes, [tables.STEP_TITLES[s.step] for s in steps])
        _rows(axes.twinx(), [f"{units.percent(s.accuracy)}, n = {s.n:,}" for s in steps])
        axes.set_xlabel("Accuracy (%)")
        axes.grid(axis="x", linewidth=0.6)
        alt = "; ".join(f"{tables.STEP_TITLES[s.step]} {units.percent(s.accuracy)}, n = {s.n:,}" for s in steps)
        caption = "Accuracy at every step with its 95 % interval."
        return Drawing("waterfall", caption, f"{caption} {alt}. {prose.lava(report)}", _svg(figure))


def activity(report: Report) -> Drawing:
    """Spikes per neuron and synaptic operations of every layer, side by side."""
    layers = report.layers
    scale = units.count_scale([row.synops for row in layers])
    with _figure(0.85 + ROW_IN * len(layers)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, [row.spikes_per_neuron for row in layers], PALETTE["accent"], units.rate)
        left.set_title("Spikes per neuron")
        colours = [PALETTE["warm"] if row.is_mac else PALETTE["accent"] for row in layers]
        _bars(right, [scale.value(row.synops) for row in layers], colours, lambda value: f"{value:,.3g}")
        right.set_title(f"Synaptic operations ({scale.prefix})" if scale.prefix else "Synaptic operations")
        if any(row.is_mac for row in layers):
            right.set_xlabel("orange: multiply-accumulate", color=PALETTE["warm"], fontsize=8)
        _rows(left, [row.name for row in layers])
        caption = "Spikes per neuron and synaptic operations of every layer, means per sample."
        alt = "; ".join(
            f"{row.name}: {units.rate(row.spikes_per_neuron)} spikes per neuron, {units.count(row.synops)} operations"
            for row in layers
        )
        return Drawing("activity", caption, f"{caption} {alt}.", _svg(figure))


def energy_layers(report: Report) -> Drawing:
    """Energy of every layer under the first counting rule, one panel and one axis per convention, two to a line."""
    layers, conventions = report.layers, tables.first_rule(report)
    columns = min(2, len(conventions))
    lines = -(-len(conventions) // columns)
    with _figure(lines * (0.75 + ROW_IN * len(layers))) as figure:
        panels = list(figure.subplots(lines, columns, sharey=True, squeeze=False).flat)
        for axes, e in zip(panels, conventions, strict=False):
            values = [row.energy_pj[e.convention] * units.PICO for row in layers]
            scale = units.scale_of(values)
            colours = [PALETTE["warm"] if row.is_mac else PALETTE["accent"] for row in layers]
            _bars(axes, [scale.value(v) for v in values], colours, lambda value: f"{value:,.3g}")
            axes.set_title(textwrap.fill(f"{e.convention} ({scale.prefix}J)", 30))
        for axes in panels[len(conventions) :]:
            axes.set_visible(False)
        _rows(panels[0], [row.name for row in layers])
        rule = tables.rule_text(report, conventions[0])
        caption = f"Energy of every layer per sample ({rule}). Orange: multiply-accumulate."
        alt = "; ".join(
            f"{e.convention}, {row.name}: {units.joules(row.energy_pj[e.convention])}"
            for e in conventions
            for row in layers
        )
        return Drawing("energy_layers", caption, f"{caption} {alt}.", _svg(figure))


def energy_totals(report: Report) -> Drawing:
    """SNN and ANN totals under every convention, joined, on a logarithmic axis of joules."""
    with _figure(0.9 + 0.55 * len(report.energy)) as figure:
        axes = figure.add_subplot()
        for y, e in enumerate(report.energy):
            ends = [amount * units.PICO for amount in (e.snn_pj, e.ann_pj)]
            axes.plot(ends, [y, y], color=PALETTE["line"], linewidth=2.5, zorder=1)
            axes.plot(ends[:1], [y], "o", color=PALETTE["accent"], label="SNN" if y == 0 else None)
            axes.plot(ends[1:], [y], "s", color=PALETTE["muted"], label="ANN" if y == 0 else None)
            said = f"{units.joules(e.snn_pj)} against {units.joules(e.ann_pj)}, {units.ratio(e.ratio)}"
            for x, side, text in ((0, "left", _short(e.convention, 40)), (1, "right", said)):
                axes.annotate(
                    text, (x, y - 0.28), xycoords=("axes fraction", "data"), ha=side, va="bottom", fontsize=8.5
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: units.joules(value / units.PICO))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.margins(x=0.06)
        axes.set_yticks([])
        axes.set_ylim(len(report.energy) - 0.5, -0.85)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Energy per sample (logarithmic)")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, handletextpad=0.2)
        caption = "Energy per sample of the spiking network and of the ANN, under each convention."
        alt = f"{caption} {' '.join(prose.energy(report))} {prose.scope(report)}"
        return Drawing("energy_totals", caption, alt, _svg(figure))


def audit(report: Report) -> Drawing:
    """Bars that lead from the energy as usually reported to the audited one, under the first audited convention."""
    a = report.audits[0]
    scale = units.scale_of([max(a.usual_pj, a.audited_pj) * units.PICO])
    rows, level = [("As usually reported", 0.0, a.usual_pj, "muted", "")], a.usual_pj
    for step in a.steps:
        rows.append((step.what.capitalize(), level, step.pj, "warm" if step.pj > 0 else "cool", "+"))
        level += step.pj
    rows.append(("Audited", 0.0, a.audited_pj, "accent", ""))
    said = []
    with _figure(0.75 + ROW_IN * len(rows)) as figure:
        axes = figure.add_subplot()
        for y, (name, start, length, colour, sign) in enumerate(rows):
            left, width = (scale.value(pj * units.PICO) for pj in (start, length))
            axes.barh(y, width, left=left, color=PALETTE[colour], height=0.62)
            text = format(width, f"{sign if width else ''},.3g").replace("-", units.MINUS)
            at = (max(left, left + width), y)
            axes.annotate(text, at, xytext=(3, 0), textcoords="offset points", ha="left", va="center", fontsize=8)
            said.append(f"{name}: {text} {scale.prefix}J")
        _rows(axes, [name for name, *_ in rows], most=30)
        right = max(start + max(length, 0.0) for _, start, length, *_ in rows)
        axes.set_xlim(0, 1.25 * scale.value(right * units.PICO) or 1.0)
        axes.set_xlabel(f"{a.convention}, per sample ({scale.prefix}J)")
        caption = "Energy as usually reported, and audited: what the usual table leaves out or approximates."
        return Drawing("audit", caption, f"{caption} {'; '.join(said)}.", _svg(figure))


def timesteps(report: Report) -> Drawing:
    """Accuracy against T, with 95 % intervals; points at one T stand a little apart."""
    styles = {"converted_soft": ("muted", "s"), "converted_hard": ("warm", "D"), "refined": ("accent", "o")}
    with _figure(2.6) as figure:
        axes = figure.add_subplot()
        said = []
        for shift, (name, (colour, marker)) in zip((-0.08, 0.0, 0.08), styles.items(), strict=True):
            points = [(i, t.T, s) for i, t in enumerate(report.timesteps) if (s := getattr(t, name)) is not None]
            if not points:
                continue
            xs = [i + shift for i, _, _ in points]
            scores = [score for _, _, score in points]
            axes.errorbar(
                xs,
                [100 * s.accuracy for s in scores],
                yerr=[
                    [100 * (s.accuracy - s.ci95[0]) for s in scores],
                    [100 * (s.ci95[1] - s.accuracy) for s in scores],
                ],
                color=PALETTE[colour],
                marker=marker,
                markersize=4.5,
                linewidth=1.3,
                elinewidth=1,
                label=_title(name),
            )
            series = ", ".join(f"T = {steps}: {units.percent(s.accuracy)}" for _, steps, s in points)
            said.append(f"{_title(name)}: {series}")
        axes.set_xticks(range(len(report.timesteps)), [str(t.T) for t in report.timesteps])
        axes.set_xlabel("Timesteps T")
        axes.set_ylabel("Accuracy (%)")
        axes.grid(axis="y", linewidth=0.6)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, columnspacing=1)
        caption = f"Accuracy against the number of timesteps{tables.on_split(report)}, with 95 % intervals."
        return Drawing("timesteps", caption, f"{caption} {'; '.join(said)}.", _svg(figure))


def drift(report: Report) -> Drawing:
    """Drift of every layer before refinement, and the weight it was given."""
    with _figure(0.7 + ROW_IN * len(report.drift)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, [d.drift for d in report.drift], PALETTE["accent"], lambda value: f"{value:.3f}")
        left.set_title("Drift")
        _bars(right, [d.weight for d in report.drift], PALETTE["cool"], lambda value: f"{value:.3f}")
        right.set_title("Weight")
        _rows(left, [d.layer for d in report.drift])
        caption = "Drift of every layer before refinement, and its weight in the loss."
        alt = "; ".join(f"{d.layer}: drift {d.drift:.4f}, weight {d.weight:.4f}" for d in report.drift)
        return Drawing("drift", caption, f"{caption} {alt}.", _svg(figure))


def draw(report: Report) -> dict[str, Drawing]:
    """Every figure the report has numbers for, by key."""
    wanted: list[Callable[[Report], Drawing]] = [waterfall, activity, energy_layers]
    if all(e.snn_pj > 0 and e.ann_pj > 0 for e in report.energy):  # a logarithmic axis has no zero
        wanted.append(energy_totals)
    if report.audits:
        wanted.append(audit)
    if any(s is not None for t in report.timesteps for s in (t.converted_soft, t.converted_hard, t.refined)):
        wanted.append(timesteps)
    if report.drift:
        wanted.append(drift)
    return {drawing.key: drawing for drawing in (make(report) for make in wanted)}


@contextmanager
def _figure(height_in: float) -> Iterator[Figure]:
    """A figure under this module's settings, which the caller's matplotlib does not keep."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # The reader's browser picks a font that has the character; DejaVu only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def _interval(axes: Axes, score: Score, y: float, colour: str) -> None:
    low, high = (100 * end for end in score.ci95)
    axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="butt", alpha=0.45)
    axes.plot([100 * score.accuracy], [y], "o", color=colour, markersize=5.5)


def _bars(axes: Axes, values: list[float], colour: str | list[str], label: Callable[[float], str]) -> None:
    """Horizontal bars from zero, each with its number at the end; the axis needs no ticks of its own."""
    bars = axes.barh(range(len(values)), values, color=colour, height=0.62)
    axes.bar_label(bars, [label(v) for v in values], padding=3, fontsize=8)
    axes.margins(x=0.3)
    if min(values) >= 0:
        axes.set_xlim(left=0, right=max(values) * 1.3 or 1.0)
    axes.xaxis.set_ticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)


def _rows(axes: Axes, names: list[str], most: int = 26) -> None:
    """Name the rows, the first on top; names of more than `most` characters are shortened."""
    axes.set_yticks(range(len(names)), [_short(name, most) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _short(name: str, most: int = 26) -> str:
    """`name`, its middle left out if it has more than `most` characters; tables and texts hold it in full."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}\u2026{name[-(most // 2) :]}"


def _title(name: str) -> str:
    return {"converted_soft": "Soft reset", "converted_hard": "Hard reset", "refined": "Refined"}[name]

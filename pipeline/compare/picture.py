"""The Pareto picture: test accuracy against T, synaptic operations and training time, one panel each.

A point is a method at one T, its bars the spread over seeds, a ring around it says that no other point is both cheaper
and better. The same document gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from ..drawing import COLOURS, DPI, INK, LINE, MUTED, SETTINGS
from ..files import write_bytes
from .table import teacher_was_tested_alike

MARKERS = ("o", "s", "D", "^", "v", "P")
"""One per T, in the order of the file."""

PANELS = (
    ("T", "Timesteps T"),
    ("synops_per_image", "Synaptic operations per image"),
    ("train_seconds", "Training time per student (s)"),
)
SIZE_IN = (11.0, 4.4)
SPREAD_OF_T = 0.6
"""Width over which the methods of one T are laid side by side, of the distance between two T."""

_SETTINGS: Any = {
    **SETTINGS,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.formatter.use_mathtext": False,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "grid.color": LINE,
}

Point = Mapping[str, Any]


def write(document: Mapping[str, Any], folder: Path) -> None:
    """Write compare.svg and compare.png. document: see `results.document`; it has at least one row."""
    for name, content in draw(document).items():
        write_bytes(folder / name, content)


def draw(document: Mapping[str, Any]) -> dict[str, bytes]:
    """{file name: bytes} of the picture, as SVG and as PNG."""
    with mpl.rc_context({**mpl.rcParamsDefault, **_SETTINGS}):
        figure = _figure(document)
        svg, png = io.BytesIO(), io.BytesIO()
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    return {"compare.svg": svg.getvalue(), "compare.png": png.getvalue()}


def _figure(document: Mapping[str, Any]) -> Figure:
    comparison, rows = document["comparison"], document["rows"]
    labels = [m["label"] for m in comparison["methods"] if any(row["label"] == m["label"] for row in rows)]
    steps = list(comparison["T"])
    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (cost, title) in zip(panels, PANELS, strict=True):
        for index, label in enumerate(labels):
            points = [row for row in rows if row["label"] == label and row[cost] is not None]
            shift = SPREAD_OF_T * ((index + 0.5) / len(labels) - 0.5)
            xs = [steps.index(p["T"]) + shift if cost == "T" else p[cost]["mean"] for p in points]
            _method(axes, points, xs, index, cost, steps)
        if teacher_was_tested_alike(document):
            teacher = 100 * document["teacher"]["test"]["accuracy"]
            axes.axhline(teacher, color=INK, linewidth=0.8, linestyle=":", zorder=1)
        axes.set_xlabel(title)
        axes.grid(axis="y", linewidth=0.6)
        if cost == "T":
            axes.set_xticks(range(len(steps)), [str(t) for t in steps])
            axes.set_xlim(-0.5, len(steps) - 0.5)
        else:
            axes.margins(x=0.08)
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
            axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel("Test accuracy (%)")
    figure.suptitle(_title(document), x=0.01, ha="left", fontsize=9, color=MUTED)
    figure.legend(
        handles=_legend(labels, steps, teacher=teacher_was_tested_alike(document)),
        loc="outside lower center",
        ncols=min(6, len(labels) + 1),
        fontsize=8,
    )
    return figure


def _method(
    axes: Axes, points: Sequence[Point], xs: Sequence[float], index: int, cost: str, steps: Sequence[int]
) -> None:
    """One method in one panel: a line over its T, a point with bars for each, rings around those on the front."""
    colour, dashes = _style(index)
    ys = [100 * p["test"]["mean"] for p in points]
    axes.plot(xs, ys, color=colour, linewidth=0.9, linestyle=dashes, alpha=0.6, zorder=2)
    for point, x, y in zip(points, xs, ys, strict=True):
        x_std = None if cost == "T" else point[cost]["std"]
        y_std = point["test"]["std"]
        axes.errorbar(
            x,
            y,
            xerr=x_std,
            yerr=None if y_std is None else 100 * y_std,
            color=colour,
            marker=_marker(steps.index(point["T"])),
            markersize=5,
            linewidth=1,
            zorder=3,
        )
        if point["front"][cost]:
            axes.plot(
                x, y, marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK, linewidth=0, zorder=4
            )


def _style(index: int) -> tuple[str, Literal["-", "--"]]:
    return COLOURS[index % len(COLOURS)], "--" if index >= len(COLOURS) else "-"


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def _legend(labels: Sequence[str], steps: Sequence[int], *, teacher: bool) -> list[Line2D]:
    """What colours, marks, the ring and the dotted line, if the teacher has one, mean."""
    made = []
    for index, label in enumerate(labels):
        colour, dashes = _style(index)
        made.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=3, label=label))
    for index, n_steps in enumerate(steps):
        made.append(
            Line2D([], [], color=MUTED, marker=_marker(index), linewidth=0, markersize=5, label=f"T = {n_steps}")
        )
    ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": INK}
    made.append(Line2D([], [], linewidth=0, label="nothing cheaper is better", **ring))
    if teacher:
        made.append(Line2D([], [], color=INK, linestyle=":", linewidth=0.8, label="teacher"))
    return made


def _title(document: Mapping[str, Any]) -> str:
    comparison = document["comparison"]
    seeds = (
        "1 seed" if len(comparison["seeds"]) == 1 else f"{len(comparison['seeds'])} seeds (bars: standard deviation)"
    )
    title = f"{comparison['name']}: {comparison['base']['data']['name']}, {seeds}"
    unrefined = ", ".join(f"T = {c['T']}: {100 * c['hard']['accuracy']:.1f} %" for c in document["converted"])
    return f"{title}; converted without refinement {unrefined}" if unrefined else title

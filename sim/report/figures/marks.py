"""What several figures draw alike: bars with numbers, named rows, intervals, rows on an axis of joules, boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from .. import units
from ..schema import Score
from .canvas import PALETTE

Box = tuple[float, float, float, float]
"""Left, bottom, width, height."""


def interval(axes: Axes, score: Score, y: float, colour: str = PALETTE["accent"]) -> None:
    """An accuracy in percent as a dot on its 95 % interval."""
    low, high = (100 * end for end in score.ci95)
    axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="butt", alpha=0.45)
    axes.plot([100 * score.accuracy], [y], "o", color=colour, markersize=5.5)


def bars(axes: Axes, values: list[float], colour: str | list[str], label: Callable[[float], str]) -> None:
    """Horizontal bars from zero, each with its number at the end; the axis needs no ticks of its own."""
    drawn = axes.barh(range(len(values)), values, color=colour, height=0.62)
    axes.bar_label(drawn, [label(v) for v in values], padding=3, fontsize=8.5)
    axes.margins(x=0.3)
    if min(values) >= 0:
        axes.set_xlim(left=0, right=max(values) * 1.3 or 1.0)
    axes.xaxis.set_ticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)


def rows(axes: Axes, names: list[str], most: int = 26) -> None:
    """Name the rows, the first on top; names of more than `most` characters are shortened."""
    axes.set_yticks(range(len(names)), [short(name, most) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)


def short(name: str, most: int = 26) -> str:
    """`name`, its middle left out if it has more than `most` characters; tables and texts hold it in full."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}\u2026{name[-(most // 2) :]}"


def above(axes: Axes, y: float, left: str, right: str) -> None:
    """Two texts above the row at `y`, at either end of the axes."""
    for x, side, text in ((0, "left", left), (1, "right", right)):
        axes.annotate(text, (x, y - 0.24), xycoords=("axes fraction", "data"), ha=side, va="bottom", fontsize=8.5)


def legend_above(axes: Axes, columns: int) -> None:
    """The legend in one line above the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        borderaxespad=0,
        columnspacing=1,
        handletextpad=0.4,
        handlelength=1.2,
    )


@dataclass(frozen=True)
class Dots:
    """A row of a logarithmic figure. name: at its left. said: at its right. pj: an energy per series, None without."""

    name: str
    said: str
    pj: tuple[float | None, ...]


def joules(axes: Axes, found: Sequence[Dots], series: Sequence[tuple[str, str, str]]) -> None:
    """Energies as dots on one logarithmic axis of whole decades, joined row by row.

    series: (title, colour, marker) of each. A zero has no place on the axis and is left to the text. At least one
    energy must be positive.
    """
    seen = [pj * units.PICO for dots in found for pj in dots.pj if pj]
    for y, dots in enumerate(found):
        ends = [pj * units.PICO for pj in dots.pj if pj]
        if ends:
            axes.plot([min(ends), max(ends)], [y, y], color=PALETTE["line"], linewidth=2.5, zorder=1)
        above(axes, y, short(dots.name, 36), dots.said)
    for i, (title, colour, marker) in enumerate(series):
        points = [(pj * units.PICO, y) for y, dots in enumerate(found) if (pj := dots.pj[i])]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=PALETTE[colour], label=title)
    axes.set_xscale("log")
    low, high = math.floor(math.log10(min(seen) * 0.9)), math.ceil(math.log10(max(seen) * 1.1))
    axes.set_xlim(10.0**low, 10.0**high)
    axes.xaxis.set_major_formatter(lambda value, _: units.joules(value / units.PICO))
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_yticks([])
    axes.set_ylim(len(found) - 0.5, -0.75)
    axes.grid(axis="x", linewidth=0.6)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Energy per sample (logarithmic)")
    legend_above(axes, len(series))


def boxes(axes: Axes, found: Iterable[Box], **style: Any) -> None:
    """Rectangles of one style, as a single path: thousands of them stay a small file."""
    paths = [Path([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], closed=True) for x, y, w, h in found]
    if paths:
        axes.add_patch(PathPatch(Path.make_compound_path(*paths), **style))

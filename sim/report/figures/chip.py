"""The network on chips: which cores it takes, and what it costs there, dynamic and static energy apart."""

from __future__ import annotations

import math
import re
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .. import units
from ..onchip import CoreSquare, OnChip
from ..schema import Report
from .canvas import PALETTE, SERIES, WIDTH_IN, Sketch
from .marks import Box, Dots, boxes, joules, short

PER_ROW = 16
"""Cores in a row of a chip."""
MOST_CHIPS = 16
"""Chips that are drawn."""
GAP = 0.12
"""Between two squares, of a square's side."""


def core_map_keys(report: Report) -> tuple[str, ...]:
    """The key of each placement's map, in order: `core_map_loihi1`, with a number behind it where one is taken."""
    keys: list[str] = []
    for placement in report.on_chip:
        key = "core_map_" + re.sub(r"[^A-Za-z0-9]+", "_", placement.chip)
        again = sum(known == key or known.startswith(f"{key}-") for known in keys)
        keys.append(f"{key}-{again + 1}" if again else key)
    return tuple(keys)


def core_map(placement: OnChip, key: str) -> Sketch:
    """One square per core, in the colour of its population, filled as far as its fullest resource.

    Squares stand in the order in which cores are taken; where a core lies on the chip's mesh is not shown.
    """
    chips: dict[int, list[CoreSquare]] = {}
    for square in placement.layout:
        chips.setdefault(square.chip, []).append(square)
    shown = dict(sorted(chips.items())[:MOST_CHIPS])
    names = [population.name for population in placement.populations]
    styles = {name: _style(i) for i, name in enumerate(names)}
    across = 1 if len(shown) == 1 else 2 if len(shown) <= 4 else 4
    down, tall = -(-len(shown) // across), math.ceil(placement.cores_per_chip / PER_ROW)
    legend_rows = -(-len(names) // 3)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, (chip, squares) in zip(panels, shown.items(), strict=False):
            _chip(axes, squares, placement.cores_per_chip, styles)
            axes.set_title(f"chip {chip}", fontsize=8.5, pad=2)
        cores = {population.name: population.cores for population in placement.populations}
        marks = [Patch(label=f"{short(name, 14)} ({cores[name]:,})", **styles[name]) for name in names]
        figure.legend(handles=marks, loc="outside lower left", ncols=min(3, len(names)), handlelength=1)

    first = f", the first {MOST_CHIPS} drawn" if len(chips) > MOST_CHIPS else ""
    caption = (
        f"{placement.chip}: {placement.cores:,} cores on {_chips(placement.chips)}{first}, each filled as far as its "
        "fullest known resource, in the order they are taken, not as they lie on the chip."
    )
    said = "; ".join(
        f"{p.name}: {p.cores:,} core{'s' * (p.cores > 1)}, {units.share(p.share)} of {p.bottleneck}"
        for p in placement.populations
    )
    height = down * (0.3 + WIDTH_IN / across * tall / PER_ROW) + 0.2 + 0.19 * legend_rows
    return Sketch(key, caption, f"{caption} {said}.", height, paint)


def energies(report: Report) -> Sketch:
    """Dynamic energy, and static energy for the cores in use and for whole chips, on one logarithmic axis."""
    found = [
        Dots(
            f"{o.chip}: {e.convention}",
            f"{units.joules(e.dynamic_pj)}; "
            + (" to ".join(map(units.joules, e.static_pj)) if e.static_pj else "static not published"),
            (e.dynamic_pj, *(e.static_pj or (None, None))),
        )
        for o in report.on_chip
        for e in o.energies
    ]
    series = (("Dynamic", "accent", "o"), ("Static, cores in use", "warm", "D"), ("Static, whole chips", "red", "s"))
    caption = "Dynamic and static energy per sample on the chip, apart; static over the bound on time."
    said = "; ".join(f"{dots.name}: dynamic {dots.said}" for dots in found)
    return Sketch(
        "chip_energies",
        caption,
        f"{caption} {said}.",
        0.85 + 0.42 * len(found),
        lambda figure: joules(figure.add_subplot(), found, series),
    )


def _chip(axes: Axes, squares: list[CoreSquare], n_cores: int, styles: dict[str, Any]) -> None:
    """The unused cores of a chip as outlines; the used ones tinted, and filled from below."""
    n_cores = max(n_cores, len(squares))
    unused = [_box(place) for place in range(len(squares), n_cores)]
    boxes(axes, unused, facecolor="none", edgecolor=PALETTE["line"], linewidth=0.6)
    for name, style in styles.items():
        own = [(place, square.share) for place, square in enumerate(squares) if square.population == name]
        boxes(axes, [_box(place) for place, _ in own], alpha=0.25, linewidth=0, **style)
        boxes(axes, [_box(place, share) for place, share in own], linewidth=0, **style)
    axes.set_xlim(-GAP, PER_ROW)
    axes.set_ylim(-math.ceil(n_cores / PER_ROW) - GAP, 0)
    axes.set_aspect("equal")


def _box(place: int, share: float = 1.0) -> Box:
    """A core's square, filled from below; the first core is at the upper left."""
    row, column = divmod(place, PER_ROW)
    return float(column), float(-row - 1), 1 - GAP, (1 - GAP) * min(share, 1.0)


def _style(index: int) -> dict[str, Any]:
    """Colours in their order, then the same ones hatched."""
    hatch = "////" if index // len(SERIES) % 2 else None
    return {"facecolor": PALETTE[SERIES[index % len(SERIES)]], "edgecolor": PALETTE["paper"], "hatch": hatch}


def _chips(count: int) -> str:
    return f"{count:,} chip{'s' * (count > 1)}"

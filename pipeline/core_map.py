"""The core map: one square per core, in the colour of its population, filled as far as its fullest resource.

Squares stand in the order in which cores are taken, 16 to a row; where a core lies on the chip's mesh is not published
and not shown. The same placement gives the same bytes.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ..hw.placement import RESOURCES, Placement
from .drawing import COLOURS, DPI, LINE, MUTED, SETTINGS
from .files import write_bytes

SUFFIXES = (".png", ".svg")
PER_ROW = 16
"""Cores in a row of a chip."""
CHIPS_PER_ROW = 4
CHIP_IN = (3.4, 1.9)
"""Width and height of a chip, in inches."""
GAP = 0.12
"""Between two squares, of a square's side."""


def write(placement: Placement, path: Path, title: str) -> None:
    """Write the map as .png or .svg, by the suffix of the path."""
    write_bytes(path, draw(placement, title, path.suffix))


def draw(placement: Placement, title: str, suffix: str) -> bytes:
    """The picture's bytes. suffix: one of `SUFFIXES`."""
    with mpl.rc_context({**mpl.rcParamsDefault, **SETTINGS}):
        figure, content = _figure(placement, title), io.BytesIO()
        if suffix == ".svg":
            FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None, "Creator": None})
        else:
            FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    return content.getvalue()


def _figure(placement: Placement, title: str) -> Figure:
    n_chips, names = placement.n_chips, list(placement.grids)[::-1]
    across = min(n_chips, CHIPS_PER_ROW)
    down = math.ceil(n_chips / across)
    legend_rows = math.ceil(len(names) / (3 * across))
    height = down * CHIP_IN[1] + 0.8 + 0.22 * legend_rows
    figure = Figure(figsize=(max(across * CHIP_IN[0], 6.0), height), dpi=DPI, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for chip, axes in enumerate(panels):
        axes.set_axis_off()
        if chip < n_chips:
            _chip(axes, placement, chip, names)
    resource = placement.bottleneck()
    figure.suptitle(
        f"{Path(title).name} on {placement.chip.name}: {len(placement.cores)} cores, {n_chips} "
        f"chip{'s' * (n_chips > 1)}; fullest: {placement.shares()[resource]:.1%} of {RESOURCES[resource]}\n"
        "filled to each core's fullest known resource;\ncores in the order they are taken, not as they lie on the chip",
        x=0.01,
        ha="left",
        fontsize=8,
        color=MUTED,
    )
    marks = [Patch(label=f"{name} ({len(placement.of(name))})", **_style(index)) for index, name in enumerate(names)]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(3 * across, len(names)), fontsize=8)
    return figure


def _chip(axes: Axes, placement: Placement, chip: int, names: list[str]) -> None:
    """All cores of one chip: an outline each, and what is used of those that are."""
    n_cores = placement.chip.cores.per_chip
    for place in range(n_cores):
        axes.add_patch(Rectangle(_corner(place), 1 - GAP, 1 - GAP, facecolor="none", edgecolor=LINE, linewidth=0.6))
    for core in placement.cores[chip * n_cores : (chip + 1) * n_cores]:
        style = _style(names.index(core.population))
        x, y = _corner(core.index - chip * n_cores)
        full = min(max(core.usage.shares(placement.chip.cores).values()), 1.0)
        axes.add_patch(Rectangle((x, y), 1 - GAP, 1 - GAP, alpha=0.25, linewidth=0, **style))
        axes.add_patch(Rectangle((x, y), 1 - GAP, (1 - GAP) * full, linewidth=0, **style))
    axes.set_xlim(-GAP, PER_ROW)
    axes.set_ylim(-math.ceil(n_cores / PER_ROW) - GAP, 0)
    axes.set_aspect("equal")
    axes.set_title(f"chip {chip}", fontsize=8, color=MUTED, loc="left")


def _corner(place: int) -> tuple[float, float]:
    """Lower left corner of a core's square; the first core is at the upper left."""
    row, column = divmod(place, PER_ROW)
    return float(column), float(-row - 1)


def _style(index: int) -> dict[str, Any]:
    colour = COLOURS[index % len(COLOURS)]
    return {"facecolor": colour, "edgecolor": "white", "hatch": "////" if index >= len(COLOURS) else None}

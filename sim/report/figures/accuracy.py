"""How often the networks are right: at every step of the flow, and against the number of timesteps."""

from __future__ import annotations

from matplotlib.figure import Figure

from .. import prose, tables, units
from ..schema import Report, Score
from .canvas import PALETTE, Sketch
from .marks import interval, legend_above, rows

Series = dict[str, list[tuple[int, Score]]]
"""(T, score) of each network, by its title."""

_STYLES = {
    "Soft reset": ("muted", "s"),
    "Hard reset": ("warm", "D"),
    "Refined": ("accent", "o"),
    "Chip integers": ("cool", "^"),
}


def waterfall(report: Report) -> Sketch:
    """Accuracy with its 95 % interval at every step that was run, from top to bottom."""
    steps = report.waterfall
    names = [tables.STEP_TITLES[s.step] for s in steps]
    scores = [f"{units.percent(s.accuracy)}, n = {s.n:,}" for s in steps]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        line = [(100 * s.accuracy, y) for y, s in enumerate(steps) if s.elsewhere is None]
        axes.plot([x for x, _ in line], [y for _, y in line], color=PALETTE["line"], linewidth=1.5, zorder=1)
        for y, step in enumerate(steps):
            interval(axes, step, y)
        rows(axes, names)
        rows(axes.twinx(), scores)
        axes.set_xlabel("Accuracy (%)")
        axes.grid(axis="x", linewidth=0.6)

    caption = "Accuracy at every step with its 95 % interval."
    said = "; ".join(f"{name} {score}" for name, score in zip(names, scores, strict=True))
    return Sketch("waterfall", caption, f"{caption} {said}. {prose.lava(report)}", 0.55 + 0.36 * len(steps), paint)


def series(report: Report) -> Series:
    """What was measured against T. Of the deployed integers: the shorter samples."""
    found: Series = {
        title: [(t.T, score) for t in report.timesteps if (score := getattr(t, name)) is not None]
        for title, name in zip(_STYLES, ("converted_soft", "converted_hard", "refined"), strict=False)
    }
    found["Chip integers"] = [(row.T, row.score) for row in report.anytime]
    return {title: points for title, points in found.items() if points}


def timesteps(report: Report) -> Sketch:
    """Error against T, with 95 % intervals; points at one T stand a little apart.

    The axis is logarithmic, unless an interval touches an error of zero, which it could not show.
    """
    found = series(report)
    steps = sorted({t for points in found.values() for t, _ in points})
    logarithmic = all(s.ci95[1] < 1 for points in found.values() for _, s in points)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, (title, points) in enumerate(found.items()):
            colour, marker = _STYLES[title]
            shift = 0.09 * (i - (len(found) - 1) / 2)
            axes.errorbar(
                [steps.index(t) + shift for t, _ in points],
                [100 * (1 - s.accuracy) for _, s in points],
                yerr=[
                    [100 * (s.ci95[1] - s.accuracy) for _, s in points],
                    [100 * (s.accuracy - s.ci95[0]) for _, s in points],
                ],
                color=PALETTE[colour],
                marker=marker,
                markersize=4.5,
                linewidth=1.3,
                elinewidth=1,
                label=title,
            )
        if logarithmic:
            axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xticks(range(len(steps)), [str(t) for t in steps])
        axes.set_xlabel("Timesteps T")
        axes.set_ylabel("Error (%), logarithmic" if logarithmic else "Error (%)")
        axes.grid(axis="y", linewidth=0.6)
        legend_above(axes, len(found))

    images = tables.on_split(report)
    deployed = "; chip integers: on the validation images" if report.anytime and "validation" not in images else ""
    caption = f"Error against the number of timesteps{images}, with 95 % intervals{deployed}."
    said = "; ".join(
        f"{title}: " + ", ".join(f"T = {t}: {units.percent(1 - s.accuracy)}" for t, s in points)
        for title, points in found.items()
    )
    return Sketch("timesteps", caption, f"{caption} {said}.", 2.8, paint)

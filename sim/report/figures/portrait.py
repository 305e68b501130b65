"""What the networks do: spikes of one sample, rates beside activations, and similarity layer by layer."""

from __future__ import annotations

from collections import defaultdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import prose, units
from ..portrait import Correlation, Heatmap, Portrait, Raster, Rasters
from .canvas import PALETTE, ROW_IN, Sketch
from .marks import boxes, legend_above, rows, short

MOST_SCATTERS = 6
"""Layers whose points are drawn; every layer has its r."""
MOST_NUMBERS = 8
"""Layers up to which each cell of a heat map holds its number."""
TINT = 0.6
"""Opacity of a similarity of 1 where a number stands in the cell, so that it can be read on light and dark paper."""

_NETWORKS = (("converted", "warm", "D"), ("refined", "accent", "o"), ("integer", "cool", "^"))
_TITLES = {"converted": "Converted", "refined": "Refined", "integer": "Chip integers"}


def rasters(found: Rasters) -> Sketch:
    """Spikes of one sample, one panel per layer: a neuron per line, a timestep per column."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(found.layers), 1, squeeze=False, sharex=True).ravel()
        for axes, layer in zip(panels, found.layers, strict=True):
            _raster(axes, layer)
        last = panels[-1]
        last.set_xlim(-0.5, found.n_steps - 0.5)
        last.xaxis.get_major_locator().set_params(integer=True)
        last.set_xlabel("Timestep")

    caption = f"{prose.sample(found)} Every line is a neuron, every mark a spike."
    said = "; ".join(
        f"{layer.population}: {len(layer.spikes):,} spikes of {len(layer.shown):,} of {layer.neurons:,} neurons"
        for layer in found.layers
    )
    return Sketch("rasters", caption, f"{caption} {said}.", 0.5 + 0.85 * len(found.layers), paint)


def _raster(axes: Axes, layer: Raster) -> None:
    """All spikes as one path with gaps."""
    xs = [x for t, _ in layer.spikes for x in (t - 0.42, t + 0.42, float("nan"))]
    ys = [y for _, row in layer.spikes for y in (row, row, float("nan"))]
    axes.plot(xs, ys, color=PALETTE["accent"], linewidth=1, solid_capstyle="butt")
    axes.set_ylim(len(layer.shown) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.set_title(f"{short(layer.population)}: {len(layer.shown):,} of {layer.neurons:,} neurons", fontsize=8.5, pad=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def correlation(portrait: Portrait) -> Sketch:
    """Pearson's r of every layer, a mark for each network that was made."""
    layers = portrait.correlations
    found = {
        name: points
        for name in _TITLES
        if (points := [(r, y) for y, layer in enumerate(layers) if (r := getattr(layer, name)) is not None])
    }

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for name, colour, marker in _NETWORKS:
            if name in found:
                axes.plot(*zip(*found[name], strict=True), marker, color=PALETTE[colour], label=_TITLES[name])
        rows(axes, [layer.layer for layer in layers])
        axes.set_xlim(min(0.0, *(r for points in found.values() for r, _ in points)) - 0.03, 1.03)
        axes.set_xlabel("Pearson's r")
        axes.grid(linewidth=0.6)
        legend_above(axes, len(found))

    caption = (
        f"How firing rates follow the ANN's activations, {portrait.samples:,} samples of the {portrait.split} images."
    )
    said = "; ".join(f"{layer.layer}: {_coefficients(layer)}" for layer in layers)
    return Sketch("correlation", caption, f"{caption} {said}.", 0.75 + ROW_IN * len(layers), paint)


def scatters(portrait: Portrait) -> Sketch:
    """Rate against activation, neuron by neuron, for up to `MOST_SCATTERS` layers from the first to the last."""
    all_layers = [layer for layer in portrait.correlations if layer.points]
    step = max(1.0, (len(all_layers) - 1) / (MOST_SCATTERS - 1))
    shown = [all_layers[round(i * step)] for i in range(min(MOST_SCATTERS, len(all_layers)))]
    lines = -(-len(shown) // 2)

    def paint(figure: Figure) -> None:
        panels = list(figure.subplots(lines, 2, squeeze=False).flat)
        for axes, layer in zip(panels, shown, strict=False):
            xs, ys = zip(*layer.points, strict=True)
            axes.plot(xs, ys, "o", color=PALETTE["accent"], markersize=2.6, alpha=0.5, markeredgewidth=0)
            r = None if layer.points_of is None else getattr(layer, layer.points_of)
            axes.set_title(short(layer.layer, 20) + ("" if r is None else f", r = {units.coefficient(r)}"))
            axes.locator_params(nbins=4)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        figure.supxlabel("Activation of the ANN", fontsize=9, color=PALETTE["muted"])
        figure.supylabel("Spikes per timestep", fontsize=9, color=PALETTE["muted"])

    networks = " and ".join(dict.fromkeys(_TITLES[layer.points_of].lower() for layer in shown if layer.points_of))
    which = f" {len(shown)} of {len(all_layers)} layers." if len(shown) < len(all_layers) else ""
    caption = f"Firing rate against the ANN's activation, some neurons and samples ({networks}).{which}"
    said = "; ".join(f"{layer.layer}: {len(layer.points):,} points, {_coefficients(layer)}" for layer in shown)
    return Sketch("correlation_points", caption, f"{caption} {said}.", 0.3 + 1.5 * lines, paint)


def _coefficients(layer: Correlation) -> str:
    texts = [f"{_TITLES[n].lower()} {units.coefficient(r)}" for n in _TITLES if (r := getattr(layer, n)) is not None]
    return f"r {', '.join(texts)}" if texts else "no r"


def cka(portrait: Portrait) -> Sketch:
    """Similarity of every layer of the ANN, down, to every layer of the spiking network, across, on one scale."""
    maps = {
        title: heatmap
        for title, heatmap in (
            ("Before refinement", portrait.cka_converted),
            ("After refinement", portrait.cka_refined),
        )
        if heatmap is not None and heatmap.rows and heatmap.columns
    }
    numbered = all(max(len(h.rows), len(h.columns)) <= MOST_NUMBERS for h in maps.values())
    full = TINT if numbered else 1.0

    def paint(figure: Figure) -> None:
        ratios = [float(len(h.rows)) for h in maps.values()]
        *panels, scale = figure.subplots(len(maps) + 1, 1, height_ratios=[*ratios, 0.7])
        for axes, (title, heatmap) in zip(panels, maps.items(), strict=True):
            _heatmap(axes, heatmap, full)
            axes.set_title(f"{title}: ANN down, spiking network across", fontsize=8.5)
            if numbered:
                _numbers(axes, heatmap)
        _scale(scale, full)

    caption = (
        f"Unbiased linear CKA of every pair of layers, {portrait.samples:,} samples of the {portrait.split} images: "
        "1 where two layers tell the samples apart alike."
    )
    said = " ".join(f"{title}, layers of one name: {prose.alike(heatmap)}." for title, heatmap in maps.items())
    height = sum(0.8 + ROW_IN * len(h.rows) for h in maps.values()) + 0.5
    return Sketch("cka", caption, f"{caption} {said}", height, paint)


def _heatmap(axes: Axes, heatmap: Heatmap, full: float) -> None:
    """Cells of one tint are one path; tints are rounded to hundredths."""
    tints: dict[float, list[tuple[float, float, float, float]]] = defaultdict(list)
    for i, values in enumerate(heatmap.values):
        for j, value in enumerate(values):
            tints[round(full * min(max(value, 0.0), 1.0), 2)].append((j - 0.5, i - 0.5, 1.0, 1.0))
    for tint, found in sorted(tints.items()):
        boxes(axes, found, facecolor=PALETTE["accent"], alpha=tint, linewidth=0)
    rows(axes, list(heatmap.rows), most=16)
    turned = len(heatmap.columns) > 6 or max(map(len, heatmap.columns)) > 8
    names = [short(name, 16) for name in heatmap.columns]
    axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _numbers(axes: Axes, heatmap: Heatmap) -> None:
    for i, values in enumerate(heatmap.values):
        for j, value in enumerate(values):
            axes.text(j, i, units.coefficient(value), ha="center", va="center", fontsize=8.5)


def _scale(axes: Axes, full: float) -> None:
    """The legend: tints from 0 to 1 in tenths."""
    for i in range(11):
        boxes(axes, [(i - 0.5, 0, 1, 1)], facecolor=PALETTE["accent"], alpha=full * i / 10, linewidth=0)
    axes.set_xlim(-0.5, 10.5)
    axes.set_yticks([])
    axes.set_xticks([0, 5, 10], ["0", "0.5", "1"])
    axes.tick_params(axis="x", length=0)

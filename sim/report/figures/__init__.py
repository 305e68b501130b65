"""The figures of a report, as SVG for a page or PDF for a paper: `draw(report)`, `draw(report, form="pdf")`."""

from __future__ import annotations

from collections.abc import Iterator

from ..schema import Report
from . import accuracy, baselines, chip, energy, layers, portrait, scrutiny
from .canvas import DARK, PALETTE, Drawing, Form, Sketch, render
from .chip import core_map_keys

__all__ = ["DARK", "PALETTE", "Drawing", "Form", "Sketch", "core_map_keys", "draw", "render", "sketches"]


def draw(report: Report, form: Form = "svg") -> dict[str, Drawing]:
    """Every figure the report has numbers for, by key, in the order of the page.

    form: "svg" fills `Drawing.svg` (text), "pdf" fills `Drawing.pdf` (bytes, fonts embedded as TrueType, no date); the
    other stays empty. The same report gives the same bytes. A key is letters, digits, `_` and `-`: fit for a file name.
    """
    return {sketch.key: render(sketch, form) for sketch in sketches(report)}


def sketches(report: Report) -> Iterator[Sketch]:
    """Every figure the report has numbers for, not yet drawn."""
    yield accuracy.waterfall(report)
    if accuracy.series(report):
        yield accuracy.timesteps(report)
    if report.drift:
        yield layers.drift(report)
    yield layers.activity(report)
    yield from _portrait(report)
    if any(e.snn_pj or e.ann_pj for e in report.conventions or report.energy):
        yield energy.totals(report)
    yield layers.energy_layers(report)
    if report.audits:
        yield energy.audit(report)
    if report.spread:
        yield scrutiny.spread(report)
    if any(s.swings for s in report.sensitivity):
        yield scrutiny.sensitivity(report)
    if report.baselines:
        yield baselines.baselines(report)
    if report.break_even and report.break_even.thresholds:
        yield baselines.break_even(report)
    for placement, key in zip(report.on_chip, core_map_keys(report), strict=True):
        yield chip.core_map(placement, key)
    if any(e.dynamic_pj or any(e.static_pj or ()) for o in report.on_chip for e in o.energies):
        yield chip.energies(report)


def _portrait(report: Report) -> Iterator[Sketch]:
    if (found := report.portrait) is None:
        return
    if found.rasters and found.rasters.layers:
        yield portrait.rasters(found.rasters)
    if any(r is not None for c in found.correlations for r in (c.converted, c.refined, c.integer)):
        yield portrait.correlation(found)
    if any(c.points for c in found.correlations):
        yield portrait.scatters(found)
    if any(h is not None and h.rows and h.columns for h in (found.cka_converted, found.cka_refined)):
        yield portrait.cka(found)

"""Energies of a whole sample: both networks under every convention, and from the usual number to the audited one."""

from __future__ import annotations

from matplotlib.figure import Figure

from .. import prose, units
from ..schema import Report
from .canvas import PALETTE, ROW_IN, Sketch
from .marks import Dots, joules, rows


def totals(report: Report) -> Sketch:
    """SNN and ANN under every convention, on a logarithmic axis of joules; no ANN where a convention defines none."""
    found = [_dots(c.convention, c.snn_pj, c.ann_pj, c.ratio) for c in report.conventions or report.energy]
    series = (("SNN", "accent", "o"), ("ANN", "muted", "s"))
    caption = "Energy per sample of the spiking network and of the ANN, under each convention, with ANN / SNN."
    said = "; ".join(f"{dots.name}: {dots.said}" for dots in found)
    return Sketch(
        "energy_totals",
        caption,
        f"{caption} {said}. {prose.scope(report)}",
        0.85 + 0.42 * len(found),
        lambda figure: joules(figure.add_subplot(), found, series),
    )


def _dots(convention: str, snn_pj: float, ann_pj: float | None, ratio: float | None) -> Dots:
    if ann_pj is None:
        return Dots(convention, f"{units.joules(snn_pj)}, no ANN", (snn_pj, None))
    said = f"{units.joules(snn_pj)} against {units.joules(ann_pj)}, {units.ratio(ratio)}"
    return Dots(convention, said, (snn_pj, ann_pj))


def audit(report: Report) -> Sketch:
    """Bars that lead from the energy as usually reported to the audited one, under the first audited convention."""
    a = report.audits[0]
    scale = units.scale_of([max(a.usual_pj, a.audited_pj) * units.PICO])
    bars, level = [("As usually reported", 0.0, a.usual_pj, "muted", "")], a.usual_pj
    for step in a.steps:
        bars.append((step.what.capitalize(), level, step.pj, "warm" if step.pj > 0 else "cool", "+"))
        level += step.pj
    bars.append(("Audited", 0.0, a.audited_pj, "accent", ""))

    def amount(pj: float, sign: str) -> str:
        return format(scale.value(pj * units.PICO), f"{sign if pj else ''},.3g").replace("-", units.MINUS)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for y, (_, start, length, colour, sign) in enumerate(bars):
            left, width = (scale.value(pj * units.PICO) for pj in (start, length))
            axes.barh(y, width, left=left, color=PALETTE[colour], height=0.62)
            end, text = (max(left, left + width), y), amount(length, sign)
            axes.annotate(text, end, xytext=(3, 0), textcoords="offset points", ha="left", va="center", fontsize=8.5)
        rows(axes, [name for name, *_ in bars], most=30)
        right = max(start + max(length, 0.0) for _, start, length, *_ in bars)
        axes.set_xlim(0, 1.25 * scale.value(right * units.PICO) or 1.0)
        axes.set_xlabel(f"{a.convention}, per sample ({scale.prefix}J)")

    caption = "Energy as usually reported, and audited: what the usual table leaves out or approximates."
    said = "; ".join(f"{name}: {amount(length, sign)} {scale.prefix}J" for name, _, length, _, sign in bars)
    return Sketch("audit", caption, f"{caption} {said}.", 0.75 + ROW_IN * len(bars), paint)

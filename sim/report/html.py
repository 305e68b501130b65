"""report.html: the report as one file that needs no network and no script, light or dark, on paper or a phone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from . import figures, prose, sections, tables, units
from .schema import Report

_PAGES = Environment(
    loader=PackageLoader(__package__ or "spikeport.sim.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_JOIN = re.compile(r"(?<=\d) (?=(?:%|[kMGT]|[pnµmkMGT]?J)(?![A-Za-z]))|(?<=\bn) (?== \d)|(?<=\b[nT] =) (?=\d)")


def _joined(text: str) -> str:
    """A number and its unit stay on one line."""
    return _JOIN.sub("\u00a0", text)


_PAGES.filters["joined"] = _joined

_SHAPES = re.compile(r"<(?:path|use)\b[^>]*>")
_COORDINATES = re.compile(r'(?<= (?:d|x|y))="[^"]*"')
_FINE = re.compile(r"-?\d+\.\d{3,}")


def _rounded(svg: str) -> str:
    """Coordinates to hundredths of a point: half the bytes, and nothing that can be seen."""

    def coarse(found: re.Match[str]) -> str:
        return _FINE.sub(lambda number: f"{float(number[0]):.2f}", found[0])

    return _SHAPES.sub(lambda shape: _COORDINATES.sub(coarse, shape[0]), svg)


@dataclass(frozen=True)
class Fact:
    """One number of the head of the page. name: what it is. value: the number. detail: its n, interval or counts."""

    name: str
    value: str
    detail: str


def render(report: Report) -> str:
    """The text of report.html. Raises nothing for a valid report."""
    drawings = {
        key: {"svg": inline(drawing), "caption": drawing.caption} for key, drawing in figures.draw(report).items()
    }
    page = _PAGES.get_template("report.html.j2").render(
        report=report,
        title=prose.title(report),
        about=prose.about(report),
        facts=facts(report),
        sections=sections.present(report),
        figures=drawings,
        core_maps=figures.core_map_keys(report),
        tables=tables,
        prose=prose,
        light=figures.PALETTE,
        dark=figures.DARK,
    )
    return page.lstrip()


def facts(report: Report) -> list[Fact]:
    """The numbers a reader looks for first, each with what it rests on."""
    found = []
    for score, name in ((report.step("ann"), "ANN"), (report.step("integer"), "On the chip's integers")):
        if score:
            found.append(Fact(name, units.percent(score.accuracy), f"{units.interval(score.ci95)}, n = {score.n:,}"))
    check = report.lava
    if check is None:
        found.append(Fact("Lava", tables.NOT_RUN, "the reason stands below"))
    else:
        noun = "mismatch" if check.mismatches == 1 else "mismatches"
        detail = f"{units.count(check.values)} integers compared, {check.samples:,} samples"
        found.append(Fact("Lava", f"{check.mismatches:,} {noun}", detail))
    synops = sum(row.synops for row in report.layers)
    dense = sum(row.dense_macs for row in report.layers)
    found.append(Fact("Synaptic operations", units.count(synops), f"per sample; ANN: {units.count(dense)} MACs"))
    e = report.energy[0]
    macs, acs = tables.operations(report, e)
    detail = (
        f"{e.convention}: {units.count(macs)} MACs + {units.count(acs)} ACs; "
        f"ANN: {units.joules(e.ann_pj)} for {units.count(dense)} MACs"
    )
    found.append(Fact("Energy per sample", units.joules(e.snn_pj), detail))
    for o in report.on_chip[:1]:
        detail = f"{o.chip}: {o.chips:,} chip{'s' * (o.chips > 1)}, fullest resource: {o.bottleneck}"
        found.append(Fact("Cores", f"{o.cores:,}", detail))
    return found


def inline(drawing: figures.Drawing) -> Markup:
    """The SVG of a drawing, fit to stand in a page beside others.

    No prologue, metadata or namespaces (nothing names another host), ids of its own, text in the page's font, colours
    from the page's variables with the printed colour as fallback, and a title and description for screen readers.
    """
    svg = drawing.svg[drawing.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{drawing.key}-', svg)
    svg = re.sub(r'href="#', f'href="#{drawing.key}-', svg)
    svg = re.sub(r"url\(#", f"url(#{drawing.key}-", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", svg)
    svg = _rounded(svg)
    for name, colour in figures.PALETTE.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    view_box = svg.split('viewBox="', 1)[1].split('"', 1)[0]
    head = Markup('<svg role="img" aria-labelledby="{0}-title {0}-desc" viewBox="{1}">').format(drawing.key, view_box)
    names = Markup('<title id="{0}-title">{1}</title><desc id="{0}-desc">{2}</desc>').format(
        drawing.key, escape(drawing.caption), escape(drawing.alt)
    )
    return head + names + Markup(svg[svg.index(">") + 1 :])

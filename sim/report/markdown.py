"""report.md: the report as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from . import prose, sections, tables
from .schema import Report
from .tables import Table

_ALIGN = {"l": ":---", "r": "---:", "p": ":---"}


def render(report: Report) -> str:
    """The text of report.md."""
    return "\n\n".join(_blocks(report)) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: one line, with markup, HTML and table bars made inert."""
    one_line = " ".join(text.split())
    # An underscore between letters or digits, as in most names, is not markup.
    return re.sub(r"[\\`*\[\]<>|#~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", one_line)


def table(value: Table) -> str:
    """A Markdown table; the caption stands above it and the total row is bold."""
    lines = [value.header, tuple(_ALIGN[a] for a in value.align), *value.rows]
    text = [f"| {' | '.join(cells if i == 1 else map(escape, cells))} |" for i, cells in enumerate(lines)]
    if value.total:
        text.append(f"| {' | '.join(f'**{escape(cell)}**' if cell else '' for cell in value.total)} |")
    return f"{escape(value.caption)}\n\n" + "\n".join(text)


def _blocks(report: Report) -> Iterator[str]:
    yield f"# {escape(prose.title(report))}"
    yield escape(prose.about(report))
    for section in sections.present(report):
        yield f"## {section.title}"
        yield from _SECTIONS[section.key](report)


def _accuracy(report: Report) -> Iterator[str]:
    yield _bullets([*prose.accuracy(report), *prose.skipped(report), prose.lava(report)])
    yield table(tables.waterfall(report))


def _timesteps(report: Report) -> Iterator[str]:
    yield from _filled(tables.timesteps(report), tables.anytime(report))


def _drift(report: Report) -> Iterator[str]:
    yield table(tables.drift(report))


def _activity(report: Report) -> Iterator[str]:
    yield escape(prose.activity(report))
    yield from _filled(tables.activity(report), tables.event_kinds(report))


def _portrait(report: Report) -> Iterator[str]:
    if report.portrait is not None and (lines := prose.portrait(report.portrait)):
        yield _bullets(lines)
    yield from _filled(tables.correlations(report), tables.cka(report))


def _energy(report: Report) -> Iterator[str]:
    yield f"**{escape(prose.scope(report))}**"
    yield _bullets(prose.energy(report))
    yield from _filled(tables.energy_layers(report), tables.energy_totals(report))
    if report.audits:
        yield "### As usually reported, and audited"
        yield _bullets(prose.audit(report))
        yield table(tables.audit(report))
    if report.conventions:
        yield "### Every convention"
        yield from _filled(tables.conventions(report), tables.bills(report))
        yield _bullets([*prose.conventions(report), *prose.scopes(report)])


def _scrutiny(report: Report) -> Iterator[str]:
    if report.spread:
        yield "### From sample to sample"
        yield _bullets(prose.spread(report))
        yield table(tables.spread(report))
    if report.sensitivity:
        yield "### With other constants and choices"
        yield _bullets(prose.sensitivity(report))
        yield from _filled(tables.sensitivity(report))


def _baselines(report: Report) -> Iterator[str]:
    if report.baselines:
        yield from _filled(tables.baselines(report), tables.baseline_energies(report))
    if report.break_even:
        yield "### Where spiking stops to pay"
        yield _bullets(prose.break_even(report))
        yield from _filled(tables.thresholds(report), tables.margins(report))


def _chip(report: Report) -> Iterator[str]:
    yield _bullets(prose.on_chip(report))
    yield from _filled(tables.placements(report), tables.populations_on_chip(report), tables.resources(report))
    if any(o.times for o in report.on_chip):
        yield "### Bounds on time"
        yield _bullets(prose.times(report))
        yield table(tables.times(report))
    if any(o.energies for o in report.on_chip):
        yield "### Dynamic and static energy"
        yield _bullets(prose.chip_energies(report))
        yield table(tables.chip_energies(report))


def _notices(report: Report) -> Iterator[str]:
    yield table(tables.notices(report)) if report.notices else prose.NO_NOTICES


def _network(report: Report) -> Iterator[str]:
    yield f"Fingerprint: `{report.network.fingerprint}`"
    yield table(tables.populations(report))


def _reproduce(report: Report) -> Iterator[str]:
    if report.commands:
        yield _code(report.commands)
    yield table(tables.versions(report))


_SECTIONS: Mapping[str, Callable[[Report], Iterator[str]]] = {
    "accuracy": _accuracy,
    "timesteps": _timesteps,
    "drift": _drift,
    "activity": _activity,
    "portrait": _portrait,
    "energy": _energy,
    "scrutiny": _scrutiny,
    "baselines": _baselines,
    "chip": _chip,
    "notices": _notices,
    "network": _network,
    "reproduce": _reproduce,
}


def _filled(*values: Table) -> Iterator[str]:
    """The tables that have rows."""
    return (table(value) for value in values if value.rows)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _code(lines: tuple[str, ...]) -> str:
    """A fenced block whose fence is longer than any run of backticks inside it."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{body}\n{fence}"

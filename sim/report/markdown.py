"""report.md: the report as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import prose, tables
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
    yield "## Accuracy waterfall"
    yield _bullets([*prose.accuracy(report), *prose.skipped(report), prose.lava(report)])
    yield table(tables.waterfall(report))
    if report.timesteps:
        yield "## Accuracy against timesteps"
        yield table(tables.timesteps(report))
    if report.anytime:
        yield "## Shorter samples"
        yield table(tables.anytime(report))
    yield "## Spikes and synaptic operations"
    yield escape(prose.activity(report))
    yield table(tables.activity(report))
    yield "## Energy"
    yield f"**{escape(prose.scope(report))}**"
    yield _bullets(prose.energy(report))
    yield table(tables.energy_layers(report))
    yield table(tables.energy_totals(report))
    if report.audits:
        yield "### As usually reported, and audited"
        yield _bullets(prose.audit(report))
        yield table(tables.audit(report))
    if report.conventions:
        yield "### Every convention"
        yield table(tables.conventions(report))
        yield table(tables.bills(report))
        yield _bullets(prose.conventions(report))
    if report.drift:
        yield "## Drift and refinement"
        yield table(tables.drift(report))
    yield "## Notices"
    yield table(tables.notices(report)) if report.notices else prose.NO_NOTICES
    yield "## Network"
    yield f"Fingerprint: `{report.network.fingerprint}`"
    yield table(tables.populations(report))
    yield "## Reproduce"
    if report.commands:
        yield _code(report.commands)
    yield table(tables.versions(report))


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _code(lines: tuple[str, ...]) -> str:
    """A fenced block whose fence is longer than any run of backticks inside it."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{body}\n{fence}"

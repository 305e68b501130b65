"""Tables as LaTeX that fits the page: long texts wrap, long headers break, long tables continue, wide ones shrink.

Needs booktabs and graphicx. Cells are the text cells of `sim.report.tables`; nothing is rounded or reordered here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from ...sim.report.latex import escape
from ...sim.report.tables import Table
from .statement import cite

LINE = 108
"""Characters of \\footnotesize text, with the gaps between columns, that go into a line of a usual page."""

GAP = 2
NARROW = 16
"""No text is wrapped into fewer characters."""

PAGE = 46
"""Lines of a table that go onto a page with its caption."""

EM_PER_CHARACTER = 0.46


_BREAK = re.compile(r"([/.])(?=[A-Za-z])")


def tables(value: Table, cites: Sequence[tuple[str, ...]] | None = None) -> str:
    """One `table` environment, labelled `tab:` and the table's key; or several, of which the others are continued.

    cites: of each row, keys for a last column `Source`.
    """
    widths = _widths(value, LINE if cites is None else LINE - 10)
    parts = list(_pages(value, widths))
    return "\n".join(
        _environment(value, first, last, widths, cites, part=i if len(parts) > 1 else None)
        for i, (first, last) in enumerate(parts)
    )


def breakable(text: str) -> str:
    """Text as LaTeX that may be broken after a slash or a full stop where a letter follows."""
    line = " ".join(text.split())
    return "\\allowbreak{}".join(map(escape, _BREAK.sub("\\1\n", line).split("\n")))


def _environment(
    value: Table,
    first: int,
    last: int,
    widths: list[int | None],
    cites: Sequence[tuple[str, ...]] | None,
    part: int | None,
) -> str:
    """Rows first..last of a table. part: which part of a table that is too long for a page."""
    columns = "".join(
        align if width is None else f"p{{{EM_PER_CHARACTER * width:g}em}}"
        for align, width in zip(_aligned(value), widths, strict=True)
    )
    source = [] if cites is None else ["l"]
    header = [_header(text, value, i, widths) for i, text in enumerate(value.header)]
    lines = [
        "\\begin{table}",
        "  \\centering",
        "  \\footnotesize",
        "  \\setlength{\\tabcolsep}{4pt}",
        f"  \\caption{{{escape(value.caption) if not part else escape(f'{value.title}, continued.')}}}",
        f"  \\label{{tab:{value.key}{'' if not part else f'-{part + 1}'}}}",
        "  \\smallskip",
        f"  \\sbox0{{\\begin{{tabular}}{{{columns}{''.join(source)}}}",
        "    \\toprule",
        _line([*header, *([] if cites is None else ["Source"])]),
        "    \\midrule",
    ]
    for i in range(first, last):
        extra = [] if cites is None else [cite(cites[i]) or "---"]
        lines.append(_line([*_cells(value.rows[i], widths), *extra]))
    if value.total and last == len(value.rows):
        lines += ["    \\midrule", _line(_cells(value.total, widths))]
    lines += [
        "    \\bottomrule",
        "  \\end{tabular}}%",
        "  \\ifdim\\wd0>\\linewidth\\resizebox{\\linewidth}{!}{\\usebox0}\\else\\usebox0\\fi",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _widths(value: Table, line: int) -> list[int | None]:
    """The width in characters of each column that wraps, None for the others.

    Where the table would be wider than a line, its widest text columns are narrowed until it fits, but never below
    their longest word; what is still too wide shrinks.
    """
    natural = [_natural(value, i) for i in range(len(value.header))]
    least = [_longest_word(value, i) if align in "lp" else natural[i] for i, align in enumerate(value.align)]
    room = line - GAP * len(natural)

    def capped(cap: int) -> list[int]:
        return [min(width, max(cap, word)) for width, word in zip(natural, least, strict=True)]

    caps = range(max(natural), NARROW - 1, -1)
    chosen = capped(next((cap for cap in caps if sum(capped(cap)) <= room), NARROW))
    return [width if width < whole else None for width, whole in zip(chosen, natural, strict=True)]


def _natural(value: Table, column: int) -> int:
    """Characters of a column's longest cell, or of the longest word of its header."""
    rows = [*value.rows, *([value.total] if value.total else [])]
    cells = [len(row[column]) for row in rows]
    return max([*cells, *map(len, value.header[column].split()), 1])


def _longest_word(value: Table, column: int) -> int:
    rows = [value.header, *value.rows, *([value.total] if value.total else [])]
    return max((len(word) for row in rows for word in _BREAK.sub(r"\1 ", row[column]).split()), default=0)


def _pages(value: Table, widths: list[int | None]) -> Iterator[tuple[int, int]]:
    """Ranges of rows that go onto one page each: about equally many lines, and none more than `PAGE`."""
    needs = [max(map(_lines, row, widths)) for row in value.rows]
    slack = max(needs) - 1
    parts = -(-sum(needs) // max(1, PAGE - slack))
    most = -(-sum(needs) // parts) + slack
    start, lines = 0, 0
    for i, need in enumerate(needs):
        if lines + need > most and i > start:
            yield start, i
            start, lines = i, 0
        lines += need
    yield start, len(value.rows)


def _lines(cell: str, width: int | None) -> int:
    return 1 if width is None else max(1, len(textwrap.wrap(cell, width)))


def _aligned(value: Table) -> str:
    return value.align.replace("p", "l")


def _header(text: str, value: Table, column: int, widths: list[int | None]) -> str:
    """A header, over several lines where it is wider than its column."""
    width = widths[column] or _natural(value, column)
    lines = [escape(line) for line in textwrap.wrap(text, max(width, 6), break_long_words=False)] or [""]
    if len(lines) == 1 or widths[column] is not None:
        return escape(text)
    side = "r" if value.align[column] == "r" else "l"
    broken = "\\\\".join(lines)
    return f"\\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{broken}\\end{{tabular}}"


def _cells(row: Sequence[str], widths: list[int | None]) -> list[str]:
    return [
        escape(cell) if width is None else f"\\raggedright {breakable(cell)}"
        for cell, width in zip(row, widths, strict=True)
    ]


def _line(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\tabularnewline"

"""Sentences with their sources, rendered as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...sim.report.latex import escape


@dataclass(frozen=True)
class Statement:
    """One sentence, or several, as plain text that ends with a full stop. cites: keys of `sources.SOURCES`."""

    text: str
    cites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paragraph:
    """What is said under one run-in heading. listed: one line each, before the statements."""

    title: str
    statements: tuple[Statement, ...]
    listed: tuple[Statement, ...] = ()


def cite(keys: Iterable[str]) -> str:
    """The command that cites them, empty for none."""
    keys = tuple(dict.fromkeys(keys))
    return rf"\cite{{{','.join(keys)}}}" if keys else ""


def latex(paragraphs: Sequence[Paragraph]) -> str:
    """Paragraphs with run-in headings, to be `\\input`; citations stand before the full stop."""
    return "\n".join(map(_paragraph, paragraphs))


def _paragraph(paragraph: Paragraph) -> str:
    lines = [f"\\paragraph{{{escape(paragraph.title)}}}"]
    if paragraph.listed:
        items = (f"\\item {_latex(statement)}" for statement in paragraph.listed)
        lines += ["\\begin{itemize}", *items, "\\end{itemize}"]
    return "\n".join([*lines, *map(_latex, paragraph.statements)]) + "\n"


def _latex(statement: Statement) -> str:
    if not statement.cites:
        return escape(statement.text)
    return f"{escape(statement.text.removesuffix('.'))}~{cite(statement.cites)}."

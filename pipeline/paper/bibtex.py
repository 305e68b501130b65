"""references.bib: the entries that a pack cites, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...sim.report.latex import escape
from .sources import SOURCES, Source

_CITE = re.compile(r"\\cite\{([^}]*)\}")


def cited(texts: Iterable[str]) -> tuple[str, ...]:
    """The keys that LaTeX texts cite, each once, in the order of `SOURCES`."""
    found = {key for text in texts for group in _CITE.findall(text) for key in group.split(",")}
    return tuple(key for key in SOURCES if key in found)


def bibliography(keys: Iterable[str]) -> str:
    """The text of references.bib."""
    return "\n".join(_entry(SOURCES[key]) for key in keys)


def _entry(source: Source) -> str:
    fields = [f"  {name} = {{{_value(name, value)}}}" for name, value in source.fields.items()]
    return f"@{source.kind}{{{source.key},\n" + ",\n".join(fields) + "\n}\n"


def _value(name: str, value: str) -> str:
    """A value as BibTeX takes it: titles keep their capitals, an author's braces and a range of pages stay."""
    if name == "pages":
        return value
    text = escape(value).replace(r"\{", "{").replace(r"\}", "}")
    return f"{{{text}}}" if name == "title" else text

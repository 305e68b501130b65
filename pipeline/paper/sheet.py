"""One CSV file: named columns, one row per fact, full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Sheet:
    """columns: names with their units. rows: as many cells each; None is an empty cell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def sheet(columns: str, rows: Iterable[Sequence[Cell]]) -> Sheet:
    """columns: names, separated by blanks."""
    return Sheet(tuple(columns.split()), tuple(tuple(row) for row in rows))


def text(value: Sheet) -> str:
    """As RFC 4180 has it: a header, lines that end in CR LF, quotes where they are needed.

    A float is written so that reading it gives the same float; true and false in words.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(value.columns)
    writer.writerows([_cell(cell) for cell in row] for row in value.rows)
    return buffer.getvalue()


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return repr(cell) if isinstance(cell, float) else str(cell)

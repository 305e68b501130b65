"""One table as text cells, and what the tables share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..schema import Report, StepName

STEP_TITLES: dict[StepName, str] = {
    "ann": "ANN",
    "converted_soft": "Converted, soft reset",
    "converted_hard": "Converted, hard reset",
    "refined": "Refined",
    "integer": "Chip integers",
    "netx": ".net read back",
    "lava": "Lava",
}
NOT_RUN = "not run"
NONE = "\u2014"


@dataclass(frozen=True)
class Table:
    """Cells as text. align: one of l, r, p (left, long text) per column. total: a last row that sums the others."""

    key: str
    caption: str
    header: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None

    @property
    def title(self) -> str:
        """The first sentence of the caption, without its full stop."""
        return self.caption.split(". ", 1)[0].removesuffix(".")


class _Convened(Protocol):
    @property
    def convention(self) -> str: ...


C = TypeVar("C", bound=_Convened)


def detailed_first(report: Report, values: Iterable[C]) -> Sequence[C]:
    """`values` with those under the conventions that the report shows in detail first, each group in its order."""
    shown = {e.convention for e in report.energy}
    return sorted(values, key=lambda value: value.convention not in shown)


def unit(title: str, prefix: str) -> str:
    """A column's title with its unit's prefix, if it has one."""
    return f"{title} ({prefix})" if prefix else title

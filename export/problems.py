"""What of a foreign network cannot be taken over: collected, so that a reader names all of it and not the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..hw import UnsupportedLayer


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One operation without a rule.

    kind: its type in the file or code. where: file and node, or source line. position: how many nodes of the graph come
    before it.
    """

    node: str
    kind: str
    where: str
    reason: str
    way_out: str
    position: int

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}; {self.way_out}"


def refuse(problems: Sequence[Problem]) -> None:
    """Raise UnsupportedLayer with one line per problem, if there are any."""
    if problems:
        raise UnsupportedLayer("\n".join(map(str, problems)))

"""One line of the assumption checklist."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What may stand beside a question."""

    yes = "yes"
    no = "no"
    not_priced = "not priced"
    not_measured = "not measured"
    does_not_apply = "does not apply"


@dataclass(frozen=True)
class Item:
    """One question. found: what the run says, in sentences. where: files that may hold the numbers, in a pack."""

    question: str
    answer: Answer
    found: str
    where: tuple[str, ...]

"""What one core holds, resource by resource, against what it can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from ..chip import Cores

RESOURCES = {
    "compartments": "compartments",
    "input_axons": "input axons",
    "output_axons": "output axons",
    "synapse_words": "words of synaptic memory",
    "words_per_axon": "words of one axon's synapses",
    "destination_groups": "destination groups",
}
"""The resources of a core, fields of `Cores` and of `Usage`, and what they are called. A word has 64 bits."""

HARDWARE = ("compartments", "input_axons", "output_axons", "synapse_words")
"""Those every core has; the others are limits of one compiler."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Amounts of one core. None: the rule that laid the network out says nothing of that resource."""

    compartments: int
    input_axons: int | None
    output_axons: int | None
    synapse_words: int
    words_per_axon: int | None
    destination_groups: int | None

    def amounts(self) -> Iterator[tuple[str, int]]:
        """(field, amount) of every resource that is known."""
        for field in RESOURCES:
            amount = getattr(self, field)
            if amount is not None:
                yield field, amount

    def shares(self, limits: Cores) -> dict[str, float]:
        """Amount over limit of every resource whose amount and limit are both known; above 1 it does not fit."""
        found = {field: (amount, getattr(limits, field)) for field, amount in self.amounts()}
        return {field: amount / limit for field, (amount, limit) in found.items() if limit is not None}

    def joined(self, other: Usage) -> Usage:
        """Of a core that needs both: axons and memory add up, the largest of the rest counts."""
        adds = ("input_axons", "output_axons", "synapse_words")
        values = {}
        for field in RESOURCES:
            known = [n for n in (getattr(self, field), getattr(other, field)) if n is not None]
            values[field] = (sum(known) if field in adds else max(known)) if known else None
        return Usage(**values)

    def sending(self, output_axons: int | None) -> Usage:
        """The same with that many entries for what the core sends."""
        return dataclasses.replace(self, output_axons=output_axons)


def fullest(shares: dict[str, float]) -> str:
    """The resource of which the largest share is used."""
    return max(shares, key=lambda field: shares[field])

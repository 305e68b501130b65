"""Where a network lies on every chip that is known, or why it does not fit there."""

from __future__ import annotations

from ..hw import CHIPS, DoesNotFit, Network
from ..hw.placement import Placement, place_or_advise


def placements(network: Network) -> tuple[dict[str, Placement], dict[str, DoesNotFit]]:
    """The placement on each chip that holds the network, by the chip's default rule, and the refusals of the others.

    Both by the chip's name, in the order of `CHIPS`. A refusal says what is too much, and what was found to fit.
    """
    placed: dict[str, Placement] = {}
    refused: dict[str, DoesNotFit] = {}
    for name, chip in CHIPS.items():
        try:
            placed[name] = place_or_advise(network, chip)
        except DoesNotFit as refusal:
            refused[name] = refusal
    return placed, refused

"""Two recordings side by side: how many numbers differ, and where it begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...export.lava_compare import Divergence, first_difference
from ...export.traces import Values
from ...hw import BadInput


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """values: numbers compared. mismatches: how many differ. first: of the earliest timestep, in the earliest layer.

    layers: populations compared, in the network's order.
    """

    samples: int
    layers: tuple[str, ...]
    values: int
    mismatches: int
    first: Divergence | None

    @property
    def agrees(self) -> bool:
        """Whether every number is equal."""
        return self.mismatches == 0


def compare(expected: Values, found: Values, order: Iterable[str]) -> Comparison:
    """Compare what both sides recorded. order: populations from the source on; those `expected` lacks are left out.

    Within one timestep the layer nearest to the source comes first, because the later ones follow from it; within a
    layer u comes before v, and v before spikes. Raises BadInput if nothing is recorded on both sides.
    """
    total = mismatches = samples = 0
    layers: list[str] = []
    best: tuple[tuple[int, ...], Divergence] | None = None
    for depth, layer in enumerate(name for name in order if name in expected and name in found):
        layers.append(layer)
        for rank, quantity in enumerate(("u", "v", "spikes")):
            if quantity not in expected[layer] or quantity not in found[layer]:
                continue
            wanted, here = expected[layer][quantity], found[layer][quantity]
            different = np.asarray(wanted != here)
            samples = wanted.shape[1]
            total += different.size
            mismatches += int(different.sum())
            first = first_difference(different, wanted, here, layer, quantity)
            if first is not None:
                place = (first.timestep, depth, first.sample, rank)
                if best is None or place < best[0]:
                    best = (place, first)
    if not total:
        raise BadInput("compare: nothing was recorded on both sides; record u, v or spikes of the same layer")
    return Comparison(
        samples=samples,
        layers=tuple(layers),
        values=total,
        mismatches=mismatches,
        first=best[1] if best else None,
    )

"""The spiking networks of a run against its ANN, layer by layer, on the same samples.

Layers are seen a part of the network at a time, so that the features of a large one never lie side by side; what stays
of a layer is its Gram matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .alignment import centered_gram, heatmap, pearson, points
from .views import View, features, in_parts

TWINS = ("integer", "refined", "converted")
"""The spiking networks, the latest first."""

MAPPED = ("converted", "refined")
"""Those that have a heat map."""

SMALLEST = 4
"""Samples that unbiased CKA needs."""

KEPT = 2**27
"""Values of one network's layers that are kept at a time, 512 MiB of float32; a larger network is run several times."""

Advance = Callable[[int], None]


def compare(
    ann: View,
    twins: Mapping[str, View],
    spiking: Collection[str],
    count: int,
    rng: np.random.Generator,
    *,
    kept: int = KEPT,
    advance: Advance = lambda n: None,
) -> dict[str, Any]:
    """Correlations and heat maps of the first `count` samples, as fields of the report's `Portrait`.

    twins: by the names of `TWINS`. spiking: the layers that have firing rates. rng: draws the scatter plots' points.
    kept: values of one network that may be held at a time. A twin is compared where it has a layer of the same name;
    there are no heat maps of fewer than `SMALLEST` samples.
    """
    correlations: list[dict[str, Any]] = []
    grams: dict[str, dict[str, Tensor]] = {name: {} for name in ("ann", *MAPPED)}
    for part in in_parts(ann.sizes, kept // count):
        rows, found = _part(part, ann, twins, spiking, count, rng, advance)
        correlations += rows
        for name, layers in found.items():
            grams[name] |= layers
    maps = {f"cka_{twin}": heatmap(grams["ann"], grams[twin]) for twin in MAPPED if count >= SMALLEST}
    return {"correlations": correlations, **maps}


def work(ann: View, count: int, kept: int = KEPT) -> int:
    """What the numbers given to `advance` add up to: samples, times the networks, times the parts."""
    return count * (1 + len(TWINS)) * sum(1 for _ in in_parts(ann.sizes, kept // count))


def _part(
    part: Sequence[str],
    ann: View,
    twins: Mapping[str, View],
    spiking: Collection[str],
    count: int,
    rng: np.random.Generator,
    advance: Advance,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Tensor]]]:
    """The rows of some layers' correlations, and their Gram matrices by network: one network's features at a time."""
    activations = features(ann, part, count, advance)
    rows = {name: _row(name) for name in part if name in spiking}
    grams: dict[str, dict[str, Tensor]] = {}
    for twin in TWINS:
        view = twins[twin]
        rates = features(view, [name for name in part if name in view.sizes], count, advance)
        for name, row in rows.items():
            if name in rates:
                _correlate(row, twin, activations[name], rates[name], rng)
        if twin in MAPPED and count >= SMALLEST:
            grams[twin] = {name: centered_gram(rate) for name, rate in rates.items()}
        del rates
    if count >= SMALLEST:
        grams["ann"] = {name: centered_gram(activation) for name, activation in activations.items()}
    return list(rows.values()), grams


def _row(layer: str) -> dict[str, Any]:
    return {"layer": layer, **dict.fromkeys(TWINS), "points_of": None, "points": []}


def _correlate(row: dict[str, Any], twin: str, activations: Tensor, rates: Tensor, rng: np.random.Generator) -> None:
    """Add a network's r to a layer's row, in place, and its points unless a later network has given some."""
    row[twin] = pearson(activations, rates)
    if row[twin] is not None and row["points_of"] is None:
        row |= {"points_of": twin, "points": points(activations, rates, rng)}

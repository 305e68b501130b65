"""How alike two layers are on the same samples: Pearson's r neuron by neuron, CKA where the neurons need not match.

Pearson's r asks whether a neuron's firing rate follows the activation of the neuron of the same name and place. CKA
(`pipeline/cka.py`) compares which samples a layer tells apart, so any two layers can be compared. Numbers are rounded
to what single-precision features can bear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cka import UNRELATED, center_unbiased, gram, hsic, standardized

DIGITS = 6
"""Decimals of a coefficient, and significant digits of a point."""

POINTS = 200
"""Points of a scatter plot, at most."""

_ROWS = 16
"""Samples whose features are held in double precision at a time."""


def pearson(x: Tensor, y: Tensor) -> float | None:
    """Pearson's r over all neurons and samples of features (N, neurons) each; None where one side does not vary.

    r = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2), summed in double precision.
    """
    if any(bool(side.min() == side.max()) for side in (x, y)):
        return None
    mean_x, mean_y = (side.mean(dtype=torch.float64) for side in (x, y))
    sums = torch.zeros(3, dtype=torch.float64)
    for some_x, some_y in zip(x.split(_ROWS), y.split(_ROWS), strict=True):
        dx, dy = some_x.double() - mean_x, some_y.double() - mean_y
        sums += torch.stack([(dx * dy).sum(), dx.square().sum(), dy.square().sum()])
    cross, xx, yy = sums.tolist()
    return round(cross / math.sqrt(xx * yy), DIGITS)


def points(x: Tensor, y: Tensor, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Some (x, y) pairs of features (N, neurons) each, drawn without replacement, in the order of the samples."""
    total = x.numel()
    drawn = torch.from_numpy(np.sort(rng.choice(total, min(POINTS, total), replace=False, shuffle=False)))
    pairs = zip(*(side.flatten()[drawn].tolist() for side in (x, y)), strict=True)
    return [(_significant(a), _significant(b)) for a, b in pairs]


def centered_gram(features: Tensor) -> Tensor:
    """What CKA needs of a layer: the U-centered Gram matrix, float64 (N, N), of features (N, neurons), N >= 4."""
    return center_unbiased(gram(standardized(features)).double())


def heatmap(rows: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> dict[str, Any]:
    """Unbiased linear CKA of every row with every column, as the report's `Heatmap`. Both: layers' `centered_gram`.

    It is `cka_unbiased` of the layers' features; 0 for a layer that is silent or constant.
    """
    own = {name: float(hsic(k, k)) for name, k in columns.items()}

    def cka(k: Tensor, kk: float, name: str) -> float:
        if min(kk, own[name]) < UNRELATED**2:
            return 0.0
        return round(float(hsic(k, columns[name])) / math.sqrt(kk * own[name]), DIGITS)

    values = [[cka(k, float(hsic(k, k)), name) for name in columns] for k in rows.values()]
    return {"rows": list(rows), "columns": list(columns), "values": values}


def _significant(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

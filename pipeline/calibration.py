"""Thresholds from data: the scale of every activation of the ANN, measured on calibration images."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..hw import BadInput
from ..models import GraphNet


@torch.no_grad()
def activation_scales(ann: GraphNet, images: Iterable[Tensor], quantile: float) -> dict[str, float]:
    """The `quantile` (1.0: the maximum) of each hidden unit's activations, pooled over all neurons and images.

    A max pool has the scale of its source, whose spikes it passes on. A unit with a ceiling stays below it.
    Exact: per unit only the largest (1 - quantile) of all values is kept while the batches pass.
    images: batches (B, C, H, W). The value at rank ceil(quantile * n) of n sorted values is returned.
    Raises BadInput when there are no images, an activation is not finite, or a unit is silent (scale 0).
    """
    hidden = [unit.name for unit in ann.architecture.units[:-1] if unit.pool is None]
    largest = dict.fromkeys(hidden, torch.empty(0))
    counts = dict.fromkeys(hidden, 0)
    batches = list(images)
    n_images = sum(len(batch) for batch in batches)
    if n_images == 0:
        raise BadInput("calibration: no images; give at least one")
    for batch in batches:
        _, activations = ann(batch, taps=hidden)
        for name in hidden:
            values = activations[name].flatten()
            if not torch.isfinite(values).all():
                raise BadInput(f"calibration: {name} gives NaN or infinity; the ANN's weights or the images are broken")
            counts[name] += values.numel()
            total = values.numel() // len(batch) * n_images
            keep = total - math.ceil(quantile * total) + 1
            pool = torch.cat([largest[name].to(values.device), values])
            largest[name] = torch.topk(pool, min(keep, pool.numel())).values
    scales: dict[str, float] = {}
    for unit in ann.architecture.units[:-1]:
        scales[unit.name] = scales[unit.pool.source] if unit.pool is not None else float(largest[unit.name][-1])
    for name, scale in scales.items():
        if scale <= 0:
            raise BadInput(
                f"calibration: {name} has scale {scale} at quantile {quantile}; it is (nearly) silent, so no threshold "
                "follows: raise convert.percentile, or train the ANN longer"
            )
    return scales

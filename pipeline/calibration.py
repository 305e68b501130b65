"""Thresholds: the scale of every activation of the ANN, measured on calibration images, or learned with it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..hw import BadInput
from ..models import GraphNet
from ..models.qcfs import Qcfs


@torch.no_grad()
def activation_scales(ann: GraphNet, images: Iterable[Tensor], quantile: float) -> dict[str, float]:
    """The `quantile` (1.0: the maximum) of each hidden unit's activations, pooled over all neurons and images.

    A max pool has the scale of its source, whose spikes it passes on; a linear unit has none. A unit with a ceiling
    stays below it.
    Exact: per unit only the largest (1 - quantile) of all values is kept while the batches pass.
    images: batches (B, C, H, W). The value at rank ceil(quantile * n) of n sorted values is returned.
    Raises BadInput when there are no images, an activation is not finite, or a unit is silent (scale 0).
    """
    hidden = [unit.name for unit in ann.architecture.units[:-1] if unit.fires]
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
        if unit.linear:
            continue
        scales[unit.name] = scales[unit.pool.source] if unit.pool is not None else float(largest[unit.name][-1])
    for name, scale in scales.items():
        if scale <= 0:
            raise BadInput(
                f"calibration: {name} has scale {scale} at quantile {quantile}; it is (nearly) silent, so no threshold "
                "follows: raise convert.percentile, or train the ANN longer"
            )
    return scales


def qcfs_scales(ann: GraphNet) -> dict[str, float]:
    """lam of each hidden unit of an ANN trained with QCFS; a max pool has its source's.

    Raises BadInput for a unit with another activation, and for a lam that training made 0 or less.
    """
    scales: dict[str, float] = {}
    for node in ann.walk()[:-1]:
        name = node.unit.name
        if node.unit.linear:
            continue
        if node.unit.pool is not None:
            scales[name] = scales[node.unit.pool.source]
            continue
        if not isinstance(node.neuron, Qcfs):
            raise BadInput(f"{name}: was not trained with QCFS; use train.activation: qcfs, or another convert.norm")
        scales[name] = float(node.neuron.lam.detach())
        if scales[name] <= 0:
            raise BadInput(f"{name}: its learned end lam is {scales[name]}, so no threshold follows; lower train.lr")
    return scales

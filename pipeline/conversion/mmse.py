"""Thresholds of least squared error: what a ceiling of activations clips against what its staircase rounds.

    theta = argmin over max(a) (1 - i / 100), i = 0..94, of  mean (a - theta N(a) / T)^2

with a the ANN's activations and N(a) the spikes that the neuron emits in T timesteps (`counts`): the staircase of soft
reset as published, or the chip's own for a profile that resets hard.
Source: Li et al., ICML 2021 ("A Free Lunch From ANN"), one threshold per population. The hard-reset form is ours.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ...models import GraphNet, Profile
from ..calibration import activation_scales
from .counts import spike_count

CANDIDATES = 95
"""Shares of the maximum that are tried, from 1 down to 0.06."""

VALUES = 1 << 18
"""Activations of a population that are measured on; on digits all of them move a threshold by one share at most."""

_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly however many are taken


@torch.no_grad()
def mmse_scales(ann: GraphNet, images: Iterable[Tensor], profile: Profile, n_steps: int) -> dict[str, float]:
    """Threshold of each hidden unit of a folded ANN, for `profile` neurons over n_steps timesteps.

    images: batches (B, C, H, W). A max pool has the threshold of its source. Raises BadInput as `activation_scales`
    does.
    """
    batches = list(images)
    highest = activation_scales(ann, batches, 1.0)
    shares = 1 - 0.01 * torch.arange(CANDIDATES, dtype=torch.float64)
    populations = [unit.name for unit in ann.architecture.units[:-1] if unit.fires]
    errors = {name: torch.zeros(CANDIDATES, dtype=torch.float64) for name in populations}
    for batch in batches:
        _, activations = ann(batch, taps=populations)
        for name in populations:
            values = _spread(activations[name].flatten().double(), VALUES // len(batches))
            errors[name] += torch.stack(
                [squared_error(values, highest[name] * float(share), n_steps, profile) for share in shares]
            ).cpu()
    scales: dict[str, float] = {}
    for unit in ann.architecture.units[:-1]:
        if unit.pool is not None:
            scales[unit.name] = scales[unit.pool.source]
        elif unit.fires:
            scales[unit.name] = highest[unit.name] * float(shares[errors[unit.name].argmin()])
    return scales


def squared_error(activations: Tensor, scale: float, n_steps: int, profile: Profile) -> Tensor:
    """Sum of (a - scale N(a) / T)^2, a scalar. scale: the activation that a threshold and a spike stand for."""
    count = spike_count(activations / scale, profile.threshold, n_steps, profile)
    return (activations - count * (scale / n_steps)).square().sum()


def _spread(values: Tensor, count: int) -> Tensor:
    """`count` of the values, taken evenly from all over them; all if there are no more."""
    if values.numel() <= count:
        return values
    places = torch.arange(count, dtype=torch.float64) * _GOLDEN % 1 * values.numel()
    return values[places.long().to(values.device)]

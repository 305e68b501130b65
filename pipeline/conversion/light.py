"""Light calibration: one bias per channel corrected, layer by layer, from a few images and without training.

    b <- b + mean(a) - theta mean(N) / T          means over images and positions, per channel

with a the ANN's activations and N the spikes of a population that already sees its corrected upstream. The read-out,
which has no neuron, gets what its logits lack on average. Unlike `pipeline/compensate.py` it leaves thresholds and the
worth of a spike alone and corrects once, as published; it works for either reset.
Source: Li et al., ICML 2021 ("A Free Lunch From ANN"), bias correction.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from ...models import GraphNet, Profile, Spiking
from .layerwise import Upstream, channel_mean, shift_

MEASURED = 256
"""Images, from the first, that are measured on; memory grows with them."""


@torch.no_grad()
def light_calibration(
    ann: GraphNet, images: Tensor, scales: Mapping[str, float], profile: Profile, n_steps: int
) -> GraphNet:
    """A copy of a folded ANN whose biases make up for what conversion to `profile` over n_steps loses on average.

    images: (N, *input shape). scales: threshold of each hidden unit. Converting the copy with the same scales, profile
    and steps gives the calibrated network. Raises BadInput for a unit without any bias.
    """
    images = images[:MEASURED]
    made = copy.deepcopy(ann).eval()
    units = made.architecture.units
    means = _means(ann, images)
    behind = Upstream(made, images, n_steps)
    for unit in units[:-1]:
        if unit.linear:
            continue
        worth = scales[unit.name]
        if unit.pool is None:
            neuron = Spiking(profile, n_steps, threshold=worth * profile.threshold).to(images.device)
            rate = behind.spikes(unit, neuron).sum(dim=0, dtype=images.dtype) / n_steps
            shift_(made.node(unit.name), means[unit.name] - worth * channel_mean(rate))
        else:
            neuron = None
        behind.put(unit, behind.spikes(unit, neuron), worth)
    last = units[-1]
    shift_(made.node(last.name), means[last.name] - channel_mean(behind.logits().mean(dim=0)))
    return made


def _means(ann: GraphNet, images: Tensor) -> dict[str, Tensor]:
    """Mean activation of every unit per channel, (1, C, 1, ...); of the read-out its mean logits."""
    names = [unit.name for unit in ann.architecture.units]
    sums: dict[str, Tensor] = {}
    for part in images.split(64):
        _, activations = ann(part, taps=names)
        for name in names:
            share = channel_mean(activations[name]) * (len(part) / len(images))
            sums[name] = sums[name] + share if name in sums else share
    return sums

"""How many spikes a neuron emits in T timesteps of a constant current z, in closed form.

Neurons without leak, thresholds theta, membranes that start at v0 (in thresholds):

    soft reset, fires at theta            N = clip( floor(T z / theta + v0), 0, T )
    soft reset, strictly above            N = clip( ceil(T z / theta + v0) - 1, 0, T )
    hard reset to 0, strictly above       N = floor( T / p ), the period p = floor(theta / z) + 1        z > 0, else 0
    hard reset to 0, fires at theta       the same with p = max(1, ceil(theta / z))
    hard reset to 0, v0 > 0               N = 1 + floor( (T - f) / p ), f the period of (1 - v0) theta

A hard-reset neuron fires in whole periods, so that its rate tends to 1, 1/2, 1/3, ... and not to z / theta: its error,
at most r / (1 + r) of r = z / theta, does not vanish with T. Sources: Bu et al., ICLR 2022 (soft); periods counted by
hand (hard).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...models import Profile
from ...models.scan import scan


def soft_count(z: Tensor, threshold: float, n_steps: int, *, v_init: float = 0.0, strict: bool = False) -> Tensor:
    """Spikes of a soft-reset neuron. z: currents, any shape; integers in z's dtype. v_init: in thresholds."""
    place = z * n_steps / threshold + v_init  # in this order whole places come out whole
    return (place.ceil() - 1 if strict else place.floor()).clamp(0, n_steps)


def hard_count(z: Tensor, threshold: float, n_steps: int, *, v_init: float = 0.0, strict: bool = True) -> Tensor:
    """Spikes of a hard-reset neuron. z: currents, any shape; integers in z's dtype. v_init: in thresholds, below 1."""

    def steps_to(distance: float) -> Tensor:
        ratio = distance / z
        return (ratio.floor() + 1 if strict else ratio.ceil()).clamp(min=1)

    first, period = steps_to(threshold * (1 - v_init)), steps_to(threshold)
    return torch.where(z > 0, 1 + ((n_steps - first) / period).floor(), 0).clamp(min=0)


def spike_count(z: Tensor, threshold: float, n_steps: int, profile: Profile) -> Tensor:
    """Spikes of a profile's neuron: by the formula, or, as there is none for a leak, by running it."""
    if profile.leak != 1:
        return scan(z, True, n_steps, threshold, profile).sum(dim=0)
    count = soft_count if profile.reset == "soft" else hard_count
    return count(profile.gain * z, threshold, n_steps, v_init=profile.v_init, strict=profile.strict)

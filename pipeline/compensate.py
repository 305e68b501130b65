"""What hard reset loses, made up for without training: thresholds, spikes' worth and biases measured layer by layer.

A neuron that resets to 0 drops what its membrane held above the threshold, so its rate stays below activation /
threshold, and taking a spike for a threshold of activation, as conversion does, loses more with every layer. Here each
population is run on the calibration images, behind populations already done, and given

    a threshold    a fraction of a high percentile of its activations: lower loses less and clips more
    a shift        per channel, added to its bias: b <- b + mean(a - w r), a few times
    a worth w      what one spike counts downstream: w = <a, r> / <r, r>, the least squares

with a the ANN's activations and r the firing rates. Of all tried the smallest |a - w r|^2 / |a|^2 is kept. The shift is
the mean correction of Li et al., ICML 2021 ("A Free Lunch From ANN"), applied to hard reset.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models import GraphNet, Profile, Spiking
from .calibration import activation_scales
from .conversion.layerwise import Upstream, channel_mean, shift_

QUANTILE = 0.999
"""Of the activations, at which the highest threshold lies: conversion's own default."""

FRACTIONS = (1.0, 0.8, 0.65, 0.5)
"""Thresholds tried, as shares of the highest. On digits the best lie between 0.65 and 1."""

MEASURED = 128
"""Images, from the first, that are measured on; memory grows with them."""

ROUNDS = 4
"""Corrections of a shift; the error changes little after the third."""


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """ann: a copy with the shifts in its biases. thresholds, worth: in activations, per hidden unit.

    errors: |a - w r|^2 / |a|^2 of each hidden unit on the calibration images.
    """

    ann: GraphNet
    thresholds: dict[str, float]
    worth: dict[str, float]
    errors: dict[str, float]


@torch.no_grad()
def compensate(ann: GraphNet, images: Tensor, profile: Profile, n_steps: int) -> Compensation:
    """Thresholds, worths and shifts of an ANN's spiking twin of `profile` neurons over n_steps timesteps.

    ann: without batch norms, one bias or more in each unit. images: (N, *input shape), held over the sample. Raises
    BadInput as `activation_scales` does.
    """
    images = images[:MEASURED]
    shifted = copy.deepcopy(ann).eval()
    units = ann.architecture.units
    _, activations = ann(images, [unit.name for unit in units])
    highest = activation_scales(ann, [images], QUANTILE)
    behind = Upstream(shifted, images, n_steps)
    found: dict[str, _Fit] = {}
    for unit in units:
        node, target = shifted.node(unit.name), activations.pop(unit.name)
        if unit.linear and unit is not units[-1]:
            continue
        current, static = behind.current(unit)
        if unit is units[-1]:
            shift_(node, channel_mean(target - (current if static else current.mean(dim=0))))
            break
        if unit.pool is not None:
            fit = _fit(target, current, highest[unit.name], torch.zeros(()))
        else:
            fit = _best(target, current, static, highest[unit.name], profile, n_steps)
            shift_(node, fit.shift)
        found[unit.name] = fit
        behind.put(unit, fit.spikes > 0, fit.worth)
    return Compensation(
        ann=shifted,
        thresholds={name: fit.threshold for name, fit in found.items()},
        worth=_as_floats(found, "worth"),
        errors=_as_floats(found, "error"),
    )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    threshold: float
    shift: Tensor
    worth: float
    error: float
    spikes: Tensor


def _as_floats(found: Mapping[str, _Fit], field: str) -> dict[str, float]:
    return {name: float(getattr(fit, field)) for name, fit in found.items()}


def _fit(target: Tensor, spikes: Tensor, threshold: float, shift: Tensor) -> _Fit:
    """The worth of a spike that brings the rates (T, N, ...) nearest to the activations (N, ...), and what remains."""
    rate = (spikes > 0).to(target.dtype).mean(dim=0)
    worth = float((rate * target).sum() / rate.square().sum().clamp_min(torch.finfo(target.dtype).tiny))
    error = float((worth * rate - target).square().sum() / target.square().sum())
    return _Fit(threshold=threshold, shift=shift, worth=worth, error=error, spikes=spikes)


def _best(target: Tensor, current: Tensor, static: bool, highest: float, profile: Profile, n_steps: int) -> _Fit:
    """The best of all thresholds and shifts. current: the ANN's units, (T, N, ...), or (N, ...) if static."""
    best: _Fit | None = None
    for fraction in FRACTIONS:
        neuron = Spiking(profile, n_steps, threshold=highest * fraction)
        shift = torch.zeros_like(channel_mean(target))
        for _ in range(ROUNDS + 1):
            fit = _fit(target, neuron(current + shift, static), highest * fraction, shift)
            if best is None or fit.error < best.error:
                best = fit
            shift = shift + channel_mean(target - fit.worth * fit.spikes.mean(dim=0))
    assert best is not None
    return best

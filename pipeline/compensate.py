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
from torch import Tensor, nn

from ..models import INPUT, GraphNet, Node, Profile, Spiking
from .calibration import activation_scales

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
    values = {INPUT: images}
    found: dict[str, _Fit] = {}
    for index, unit in enumerate(units):
        node, target = shifted.node(unit.name), activations.pop(unit.name)
        static = [wire.source == INPUT for wire in unit.wires]
        current = node.current([values[wire.source] for wire in unit.wires], static)
        if unit is units[-1]:
            _shift_(node, (target - (current if all(static) else current.mean(dim=0))).mean(dim=0))
            break
        if unit.pool is not None:
            fit = _fit(target, current, highest[unit.name], torch.zeros(()))
        else:
            fit = _best(target, current, all(static), highest[unit.name], profile, n_steps)
            _shift_(node, fit.shift)
        found[unit.name] = fit
        values[unit.name] = fit.worth * (fit.spikes > 0)
        needed = {wire.source for later in units[index + 1 :] for wire in later.wires}
        values = {name: value for name, value in values.items() if name in needed}
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
    axes = [0, *range(2, target.ndim)]
    best: _Fit | None = None
    for fraction in FRACTIONS:
        neuron = Spiking(profile, n_steps, threshold=highest * fraction)
        shift = torch.zeros_like(target.mean(dim=axes, keepdim=True))
        for _ in range(ROUNDS + 1):
            fit = _fit(target, neuron(current + shift, static), highest * fraction, shift)
            if best is None or fit.error < best.error:
                best = fit
            shift = shift + (target - fit.worth * fit.spikes.mean(dim=0)).mean(dim=axes, keepdim=True)
    assert best is not None
    return best


def _shift_(node: Node, shift: Tensor) -> None:
    """Add a shift per channel to the bias of the first wire that has one, in place."""
    bias = next(p for name, p in node.synapses.named_parameters() if name.endswith("bias"))
    assert isinstance(bias, nn.Parameter)
    channels = shift.reshape(-1)
    bias.add_(channels if bias.ndim == 1 else channels[:, None, None])

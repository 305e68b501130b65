"""How far a student's layers are from its teacher's, measured on real spikes, and the weights that follow from it.

Two measures, both 0 for a layer that conversion left as it was and 1 for one that is silent or unrelated:

    cka    d_l = clip(1 - CKA_u(A_l, F_l), 0, 1)                    over all images (`pipeline/cka.py`)
    mse    d_l = min_s |A_l - s F_l|^2 / |A_l|^2 = 1 - <A_l, F_l>^2 / (|A_l|^2 |F_l|^2)

A_l: the teacher's activations, F_l: the student's firing rates. The student of a conversion is in weight form: what one
of its spikes is worth is in the weights that follow. The scale s = <A, F> / <F, F> finds it without looking there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...hw import BadInput
from ...models import GraphNet
from ..cka import DatasetCka
from .modes import evaluating

NO_DRIFT = 1e-3
"""Below this drift in every layer there is nothing to prioritise and the weights are uniform."""

SOFTMAX_SCALE = 0.1
"""Drift over which a `softmax` weight grows by a factor of e."""

Weighting = Literal["drift", "softmax", "ema", "mse", "uniform"]
Measure = Literal["cka", "mse"]


class LeastSquares:
    """The scale s that brings rates r nearest to activations a, |a - s r|^2 least, over batches of both."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)

    @torch.no_grad()
    def add(self, activations: Tensor, rates: Tensor) -> None:
        """Account for one batch; both of one shape."""
        a, r = activations.flatten().double(), rates.flatten().double()
        self._sums += torch.stack([a @ r, a @ a, r @ r]).cpu()

    @property
    def scale(self) -> float:
        """<a, r> / <r, r>, which is not negative for what neurons give; 1 where the layer is silent."""
        cross, _, rr = self._sums.tolist()
        return cross / rr if rr > 0 else 1.0

    @property
    def error(self) -> float:
        """What remains, min_s |a - s r|^2 / |a|^2, between 0 and 1; 1 where the layer is silent."""
        cross, aa, rr = self._sums.tolist()
        return max(0.0, 1 - cross**2 / (aa * rr)) if aa > 0 and rr > 0 else 1.0


@dataclass(frozen=True)
class Drifts:
    """values: d_l of each tap, in the order asked for. silent: the taps at which no neuron fired for any image."""

    values: Mapping[str, float]
    silent: tuple[str, ...]


def measure_drift(
    student: GraphNet,
    teacher: GraphNet,
    calibration: Sequence[Tensor],
    taps: Sequence[str],
    measure: Measure = "cka",
) -> Drifts:
    """The drift of each tap over calibration batches (B, C, H, W), for cka B >= 4.

    The student runs its own T timesteps in evaluation mode; nothing of it changes. Raises BadInput if the teacher has
    no unit of a tap's name, or for mse one of another shape.
    """
    _check_taps(student, teacher, taps, same_shape=measure == "mse")
    cka = {name: DatasetCka() for name in taps}
    fits = {name: LeastSquares() for name in taps}
    fired = dict.fromkeys(taps, False)
    with evaluating(student):
        for batch in calibration:
            _, spikes = student(batch, taps)
            _, activations = teacher(batch, taps)
            for name in taps:
                rates = spikes[name].mean(dim=0)
                fired[name] |= bool(rates.any())
                if measure == "cka":
                    cka[name].add(activations[name], rates)
                else:
                    fits[name].add(activations[name], rates)
    values = {n: min(1.0, max(0.0, 1 - cka[n].value())) if measure == "cka" else fits[n].error for n in taps}
    return Drifts(values=values, silent=tuple(name for name in taps if not fired[name]))


def weights_of(drift: Tensor, weighting: Weighting, kappa: float = 1.0) -> Tensor:
    """w_l of the drifts d_l (L,): not negative, summing to 1. kappa: an exponent, for `drift`, `ema` and `mse`.

    d^kappa / sum d^kappa, softmax(d / 0.1) or 1 / L; 1 / L too where every drift is below 1e-3.
    """
    even = torch.full_like(drift, 1 / len(drift))
    if weighting == "uniform":
        return even
    if weighting == "softmax":
        shares = torch.softmax(drift / SOFTMAX_SCALE, dim=0)
    else:
        powers = (drift / drift.max().clamp_min(NO_DRIFT)) ** kappa
        shares = powers / powers.sum().clamp_min(torch.finfo(drift.dtype).tiny)
    return torch.where(drift.max() < NO_DRIFT, even, shares)


def _check_taps(student: GraphNet, teacher: GraphNet, taps: Sequence[str], *, same_shape: bool) -> None:
    if teacher.architecture == student.architecture:
        return
    own, theirs = student.architecture.shapes(), teacher.architecture.shapes()
    for name in taps:
        if name not in theirs:
            raise BadInput(
                f"drift: the teacher {teacher.architecture.name} has no unit {name}, which {student.architecture.name} "
                "is compared at; take a teacher of the student's architecture"
            )
        if same_shape and own[name] != theirs[name]:
            raise BadInput(
                f"drift: at {name} the student has the shape {own[name]} and the teacher {theirs[name]}; use a "
                "weighting other than mse, or a teacher of the student's architecture"
            )

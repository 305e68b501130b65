"""Closed-loop CKA distillation: repair a converted network where conversion hurt it most.

    L = (1 - a) CE(zbar, y) + a [ b KL_tau(z_A || zbar) + (1 - b) sum_l w_l (1 - CKA_u(A_l, F_l)) ]

zbar (B, K): student logits averaged over T. z_A (B, K): teacher logits. A_l (B, C, H, W): the teacher's activations at
tap l. F_l: the student's firing rates there. CKA_u: unbiased linear CKA (`pipeline/cka.py`). The weights follow the
drift that conversion caused, measured once at the training T over the calibration images, then frozen:

    d_l = clip(1 - CKA_u(A_l, F_l), 0, 1),   w_l = d_l^kappa / sum_k d_k^kappa,   uniform if every d_l < 1e-3.

Source: ICML 2026 poster 66504 and its public code (weights, taps, tau). The poster states no `b(T)`; T / (T + 8) is our
reading of "local alignment matters at low T". The public code trains with a biased, partly detached CKA; we use the
unbiased one with its full gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...hw import BadInput
from ...models import GraphNet
from ..cka import DatasetCka, cka_unbiased
from ..losses import kd_kl
from ..training import Moment
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron

NO_DRIFT = 1e-3
"""Below this drift in every layer there is nothing to prioritise and the weights are uniform."""


@dataclass(frozen=True, kw_only=True)
class ClosedLoopCkaConfig:
    """a: share of alignment against the task. b: share of the global (logit) term, None for T / (T + 8).

    tau: temperature. kappa: exponent of the drift weights, 0 for uniform.
    """

    a: float = 0.9
    b: float | None = None
    tau: float = 2.0
    kappa: float = 1.0

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise BadInput(f"closed_loop_cka: {name} is {value}; it is a share, between 0 and 1")
        if self.tau <= 0 or self.kappa < 0:
            raise BadInput(f"closed_loop_cka: tau {self.tau} must be positive and kappa {self.kappa} not negative")


def drift_weights(drift: Sequence[float], kappa: float) -> list[float]:
    """w_l of the drifts d_l: not negative, summing to 1."""
    if max(drift) < NO_DRIFT:
        return [1 / len(drift)] * len(drift)
    powers = [d**kappa for d in drift]
    return [p / sum(powers) for p in powers]


@torch.no_grad()
def initial_drift(student: GraphNet, teacher: GraphNet, calibration: Sequence[Tensor]) -> dict[str, float]:
    """d_l per tap over calibration batches (B, C, H, W), B >= 4: 0 is no drift, 1 a silent or unrelated layer."""
    taps = student.architecture.taps
    measures = {name: DatasetCka() for name in taps}
    for batch in calibration:
        _, rates = student(batch, taps)
        _, activations = teacher(batch, taps)
        for name in taps:
            measures[name].add(activations[name], rates[name].mean(dim=0))
    return {name: min(1.0, max(0.0, 1 - measure.value())) for name, measure in measures.items()}


class ClosedLoopCka(Distiller):
    """The method on one pair. The drift is measured when it is made."""

    def __init__(self, pair: Pair, config: ClosedLoopCkaConfig) -> None:
        super().__init__(pair)
        student = pair.student
        self.config = config
        self.b = student.n_steps / (student.n_steps + 8) if config.b is None else config.b
        self.drift = initial_drift(student, pair.teacher, pair.calibration)
        self.weights = dict(zip(self.drift, drift_weights(list(self.drift.values()), config.kappa), strict=True))

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        student = self.pair.student
        target, activations = self.pair.ask_teacher(x, student.architecture.taps)
        got = self.pair.ask_student(x, student.architecture.taps)
        task = functional.cross_entropy(got.logits, y)
        match_logits = kd_kl(got.logits, target, self.config.tau)
        match_layers = got.logits.new_zeros(())
        for name, weight in self.weights.items():
            match_layers = match_layers + weight * (1 - cka_unbiased(activations[name], got.rates[name]))
        a, b = self.config.a, self.b
        total = (1 - a) * task + a * (b * match_logits + (1 - b) * match_layers)
        rate = spikes_per_neuron(got.rates, student.n_steps)
        parts = {"task": task, "logits": match_logits, "layers": match_layers, "spikes_per_neuron": rate}
        return total, got.logits, parts

    def report(self) -> dict[str, Any]:
        """{"drift": [{"layer", "drift", "weight"}], "b"}."""
        rows = [{"layer": n, "drift": d, "weight": self.weights[n]} for n, d in self.drift.items()]
        return {"drift": rows, "b": self.b}


METHODS.register(
    "closed_loop_cka",
    Method(
        summary="CKA alignment weighted by the drift of conversion, with logit distillation",
        source="ICML 2026 poster 66504",
        config=ClosedLoopCkaConfig,
        build=ClosedLoopCka,
    ),
)

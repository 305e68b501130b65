"""Closed-loop CKA distillation: repair a converted network where conversion hurt it most.

    L = (1 - a) CE(zbar, y) + a [ b KL_tau(z_A || zbar) + (1 - b) sum_l w_l (1 - CKA_u(A_l, F_l)) ]

zbar (B, K): student logits averaged over T. z_A (B, K): teacher logits. A_l (B, C, H, W): the teacher's activations at
tap l. F_l: the student's firing rates there. CKA_u: unbiased linear CKA (`pipeline/cka.py`). The weights w_l follow the
drift that conversion caused (`drift.py`), measured at the training T over the calibration images, by default once:

    d_l = clip(1 - CKA_u(A_l, F_l), 0, 1),   w_l = d_l^kappa / sum_k d_k^kappa,   uniform if every d_l < 1e-3.

Source: ICML 2026 poster 66504 and its public code (weights, taps, tau). The poster states no `b(T)`; T / (T + 8) is our
reading of "local alignment matters at low T". The public code trains with a biased, partly detached CKA; we use the
unbiased one with its full gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ...hw import BadInput, did_you_mean
from ..cka import cka_unbiased
from ..losses import kd_kl
from ..training import Moment
from .drift import Drifts, Measure, Weighting, measure_drift, weights_of
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron
from .modes import check_frozen

MOMENTUM = 0.9
"""Share of the remembered drift that an epoch of `ema` keeps."""

Taps = Literal["blocks", "stages"]


@dataclass(frozen=True, kw_only=True)
class ClosedLoopCkaConfig:
    """a: share of alignment against the task. b: share of the global (logit) term, None for T / (T + 8).

    tau: temperature. weighting: what weighs the layers: their CKA drift at the start, as it is (`drift`), through a
    softmax (`softmax`) or averaged with that before each epoch (`ema`); the squared error of their rates (`mse`); or
    nothing (`uniform`). kappa: exponent of the drift, 0 for uniform; a softmax has none. taps: layers compared, every
    one the architecture names (`blocks`) or the last of each resolution (`stages`).
    """

    a: float = 0.9
    b: float | None = None
    tau: float = 2.0
    weighting: Weighting = "drift"
    kappa: float = 1.0
    taps: Taps = "blocks"

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise BadInput(f"closed_loop_cka: {name} is {value}; it is a share, between 0 and 1")
        if self.tau <= 0 or self.kappa < 0:
            raise BadInput(f"closed_loop_cka: tau {self.tau} must be positive and kappa {self.kappa} not negative")
        for name, kind in (("weighting", Weighting), ("taps", Taps)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise BadInput(f"closed_loop_cka: unknown {name} {value!r}; {did_you_mean(value, get_args(kind))}")


class ClosedLoopCka(Distiller):
    """The method on one pair. The drift is measured when it is made: `at_start`, and remembered in the buffer `drift`.

    drift: float64 (L,), one per tap; only `ema` changes it. Raises BadInput for a teacher that is not frozen or lacks
    one of the taps.
    """

    smallest_batch = 4
    drift: Tensor

    def __init__(self, pair: Pair, config: ClosedLoopCkaConfig) -> None:
        super().__init__(pair)
        check_frozen(pair.teacher, "closed_loop_cka")
        student = pair.student
        self.config = config
        self.b = student.n_steps / (student.n_steps + 8) if config.b is None else config.b
        self.taps = student.architecture.taps if config.taps == "blocks" else student.architecture.stages
        self.at_start = self._measure()
        self.register_buffer("drift", torch.tensor(list(self.at_start.values.values()), dtype=torch.float64))

    def _measure(self) -> Drifts:
        measure: Measure = "mse" if self.config.weighting == "mse" else "cka"
        return measure_drift(self.pair.student, self.pair.teacher, self.pair.calibration, self.taps, measure)

    def weights(self) -> Tensor:
        """w_l of the taps, in their order, (L,) float64, from the drift remembered now."""
        return weights_of(self.drift, self.config.weighting, self.config.kappa)

    def start_epoch(self, epoch: int) -> None:
        """See `Distiller.start_epoch`. From the second epoch on `ema` measures the drift again."""
        if self.config.weighting == "ema" and epoch > 1:
            now = self.drift.new_tensor(list(self._measure().values.values()))
            self.drift.mul_(MOMENTUM).add_(now, alpha=1 - MOMENTUM)

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        student = self.pair.student
        target, activations = self.pair.ask_teacher(x, self.taps)
        got = self.pair.ask_student(x, student.architecture.taps)
        task = functional.cross_entropy(got.logits, y)
        match_logits = kd_kl(got.logits, target, self.config.tau)
        match_layers = self._layers(activations, got.rates)
        a, b = self.config.a, self.b
        total = (1 - a) * task + a * (b * match_logits + (1 - b) * match_layers)
        rate = spikes_per_neuron(got.rates, student.n_steps)
        parts = {"task": task, "logits": match_logits, "layers": match_layers, "spikes_per_neuron": rate}
        return total, got.logits, parts

    def _layers(self, activations: Mapping[str, Tensor], rates: Mapping[str, Tensor]) -> Tensor:
        """sum_l w_l (1 - CKA_u(A_l, F_l))."""
        alike = torch.stack([cka_unbiased(activations[name], rates[name]) for name in self.taps])
        return (self.weights().to(alike.dtype) * (1 - alike)).sum()

    def report(self) -> dict[str, Any]:
        """{"drift": [{"layer", "drift", "weight"}], "weighting", "b", "silent": taps without a spike}, at the start.

        For `ema` also "drift_at_end", rows of the same form.
        """
        start = torch.tensor(list(self.at_start.values.values()), dtype=torch.float64)
        found = {
            "drift": self._rows(start),
            "weighting": self.config.weighting,
            "b": self.b,
            "silent": list(self.at_start.silent),
        }
        return {**found, "drift_at_end": self._rows(self.drift.cpu())} if self.config.weighting == "ema" else found

    def _rows(self, drift: Tensor) -> list[dict[str, Any]]:
        weights = weights_of(drift, self.config.weighting, self.config.kappa)
        return [
            {"layer": name, "drift": d, "weight": w}
            for name, d, w in zip(self.taps, drift.tolist(), weights.tolist(), strict=True)
        ]


METHODS.register(
    "closed_loop_cka",
    Method(
        summary="CKA alignment weighted by the drift of conversion, with logit distillation",
        source="ICML 2026 poster 66504",
        config=ClosedLoopCkaConfig,
        build=ClosedLoopCka,
    ),
)

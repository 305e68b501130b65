"""Logit distillation alone: cross-entropy and the teacher's softened logits, no features.

    L = CE(zbar, y) + weight * tau^2 KL( softmax(z_A / tau) || softmax(zbar / tau) )

zbar (B, K): student logits averaged over T. z_A (B, K): teacher logits. Source: Hinton et al., arXiv 1503.02531; the
temperature is that of the feature methods' published code (SASTC, AAAI 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from ...hw import BadInput
from ..losses import kd_kl
from ..training import Moment
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron


@dataclass(frozen=True, kw_only=True)
class KdConfig:
    """tau: temperature. weight: of the distillation term."""

    tau: float = 4.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.tau <= 0 or self.weight < 0:
            raise BadInput(f"kd: tau {self.tau} must be positive and weight {self.weight} not negative")


class LogitDistillation(Distiller):
    """The method on one pair."""

    def __init__(self, pair: Pair, config: KdConfig) -> None:
        super().__init__(pair)
        self.config = config

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        student = self.pair.student
        target, _ = self.pair.ask_teacher(x)
        got = self.pair.ask_student(x, student.architecture.taps)
        task, match = functional.cross_entropy(got.logits, y), kd_kl(got.logits, target, self.config.tau)
        rate = spikes_per_neuron(got.rates, student.n_steps)
        return task + self.config.weight * match, got.logits, {"task": task, "logits": match, "spikes_per_neuron": rate}


METHODS.register(
    "kd",
    Method(
        summary="cross-entropy and logit distillation",
        source="Hinton et al., arXiv 1503.02531",
        config=KdConfig,
        build=LogitDistillation,
        any_teacher=True,
    ),
)

"""Temporal efficient training: the label at every timestep, not only on their average; no teacher.

    L = (1 - weight) mean_t CE(z_t, y) + weight mean (z_t - phi)^2

z_t (B, K): student logits of timestep t. Every step must answer on its own, so shorter samples answer better. Source:
Deng et al., ICLR 2022, arXiv 2202.11946, and its public code.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...hw import BadInput
from ..losses import tet
from ..training import Moment
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron


@dataclass(frozen=True, kw_only=True)
class TetConfig:
    """weight: of the term that draws the logits to phi. phi: the published code's, a threshold."""

    weight: float = 1e-3
    phi: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise BadInput(f"tet: weight is {self.weight}; it is a share, between 0 and 1")


class TemporalEfficientTraining(Distiller):
    """The method on one student; the pair's teacher is not asked."""

    def __init__(self, pair: Pair, config: TetConfig) -> None:
        super().__init__(pair)
        self.config = config

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        student = self.pair.student
        got = self.pair.ask_student(x, student.architecture.taps)
        assert got.sequence is not None  # the method says it needs single steps
        loss = tet(got.sequence, y, weight=self.config.weight, phi=self.config.phi)
        return loss, got.logits, {"spikes_per_neuron": spikes_per_neuron(got.rates, student.n_steps)}


METHODS.register(
    "tet",
    Method(
        summary="cross-entropy at every timestep, no teacher",
        source="Deng et al., ICLR 2022",
        config=TetConfig,
        build=TemporalEfficientTraining,
        steps=True,
        any_teacher=True,
        asks="nothing",
    ),
)

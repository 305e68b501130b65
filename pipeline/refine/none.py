"""Fine-tuning with cross-entropy alone: the baseline every refinement method is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from ..training import Moment
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron


@dataclass(frozen=True, kw_only=True)
class NoneConfig:
    """There is nothing to set."""


class CrossEntropy(Distiller):
    """L = CE(zbar, y), zbar the logits averaged over T."""

    def __init__(self, pair: Pair, config: NoneConfig) -> None:
        super().__init__(pair)
        del config

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        student = self.pair.student
        got = self.pair.ask_student(x, student.architecture.taps)
        rate = spikes_per_neuron(got.rates, student.n_steps)
        return functional.cross_entropy(got.logits, y), got.logits, {"spikes_per_neuron": rate}


METHODS.register(
    "none",
    Method(
        summary="cross-entropy fine-tuning, no teacher",
        source="baseline",
        config=NoneConfig,
        build=CrossEntropy,
        any_teacher=True,
        asks="nothing",
    ),
)

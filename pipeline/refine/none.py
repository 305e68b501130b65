"""Fine-tuning with cross-entropy alone: the baseline every refinement method is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from ...models import GraphNet
from .method import METHODS, Method


@dataclass(frozen=True, kw_only=True)
class NoneConfig:
    """There is nothing to set."""


class CrossEntropy:
    """L = CE(zbar, y), zbar the logits averaged over T."""

    def __init__(self, student: GraphNet, teacher: GraphNet, calibration: Sequence[Tensor], config: NoneConfig) -> None:
        del teacher, calibration, config  # the interface of all methods; this one needs the student only
        self.student = student

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        sequence, _ = self.student(x)
        logits = sequence.float().mean(dim=0)
        return functional.cross_entropy(logits, y), logits, {}

    def report(self) -> dict[str, Any]:
        """Nothing was measured."""
        return {}


METHODS.register("none", Method(summary="cross-entropy fine-tuning, no teacher", config=NoneConfig, build=CrossEntropy))

"""BKDSNN: the teacher's features are to be restored from the student's firing rates with channels blurred out.

    L = CE(zbar, y) + logits * WSL + alpha / B * sum (restore(m * align(Fbar)) - A)^2

m (B, C', 1, 1): 0 with probability `drop`, else 1, drawn anew for every sample and channel of every batch. restore: a
3 x 3 convolution, ReLU, a 3 x 3 convolution, trained beside the student and left behind. All else as in `kdsnn`.

Source: BKDSNN, ECCV 2024, and its public code, where the mask comes after the alignment of channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...hw import BadInput
from .kdsnn import Align, FeatureDistillation, KdsnnConfig, convolution, last_channels
from .method import METHODS, Method, Pair


@dataclass(frozen=True, kw_only=True)
class BkdsnnConfig(KdsnnConfig):
    """The settings of `kdsnn`, and drop: the probability that a channel is blurred out."""

    drop: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.drop < 1:
            raise BadInput(f"bkdsnn: drop is {self.drop}; it is a probability, at least 0 and below 1")


class Restoration(nn.Module):
    """Student rates to teacher features through a random mask of channels; in evaluation mode without the mask."""

    def __init__(self, source: int, target: int, drop: float, generator: torch.Generator) -> None:
        super().__init__()
        self.drop = drop
        self.align = Align(source, target, generator)
        self.restore = nn.Sequential(
            convolution(target, target, 3, generator), nn.ReLU(), convolution(target, target, 3, generator)
        )

    def forward(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """rates (B, source, H, W) -> (B, target, H, W)."""
        aligned = self.align(rates, generator)
        if self.training:
            draws = torch.rand(*aligned.shape[:2], 1, 1, generator=generator)
            aligned = aligned * (draws >= self.drop).to(aligned)
        return self.restore(aligned)


def bkdsnn(pair: Pair, config: BkdsnnConfig) -> FeatureDistillation:
    """The method on one pair."""
    generator = torch.Generator().manual_seed(pair.seed)
    return FeatureDistillation(pair, config, Restoration(*last_channels(pair), config.drop, generator))


METHODS.register(
    "bkdsnn",
    Method(
        summary="the teacher's features restored from blurred firing rates, and weighted logit distillation",
        source="BKDSNN, ECCV 2024",
        config=BkdsnnConfig,
        build=bkdsnn,
        any_teacher=True,
    ),
)

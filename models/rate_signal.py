"""What units send each other under the `rate` engine: a differentiable rate, and the spikes that it was measured on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes as bytes, channels last, the steps of a sample side by side.

    fired: uint8 0/1 (B, T, H, W, C) or (B, T, F), contiguous. worth: what one spike is worth downstream.
    """

    fired: Tensor
    worth: float

    def sequence(self) -> Tensor:
        """The same spikes in float32, (T, B, C, H, W) or (T, B, F)."""
        steps = self.fired.transpose(0, 1).to(torch.float32) * self.worth
        return steps.movedim(-1, 2) if steps.ndim == 5 else steps


@dataclass(frozen=True, eq=False)
class Signal:
    """What a unit or the input sent. Only `rate` is part of the autograd graph.

    rate: the mean over the sample, (B, *shape). steps: the values of each step, (T, B, *shape) or as bytes; None for
    a signal that is the same at every step, which is its rate.
    """

    rate: Tensor
    steps: Tensor | Spikes | None

    @property
    def static(self) -> bool:
        """Whether it is the same at every step."""
        return self.steps is None

    def values(self) -> Tensor:
        """Each step's values (T, B, *shape), or (B, *shape) of a static signal, outside the graph."""
        if self.steps is None:
            return self.rate.detach()
        return self.steps.sequence() if isinstance(self.steps, Spikes) else self.steps

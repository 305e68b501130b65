"""C_k: what carries the firing rates of a student's stage into the rest of its teacher.

    linear      W r'                    r' = s r: the rates in the teacher's units
    conv1x1     ReLU( BN( W r' ) )      W over channels
    conv3x3     ReLU( BN( W r' ) )      W over channels and 3 x 3 neighbours

Rates are spikes per timestep, between 0 and 1; activations are larger by a threshold that conversion wrote into the
weights. `settle_` measures s = <a, r> / <r, r>. W starts as the identity, the batch norm with the mean and spread of r'
both as its statistics and as its affine map. So every kind starts as r' itself, in training and in evaluation. On a
stage of vectors all three have a dense W.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ...hw import Shape
from .drift import LeastSquares

CONSTANT = 1e-9
"""Share of a channel's mean square below which its variance is rounding, of float32 rates."""

ProjectionKind = Literal["linear", "conv1x1", "conv3x3"]


class Projection(nn.Module):
    """One C_k, (B, *shape) -> (B, *shape). shape: of the stage, (C, H, W) or (F,). scale: s, a scalar buffer."""

    scale: Tensor

    def __init__(self, kind: ProjectionKind, shape: Shape) -> None:
        super().__init__()
        channels, spatial, bare = shape[0], len(shape) == 3, kind == "linear"
        self.register_buffer("scale", torch.ones(()))
        if spatial:
            size = 3 if kind == "conv3x3" else 1
            weighted = nn.Conv2d(channels, channels, size, padding=size // 2, bias=bare)
            nn.init.dirac_(weighted.weight)
        else:
            weighted = nn.Linear(channels, channels, bias=bare)
            nn.init.eye_(weighted.weight)
        if weighted.bias is not None:
            nn.init.zeros_(weighted.bias)
        self.weighted = weighted
        self.norm = None if bare else (nn.BatchNorm2d if spatial else nn.BatchNorm1d)(channels)

    def forward(self, rates: Tensor) -> Tensor:
        """Rates (B, *shape) to what the teacher's next units take, (B, *shape)."""
        out = self.weighted(self.scale * rates)
        return out if self.norm is None else self.norm(out).relu()

    @torch.no_grad()
    def settle_(self, seen: Seen) -> None:
        """Start as the identity of scaled rates, given what the stage did on the calibration images.

        A channel that never varies takes the teacher's spread, so that it is not magnified once it does.
        """
        self.scale.fill_(seen.fit.scale)
        if self.norm is None:
            return
        mean, spread = seen.rates.mean * seen.fit.scale, seen.rates.variance * seen.fit.scale**2
        spread = torch.where(seen.rates.varies, spread, seen.activations.variance)
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        for tensor, value in (
            (norm.running_mean, mean),
            (norm.running_var, spread),
            (norm.bias, mean),
            (norm.weight, (spread + norm.eps).sqrt()),
        ):
            tensor.copy_(value)


class Seen:
    """What a stage of the student and of its teacher did, over batches. channels: of the stage.

    fit: of rates to activations. rates, activations: mean and variance per channel.
    """

    def __init__(self, channels: int) -> None:
        self.fit = LeastSquares()
        self.rates, self.activations = Channels(channels), Channels(channels)

    def add(self, rates: Tensor, activations: Tensor) -> None:
        """Account for one batch; both (B, *shape)."""
        self.fit.add(activations, rates)
        self.rates.add(rates)
        self.activations.add(activations)


class Channels:
    """Mean and variance of each channel over batches (B, C, ...), each (C,) in float64."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._sums = torch.zeros(2, channels, dtype=torch.float64)

    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Account for one batch."""
        values = x.double().reshape(*x.shape[:2], -1)
        self._count += values.shape[0] * values.shape[2]
        self._sums += torch.stack([values.sum(dim=(0, 2)), values.square().sum(dim=(0, 2))]).cpu()

    @property
    def mean(self) -> Tensor:
        """Per channel."""
        return self._sums[0] / self._count

    @property
    def variance(self) -> Tensor:
        """Per channel, of the population."""
        return (self._sums[1] / self._count - self.mean.square()).clamp_min(0)

    @property
    def varies(self) -> Tensor:
        """Whether a channel's variance is more than rounding."""
        return self.variance > CONSTANT * self._sums[1] / self._count

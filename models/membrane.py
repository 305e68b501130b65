"""One timestep of a membrane, in floats and in the chip's integers, and its derivative: what every loop over T shares.

With x = (u - theta) / theta and the surrogate's derivative h'(x), a timestep is, forward and backward,

    u(t) = leak v(t-1) + gain I(t), or on the chip saturate(decay(v(t-1)) + I(t));  z(t) = H(u(t) - theta)
    v(t) = (1 - z) u  hard reset,  or u - theta z  soft reset
    dL/du = dL/dz h'(x) / theta + J dL/dv,      dL/dI = gain dL/du,      dL/dv(t-1) = leak dL/du
    J = dv/du = 1 - z                hard reset, detached      (1 - z) - u h'/theta      hard, live
                1                    soft reset, detached       1 - h'                   soft, live

The gradient passes the chip's saturation and truncation unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..hw.arithmetic import DECAY_ONE, STATE_LIMIT, STATE_SHIFT
from .profiles import Profile
from .surrogates import Surrogate

V_LIMIT = (STATE_LIMIT - 1) / (1 << STATE_SHIFT)
"""Saturation of the chip's membrane potential, in mantissa units."""


def decay(v: Tensor, constant: int) -> Tensor:
    """`hw.arithmetic.decay` for a membrane in mantissa units, exact in float32 for |v| < 2^17."""
    if constant == 0:
        return v
    # Two parts of 12 bits: every product stays below 2^24.
    magnitude = v.abs() * (1 << STATE_SHIFT)
    high = (magnitude / DECAY_ONE).floor()
    low = magnitude - high * DECAY_ONE
    keep = DECAY_ONE - constant
    kept = high * keep + (low * keep / DECAY_ONE).floor()
    return torch.copysign(kept / (1 << STATE_SHIFT), v) + 0.0


@dataclass(frozen=True, kw_only=True)
class Membrane:
    """The equation of one population, with a profile's choices.

    Fields as in `Profile`. v_decay: the chip's decay constant, of 4096, or None for an equation in floats.
    """

    leak: float
    gain: float
    v_init: float
    hard: bool
    strict: bool
    detach_reset: bool
    surrogate: Surrogate
    v_decay: int | None

    @classmethod
    def of(cls, profile: Profile, *, chip: bool) -> Membrane:
        """A profile's equation, in floats or (`chip`) in the chip's integers."""
        return cls(
            leak=profile.leak,
            gain=profile.gain,
            v_init=profile.v_init,
            hard=profile.reset == "hard",
            strict=profile.strict,
            detach_reset=profile.detach_reset,
            surrogate=profile.surrogate,
            v_decay=profile.v_decay if chip else None,
        )

    def charge(self, v: Tensor, current: Tensor) -> Tensor:
        """u: the membrane before the spike test."""
        if self.v_decay is not None:
            return (decay(v, self.v_decay) + current).clamp(-V_LIMIT, V_LIMIT)
        kept = self.leak * v if self.leak != 1 else v
        return kept + (self.gain * current if self.gain != 1 else current)

    def fires(self, u: Tensor, threshold: Any) -> Tensor:
        """Which neurons spike, bool. threshold: number or scalar tensor."""
        return u > threshold if self.strict else u >= threshold

    def reset(self, u: Tensor, fired: Tensor, threshold: Any) -> Tensor:
        """v: the membrane after the spike test."""
        return u.masked_fill(fired, 0) if self.hard else u - threshold * fired.to(u.dtype)

    def reset_slope(self, u: Tensor, slope: Tensor, threshold: Any) -> Tensor | float:
        """J, given slope = h'(x) / theta."""
        if not self.hard:
            return 1.0 if self.detach_reset else 1 - threshold * slope
        stayed = (~self.fires(u, threshold)).to(u.dtype)
        return stayed if self.detach_reset else stayed - u * slope

"""Neuron profiles: what differs between the spiking neurons of the field, as data.

One equation covers them all, with v(-1) = v_init * threshold:

    u(t) = leak * v(t-1) + gain * I(t)
    z(t) = H(u(t) - threshold)            strictly above, or at and above
    v(t) = (1 - z(t)) u(t)                hard reset to 0
    v(t) = u(t) - threshold * z(t)        soft reset (subtraction)

`loihi` is the default because that is what the chip does. Soft reset exists for comparison with papers and does not
survive export. Values: the public code of each method (rate-BP, TET, BrainCog, SpikingJelly, QCFS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..hw import BadInput, Registry
from ..hw.arithmetic import DECAY_ONE
from .surrogates import Surrogate, quadratic_gate, sigmoid, triangle


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One neuron profile. leak, gain, v_init: dimensionless (v_init in thresholds). threshold: membrane units.

    detach_reset: whether the reset's own dependence on the spike is left out of the gradient.
    surrogate: spike function of (u - threshold) / threshold; whether it fires at 0 is `strict`'s to say.
    """

    name: str
    leak: float
    gain: float = 1.0
    threshold: float = 1.0
    reset: Literal["hard", "soft"]
    strict: bool
    detach_reset: bool
    surrogate: Surrogate
    v_init: float = 0.0

    @property
    def fire(self) -> Surrogate:
        """The spike function with this profile's threshold test."""
        return replace(self.surrogate, at_or_above=not self.strict)

    @property
    def v_decay(self) -> int:
        """The leak as the chip's decay constant, of 4096."""
        return round((1 - self.leak) * DECAY_ONE)

    def on_chip(self) -> str | None:
        """None if the chip can compute this profile, else the reason it cannot."""
        reasons = []
        if self.reset != "hard":
            reasons.append(f"reset is {self.reset}, the chip resets hard to 0")
        if not self.strict:
            reasons.append("it fires at the threshold, the chip fires strictly above it")
        if self.gain != self.threshold:
            reasons.append(
                f"gain {self.gain} differs from the threshold {self.threshold}, so weights would not keep scale"
            )
        if self.v_init:
            reasons.append(f"the membrane starts at {self.v_init} thresholds, the chip starts at 0")
        if abs(self.v_decay / DECAY_ONE - (1 - self.leak)) > 1e-12:
            reasons.append(f"leak {self.leak} is not a multiple of 1/4096")
        return "; ".join(reasons) or None

    def with_v_decay(self, v_decay: int) -> Profile:
        """The same profile with another leak, `1 - v_decay / 4096`."""
        if not 0 <= v_decay <= DECAY_ONE:
            raise BadInput(f"profile {self.name}: v_decay is {v_decay}, the chip takes 0..{DECAY_ONE}")
        return replace(self, leak=1 - v_decay / DECAY_ONE)


PROFILES: Registry[Profile] = Registry("neuron profile")

for _profile in (
    Profile(name="loihi", leak=1.0, reset="hard", strict=True, detach_reset=True, surrogate=triangle(1.0)),
    Profile(name="soft_if", leak=1.0, reset="soft", strict=False, detach_reset=True, surrogate=triangle(1.0)),
    Profile(name="tet_lif", leak=0.5, reset="hard", strict=True, detach_reset=False, surrogate=triangle(1.0)),
    Profile(name="sastc_paper_lif", leak=0.5, reset="hard", strict=True, detach_reset=False, surrogate=triangle(0.3)),
    Profile(name="ratebp_lif", leak=0.2, reset="soft", strict=False, detach_reset=True, surrogate=sigmoid(4.0)),
    # Support |v - 0.5| <= 0.5 in membrane units is |x| <= 1 in thresholds.
    Profile(
        name="braincog_lif",
        leak=0.5,
        gain=0.5,
        threshold=0.5,
        reset="hard",
        strict=True,
        detach_reset=True,
        surrogate=quadratic_gate(1.0),
    ),
    Profile(name="sj_if", leak=1.0, reset="hard", strict=False, detach_reset=True, surrogate=sigmoid(4.0)),
    Profile(name="sj_lif", leak=0.5, gain=0.5, reset="hard", strict=False, detach_reset=True, surrogate=sigmoid(4.0)),
    Profile(
        name="qcfs_if", leak=1.0, reset="soft", strict=False, detach_reset=True, surrogate=triangle(1.0), v_init=0.5
    ),
):
    PROFILES.register(_profile.name, _profile)

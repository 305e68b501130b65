"""Spiking neurons in floats: one step as a function (the reference), and the module that runs a sample (`scan`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..hw import BadInput
from .profiles import Profile
from .scan import scan


def step(v: Tensor, current: Tensor, threshold: Tensor | float, profile: Profile) -> tuple[Tensor, Tensor]:
    """One timestep of a profile's equation (see `profiles`). v, current: one shape. Returns (v, spikes)."""
    u = _charged(v, current, profile)
    spikes = profile.fire((u - threshold) / threshold)
    return _reset(u, spikes, threshold, profile), spikes


def _charged(v: Tensor, current: Tensor, profile: Profile) -> Tensor:
    """u."""
    return profile.leak * v + profile.gain * current if profile.leak != 1 or profile.gain != 1 else v + current


def _reset(u: Tensor, spikes: Tensor, threshold: Tensor | float, profile: Profile) -> Tensor:
    """v, given the spikes that u made."""
    gate = spikes.detach() if profile.detach_reset else spikes
    return u * (1 - gate) if profile.reset == "hard" else u - threshold * gate


class Spiking(nn.Module):
    """A population of spiking neurons run over `n_steps` timesteps.

    threshold: scalar buffer, in membrane units.
    amplitude: what one spike is worth downstream: 1, or the threshold in the threshold form of a converted network.

    Shape: current (T, B, ...) , or (B, ...) if it is the same at every step; spikes (T, B, ...), {0, amplitude}.
    """

    threshold: Tensor
    amplitude: Tensor

    def __init__(self, profile: Profile, n_steps: int, *, threshold: float | None = None) -> None:
        super().__init__()
        if n_steps < 1:
            raise BadInput(f"T is {n_steps}; a spiking network needs at least 1 timestep")
        self.profile = profile
        self.n_steps = n_steps
        self.register_buffer("threshold", torch.tensor(profile.threshold if threshold is None else threshold))
        self.register_buffer("amplitude", torch.tensor(1.0))

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """Run the sample. static: whether `current` lacks the time axis."""
        sequence = scan(_widened(current), static, self.n_steps, float(self.threshold), self.profile)
        return sequence * self.amplitude if float(self.amplitude) != 1 else sequence

    def membrane(self, current: Tensor, static: bool, spikes: Tensor) -> Tensor:
        """v after the reset at every step, (T, B, ...), differentiable. spikes: what `forward` made of this current.

        The spikes are taken as they are, whatever loop made them: only the membrane between them is integrated anew,
        and its gradient by way of them is the population's own.
        """
        current, threshold = _widened(current), float(self.threshold)
        fired = spikes / self.amplitude if float(self.amplitude) != 1 else spikes
        v = torch.full_like(current if static else current[0], self.profile.v_init * threshold)
        potentials = []
        for t, now in enumerate(fired):
            v = _reset(_charged(v, current if static else current[t], self.profile), now, threshold, self.profile)
            potentials.append(v)
        return torch.stack(potentials)


def _widened(current: Tensor) -> Tensor:
    """The current in float32 or more, also under autocast."""
    return current.float() if current.dtype in (torch.bfloat16, torch.float16) else current

"""Spiking neurons in floats: one step as a function (the reference), and the module that runs a sample (`scan`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..hw import BadInput
from .profiles import Profile
from .scan import scan


def step(v: Tensor, current: Tensor, threshold: Tensor | float, profile: Profile) -> tuple[Tensor, Tensor]:
    """One timestep of a profile's equation (see `profiles`). v, current: one shape. Returns (v, spikes)."""
    u = profile.leak * v + profile.gain * current if profile.leak != 1 or profile.gain != 1 else v + current
    spikes = profile.fire((u - threshold) / threshold)
    gate = spikes.detach() if profile.detach_reset else spikes
    v = u * (1 - gate) if profile.reset == "hard" else u - threshold * gate
    return v, spikes


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
        current = current.float() if current.dtype in (torch.bfloat16, torch.float16) else current
        sequence = scan(current, static, self.n_steps, float(self.threshold), self.profile)
        return sequence * self.amplitude if float(self.amplitude) != 1 else sequence

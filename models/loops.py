"""The neuron's loop over time in plain torch: on every device, in every dtype, and the twin of `kernels.neuron`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .membrane import Membrane

CHUNK = 1 << 18
"""Neurons a CPU steps at a time: 1 MiB of float32 per tensor. Found by timing 2^15 to 2^23 on two cores."""


def forward(
    current: Tensor, n_steps: int, membrane: Membrane, threshold: float, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Run the neurons: spikes in {0, 1}, and u if `keep` is set, (T, N) each.

    current: (T, N), or (1, N) if it is the same at every step; compact, as all that is returned.
    """
    size = current.shape[1]
    spikes = current.new_empty(n_steps, size)
    potentials = torch.empty_like(spikes) if keep else None
    for part in _chunks(spikes):
        v = torch.full_like(current[0, part], membrane.v_init * threshold)
        for t in range(n_steps):
            u, fired, v = step(v, current[t if len(current) > 1 else 0, part], membrane, threshold)
            spikes[t, part] = fired
            if potentials is not None:
                potentials[t, part] = u
    return spikes, potentials


def backward(grad: Tensor, potentials: Tensor, membrane: Membrane, threshold: float, static: bool) -> Tensor:
    """The gradient of the current: (T, N), or (1, N) if it was the same at every step (`static`).

    grad: of the spikes, (T, N). potentials: u, (T, N).
    """
    out = torch.empty_like(potentials[:1] if static else potentials)
    for part in _chunks(grad):
        dv = torch.zeros_like(potentials[0, part])
        total = torch.zeros_like(dv)
        for t in reversed(range(len(grad))):
            du, dv = step_back(dv, grad[t, part], potentials[t, part], membrane, threshold)
            if static:
                total += du
            else:
                out[t, part] = membrane.gain * du
        if static:
            out[0, part] = membrane.gain * total
    return out


def step(v: Tensor, current: Tensor, membrane: Membrane, threshold: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One timestep: (u, which neurons spike, v)."""
    u = membrane.charge(v, current)
    fired = membrane.fires(u, threshold)
    return u, fired, membrane.reset(u, fired, threshold)


def step_back(
    dv: Tensor, grad: Tensor, u: Tensor, membrane: Membrane, threshold: float | Tensor
) -> tuple[Tensor, Tensor]:
    """One timestep backward: (dL/du, dL/dv before it), given dL/dv after it and dL/dz."""
    slope = membrane.surrogate.slope((u - threshold) / threshold) / threshold
    du = slope * grad + dv * membrane.reset_slope(u, slope, threshold)
    return du, membrane.leak * du if membrane.leak != 1 else du


def _chunks(sequence: Tensor) -> Iterator[slice]:
    """Slices of the second axis of (T, N) that a CPU's cache holds; all of it on an accelerator."""
    size = sequence.shape[1]
    width = CHUNK if sequence.device.type == "cpu" else max(1, size)
    for start in range(0, size, width):
        yield slice(start, min(start + width, size))

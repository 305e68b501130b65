"""A population run over a sample with one autograd node: the neuron's time loop, forward and backward.

The equations are those of `neurons.step` (the plain loop, which the tests compare with); only the memory traffic
differs: samples are stepped a few at a time, so that their state stays in the cache, and only `u` is kept for the
backward pass. With x = (u - theta) / theta and the surrogate derivative h'(x), per timestep, backwards:

    du = dL/dz h'(x) / theta + dv J,      dL/dI = gain du,      dv(t-1) = leak du
    J = 1 - z                hard reset, detached      (1 - z) - u h'/theta      hard, live
    J = 1                    soft reset, detached       1 - h'                   soft, live
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .profiles import Profile

Charge = Callable[[Tensor, Tensor], Tensor]
"""(v after the last step, current) -> u, the membrane before the spike test."""

CHUNK = 1 << 18
"""Neurons stepped at a time: 1 MiB of float32 per tensor. Found by timing 2^15 to 2^23 on two cores."""


def scan(
    current: Tensor, static: bool, n_steps: int, threshold: float, profile: Profile, charge: Charge | None = None
) -> Tensor:
    """Spikes (T, B, ...) in {0, 1} of current's dtype and memory format.

    current: (T, B, ...), or (B, ...) if `static`. threshold: in membrane units. charge: how the membrane takes up its
    current, by default leak * v + gain * I; whatever it is, the backward pass uses the profile's leak and gain.
    Low-precision currents (autocast) are to be widened by the caller: membranes are integrated in float32 or more.
    """
    return _Scan.apply(current, static, n_steps, threshold, profile, charge)  # pyright: ignore[reportReturnType]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        static: bool,
        n_steps: int,
        threshold: float,
        profile: Profile,
        charge: Charge | None,
    ) -> Tensor:
        spikes = _over_time(current, static, n_steps)
        keep = current.requires_grad
        membrane = _over_time(current, static, n_steps) if keep else None
        for rows in _chunks(spikes):
            part = current[rows] if static else current[:, rows]
            v = torch.full_like(part if static else part[0], profile.v_init * threshold)
            for t in range(n_steps):
                i = part if static else part[t]
                u = charge(v, i) if charge else _charge(v, i, profile)
                fired = u > threshold if profile.strict else u >= threshold
                v = u.masked_fill(fired, 0) if profile.reset == "hard" else u - threshold * fired
                spikes[t, rows] = fired
                if membrane is not None:
                    membrane[t, rows] = u
        ctx.settings = (static, n_steps, threshold, profile)
        ctx.save_for_backward(membrane)
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (membrane,) = ctx.saved_tensors
        static, n_steps, threshold, profile = ctx.settings
        grad = grads[0]
        out = torch.empty_like(grad[0]) if static else torch.empty_like(grad)
        for rows in _chunks(grad):
            dv: Tensor | None = None
            total: Tensor | None = None
            for t in reversed(range(n_steps)):
                u = membrane[t, rows]
                slope = _slope(profile, (u - threshold) / threshold) / threshold
                du = slope.mul_(grad[t, rows]) if profile.detach_reset else slope * grad[t, rows]
                if dv is not None:
                    du += dv * _reset_slope(profile, u, slope, threshold)
                dv = profile.leak * du if profile.leak != 1 else du
                if static:
                    total = du if total is None else total + du
                else:
                    out[t, rows] = profile.gain * du
            if total is not None:
                out[rows] = profile.gain * total
        return out, None, None, None, None, None


def _charge(v: Tensor, current: Tensor, profile: Profile) -> Tensor:
    kept = v * profile.leak if profile.leak != 1 else v
    return torch.add(kept, current, alpha=profile.gain)


def _slope(profile: Profile, x: Tensor) -> Tensor:
    """The surrogate's derivative at x, taken from the spike function itself."""
    with torch.enable_grad():
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(profile.surrogate(x).sum(), x)
    return slope


def _reset_slope(profile: Profile, u: Tensor, slope: Tensor, threshold: float) -> Tensor | float:
    """J = dv/du of one step."""
    if profile.reset == "soft":
        return 1.0 if profile.detach_reset else 1 - threshold * slope
    fired = u > threshold if profile.strict else u >= threshold
    stayed = (~fired).to(u.dtype)
    return stayed if profile.detach_reset else stayed - u * slope


def _over_time(current: Tensor, static: bool, n_steps: int) -> Tensor:
    """An empty (T, B, ...) tensor in the memory format of `current`."""
    if not static:
        return torch.empty_like(current)
    # Folded into the batch axis, a 4-D tensor keeps its memory format (channels last).
    folded = torch.empty_like(current.expand(n_steps, *current.shape).flatten(0, 1))
    return folded.unflatten(0, (n_steps, current.shape[0]))


def _chunks(sequence: Tensor) -> Iterator[slice]:
    """Slices of the batch axis of (T, B, ...) that hold about CHUNK neurons each; all of it on an accelerator."""
    batch = sequence.shape[1]
    per_sample = max(1, sequence[0, 0].numel())
    rows = max(1, CHUNK // per_sample) if sequence.device.type == "cpu" else batch
    for start in range(0, batch, rows):
        yield slice(start, start + rows)

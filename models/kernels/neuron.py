"""The neuron's loop over time, forward and backward, compiled: float32 on a CPU, see `membrane` for the equations.

Spikes and membranes have the bits of the plain loop: products and sums are rounded one by one, in its order. Gradients
differ from it by rounding, because the surrogate's derivative is evaluated in closed form. Blocks of neurons are taken
over all timesteps, so that their state stays in the first-level cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from ...hw.arithmetic import DECAY_ONE, STATE_SHIFT
from ..membrane import V_LIMIT, Membrane
from .native import compiled, parallel

BLOCK = 1024
"""Neurons stepped together."""

SMALLEST = 1 << 14
"""Neurons over all timesteps below which a further thread costs more than it saves."""

f32, i32 = np.float32, np.int32

ZERO, ONE = f32(0), f32(1)
CHIP_LIMIT = f32(V_LIMIT)
STATE_ONE, PER_STATE = f32(1 << STATE_SHIFT), f32(1 / (1 << STATE_SHIFT))
WHOLE, PER_WHOLE = f32(DECAY_ONE), f32(1 / DECAY_ONE)

LOG2_E = f32(math.log2(math.e))
LARGEST_POWER = f32(126)
"""2^-126 is the smallest normal number: surrogates end there."""

# 2^-f on [0, 1], interpolated at Chebyshev's points: its relative error, ln(2)^7 / 7! 2^-12, is below 2^-27.
_F = np.cos((np.arange(7) + 0.5) * np.pi / 7) / 2 + 0.5
P0, P1, P2, P3, P4, P5, P6 = (f32(c) for c in np.polynomial.Polynomial.fit(_F, 2.0**-_F, 6).convert().coef)


def forward(
    current: Tensor, n_steps: int, membrane: Membrane, threshold: float, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """As `loops.forward`, for float32."""
    spikes = current.new_empty(n_steps, current.shape[1])
    potentials = torch.empty_like(spikes) if keep else None
    theta = f32(threshold)
    given, fired = current.numpy(), spikes.numpy()
    kept = np.empty((0, 0), f32) if potentials is None else potentials.numpy()
    numbers = (
        f32(membrane.v_init * threshold),
        f32(membrane.leak),
        f32(membrane.gain),
        i32(-1 if membrane.v_decay is None else DECAY_ONE - membrane.v_decay),
        theta,
        edge(membrane, theta),
        membrane.hard,
    )

    def work(part: slice) -> None:
        _forward(given, *numbers, fired, kept, part.start, part.stop)

    parallel(work, current.shape[1], max(1, SMALLEST // n_steps))
    return spikes, potentials


def backward(grad: Tensor, potentials: Tensor, membrane: Membrane, threshold: float, static: bool) -> Tensor:
    """As `loops.backward`, for float32."""
    out = torch.empty_like(potentials[:1] if static else potentials)
    theta, surrogate = f32(threshold), membrane.surrogate
    given, u, filled = grad.numpy(), potentials.numpy(), out.numpy()
    numbers = (
        f32(membrane.leak),
        f32(membrane.gain),
        theta,
        edge(membrane, theta),
        membrane.hard,
        not membrane.detach_reset,
        surrogate.kind == "triangle",
        f32(surrogate.parameter),
    )

    def work(part: slice) -> None:
        _backward(given, u, *numbers, filled, part.start, part.stop)

    parallel(work, u.shape[1], max(1, SMALLEST // len(u)))
    return out


def edge(membrane: Membrane, theta: np.float32) -> np.float32:
    """The float32 above which a neuron spikes: the threshold, or the number before it."""
    return theta if membrane.strict else np.nextafter(theta, f32(-np.inf))


def _as_float(typing_context: Any, bits: Any) -> Any:
    """The float32 that an int32's bits are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


as_float: Any = intrinsic(_as_float)


@compiled
def exp_minus(y):
    """exp(-y) for y >= 0, float32, to about 2^-22."""
    z = min(f32(y * LOG2_E), LARGEST_POWER)
    whole = i32(z)
    f = f32(z - f32(whole))
    p = f32(f32(P6 * f) + P5)
    p = f32(f32(p * f) + P4)
    p = f32(f32(p * f) + P3)
    p = f32(f32(p * f) + P2)
    p = f32(f32(p * f) + P1)
    p = f32(f32(p * f) + P0)
    return f32(p * as_float(i32(i32(127) - whole) << i32(23)))


@compiled
def chip_decay(v, keep):
    """`membrane.decay` in float32."""
    magnitude = f32(abs(v) * STATE_ONE)
    high = f32(math.floor(f32(magnitude * PER_WHOLE)))
    low = f32(magnitude - f32(high * WHOLE))
    kept = f32(f32(high * keep) + f32(math.floor(f32(f32(low * keep) * PER_WHOLE))))
    kept = f32(kept * PER_STATE)
    return kept if v >= ZERO else f32(-kept)


@compiled
def _forward(current, begin, leak, gain, chip_keep, theta, edge, hard, spikes, potentials, start, stop):
    """chip_keep: what the chip's decay keeps, of 4096, or -1 in floats. A neuron spikes for u > edge."""
    steps = spikes.shape[0]
    held = current.shape[0] == 1
    keep = f32(chip_keep)
    memory = np.empty(BLOCK, f32)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        v = memory[:n]
        v[:] = begin
        for t in range(steps):
            a = current[0 if held else t, first : first + n]
            z = spikes[t, first : first + n]
            if chip_keep < 0:
                for i in range(n):
                    v[i] = f32(f32(leak * v[i]) + f32(gain * a[i]))
            else:
                for i in range(n):
                    u = f32(chip_decay(v[i], keep) + a[i])
                    v[i] = min(max(u, -CHIP_LIMIT), CHIP_LIMIT)
            if potentials.size:
                potentials[t, first : first + n] = v
            for i in range(n):
                u = v[i]
                fired = u > edge
                z[i] = ONE if fired else ZERO
                v[i] = f32(u - (u if hard else theta)) if fired else u


@compiled
def _backward(grad, potentials, leak, gain, theta, edge, hard, live, triangle, parameter, out, start, stop):
    """live: whether the reset is differentiated. parameter: the surrogate's."""
    steps = potentials.shape[0]
    summed = out.shape[0] == 1 and steps > 1
    per_theta = f32(ONE / theta)
    peak = f32(per_theta / parameter)  # of a triangle: h'(x) / theta = peak - fall |u - theta|
    fall = f32(peak * per_theta / parameter)
    sharp = f32(parameter * per_theta)
    memory, total = np.empty(BLOCK, f32), np.empty(BLOCK, f32)
    slopes = np.empty(BLOCK, f32)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        dv, s, sums = memory[:n], slopes[:n], total[:n]
        dv[:], sums[:] = ZERO, ZERO
        for t in range(steps - 1, -1, -1):
            u = potentials[t, first : first + n]
            g = grad[t, first : first + n]
            if triangle:
                for i in range(n):
                    s[i] = max(ZERO, f32(peak - f32(fall * abs(f32(u[i] - theta)))))
            else:
                for i in range(n):
                    e = exp_minus(f32(sharp * abs(f32(u[i] - theta))))
                    s[i] = f32(f32(sharp * e) / f32(f32(ONE + e) * f32(ONE + e)))
            for i in range(n):
                j = ZERO if hard and u[i] > edge else ONE
                if live:
                    j = f32(j - f32(s[i] * (u[i] if hard else theta)))
                dv[i] = f32(f32(s[i] * g[i]) + f32(dv[i] * j))
            if summed:
                for i in range(n):
                    sums[i] += dv[i]
            else:
                o = out[t, first : first + n]
                for i in range(n):
                    o[i] = f32(gain * dv[i])
            for i in range(n):
                dv[i] = f32(leak * dv[i])
        if summed:
            o = out[0, first : first + n]
            for i in range(n):
                o[i] = f32(gain * sums[i])

"""Populations under the `rate` engine: all timesteps of a spike pass, and the backward pass of one node on the rates.

float32, channels last: a sample's neurons are N = positions x channels, in this order. Blocks of neurons are taken over
all timesteps, so that their state stays in the first-level cache. Equations: `models.membrane`, `models.rate_plain`.
"""

from __future__ import annotations

import numpy as np

from .native import compiled
from .neuron import exp_minus

f32 = np.float32

ZERO, ONE = f32(0), f32(1)

BLOCK = 1024
"""Neurons stepped together, about."""

TILE = 256
"""Values, about, whose sums are taken side by side in float32 before they are added up in float64."""


@compiled
def measure(
    first, second, gains, passed, worth, membrane, hard, live, triangle, first_mean, second_mean, spikes, rate, slope
):
    """Run populations over all timesteps.

    The current is gains[0] first + gains[1] second + gains[2] + worth passed. first, second: float32 (B, T, N), or
    (B, 1, N) if it is the same at every step, or (B, 0, N) if there is none. gains: float32 (3, N), or (3, block) if
    they are the same for every block of that many neurons. passed: uint8 (B, T or 0, N), the spikes of an identity
    wire. membrane: float32 (v at the start, leak, gain, threshold, edge, the surrogate's parameter, what a spike is
    worth); a neuron spikes for u > edge. live: whether the reset is differentiated. first_mean, second_mean: float32
    (B, N), filled with the means over time of first and second, or (0, 0) if nobody wants them. spikes: uint8
    (B, T, N), filled. rate, slope: float32 (B, N), filled.
    """
    begin, leak, gain, theta, edge, parameter, amplitude = membrane
    samples, steps, size = spikes.shape
    whole = gains.shape[1] == size
    block = min(BLOCK, size) if whole else gains.shape[1]
    held = first.shape[1] <= 1 and second.shape[1] <= 1 and passed.shape[1] == 0
    single = second.shape[1] == 0 and passed.shape[1] == 0
    share = f32(ONE / f32(steps))
    scale = f32(amplitude * share)
    per_theta = f32(ONE / theta)
    peak = f32(per_theta / parameter)  # of a triangle: h'(x) / theta = peak - fall |u - theta|
    fall = f32(peak * per_theta / parameter)
    sharp = f32(parameter * per_theta)
    currents, state = np.empty(block, f32), np.empty(block, f32)
    around, slopes = np.empty(block, f32), np.empty(block, f32)
    for b in range(samples):
        for start in range(0, size, block):
            stop = min(start + block, size)
            n = stop - start
            at = start if whole else 0
            factor, shift = gains[0, at : at + n], gains[2, at : at + n]
            c, v, e, s = currents[:n], state[:n], around[:n], slopes[:n]
            r, total = rate[b, start:stop], slope[b, start:stop]
            v[:], e[:], r[:], total[:] = begin, gain, ZERO, ZERO
            if first_mean.size:
                first_mean[b, start:stop] = ZERO
            if second_mean.size:
                second_mean[b, start:stop] = ZERO
            for t in range(steps):
                if single and not held:
                    y = first[b, t, start:stop]
                    if first_mean.size:
                        sum_up(y, first_mean[b, start:stop])
                    for i in range(n):
                        v[i] = f32(f32(leak * v[i]) + f32(gain * f32(shift[i] + f32(factor[i] * y[i]))))
                else:
                    if t == 0 or not held:
                        for i in range(n):
                            c[i] = shift[i]
                        if first.shape[1]:
                            y = first[b, min(t, first.shape[1] - 1), start:stop]
                            join(y, factor, c)
                            if first_mean.size:
                                sum_up(y, first_mean[b, start:stop])
                        if second.shape[1]:
                            y = second[b, min(t, second.shape[1] - 1), start:stop]
                            join(y, gains[1, at : at + n], c)
                            if second_mean.size:
                                sum_up(y, second_mean[b, start:stop])
                        if passed.shape[1]:
                            other = passed[b, t, start:stop]
                            for i in range(n):
                                c[i] = f32(c[i] + f32(worth * f32(other[i])))
                    for i in range(n):
                        v[i] = f32(f32(leak * v[i]) + f32(gain * c[i]))
                if triangle:
                    for i in range(n):
                        s[i] = max(ZERO, f32(peak - f32(fall * abs(f32(v[i] - theta)))))
                else:
                    for i in range(n):
                        x = exp_minus(f32(sharp * abs(f32(v[i] - theta))))
                        s[i] = f32(f32(sharp * x) / f32(f32(ONE + x) * f32(ONE + x)))
                for i in range(n):
                    total[i] = f32(total[i] + f32(e[i] * s[i]))
                z = spikes[b, t, start:stop]
                for i in range(n):
                    z[i] = np.uint8(v[i] > edge)
                for i in range(n):
                    u = v[i]
                    fired = u > edge
                    r[i] = f32(r[i] + (ONE if fired else ZERO))
                    drop = u if hard else theta
                    j = ZERO if fired and hard else ONE
                    if live:
                        j = f32(j - f32(s[i] * drop))
                    e[i] = f32(gain + f32(f32(leak * j) * e[i]))
                    v[i] = f32(u - drop) if fired else u
            scale_by(scale, r)
            scale_by(scale, total)
            if first_mean.size:
                scale_by(share, first_mean[b, start:stop])
            if second_mean.size:
                scale_by(share, second_mean[b, start:stop])


@compiled
def join(values, gains, currents):
    """currents += gains values."""
    for i in range(len(currents)):
        currents[i] = f32(currents[i] + f32(gains[i] * values[i]))


@compiled
def sum_up(values, sums):
    """sums += values."""
    for i in range(len(sums)):
        sums[i] = f32(sums[i] + values[i])


@compiled
def scale_by(factor, values):
    """values *= factor."""
    for i in range(len(values)):
        values[i] = f32(values[i] * factor)


@compiled
def settle(given, channels, out, sums):
    """Move what a convolution gave to where it is kept, and add it up.

    given, out: float32 (pictures, N), channels last; `out` is (0, 0) if there is nothing to move. sums: float64
    (pictures, 2, channels), filled with the sums over positions of the values and of their squares.
    """
    pictures, size = given.shape
    tile = channels * max(1, TILE // channels)
    one, two = np.empty(tile, f32), np.empty(tile, f32)
    for picture in range(pictures):
        one[:], two[:] = ZERO, ZERO
        for start in range(0, size, tile):
            n = min(tile, size - start)
            here = given[picture, start : start + n]
            if out.size:
                there = out[picture, start : start + n]
                for i in range(n):
                    there[i] = here[i]
            for i in range(n):
                y = here[i]
                one[i] = f32(one[i] + y)
                two[i] = f32(two[i] + f32(y * y))
        fold(one, sums[picture, 0])
        fold(two, sums[picture, 1])


@compiled
def fold(tile, sums):
    """The sums of each channel, float64 (C,), filled. tile: float32, channels innermost."""
    sums[:] = 0.0
    channels = len(sums)
    for start in range(0, len(tile), channels):
        for c in range(channels):
            sums[c] += tile[start + c]


@compiled
def tally(spikes, worth, rate):
    """Firing rates times `worth`. spikes: uint8 (B, T, N). rate: float32 (B, N), filled."""
    samples, steps, size = spikes.shape
    scale = f32(worth / f32(steps))
    for b in range(samples):
        r = rate[b]
        r[:] = ZERO
        for t in range(steps):
            z = spikes[b, t]
            for i in range(size):
                r[i] = f32(r[i] + f32(z[i]))
        for i in range(size):
            r[i] = f32(r[i] * scale)


@compiled
def pull_back(grad, slope, channels, out, sums):
    """The gradient of the mean current. grad, slope: float32 (B, N). out: float32 (B, N), filled with grad slope.

    sums: float64 (B, channels), filled with its sums over positions.
    """
    samples, size = grad.shape
    tile = channels * max(1, TILE // channels)
    totals = np.empty(tile, f32)
    for b in range(samples):
        totals[:] = ZERO
        for start in range(0, size, tile):
            n = min(tile, size - start)
            g, s, o = grad[b, start : start + n], slope[b, start : start + n], out[b, start : start + n]
            for i in range(n):
                o[i] = f32(g[i] * s[i])
            for i in range(n):
                totals[i] = f32(totals[i] + o[i])
        fold(totals, sums[b])


@compiled
def correlate(grad, mean, center, sums):
    """sums: float64 (B, channels), filled with the sums over positions of grad (mean - center).

    grad, mean: float32 (B, N). center: float32 (tile,), the same for every tile of so many neurons.
    """
    samples, size = grad.shape
    tile = len(center)
    totals = np.empty(tile, f32)
    for b in range(samples):
        totals[:] = ZERO
        for start in range(0, size, tile):
            n = min(tile, size - start)
            g, m = grad[b, start : start + n], mean[b, start : start + n]
            for i in range(n):
                totals[i] = f32(totals[i] + f32(g[i] * f32(m[i] - center[i])))
        fold(totals, sums[b])


@compiled
def through_norm(grad, mean, terms, out):
    """The gradient of the sums before a batch norm: terms[0] grad + terms[1] (mean - terms[2]) + terms[3].

    grad, mean: float32 (B, N). terms: float32 (4, tile), the same for every tile of so many neurons. out: float32
    (B, N), filled.
    """
    samples, size = grad.shape
    tile = terms.shape[1]
    scale, tilt, center, shift = terms[0], terms[1], terms[2], terms[3]
    for b in range(samples):
        for start in range(0, size, tile):
            n = min(tile, size - start)
            g, m, o = grad[b, start : start + n], mean[b, start : start + n], out[b, start : start + n]
            for i in range(n):
                o[i] = f32(f32(f32(scale[i] * g[i]) + f32(tilt[i] * f32(m[i] - center[i]))) + shift[i])

"""Loops that numba compiles: the neurons over all timesteps, event-driven synaptic sums, and the counting of spikes.

Every intermediate is cast back to the width it lives in, because numba would widen it to 64 bits and halve the speed.
The kernels release the interpreter's lock and take contiguous arrays whose first axis can be cut into independent
parts (`kernels.parallel`). Importing this module needs numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from . import LANES
from .vectors import add_block, put_eight

i32, u64 = np.int32, np.uint64

BLOCK = 1024
"""Neurons stepped together, so that their states stay in the first-level cache."""

LIMIT = i32(1 << 23)
MASK = i32((1 << 24) - 1)
HIGHEST = i32((1 << 23) - 1)
NONE = i32(0)
LOW_BITS = i32(4095)
SHIFT, HALF = i32(6), i32(12)

GATHER = u64(sum(1 << (56 - 7 * k) for k in range(8)))
"""Times a word whose eight bytes are 0 or 1, it has byte k at bit 56 + k."""

N_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.int64)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter; keep the machine code on disk where a folder for it can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return numba.njit(nogil=True, error_model="numpy")(function)


@compiled
def decayed(x, keep):
    """x * keep / 4096, rounded towards zero (`hw.arithmetic.decay`). int32."""
    m = x if x >= NONE else i32(-x)
    low = i32(i32(i32(m & LOW_BITS) * keep) >> HALF)
    m = i32(i32(i32(m >> HALF) * keep) + low)
    return m if x >= NONE else i32(-m)


@compiled
def wrapped(u):
    """A current back in its 24 bits (`hw.arithmetic.wrap_state`). int32."""
    return i32(LIMIT - i32(i32(LIMIT - u) & MASK))


@compiled
def saturated(v):
    """A membrane within its range (`hw.arithmetic.saturate_state`). int32."""
    v = v if v <= HIGHEST else HIGHEST
    return v if v >= -HIGHEST else i32(-HIGHEST)


@compiled
def neurons(sums, bias, i_decay, v_decay, threshold, spikes, all_u, all_v, u_state, v_state, fresh):
    """Step CUBA neurons (`hw.neurons.cuba`) over all timesteps.

    sums: float32 or int32 (B, T or 1, N), integers. bias: int32 (N,), already shifted. threshold: int32, already
    shifted. spikes: uint8 (B, T, N), filled. all_u, all_v: int32 (B, T, N), filled, or (0, 0, 0) if not wanted.
    u_state, v_state: int32 (B, N), the states to begin with unless `fresh`, and filled with the last ones; (0, 0) for
    states that nobody wants.
    """
    samples, steps, size = spikes.shape
    held = sums.shape[1] == 1
    keep_u, keep_v = i32(4096 - i_decay), i32(4096 - v_decay)
    passing = keep_u == 0 and all_u.size == 0 and u_state.size == 0  # nothing of u is needed later
    u, v = np.empty(BLOCK, i32), np.empty(BLOCK, i32)
    for b in range(samples):
        for start in range(0, size, BLOCK):
            n = min(BLOCK, size - start)
            if fresh:
                u[:n], v[:n] = NONE, NONE
            else:
                u[:n], v[:n] = u_state[b, start : start + n], v_state[b, start : start + n]
            beta = bias[start : start + n]
            for t in range(steps):
                a = sums[b, 0 if held else t, start : start + n]
                z = spikes[b, t, start : start + n]
                if passing:
                    for i in range(n):
                        w = wrapped(i32(i32(a[i]) << SHIFT))
                        m = saturated(i32(i32(decayed(v[i], keep_v) + w) + beta[i]))
                        fired = m > threshold
                        z[i] = np.uint8(fired)
                        v[i] = NONE if fired else m
                else:
                    for i in range(n):
                        w = wrapped(i32(decayed(u[i], keep_u) + i32(i32(a[i]) << SHIFT)))
                        u[i] = w
                        m = saturated(i32(i32(decayed(v[i], keep_v) + w) + beta[i]))
                        fired = m > threshold
                        z[i] = np.uint8(fired)
                        v[i] = NONE if fired else m
                if all_u.size:
                    all_u[b, t, start : start + n] = u[:n]
                if all_v.size:
                    all_v[b, t, start : start + n] = v[:n]
            if u_state.size:
                u_state[b, start : start + n] = u[:n]
            if v_state.size:
                v_state[b, start : start + n] = v[:n]


@compiled
def list_events(spikes, words, places, row, first, index):
    """Which neurons of one picture spiked. Fills `first` and `index`.

    spikes: uint8 0/1 (H, W, C). words: the same bytes as uint64 (H, W, C / 8), or (0, 0, 0) where 8 does not divide C.
    places: see `places_of_bits`. first: int32 (H, W + 1), where the events of each pixel begin in `index`. index:
    int32, (x * C + c) * row of each event; eight more than there are neurons.
    """
    height, width, channels = spikes.shape
    n = 0
    for y in range(height):
        for x in range(width):
            first[y, x] = n
            base = x * channels
            if words.size:
                for k in range(words.shape[2]):
                    bits = np.int64((words[y, x, k] * GATHER) >> u64(56))
                    put_eight(places, bits, i32((base + 8 * k) * row), index, n)
                    n += N_BITS[bits]
            else:
                for c in range(channels):
                    index[n] = i32((base + c) * row)
                    n += i32(spikes[y, x, c])
        first[y, width] = n


@compiled
def places_of_bits(row):
    """For every byte, which bits are set, times `row`, lowest first. int32 (256 * 8,), filled up with zeros."""
    places = np.zeros(256 * 8, i32)
    for byte in range(256):
        n = byte * 8
        for bit in range(8):
            if byte >> bit & 1:
                places[n] = bit * row
                n += 1
    return places


@compiled
def add_rows(weight, offsets, n, most, wide):
    """wide = the sum of the `n` rows of weights that begin at `offsets`.

    weight: int8 or int16, flat, of rows that are a multiple of `LANES` long, as is `wide`, int32. most: how many rows
    can be added before an int16 could overflow.
    """
    wide[:] = NONE
    width = wide.shape[0]
    start = 0
    while start < n:
        stop = min(start + most, n)
        column = 0
        while column + 4 * LANES <= width:
            add_block(4, weight, offsets, start, stop, column, wide)
            column += 4 * LANES
        if column + 2 * LANES <= width:
            add_block(2, weight, offsets, start, stop, column, wide)
            column += 2 * LANES
        if column < width:
            add_block(1, weight, offsets, start, stop, column, wide)
        start = stop


@compiled
def conv_events(spikes, words, weight, kernel, stride, padding, dilation, most, scale, out):
    """Synaptic sums of a convolution, gathered for each target position from the events under its kernel.

    spikes: uint8 0/1 (N, H, W, C). words: see `list_events`, with N in front. weight: int8 or int16 (kH kW C, width),
    rows in the order (ky, kx, c), filled up with zeros to a multiple of `LANES`. kernel, stride, padding, dilation:
    (H, W). most: see `add_rows`. out: float32 (N, H', W', outputs), filled with scale times the sum.
    """
    pictures, height, width, channels = spikes.shape
    kernel_h, kernel_w = kernel
    run = kernel_w if dilation[1] == 1 else 1  # taps of one kernel row whose events lie side by side
    row = weight.shape[1]
    flat = weight.reshape(-1)
    first = np.empty((height, width + 1), i32)
    index = np.empty(height * width * channels + 8, i32)
    places = places_of_bits(row)
    offsets = np.empty(kernel_h * kernel_w * channels, i32)
    wide = np.empty(row, i32)
    for picture in range(pictures):
        list_events(spikes[picture], words[min(picture, words.shape[0] - 1)], places, row, first, index)
        for oy in range(out.shape[1]):
            for ox in range(out.shape[2]):
                n = 0
                for ky in range(kernel_h):
                    y = oy * stride[0] - padding[0] + ky * dilation[0]
                    if y < 0 or y >= height:
                        continue
                    for kx in range(0, kernel_w, run):
                        x = ox * stride[1] - padding[1] + kx * dilation[1]
                        left, right = min(max(x, 0), width), max(min(x + run, width), 0)
                        if right <= left:
                            continue
                        start, stop = first[y, left], first[y, right]
                        shift = i32((ky * kernel_w + kx - x) * channels * row)
                        for e in range(stop - start):
                            offsets[n + e] = i32(index[start + e] + shift)
                        n += stop - start
                add_rows(flat, offsets, n, most, wide)
                target = out[picture, oy, ox]
                for o in range(target.shape[0]):
                    target[o] = np.float32(wide[o]) * scale


@compiled
def tally(spikes, rows, kinds, table, totals):
    """Spikes weighed by what they reach. Fills `totals`, int64 (N, K).

    spikes: uint8 0/1 (N, H, W C). Rows of pixels come in few kinds and so do pixels, so spikes are first added up over
    equal rows, then over equal pixels. rows: int32 (H,), the kind of each row. kinds: int32 (kinds of rows, W), the
    kind of each pixel in such a row. table: int64 (K, kinds, C).
    """
    columns, n_kinds, channels = table.shape
    n_rows, width = kinds.shape
    by_row = np.empty((n_rows, width * channels), i32)
    seen = np.empty((n_kinds, channels), i32)
    for picture in range(spikes.shape[0]):
        by_row[:] = NONE
        for y in range(spikes.shape[1]):
            here, z = by_row[rows[y]], spikes[picture, y]
            for i in range(width * channels):
                here[i] = i32(here[i] + i32(z[i]))
        seen[:] = NONE
        for y in range(n_rows):
            for x in range(width):
                here, part = seen[kinds[y, x]], by_row[y, x * channels : (x + 1) * channels]
                for c in range(channels):
                    here[c] = i32(here[c] + part[c])
        for k in range(columns):
            total = np.int64(0)
            for kind in range(n_kinds):
                for c in range(channels):
                    total += seen[kind, c] * table[k, kind, c]
            totals[picture, k] = total


@compiled
def add_events(spikes, words, rows, most, sums):
    """Rows of a table, added up over the neurons that spiked. Fills `sums`, int32 (N, width).

    spikes: uint8 0/1 (N, 1, 1, neurons). words: see `list_events`, with N in front. rows: int8 (neurons, width), of a
    width that is a multiple of `LANES`. most: see `add_rows`.
    """
    neurons, width = rows.shape
    flat = rows.reshape(-1)
    first = np.empty((1, 2), i32)
    index = np.empty(neurons + 8, i32)
    places = places_of_bits(width)
    for picture in range(spikes.shape[0]):
        here = words[min(picture, words.shape[0] - 1)]
        list_events(spikes[picture], here, places, i32(width), first, index)
        add_rows(flat, index, first[0, 1], most, sums[picture])

"""Convolutions of binary spikes in float32, gathered from the spikes that occurred.

The source's channels are taken in groups. What a group of four adds to all outputs depends on which of the four fired:
16 rows of sums, made once from the weights, so that a pixel costs one row for every group that is not silent. Where
that table would not stay in the cache, groups hold one channel each, and a row is a row of weights.
"""

from __future__ import annotations

import numpy as np

from .native import compiled
from .rates import settle
from .vectors import LANES, gather, note

WIDEST = 4
"""Vectors of one block of outputs."""

PICTURES = 8
"""Pictures listed together, so that a block of weights is used on all of them while it is in the cache."""

i32, f32 = np.int32, np.float32


@compiled
def fill_patterns(weight, table):
    """What each pattern of four channels adds. weight: float32 (A, C, row). table: float32 (A, C / 4, 16, row), filled:
    pattern p has the sum of the rows of the channels 4 g + k whose bit k is set in p."""
    for a in range(table.shape[0]):
        for g in range(table.shape[1]):
            table[a, g, 0] = f32(0)
            for bit in range(4):
                more = weight[a, 4 * g + bit]
                for p in range(1 << bit):
                    known, sums = table[a, g, p], table[a, g, p + (1 << bit)]
                    for i in range(len(more)):
                        sums[i] = f32(known[i] + more[i])


@compiled
def list_words(words, row, first, index):
    """Which groups of four channels of one picture are not silent. Returns how many there are.

    words: uint32 (H, W, G), four spikes 0/1 each. row: length of a row of the table. first: int32 (H, W + 1), where the
    events of each pixel begin in `index`. index: int32, ((x G + g) 16 + pattern) * row of each event; one more than
    there are groups.
    """
    height, width, groups = words.shape
    flat = words.reshape(-1)
    n = 0
    for y in range(height):
        for x in range(width):
            first[y, x] = n
            n = note(flat, (y * width + x) * groups, groups, i32(x * groups * 16 * row), row, index, n)
        first[y, width] = n


@compiled
def list_bytes(fired, row, first, index):
    """The same where each channel is a group: fired: uint8 0/1 (H, W, C). index: (x C + c) * row of each spike."""
    height, width, channels = fired.shape
    n = 0
    for y in range(height):
        for x in range(width):
            first[y, x] = n
            here = fired[y, x]
            base = i32(x * channels * row)
            for c in range(channels):
                index[n] = base
                base = i32(base + i32(row))
                n += here[c]
        first[y, width] = n


@compiled
def conv(fired, words, table, rows, kernel, stride, padding, dilation, out, sums):
    """Sums of a convolution of spikes.

    fired: uint8 0/1 (N, H, W, C). words: the same bytes as uint32 (N, H, W, C / 4) for a table of patterns, else
    (0, 0, 0, 0). table: float32 (blocks, kH kW rows, width), rows in the order (ky, kx, group, pattern), outputs
    filled up with zeros to whole blocks. rows: of one tap. kernel, stride, padding, dilation: (H, W). out: float32
    (N, H', W', outputs), filled. sums: float64 (N, 2, outputs), filled with the sums over positions of the output and
    of its square; or (0, 0, 0).
    """
    pictures, height, width, channels = fired.shape
    _, out_height, out_width, outputs = out.shape
    fours = words.size > 0
    row = table.shape[2]
    run = kernel[1] if dilation[1] == 1 else 1  # taps of one kernel row whose events lie side by side
    first = np.empty((PICTURES, height, width + 1), i32)
    index = np.empty((PICTURES, height * width * (words.shape[3] if fours else channels) + 1), i32)
    spans = np.empty((kernel[0] * kernel[1], 3), np.int64)
    wide = np.empty(row, f32)
    flat_out = out.reshape(-1)
    nowhere = np.empty((0, 0), f32)
    for begin in range(0, pictures, PICTURES):
        end = min(begin + PICTURES, pictures)
        for picture in range(begin, end):
            if fours:
                list_words(words[picture], i32(row), first[picture - begin], index[picture - begin])
            else:
                list_bytes(fired[picture], row, first[picture - begin], index[picture - begin])
        for block in range(table.shape[0]):
            flat = table[block].reshape(-1)
            left = block * row
            whole = left + row <= outputs
            for picture in range(begin, end):
                starts, listed = first[picture - begin], index[picture - begin]
                for oy in range(out_height):
                    for ox in range(out_width):
                        n = 0
                        for ky in range(kernel[0]):
                            y = oy * stride[0] - padding[0] + ky * dilation[0]
                            if y < 0 or y >= height:
                                continue
                            for kx in range(0, kernel[1], run):
                                x = ox * stride[1] - padding[1] + kx * dilation[1]
                                near, far = min(max(x, 0), width), max(min(x + run, width), 0)
                                if far <= near:
                                    continue
                                spans[n, 0], spans[n, 1] = starts[y, near], starts[y, far]
                                spans[n, 2] = (ky * kernel[1] + kx - x) * rows * row
                                n += 1
                        place = ((picture * out_height + oy) * out_width + ox) * outputs + left
                        if whole:
                            add(row, flat, listed, spans, n, flat_out, place)
                        else:
                            add(row, flat, listed, spans, n, wide, 0)
                            flat_out[place : place + outputs - left] = wide[: outputs - left]
        if sums.size:
            for picture in range(begin, end):
                done = out[picture].reshape(1, -1)
                settle(done, outputs, nowhere, sums[picture : picture + 1])


@compiled
def add(row, flat, listed, spans, n, target, place):
    """`gather` for a row of 1 to `WIDEST` vectors."""
    if row == LANES:
        gather(1, flat, listed, spans, n, target, place)
    elif row == 2 * LANES:
        gather(2, flat, listed, spans, n, target, place)
    elif row == 3 * LANES:
        gather(3, flat, listed, spans, n, target, place)
    else:
        gather(4, flat, listed, spans, n, target, place)

"""Convolutions of binary spikes three columns wide, with stride 1: one row of outputs at a time.

The spikes under a row of outputs are listed column by column, in groups of four channels as in `events`. The list is
read once: each entry adds to three outputs side by side, whose sums are carried along in registers.
"""

from __future__ import annotations

import numpy as np

from .native import compiled
from .rates import settle
from .vectors import LANES, note, sweep

i32, f32 = np.int32, np.float32


@compiled
def list_columns(words, y, padding, taps, row, first, index):
    """The groups of four channels that are not silent under one row of outputs, column by column.

    words: uint32 (H, W, G), four spikes 0/1 each. y: the row of outputs; it reads rows y - padding ... of `words`, one
    for each of the `taps`. row: length of the table's entries. first: int32 (W + 1,), filled. index: int32, filled with
    ((tap G + g) 16 + pattern) * row of each event.
    """
    height, width, groups = words.shape
    flat = words.reshape(-1)
    above, below = max(0, padding - y), min(taps, height + padding - y)
    n = 0
    for x in range(width):
        first[x] = n
        for tap in range(above, below):
            at = ((y + tap - padding) * width + x) * groups
            n = note(flat, at, groups, i32(tap * groups * 16 * row), row, index, n)
    first[width] = n


@compiled
def conv_rows(words, table, taps, padding, out, sums):
    """Sums of a convolution of spikes, `taps` rows high and three columns wide, with stride 1 and a padding of one
    column.

    words: uint32 (N, H, W, C / 4), four spikes 0/1 each. table: float32 (blocks, kH C / 4 16, vectors, 3, LANES), the
    second axis in the order (ky, group, pattern), the fourth a column of the kernel each, outputs filled up with zeros
    to whole blocks. padding: rows. out: float32 (N, H', W, outputs), filled. sums: see `conv`.
    """
    pictures, _, width, groups = words.shape
    out_height, outputs = out.shape[1], out.shape[3]
    blocks, vectors = table.shape[0], table.shape[2]
    row = vectors * 3 * LANES
    first = np.empty(width + 1, i32)
    index = np.empty(width * taps * groups + 1, i32)
    wide = np.empty(width * vectors * LANES, f32)
    flat_out = out.reshape(-1)
    nowhere = np.empty((0, 0), f32)
    for picture in range(pictures):
        for y in range(out_height):
            list_columns(words[picture], y, padding, taps, i32(row), first, index)
            for block in range(blocks):
                flat = table[block].reshape(-1)
                left = block * vectors * LANES
                place = (picture * out_height + y) * width * outputs + left
                if left + vectors * LANES <= outputs:
                    sweep_row(vectors, flat, index, first, width, flat_out, place, outputs)
                else:
                    sweep_row(vectors, flat, index, first, width, wide, 0, vectors * LANES)
                    n = outputs - left
                    for x in range(width):
                        for i in range(n):
                            flat_out[place + x * outputs + i] = wide[x * vectors * LANES + i]
        if sums.size:
            done = out[picture].reshape(1, -1)
            settle(done, outputs, nowhere, sums[picture : picture + 1])


@compiled
def sweep_row(vectors, flat, index, first, width, target, place, step):
    """`sweep` for 1 to `WIDEST` vectors."""
    if vectors == 1:
        sweep(1, flat, index, first, width, target, place, step)
    elif vectors == 2:
        sweep(2, flat, index, first, width, target, place, step)
    elif vectors == 3:
        sweep(3, flat, index, first, width, target, place, step)
    else:
        sweep(4, flat, index, first, width, target, place, step)

"""The published ways to lay a network out on a core: what a part of a population takes there.

`nxtf` and `nengo` are two compilers for Loihi 1, `loihi2` a fit to what Intel's compiler for Loihi 2 printed. A rule is
asked for one part and one connection that leads to it; what a core takes is the sum over its connections. None of the
compilers places a population with several inputs; the sum is our extension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..connections import Connection, Conv, Dense, Shape
from . import loihi2, nengo, nxtf
from .parts import Grid, Part
from .reach import Fan, axes, channel_groups, multiplicities
from .taps import Runs
from .usage import Usage
from .weights import delay_bits, loihi1_bits

Taps = tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """title: for people. scope: what it covers and what it does not. spare_words: words of a core it leaves empty.

    load(connection, source shape, grid, part, weight bits): what the part takes, but for what it sends.
    sent(fan, part, off): entries of the part's output axon table; off says, per source neuron and per target core, what
    is on another chip. None where such a table is not published.
    """

    title: str
    scope: str
    spare_words: int
    load: Callable[[Connection, Shape, Grid, Part, int], Usage]
    sent: Callable[[Fan, Part, OffChip], int] | None


@dataclass(frozen=True, eq=False)
class OffChip:
    """What of a fan leaves the chip. cores: int64 (source shape), off-chip cores of a neuron. owner: bool (cores,)."""

    cores: np.ndarray
    owner: np.ndarray


def _nxtf(connection: Connection, source: Shape, grid: Grid, part: Part, bits: int) -> Usage:
    """Convolutions share axons and synapses over the columns of the input; the rest has an axon per source neuron."""
    width, delay = loihi1_bits(bits), delay_bits(connection)
    if isinstance(connection, Dense):
        each = nxtf.dense_words(part.size, weight_bits=width, delay_bits=delay)
        n_axons = math.prod(source)
        return _usage(part.size, n_axons, n_axons * each, longest=each)
    if not isinstance(connection, Conv):
        lists = [nxtf.words(sum(nxtf.entries([i], "dense1", weight_bits=width))) for i in (0, part.size - 1)]
        return _usage(part.size, part.size, part.size * max(lists), longest=max(lists))
    rows, columns = axes(connection, source, part)
    runs = columns.runs
    taps = tuple(pairs for pairs in rows.taps if pairs)
    if not taps:  # the part reads nothing but padding
        return _usage(part.size, 0, 0, longest=0, groups=1)
    total = longest = 0
    for _, first, stop in channel_groups(connection, part):
        group_total, group_longest = _shared_words(taps, runs, part.sides[1], first, stop, width)
        total += connection.weight.shape[1] * group_total
        longest = max(longest, group_longest)
    return _usage(
        max(runs.sizes) * len(runs.sizes) * part.sides[0] * part.sides[1],
        _shared_axons(connection, source, grid, part),
        total,
        longest=longest,
        groups=len(runs.sizes),
    )


@lru_cache(maxsize=4096)
def _shared_words(taps: Taps, runs: Runs, n_rows: int, first: int, stop: int, width: int) -> tuple[int, int]:
    """(words, longest list) of one input channel's synapses onto channels first..stop of a core.

    taps: of every input row that reaches the core. Compartments count through the rows, then the columns of a run, then
    the channels; what lies in the next run is an entry of its own.
    """
    per_channel = max(runs.sizes) * n_rows
    channels = np.arange(first, stop)[:, None, None] * per_channel
    total = longest = 0
    for pattern in runs.patterns:
        bits = []
        for pairs in taps:
            rows = np.array([row for _, row in pairs])
            bits.append(0)
            for step in {step for _, _, step in pattern}:
                places = np.array([place for _, place, of in pattern if of == step])[:, None] * n_rows
                indices = np.sort((channels + places + rows).ravel())
                bits[-1] += _sparse_bits(indices, width)
        total += nxtf.group_words(bits)
        longest = max(longest, *map(nxtf.words, bits))
    return total, longest


def _sparse_bits(indices: np.ndarray, width: int) -> int:
    """`sum(nxtf.entries(indices, "sparse"))`, without the list."""
    most = nxtf.SYNAPSES_PER_ENTRY
    n_entries = math.ceil(len(indices) / most)
    lasts = np.append(indices[most - 1 : (n_entries - 1) * most : most], indices[-1])
    sizes = np.full(n_entries, most)
    sizes[-1] = len(indices) - (n_entries - 1) * most
    return n_entries * nxtf.PREFIX_BITS + sum(
        int(n) * (width + nxtf.index_bits(int(last))) for n, last in zip(sizes, lasts, strict=True)
    )


def _shared_axons(connection: Conv, source: Shape, grid: Grid, part: Part) -> int:
    """One axon per input column for its neurons that send to this core alone, and one for each that sends to more."""
    of_channel, of_row, of_column = multiplicities(connection, source, grid)
    rows, columns = axes(connection, source, part)
    mine = of_row[rows.reached]
    if_alone = int((mine > 1).sum()) + bool((mine == 1).any())
    n_columns = of_column[columns.reached]
    width = connection.weight.shape[1]
    total = 0
    for group, _, _ in channel_groups(connection, part):
        alone = int(((of_channel[group * width] * n_columns) == 1).sum())
        total += width * (alone * if_alone + (len(n_columns) - alone) * len(mine))
    return total


def _nxtf_sent(fan: Fan, part: Part, off: OffChip) -> int:
    count, owner, far = fan.count[part.slices], fan.owner[part.slices], off.cores[part.slices]
    many, one = count > 1, owner >= 0
    entries = int(count[many].sum() + far[many].sum())
    if fan.sharing == "discrete":
        return entries + int(one.sum() + far[one].sum())
    if fan.sharing == "none":
        return entries + int(2 * one.sum() + far[one].sum())
    channel, _, column = np.nonzero(one)
    pairs = np.unique(np.stack([owner[one], channel, column]), axis=1)
    return entries + 2 * pairs.shape[1] + int(off.owner[pairs[0]].sum())


def _nengo(connection: Connection, source: Shape, grid: Grid, part: Part, bits: int) -> Usage:
    """Every source neuron has its own axon and its own list; equal lists of a convolution are not shared."""
    width, delay = loihi1_bits(bits), delay_bits(connection)
    index = max(6, (part.size - 1).bit_length())
    if isinstance(connection, Dense):
        n_axons = math.prod(source)
        each = nengo.bits_per_axon(part.size, weight_bits=width, delay_bits=delay)
        return _usage(part.size, n_axons, n_axons * each // nengo.WORD)
    if not isinstance(connection, Conv):
        each = nengo.bits_per_axon(1, weight_bits=width, encoding="sparse", index_bits=index)
        return _usage(part.size, part.size, part.size * each // nengo.WORD)
    rows, columns = axes(connection, source, part)
    fan_outs, times = np.unique(np.outer(rows.fan_out, columns.fan_out), return_counts=True)
    n_axons = total = 0
    for _, first, stop in channel_groups(connection, part):
        for fan_out, n in zip(fan_outs.tolist(), times.tolist(), strict=True):
            if fan_out:
                each = nengo.bits_per_axon(
                    fan_out * (stop - first), weight_bits=width, encoding="sparse", index_bits=index
                )
                n_axons += connection.weight.shape[1] * n
                total += connection.weight.shape[1] * n * each
    return _usage(part.size, n_axons, total // nengo.WORD)


def _nengo_sent(fan: Fan, part: Part, off: OffChip) -> int:
    return int(fan.count[part.slices].sum())


def _loihi2(connection: Connection, source: Shape, grid: Grid, part: Part, bits: int) -> Usage:
    """Convolutions store their kernel once per core; fully connected layers a sparse list per source neuron."""
    width = bits + delay_bits(connection)
    if isinstance(connection, Dense):
        total = math.prod(source) * loihi2.axon_words(part.size, width)
    elif isinstance(connection, Conv):
        taps = connection.weight.shape[2] * connection.weight.shape[3]
        total = sum(
            loihi2.conv_words(connection.weight.shape[1], taps, stop - first, width)
            for _, first, stop in channel_groups(connection, part)
        )
    else:
        total = loihi2.conv_words(1, 1, 1, width)
    return _usage(part.size, None, total)


def _usage(
    compartments: int, input_axons: int | None, words: int, *, longest: int | None = None, groups: int | None = None
) -> Usage:
    return Usage(
        compartments=compartments,
        input_axons=input_axons,
        output_axons=None,
        synapse_words=words,
        words_per_axon=longest,
        destination_groups=groups,
    )


RULES = {
    "nxtf": Rule(
        title="NxTF's compiler for Loihi 1",
        scope="convolutions shared over the columns of their input; signs not split into entries of their own",
        spare_words=1,
        load=_nxtf,
        sent=_nxtf_sent,
    ),
    "nengo": Rule(
        title="nengo-loihi's formula for Loihi 1",
        scope="one axon and one list of synapses per source neuron; nothing of a convolution is shared",
        spare_words=0,
        load=_nengo,
        sent=_nengo_sent,
    ),
    "loihi2": Rule(
        title="fit to Intel's compiler for Loihi 2",
        scope="kernels stored once per core; axon tables and neuron memory are not published and not counted",
        spare_words=0,
        load=_loihi2,
        sent=None,
    ),
}
"""By name, as `Cores.rules` lists them. NxTF's cores hold fewer than 16384 words, hence the spare one."""

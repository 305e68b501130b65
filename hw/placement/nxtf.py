"""Synaptic memory and axon tables of a Loihi 1 core as NxTF counts them.

Source: NxTF (Rueckauer et al., ACM JETC 18(3), 2022), public code intel-nrc-ecosystem/models (commit 3dc53bf),
`nxsdk_modules_ncl/dnn/src/synapse_compression.py` and `data_structures.py`. Facts of that code, no line of it.

A synapse entry is a prefix and up to 60 synapses. The prefix holds the number of its format (4 bits), how many synapses
follow (6), and, unless every synapse has its own index (`sparse`), the first index.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

Encoding = Literal["sparse", "runlength", "dense1", "dense2"]

WORD = 64
PREFIX_BITS = 4 + 6
SYNAPSES_PER_ENTRY = 60
LONGEST_SKIP = 31
"""A run-length entry stores the step to the next index in up to 5 bits."""
GUARD_FROM = 59
"""A list of synapses whose last word is full, or filled to this bit and beyond, takes one word more."""


def entries(
    indices: Sequence[int] | np.ndarray,
    encoding: Encoding,
    *,
    weight_bits: int = 8,
    delay_bits: int = 0,
    most: int = SYNAPSES_PER_ENTRY,
) -> list[int]:
    """Bits of each entry that holds the synapses of one source neuron.

    indices: target compartments in ascending order. most: synapses per entry. `sparse` stores an index per synapse,
    `runlength` the step from the one before and starts anew where a step exceeds 31, `dense1` no index and starts anew
    at every gap, `dense2` no index and fills gaps with zero weights.
    """
    places = np.asarray(indices, dtype=np.int64)
    each = weight_bits + delay_bits
    bits = []
    for chunk in _chunks(places, encoding, most):
        if encoding == "sparse":
            bits.append(PREFIX_BITS + len(chunk) * (each + index_bits(int(chunk[-1]))))
            continue
        n_synapses, skip = len(chunk), 0
        if encoding == "runlength":
            skip = max(2, int(np.diff(chunk).max(initial=0)).bit_length())
        elif encoding == "dense2":
            n_synapses = int(chunk[-1] - chunk[0]) + 1
        bits.append(PREFIX_BITS + index_bits(int(chunk[0])) + n_synapses * (each + skip))
    return bits


def index_bits(largest: int) -> int:
    """Bits of a compartment index: what the largest needs, at least 6."""
    return max(6, largest.bit_length())


def words(bits: int) -> int:
    """64-bit words of a list of synapses, the guard word included; none for an empty list."""
    if bits == 0:
        return 0
    rest = bits % WORD
    return math.ceil(bits / WORD) + (rest == 0 or rest >= GUARD_FROM)


def group_words(bits_of_neurons: Sequence[int]) -> int:
    """Words of the neurons that share one axon: all lists are as long as the longest."""
    return max(map(words, bits_of_neurons), default=0) * len(bits_of_neurons)


def dense_words(fan_out: int, *, weight_bits: int = 8, delay_bits: int = 0) -> int:
    """Words of one source neuron that reaches `fan_out` neighbouring compartments, from compartment 0 (`dense1`)."""
    return words(sum(entries(np.arange(fan_out), "dense1", weight_bits=weight_bits, delay_bits=delay_bits)))


def output_axon_entries(multiplicity: Sequence[int] | np.ndarray, *, off_chip: bool = False) -> int:
    """Entries of a core's output axon table for one group of its neurons and one target core.

    multiplicity: to how many cores each neuron sends. Those that send to one core share an axon of 2 entries; each
    other takes 1. A target on another chip costs one more of each.
    """
    cores = np.asarray(multiplicity)
    discrete, shared = int((cores > 1).sum()), bool((cores == 1).any())
    return discrete * (1 + off_chip) + shared * (2 + off_chip)


def _chunks(places: np.ndarray, encoding: Encoding, most: int) -> Iterator[np.ndarray]:
    """The indices of each entry: at most `most` synapses, and no gap the encoding cannot cross."""
    longest_step = {"sparse": None, "runlength": LONGEST_SKIP, "dense1": 1, "dense2": None}[encoding]
    start = 0
    while start < len(places):
        if encoding == "dense2":
            stop = int(np.searchsorted(places, places[start] + most))
        else:
            stop = min(start + most, len(places))
        if longest_step is not None:
            gaps = np.flatnonzero(np.diff(places[start:stop]) > longest_step)
            stop = start + int(gaps[0]) + 1 if len(gaps) else stop
        yield places[start:stop]
        start = stop

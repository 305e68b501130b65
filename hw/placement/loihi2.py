"""Synaptic memory of a Loihi 2 core, in 64-bit words: a fit to what Intel's compiler printed.

No layout is published. Source of the fit: lava-dl, `tutorials/lava/lib/dl/netx/pilotnet_snn/benchmark.ipynb` and
`pilotnet_sdnn/benchmark.ipynb`, column `Synapses` and the allocations it refused. Kind: derived.
"""

from __future__ import annotations

import math

WORD = 64
INDEX_BITS = 8
"""Of a synapse of a fully connected layer: the width that reproduces 26, 24, 13 and 3 words per axon."""
HEADER_BITS = 10
"""Per input axon. 1 to 32 bits reproduce the same rows; 10 is Loihi 1's."""


def conv_words(in_channels: int, kernel: int, out_channels: int, weight_bits: int) -> int:
    """Words of a convolution on one core: Cin * k * k * ceil(Cout * bits / 64), whatever the number of neurons.

    The kernel is stored once per core. in_channels: of one group. kernel: taps, k * k. out_channels: of that group.
    """
    return in_channels * kernel * math.ceil(out_channels * weight_bits / WORD)


def axon_words(fan_out: int, weight_bits: int) -> int:
    """Words of one input axon of a fully connected layer that reaches `fan_out` neurons of the core."""
    return math.ceil((fan_out * (weight_bits + INDEX_BITS) + HEADER_BITS) / WORD) if fan_out else 0

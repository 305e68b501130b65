"""Synaptic memory of a Loihi 1 core as nengo-loihi counts it.

Source: nengo-loihi (commit e564f66), `nengo_loihi/block.py` (`SynapseConfig.bits_per_axon`, `Synapse.bits`) and
`hardware/validate.py`; splitting: `builder/split_blocks.py`. Facts of that code, no line of it.
"""

from __future__ import annotations

import math
from typing import Literal

WORD = 64
BLOCK = 64
"""Synapses of one axon that share a header."""
HEADER_BITS = 4 + 6
"""Of every block: the number of its format, and how many synapses it has."""
CORE_BITS = 16384 * WORD


def bits_per_axon(
    n_synapses: int,
    *,
    weight_bits: int = 8,
    encoding: Literal["dense", "sparse"] = "dense",
    index_bits: int = 10,
    delay_bits: int = 0,
    tag_bits: int = 0,
) -> int:
    """Bits the synapses of one input axon take, a multiple of 64.

    Blocks of up to 64 synapses, each rounded up to whole words: n * (weight + delay + tag + index bits) + 10. A dense
    axon stores no index, a sparse one stores one per synapse.
    """
    each = weight_bits + delay_bits + tag_bits + (index_bits if encoding == "sparse" else 0)
    full, rest = divmod(n_synapses, BLOCK)
    return full * _whole_words(BLOCK * each + HEADER_BITS) + (_whole_words(rest * each + HEADER_BITS) if rest else 0)


def cores_needed(compartments: int, input_axons: int, output_axons: int, synapse_bits: int) -> int:
    """How many equal pieces nengo-loihi cuts a block into: the largest of its four utilisations, rounded up."""
    return max(
        math.ceil(compartments / 1024),
        math.ceil(input_axons / 4096),
        math.ceil(output_axons / 4096),
        math.ceil(synapse_bits / CORE_BITS),
    )


def _whole_words(bits: int) -> int:
    return math.ceil(bits / WORD) * WORD

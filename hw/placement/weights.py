"""How many bits the synapses of a connection take."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..connections import Connection, Dense

LOIHI1_FORMATS = (1, 2, 3, 4, 5, 6, 8)
"""Widths of a weight Loihi 1 has a format for. Source: nengo-loihi, `discretize.py`, `WEIGHT_BITS_MAP`."""

DELAY_FORMATS = (3, 4, 5, 6)
"""Widths of a delay field. Source: NxTF, `synapse_compression.py`."""

BitsOf = Mapping[Connection, int]
"""Weight bits of connections whose own weights are not to decide."""


def needed_bits(weight: np.ndarray) -> int:
    """Bits of the smallest format that holds every weight; trailing zero bits that all share are an exponent.

    Unsigned where all have one sign, else two's complement: even weights in -256..254 need 8 bits, 0..255 need 8, zeros
    none.
    """
    values = np.asarray(weight, dtype=np.int64)
    shared = int(np.bitwise_or.reduce(np.abs(values), axis=None))
    shift = max((shared & -shared).bit_length() - 1, 0)
    low, high = int(values.min()) >> shift, int(values.max()) >> shift
    if low >= 0 or high <= 0:
        return max(high, -low).bit_length()
    return 1 + max(high.bit_length(), (-low - 1).bit_length())


def weight_bits(connection: Connection, given: BitsOf) -> int:
    """Bits of one weight of a connection: what is given for it, else what its own weights need, at least 1."""
    return given.get(connection) or max(1, needed_bits(connection.weight))


def loihi1_bits(bits: int) -> int:
    """The narrowest format of Loihi 1 that holds weights of so many bits; the widest for wider ones."""
    return next((width for width in LOIHI1_FORMATS if width >= bits), LOIHI1_FORMATS[-1])


def delay_bits(connection: Connection) -> int:
    """Bits of the delay field of one synapse, 0 where nothing is delayed."""
    if not isinstance(connection, Dense) or connection.max_delay == 0:
        return 0
    return max(connection.max_delay.bit_length(), DELAY_FORMATS[0])

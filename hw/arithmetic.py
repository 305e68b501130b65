"""The chip's fixed-point arithmetic, written once for every array library.

The functions use operators only, so they run on numpy arrays and on torch tensors of dtype int32 or int64 alike.
Semantics: Lava's fixed-point CUBA LIF (`lava/proc/lif/models.py`), equal to recordings of Loihi 2 silicon.
"""

from __future__ import annotations

from typing import Any

DECAY_ONE = 4096
"""Decay constants are fractions of 2^12: 0 keeps everything, 4096 keeps nothing."""

STATE_SHIFT = 6
"""Synaptic sums, biases and thresholds are mantissas that enter the state as `mantissa << 6`."""

STATE_LIMIT = 1 << 23
"""`u` lives in (-2^23, 2^23] and wraps; `v` lives in [-(2^23 - 1), 2^23 - 1] and saturates."""


def decay(x: Any, constant: int) -> Any:
    """`x * (4096 - constant) / 4096`, rounded towards zero.

    The 36-bit product is taken in two parts of 12 bits, so 32-bit integers never overflow for |x| <= 2^23.

    x: integer array, any shape. constant: 0..4096. Returns an array of x's shape and dtype.
    """
    if constant == 0:
        return x
    if constant == DECAY_ONE:
        return x * 0
    keep = DECAY_ONE - constant
    magnitude = abs(x)
    kept = (magnitude >> 12) * keep + (((magnitude & 4095) * keep) >> 12)
    return kept - 2 * kept * (x < 0)


def wrap_state(u: Any) -> Any:
    """Bring a current back into (-2^23, 2^23], as the chip's 24-bit register does.

    Equal to Lava's single wrap for |u| < 3 * 2^23, which every legal network keeps.
    """
    return -(((STATE_LIMIT - u) & (2 * STATE_LIMIT - 1)) - STATE_LIMIT)


def saturate_state(v: Any) -> Any:
    """Clip a membrane potential to +-(2^23 - 1)."""
    return v.clip(-(STATE_LIMIT - 1), STATE_LIMIT - 1)

"""What stock Lava really multiplies by, for the weights a `.net` file stores.

Convolutions use the stored integers as they are. A dense matrix is refitted twice on its way to the synapse, and for
some matrices the second fit silently destroys what the first prepared; such a matrix must never reach a file.
"""

from __future__ import annotations

import numpy as np

from ..hw import NotRepresentable

WEIGHT_BITS = 8
MIXED_MIN, MIXED_MAX = -256, 254


def effective_dense_weight(weight: np.ndarray) -> np.ndarray:
    """The matrix a stock Lava Dense multiplies by, as fixed-point numbers: float64 (out, in).

    1. netx (lava/lib/dl/netx/utils.py, `optimize_weight_bits`) clips mixed signs to [-256, 254], shifts left by the
       largest k that keeps the matrix in 8 bits, and counts the bits that are needed, n.
    2. Dense (lava/proc/dense/models.py) derives the sign mode again, not knowing netx's: it clips to 8 bits and drops
       the `8 - n` lowest bits (one more for mixed signs).
    3. Sums are shifted right by k.

    weight: integer (out, in), not all zero. Raises NotRepresentable for an all-zero matrix, on which netx fails.
    """
    stored = np.asarray(weight, dtype=np.int64)
    if not stored.any():
        raise NotRepresentable("all weights are zero, which netx cannot scale; remove the connection")
    fitted, n_bits, shift = _netx_fit(stored)
    return _dense_fit(fitted, n_bits) / 2.0**shift


def effective_recurrent_weights(
    weight: np.ndarray, recurrent: np.ndarray, *, delayed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The two matrices a `dense_rec` layer multiplies by: float64 (out, in) and (out, out).

    netx fits both side by side, to one shift and one number of bits; each then passes through a Dense of its own, which
    derives its own sign mode. delayed: whether the layer has a `delay` field; netx then forgets the right shift of the
    sums, so the weights stay multiplied by 2^k (blocks/process.py, `RecurrentDense`).

    weight, recurrent: integers (out, in), (out, out). Raises NotRepresentable where both are all zero.
    """
    together = np.hstack([np.asarray(weight, np.int64), np.asarray(recurrent, np.int64)])
    if not together.any():
        raise NotRepresentable("all weights are zero, which netx cannot scale; remove the connection")
    fitted, n_bits, shift = _netx_fit(together)
    columns = np.shape(weight)[1]
    parts = (_dense_fit(part, n_bits) for part in (fitted[:, :columns], fitted[:, columns:]))
    forward, back = (part / 2.0 ** (0 if delayed else shift) for part in parts)
    return forward, back


def check_dense_weight(where: str, weight: np.ndarray) -> None:
    """Raise NotRepresentable if Lava would multiply by other numbers than the file stores.

    where: names the layer in the message. weight: integer (out, in).
    """
    try:
        effective = effective_dense_weight(weight)
    except NotRepresentable as error:
        raise NotRepresentable(f"{where}: {error}") from None
    _refuse_changed(where, "weight", weight, effective)


def check_recurrent_weights(where: str, weight: np.ndarray, recurrent: np.ndarray, *, delayed: bool) -> None:
    """`check_dense_weight` for the two matrices of a `dense_rec` layer; arguments as `effective_recurrent_weights`."""
    try:
        effective = effective_recurrent_weights(weight, recurrent, delayed=delayed)
    except NotRepresentable as error:
        raise NotRepresentable(f"{where}: {error}") from None
    if delayed and not all(np.array_equal(*pair) for pair in zip(effective, (weight, recurrent), strict=True)):
        largest = max(int(np.abs(weight).max()), int(np.abs(recurrent).max()))
        raise NotRepresentable(
            f"{where}: a dense_rec layer with delays is shifted to fill 8 bits by netx and never shifted back, and its "
            f"largest weight is {largest}, so Lava would multiply by other numbers; scale the layer until the largest "
            "is in 128..254 (-129..-256 if negative), or leave the delays out"
        )
    _refuse_changed(where, "weight", weight, effective[0])
    _refuse_changed(where, "weight_rec", recurrent, effective[1])


def _refuse_changed(where: str, field: str, weight: np.ndarray, effective: np.ndarray) -> None:
    wrong = np.argwhere(effective != weight)
    if len(wrong):
        row, column = (int(n) for n in wrong[0])
        raise NotRepresentable(
            f"{where}: Lava would multiply by {effective[row, column]:g} where {field}[{row}, {column}] is "
            f"{int(weight[row, column])} ({len(wrong)} of {weight.size} weights differ); keep mixed signs within "
            f"{MIXED_MIN}..{MIXED_MAX} and one sign within 0..255, and give a matrix without positive entries one"
        )


def _netx_fit(weight: np.ndarray) -> tuple[np.ndarray, int, int]:
    """netx's fit. Returns the shifted matrix, its number of weight bits and the left shift."""
    low, high = int(weight.min()), int(weight.max())
    if (high > MIXED_MAX and low < 0) or (low < MIXED_MIN and high > 0):
        weight = np.clip(weight, MIXED_MIN, MIXED_MAX)
        low, high = int(weight.min()), int(weight.max())
    signed = low < 0 <= high  # a zero beside negative entries counts as mixed here, but not in Dense
    if signed:
        room = 127 / high if high else np.inf
        scale = min(room, -128 / low)
    else:
        scale = -256 / low if high < 0 else 255 / high
    shift = int(np.floor(np.log2(scale))) + signed
    trailing = next((n for n in range(WEIGHT_BITS, 0, -1) if not np.any(weight % 2**n)), 0)
    # numpy shifts by a negative count to zero: the whole matrix of one sign is lost beyond 8 bits.
    fitted = weight << shift if shift >= 0 else np.zeros_like(weight)
    return fitted, WEIGHT_BITS - shift - (trailing - signed), shift


def _dense_fit(weight: np.ndarray, n_bits: int) -> np.ndarray:
    """Lava Dense's clip and truncation on its first step."""
    low, high = int(weight.min()), int(weight.max())
    mixed, inhibitory = low < 0 < high, low < 0 and high <= 0
    magnitude = -weight if inhibitory else weight
    magnitude = np.clip(magnitude, -(1 << WEIGHT_BITS) if mixed else 0, (1 << WEIGHT_BITS) - 1)
    dropped = WEIGHT_BITS - n_bits + mixed
    magnitude = (magnitude >> dropped) << dropped if dropped >= 0 else np.zeros_like(magnitude)
    return -magnitude if inhibitory else magnitude

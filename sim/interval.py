"""The 95 % interval of an accuracy."""

from __future__ import annotations

import math

from ..hw import BadInput

Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


def wilson95(correct: float, n: int) -> tuple[float, float]:
    """Wilson score interval (low, high), of 0..1, for `correct` right answers out of `n` independent ones.

    With p = correct / n and z = 1.96:  (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).
    Unlike p +- z sqrt(p (1 - p) / n) it stays inside 0..1 and does not collapse to a point at 0 or n.

    Raises BadInput unless n >= 1 and 0 <= correct <= n. Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if n < 1 or not 0 <= correct <= n:
        raise BadInput(f"accuracy: {correct} right answers of n={n}; an interval needs n >= 1 and 0 <= correct <= n")
    p = correct / n
    square = Z95 * Z95 / n
    middle = p + square / 2
    half = Z95 * math.sqrt(p * (1 - p) / n + square / (4 * n))
    # The ends touch 0 and 1 exactly when every answer is wrong or right; rounding must not push them past p.
    low = 0.0 if correct == 0 else min(p, (middle - half) / (1 + square))
    high = 1.0 if correct == n else max(p, (middle + half) / (1 + square))
    return low, high

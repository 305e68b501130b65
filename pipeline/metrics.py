"""An accuracy is never a bare number: it comes with its n and a 95 % interval."""

from __future__ import annotations

import math
from typing import Any

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of `correct` out of `n`, as two fractions.

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half   = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    Source: E. B. Wilson, Probable inference, JASA 22 (1927), eq. of the score interval.
    Raises ValueError unless 0 <= correct <= n and n >= 1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"an interval needs 0 <= correct <= n and n >= 1, got {correct} of {n}")
    p, z2 = correct / n, Z95 * Z95
    scale = 1 + z2 / n
    centre = (p + z2 / (2 * n)) / scale
    half = Z95 / scale * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(correct: int, n: int) -> dict[str, Any]:
    """An accuracy as every manifest and report holds it: {accuracy, n, correct, ci95: [low, high]}, fractions."""
    low, high = wilson(int(correct), int(n))
    return {"accuracy": int(correct) / int(n), "n": int(n), "correct": int(correct), "ci95": [low, high]}

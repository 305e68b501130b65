"""An accuracy is never a bare number: it comes with its n and a 95 % interval."""

from __future__ import annotations

from typing import Any

from ..sim.interval import wilson95


def accuracy(correct: int, n: int) -> dict[str, Any]:
    """An accuracy as every manifest and report holds it: {accuracy, n, correct, ci95: [low, high]}, fractions."""
    return {"accuracy": int(correct) / int(n), "n": int(n), "correct": int(correct), "ci95": list(wilson95(correct, n))}

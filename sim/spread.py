"""How much the energy differs from sample to sample, and how well its mean is known.

What is said of the mean is said of samples drawn as these were: its interval knows nothing of the constants, which
`sim.sensitivity` varies.

    mean +- t sqrt(sum of (x - mean)^2 / (n - 1)) / sqrt(n),     t: Student's 97.5 % point at n - 1 degrees of freedom

Student's interval rather than a bootstrap: it needs no random numbers, and with few samples it widens where resampled
means stay between the few values there are. An energy is never negative, so neither is the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ..hw import BadInput
from .bill import Bill


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many samples lie in each of equal bins from low_pj to high_pj, both ends included."""

    low_pj: float
    high_pj: float
    samples: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Energy of single samples of the spiking network under one convention, in pJ.

    ci95_pj: 95 % interval of the mean over samples like these; one sample alone says nothing of others, and its
    interval is that sample. p5_pj, median_pj, p95_pj: between two samples, in proportion. worst_sample: the index of
    the first that costs most.
    """

    convention: str
    samples: int
    mean_pj: float
    ci95_pj: tuple[float, float]
    p5_pj: float
    median_pj: float
    p95_pj: float
    worst_pj: float
    worst_sample: int
    histogram: Histogram


def spread(bill: Bill, bins: int = 24) -> Spread:
    """What single samples cost. bins: of the histogram, from the cheapest sample to the dearest; where all cost the
    same, from half of that to half as much again.

    Raises BadInput for a bill without a line of the spiking network, and for no bins.
    """
    if bins < 1:
        raise BadInput(f"spread: {bins} bins hold no samples; give 1 or more")
    if not bill.side():
        raise BadInput(
            f"spread: {bill.convention.name} counts nothing in this spiking network, so its samples have no energies; "
            "use a convention that prices its synapses or neurons"
        )
    first, *later = bill.by_step_and_sample_pj()
    energies = sum(later, start=first).numpy()
    mean, ci95 = _mean(energies)
    p5, median, p95 = np.percentile(energies, [5, 50, 95]).tolist()
    worst = int(energies.argmax())
    return Spread(
        convention=bill.convention.name,
        samples=len(energies),
        mean_pj=mean,
        ci95_pj=ci95,
        p5_pj=p5,
        median_pj=median,
        p95_pj=p95,
        worst_pj=float(energies[worst]),
        worst_sample=worst,
        histogram=_histogram(energies, bins),
    )


def _mean(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The mean and its interval; exact sums, so that the order of the samples changes no bit."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, (mean, mean)
    deviation = math.sqrt(math.fsum((values - mean) ** 2) / (n - 1))
    half = float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
    return mean, (max(0.0, mean - half), mean + half)


def _histogram(values: np.ndarray, bins: int) -> Histogram:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = (0.5 * low, 1.5 * low) if low else (0.0, 1.0)
    index = np.minimum((values - low) / (high - low) * bins, bins - 1).astype(int)
    return Histogram(low_pj=low, high_pj=high, samples=tuple(np.bincount(index, minlength=bins).tolist()))

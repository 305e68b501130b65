"""Are two methods really different? Paired over the test images, with the seeds averaged first.

All students answer the same images, so image i gives one number per pair of methods,

    d_i = mean over seeds of [method right on i] - mean over seeds of [reference right on i],

and the difference of the two accuracies is the mean of d. Images are what is drawn at random; an image that two seeds
get wrong is one image, not two. What chance would do is the sign-flip test: if the methods are alike, d_i and -d_i are
equally likely. Its distribution is computed exactly, by convolving binomial distributions; with one seed it is
McNemar's exact test. The interval resamples the images (percentile bootstrap); since d takes few values, a resample is
one draw from a multinomial distribution, which is the same thing.

Neither says what another seed would give: the spread over seeds stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...hw import BadInput

RESAMPLES = 20_000
SEED = 0
"""Of the bootstrap, so that the same answers give the same interval."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Mean and standard deviation (n - 1) over seeds; std is None for one value, which has none."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A method minus the reference, as fractions.

    mean: of all images and seeds. ci95: bootstrap over images. wins, losses, ties: images on which the method is right
    in more, fewer, as many seeds. p: two-sided, sign flips over images. by_seed: the difference of each seed.
    """

    mean: float
    ci95: tuple[float, float]
    wins: int
    losses: int
    ties: int
    p: float
    by_seed: tuple[float, ...]


def summary(values: Sequence[float]) -> Summary:
    """Mean and spread of one value per seed. Raises BadInput for no value."""
    if not values:
        raise BadInput("summary: there is nothing to summarise; give at least one value")
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(mean=float(np.mean(values)), std=spread, n=len(values))


def compare(method: np.ndarray, reference: np.ndarray) -> Difference:
    """Compare two methods on the same images and seeds.

    method, reference: bool (seeds, images), whether the answer is right. Raises BadInput for two shapes.
    """
    if method.shape != reference.shape or method.ndim != 2 or method.size == 0:
        raise BadInput(
            f"compare: right answers of shapes {method.shape} and {reference.shape}; give (seeds, images) of the same "
            "seeds and images"
        )
    seeds, images = method.shape
    by_image = method.sum(axis=0, dtype=np.int64) - reference.sum(axis=0, dtype=np.int64)
    wins, losses = int((by_image > 0).sum()), int((by_image < 0).sum())
    low, high = bootstrap(by_image)
    by_seed = method.mean(axis=1) - reference.mean(axis=1)
    return Difference(
        mean=float(by_image.sum() / (images * seeds)),
        ci95=(low / seeds, high / seeds),
        wins=wins,
        losses=losses,
        ties=images - wins - losses,
        p=sign_flip(by_image),
        by_seed=tuple(float(d) for d in by_seed),
    )


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p-value of the sum of whole numbers (N,), when each may as well have the other sign. Exact.

    P(|sum of +-d_i| >= |sum of d_i|). Of the n_k numbers of magnitude k, B ~ Binomial(n_k, 1/2) are positive and add up
    to k (2 B - n_k); the sum is the convolution over k.
    """
    sizes = np.abs(differences)
    ranges, lowest = np.ones(1), 0  # probabilities of lowest, lowest + 1, ...
    for size in range(1, int(sizes.max(initial=0)) + 1):
        count = int((sizes == size).sum())
        if count:
            steps = np.zeros(2 * size * count + 1)
            steps[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
            ranges, lowest = np.convolve(ranges, steps), lowest - size * count
    sums = lowest + np.arange(len(ranges))
    return float(min(1.0, ranges[np.abs(sums) >= abs(int(differences.sum()))].sum()))


def bootstrap(differences: np.ndarray) -> tuple[float, float]:
    """95 % interval (low, high) of the mean of whole numbers (N,), resampling them with replacement."""
    values, counts = np.unique(differences, return_counts=True)
    n = len(differences)
    draws = np.random.default_rng(SEED).multinomial(n, counts / n, size=RESAMPLES)
    low, high = np.quantile(draws @ values / n, [0.025, 0.975])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: the k-th smallest of m is multiplied by m - k + 1; none falls."""
    m = len(p_values)
    adjusted, largest = [0.0] * m, 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """Which points no other beats: none costs at most as much and is worth at least as much, and differs in one."""
    points = list(zip(costs, values, strict=True))
    return [not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points) for cost, value in points]

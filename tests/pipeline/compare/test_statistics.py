"""The statistics of the bake-off, against hand-derived values, brute force and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from spikeport.hw import BadInput
from spikeport.pipeline.compare.statistics import bootstrap, compare, holm, pareto_front, sign_flip, summary


def answers(*rows: str) -> np.ndarray:
    """Right (1) and wrong (0) answers, one row per seed."""
    return np.array([[digit == "1" for digit in row] for row in rows])


def brute_force(differences: list[int]) -> float:
    """The p-value by trying every choice of signs."""
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(differences))]  # fmt: skip
    return sum(s >= abs(sum(differences)) for s in sums) / len(sums)


def test_with_one_seed_the_test_is_mcnemars():
    """7 images only the method gets right, 1 only the reference: 2 (C(8,0) + C(8,1)) / 2^8 = 18 / 256."""
    method, reference = answers("1111111011"), answers("0000000111")
    found = compare(method, reference)
    assert (found.wins, found.losses, found.ties) == (7, 1, 2)
    assert found.mean == pytest.approx(0.6)
    assert found.p == pytest.approx(18 / 256)
    assert found.p == pytest.approx(stats.binomtest(7, 8, 0.5).pvalue)


def test_seeds_are_averaged_before_images_are_counted():
    """Differences 2, 2, 0, -1, 0 of 2 seeds: an image won in two seeds is one win.

    Of the 8 sign choices of 2, 2, 1 the sums of magnitude 3 or more are 5, 3, -3, -5.
    """
    method, reference = answers("11101", "11001"), answers("00011", "00101")
    by_image = method.sum(0).astype(int) - reference.sum(0).astype(int)
    assert by_image.tolist() == [2, 2, 0, -1, 0]
    found = compare(method, reference)
    assert (found.wins, found.losses, found.ties) == (2, 1, 2)
    assert found.mean == pytest.approx(3 / 10)
    assert found.by_seed == pytest.approx((2 / 5, 1 / 5))
    assert found.p == pytest.approx(4 / 8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_the_p_value_is_that_of_trying_all_signs(differences):
    assert sign_flip(np.array(differences)) == pytest.approx(brute_force(differences), abs=1e-12)


def test_the_p_value_is_that_of_scipys_permutation_test():
    rng = np.random.default_rng(3)
    differences = rng.integers(-2, 4, size=12)

    def mean(x):
        return float(np.mean(x))

    theirs = stats.permutation_test(
        (differences,), mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    assert sign_flip(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_a_tiny_p_value_of_many_images_is_neither_zero_nor_rounded():
    """All 1,000 images won in one seed: two sign choices of 2^1000 are as extreme."""
    assert sign_flip(np.ones(1000, int)) == pytest.approx(2.0**-999, rel=1e-9)


def test_methods_that_answer_alike_do_not_differ():
    same = answers("1010", "1100")
    found = compare(same, same)
    assert found.p == 1
    assert (found.mean, found.ci95, found.ties) == (0, (0, 0), 4)


def test_two_wrongs_on_different_images_balance():
    found = compare(answers("10"), answers("01"))
    assert (found.mean, found.p) == (0, 1)


def test_the_bootstrap_interval_is_scipys():
    rng = np.random.default_rng(0)
    differences = rng.choice([-1, 0, 0, 0, 1, 1, 2], size=400)
    low, high = bootstrap(differences)
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == (pytest.approx(theirs.low, abs=0.005), pytest.approx(theirs.high, abs=0.005))
    # The normal approximation: mean +- 1.96 s / sqrt(n).
    half = 1.96 * differences.std() / 20
    assert (low, high) == (
        pytest.approx(differences.mean() - half, abs=0.006),
        pytest.approx(differences.mean() + half, abs=0.006),
    )
    assert (low, high) == bootstrap(differences)  # the same answers, the same interval


def test_different_shapes_are_refused():
    with pytest.raises(BadInput, match=r"shapes \(2, 3\) and \(1, 3\); give \(seeds, images\)"):
        compare(np.zeros((2, 3), bool), np.zeros((1, 3), bool))


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    """0.01 x 4, 0.02 x 3, then max(0.06, 0.03 x 2) and max(0.06, 0.5)."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(values):
    adjusted = holm(values)
    assert all(p <= a <= min(1, p * len(values)) + 1e-15 for p, a in zip(values, adjusted, strict=True))
    order = np.argsort(values, kind="stable")
    assert all(a <= b for a, b in itertools.pairwise(np.array(adjusted)[order]))


def test_the_spread_is_the_samples():
    found = summary([1.0, 2.0, 4.0])
    assert (found.mean, found.std, found.n) == (pytest.approx(7 / 3), pytest.approx((14 / 6) ** 0.5), 3)
    assert summary([0.5]).std is None
    with pytest.raises(BadInput, match="nothing to summarise"):
        summary([])


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(POINTS)
def test_a_point_is_off_the_front_exactly_if_one_on_it_beats_it(points):
    on_front = pareto_front([c for c, _ in points], [v for _, v in points])
    front = [p for p, on in zip(points, on_front, strict=True) if on]
    assert front
    for (cost, value), on in zip(points, on_front, strict=True):
        beaten = any(c <= cost and v >= value and (c < cost or v > value) for c, v in front)
        assert beaten != on


def test_the_front_of_three_points():
    """Cheap and poor, dear and good, and one that is dearer and worse than the second; equals stay together."""
    assert pareto_front([1, 2, 3, 2], [0.5, 0.9, 0.8, 0.9]) == [True, True, False, True]

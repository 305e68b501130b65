import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.sim.interval import wilson95


def test_the_ends_solve_the_score_equation():
    # Wilson's ends are the p0 from which the observed p lies 1.96 standard errors of p0 away.
    for end in wilson95(353, 360):
        z = abs(353 / 360 - end) / (end * (1 - end) / 360) ** 0.5
        assert z == pytest.approx(1.959964, abs=1e-5)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_stays_inside_zero_and_one_and_holds_its_accuracy(pair: tuple[int, int]):
    correct, n = pair
    low, high = wilson95(correct, n)
    assert 0 <= low <= correct / n <= high <= 1
    assert low < high


def test_all_right_and_all_wrong_mirror_each_other():
    z2 = 1.959963984540054**2
    assert wilson95(0, 50) == (0.0, pytest.approx(z2 / (50 + z2)))
    assert wilson95(50, 50) == (pytest.approx(50 / (50 + z2)), 1.0)


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(correct: int, n: int):
    with pytest.raises(BadInput, match="0 <= correct <= n"):
        wilson95(correct, n)

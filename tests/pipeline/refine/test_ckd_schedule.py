"""CKD's two schedules: how many still clips events replace, and when the teacher falls silent."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.pipeline.refine.ckd_schedule import gamma, half_replaced, replaced_share, switch_epoch


def test_the_share_replaced_is_cubic():
    """T-004-1: 0 at the start, one eighth at half time, one half at 79.4 %, 1 at the end."""
    assert [replaced_share(d, "cubic", 3) for d in (0, 0.5, 1)] == [0, 0.125, 1]
    assert replaced_share(0.794, "cubic", 3) == pytest.approx(0.5, abs=1e-3)
    assert half_replaced(3) == pytest.approx(0.7937, abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 8))
def test_the_share_replaced_grows_and_stays_a_share(a, b, power):
    """T-004-1: also of an abrupt replacement, which changes where the other reaches one half."""
    low, high = sorted((a, b))
    for kind in ("cubic", "abrupt", "none"):
        first, second = (replaced_share(d, kind, power) for d in (low, high))
        assert 0 <= first <= second <= 1
        assert kind != "abrupt" or first == (low >= half_replaced(power))
    assert replaced_share(high, "none", power) == 0


def test_the_share_replaced_counts_batches_of_all_epochs():
    """T-004-1: ((i + e N) / (E N))^3 for batch i of N in epoch e of E, from 0."""
    n, epochs = 7, 5
    steps = [(i + e * n) / (epochs * n) for e in range(epochs) for i in range(n)]
    shares = [replaced_share(d, "cubic", 3) for d in steps]
    assert shares == [((i + e * n) / 35) ** 3 for e in range(epochs) for i in range(n)]
    assert all(a < b for a, b in pairwise(shares))


def test_gamma_is_one_half_at_its_epoch_and_a_step_for_the_published_slope():
    """T-004-4: k = 100 at 150, over 300 epochs and at epochs that would overflow an exponential."""
    assert gamma(150, 100, 150) == 0.5
    assert gamma(149.5, 100, 150) == 1
    assert gamma(150.5, 100, 150) == 0
    assert (gamma(0, 100, 150), gamma(300, 100, 150)) == (1, 0)
    assert (gamma(-1e9, 100, 150), gamma(1e9, 100, 150)) == (1, 0)


def test_gamma_is_nearly_constant_for_the_other_published_slope():
    """T-004-4: k = 0.001 at 90 over 200 epochs is no schedule: from .5225 to .4728."""
    assert gamma(0, 0.001, 90) == pytest.approx(0.5225, abs=5e-5)
    assert gamma(199, 0.001, 90) == pytest.approx(0.4728, abs=5e-5)
    assert all(0.47 <= gamma(e, 0.001, 90) <= 0.53 for e in range(201))


@given(st.floats(0, 400), st.floats(0, 400), st.floats(1e-4, 200), st.floats(0, 400))
def test_gamma_falls(a, b, k, e_th):
    """T-004-4."""
    low, high = sorted((a, b))
    assert 0 <= gamma(high, k, e_th) <= gamma(low, k, e_th) <= 1


@given(st.floats(0, 20), st.floats(0.01, 10), st.floats(0, 20))
def test_gamma_is_the_logistic_function(e, k, e_th):
    assert gamma(e, k, e_th) == pytest.approx(1 / (1 + math.exp(k * (e - e_th))), abs=1e-15)


@pytest.mark.parametrize("epochs", [1, 20, 200, 300])
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_by_default_the_teacher_falls_silent_when_half_is_replaced(epochs, power):
    """T-004-4: after 158.7 of 200 epochs, 238.1 of 300."""
    e_th = switch_epoch("half_replaced", None, "cubic", power, epochs)
    assert replaced_share(e_th / epochs, "cubic", power) == pytest.approx(0.5)
    assert switch_epoch("half_replaced", None, "abrupt", power, epochs) == e_th
    if power == 3:
        assert e_th == pytest.approx({1: 0.8, 20: 15.9, 200: 158.7, 300: 238.1}[epochs], abs=0.05)


def test_a_teacher_whose_images_are_never_replaced_is_never_silent():
    for switch, replacement in (("half_replaced", "none"), ("none", "cubic")):
        assert gamma(300, 100, switch_epoch(switch, None, replacement, 3, 300)) == 1
    assert switch_epoch("epoch", 90.0, "none", 3, 200) == 90

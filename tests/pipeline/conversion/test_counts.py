"""The counting formulas of single neurons, against exact fractions and against the neurons themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from spikeport.models import PROFILES, Profile, Spiking
from spikeport.pipeline.conversion.counts import hard_count, soft_count, spike_count

CURRENTS = [Fraction(k, 1024) for k in range(-100, 1400)]
"""1500 points, exact in binary; with the thresholds below, many lie exactly on a step of the staircase."""

GRID = torch.tensor([float(current) for current in CURRENTS], dtype=torch.float64)

THRESHOLDS = [Fraction(1), Fraction(3, 4), Fraction(5, 16)]


def simulated(profile: Profile, threshold: Fraction, n_steps: int) -> list[int]:
    """Spikes of the neuron itself, run over its timesteps."""
    return Spiking(profile, n_steps, threshold=float(threshold))(GRID, static=True).sum(0).long().tolist()


def clip(x: int, n_steps: int) -> int:
    return min(max(x, 0), n_steps)


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2)])
@pytest.mark.parametrize("strict", [False, True])
def test_soft_reset_counts_by_floor_or_by_rounding(n_steps, threshold, start, strict):
    """T-CV-1: N = clip(floor(T z / theta + v0)), v0 = 0 floors, v0 = 1/2 rounds; strict: ceil(x) - 1 for floor(x)."""
    profile = replace(PROFILES["soft_if"], strict=strict, v_init=float(start))
    places = [n_steps * z / threshold + start for z in CURRENTS]
    expected = [clip(math.ceil(x) - 1 if strict else math.floor(x), n_steps) for x in places]
    assert simulated(profile, threshold, n_steps) == expected
    assert soft_count(GRID, float(threshold), n_steps, v_init=float(start), strict=strict).tolist() == expected


def test_the_grid_of_the_formulas_holds_exact_ties():
    """T-CV-1: points at which firing at the threshold and firing above it differ."""
    ties = [z for z in CURRENTS if z > 0 and (4 * z / Fraction(3, 4)).denominator == 1]
    assert len(ties) >= 7
    above, at = (simulated(replace(PROFILES["soft_if"], strict=strict), Fraction(3, 4), 4) for strict in (True, False))
    differing = {CURRENTS[i] for i in range(1500) if above[i] != at[i]}
    assert differing == {z for z in ties if 4 * z <= 4 * Fraction(3, 4)}


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_hard_reset_counts_whole_periods(n_steps, threshold):
    """T-CV-1: strict, v0 = 0: N = floor(T / (floor(theta / z) + 1)), the chip's neuron."""
    expected = [math.floor(Fraction(n_steps, math.floor(threshold / z) + 1)) if z > 0 else 0 for z in CURRENTS]
    assert simulated(PROFILES["loihi"], threshold, n_steps) == expected
    assert hard_count(GRID, float(threshold), n_steps).tolist() == expected


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_hard_reset_at_the_threshold_counts_its_own_periods(n_steps, threshold):
    """T-CV-1: with >= the period is ceil(theta / z), at least one step."""
    expected = [math.floor(Fraction(n_steps, max(1, math.ceil(threshold / z)))) if z > 0 else 0 for z in CURRENTS]
    assert simulated(PROFILES["sj_if"], threshold, n_steps) == expected
    assert hard_count(GRID, float(threshold), n_steps, strict=False).tolist() == expected


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("strict", [False, True])
def test_a_start_above_zero_shortens_the_first_period_alone(n_steps, threshold, strict):
    """T-CV-1: hard reset from theta / 2: the first spike after the period of theta / 2, then those of theta."""
    profile = replace(PROFILES["loihi"], strict=strict, v_init=0.5)
    assert hard_count(GRID, float(threshold), n_steps, v_init=0.5, strict=strict).tolist() == simulated(
        profile, threshold, n_steps
    )


@pytest.mark.parametrize("name", PROFILES)
def test_a_profiles_count_is_what_its_neuron_emits(name):
    """T-CV-1: every profile, those with a leak included, for which there is no formula."""
    profile = PROFILES[name]
    counts = spike_count(GRID, 0.75, 8, profile)
    assert counts.long().tolist() == simulated(profile, Fraction(3, 4), 8)
    assert len(counts.unique()) > 2


@pytest.mark.parametrize(
    ("profile", "errors"),
    [
        (PROFILES["soft_if"], {2: 0.166, 4: 0.083, 8: 0.041, 32: 0.010}),
        (PROFILES["qcfs_if"], {2: 0.083, 4: 0.042, 8: 0.021, 32: 0.005}),
        (PROFILES["loihi"], {2: 0.166, 4: 0.125, 8: 0.114, 32: 0.101}),
    ],
)
def test_the_error_of_the_rate_vanishes_with_soft_reset_and_not_with_hard_reset(profile, errors):
    """T-CV-1: mean |N / T - clip(z, 0, 1)| over 1500 points of [0, 1.5)."""
    z = torch.arange(1500, dtype=torch.float64) / 1000
    for n_steps, expected in errors.items():
        rate = spike_count(z, 1.0, n_steps, profile) / n_steps
        assert float((rate - z.clamp(0, 1)).abs().mean()) == pytest.approx(expected, abs=0.06 * expected + 1e-3)


@pytest.mark.parametrize("k", [5, 10, 20])
def test_a_hard_reset_rate_below_one_over_k_is_wrong_by_less_than_one_over_k_plus_one(k):
    """The relative error r / (1 + r) of r = z / theta: larger thresholds buy accuracy with timesteps."""
    z = torch.linspace(1e-3, 1 / k, 500, dtype=torch.float64)
    rate = spike_count(z, 1.0, 10**7, PROFILES["loihi"]) / 10**7
    assert float(((z - rate) / z).max()) == pytest.approx(1 / (k + 1), rel=1e-3)

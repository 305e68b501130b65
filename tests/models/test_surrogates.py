"""Spike functions: a step forward, a derivative of unit area backward."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.surrogates import Surrogate, at_or_above, quadratic_gate, sigmoid, triangle

STEP = 1 / 64


def grid(half: float) -> torch.Tensor:
    """Points between multiples of the step, symmetric about 0: no kink of a dyadic surrogate lies inside a cell."""
    n = round(2 * half / STEP)
    return ((torch.arange(n, dtype=torch.float64) + 0.5) * STEP - half).requires_grad_()


def derivative(fire: Surrogate, x: torch.Tensor) -> torch.Tensor:
    (grad,) = torch.autograd.grad(fire(x).sum(), x)
    return grad


ALL = {
    "triangle 1": triangle(1.0),
    "triangle 1/2": triangle(0.5),
    "sigmoid 4": sigmoid(4.0),
    "sigmoid 1": sigmoid(1.0),
    "gate 2": quadratic_gate(2.0),
    "triangle 1, at or above": at_or_above(triangle(1.0)),
    "sigmoid 4, at or above": at_or_above(sigmoid(4.0)),
}


@pytest.mark.parametrize("name", ALL)
def test_every_surrogate_has_unit_area(name):
    """T-N-3: the integral over the membrane is 1 (midpoint rule: exact for triangles, spectral for the sigmoid)."""
    area = float(derivative(ALL[name], grid(40)).sum()) * STEP
    assert area == pytest.approx(1, abs=1e-9)


def test_the_paper_width_has_unit_area_too():
    """T-N-3: g = 0.3 has kinks off the grid, so the midpoint rule is off by the order of the step squared."""
    area = float(derivative(triangle(0.3), grid(1)).sum()) * STEP
    assert area == pytest.approx(1, abs=(STEP / 0.3) ** 2)


@pytest.mark.parametrize("width", [1.0, 0.5, 0.3])
def test_a_triangle_has_its_width_as_support_and_its_inverse_as_peak(width):
    """T-N-3: max(0, g - |x|) / g^2."""
    x = torch.tensor([-width, -width / 2, 0.0, width / 2, width, 2 * width], dtype=torch.float64, requires_grad=True)
    expected = [0, 1 / (2 * width), 1 / width, 1 / (2 * width), 0, 0]
    assert derivative(triangle(width), x).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 4.0, 6.5])
def test_the_sigmoid_surrogate_is_the_logistic_functions_derivative(alpha):
    """T-N-3: alpha s (1 - s), peak alpha / 4."""
    points = [-1.5, -0.2, 0.0, 0.7, 3.0]
    expected = [alpha / (1 + math.exp(-alpha * p)) * (1 - 1 / (1 + math.exp(-alpha * p))) for p in points]
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    assert derivative(sigmoid(alpha), x).tolist() == pytest.approx(expected, rel=1e-9)
    assert expected[2] == alpha / 4


def test_the_quadratic_gate_is_brain_cogs():
    """T-N-3: alpha = 2 gives 2 - 4 |x| for |x| <= 1/2."""
    x = torch.tensor([-0.75, -0.5, -0.25, 0.0, 0.125, 0.5], dtype=torch.float64, requires_grad=True)
    assert derivative(quadratic_gate(2.0), x).tolist() == [0, 0, 1, 2, 1.5, 0]


@pytest.mark.parametrize("name", ALL)
def test_at_the_threshold_only_the_at_or_above_forms_fire(name):
    x = torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0])
    at = 1.0 if "at or above" in name else 0.0
    assert ALL[name](x).tolist() == [0, 0, at, 1, 1]


def test_firing_at_the_threshold_does_not_change_the_derivative():
    x = grid(2)
    for fire in (triangle(1.0), sigmoid(4.0)):
        torch.testing.assert_close(derivative(at_or_above(fire), x), derivative(fire, x), rtol=1e-12, atol=0)


@given(st.floats(0.1, 20), st.floats(-3, 3, width=32))
def test_a_spike_is_exactly_zero_or_one_whatever_the_sharpness(alpha, x):
    fired = sigmoid(alpha)(torch.tensor([x])).item()
    assert fired == (1.0 if x > 0 else 0.0)


@pytest.mark.parametrize("name", ALL)
def test_the_closed_form_is_the_derivative_of_norses_function(name):
    """T-N-3: what loops without autograd multiply with, at the kinks and far out too."""
    points = [-40.0, -2.0, -1.0, -0.5, -0.1, 0.0, 1e-3, 0.25, 0.5, 1.0, 3.0]
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ALL[name].slope(x.detach()), derivative(ALL[name], x), rtol=1e-9, atol=1e-15)


@given(st.sampled_from(["triangle", "sigmoid"]), st.floats(0.1, 8), st.floats(-4, 4, width=32))
def test_the_closed_form_is_the_derivative_in_single_precision(kind, parameter, point):
    """T-N-3: both are even, at most 1 / width or alpha / 4, and equal up to the rounding of that peak."""
    surrogate = Surrogate(kind, parameter)
    x = torch.tensor([point, -point], requires_grad=True)
    slope = surrogate.slope(x.detach())
    peak = 1 / parameter if kind == "triangle" else parameter / 4
    assert slope[0] == slope[1]
    assert 0 <= float(slope[0]) <= peak * (1 + 1e-6)
    torch.testing.assert_close(slope, derivative(surrogate, x), rtol=0, atol=1e-6 * peak)


def test_surrogates_are_values():
    assert triangle(0.5) == Surrogate("triangle", 0.5) == quadratic_gate(2.0)
    assert at_or_above(sigmoid(4.0)) == Surrogate("sigmoid", 4.0, at_or_above=True) != sigmoid(4.0)


@pytest.mark.parametrize(
    ("kind", "parameter", "said"),
    [
        ("atan", 1.0, "no 'atan'"),
        ("triangle", 0.0, r"width is 0\.0"),
        ("sigmoid", -1.0, r"alpha is -1\.0"),
        ("sigmoid", float("nan"), "alpha is nan"),
    ],
)
def test_a_surrogate_that_cannot_be_is_refused(kind, parameter, said):
    with pytest.raises(BadInput, match=said):
        Surrogate(kind, parameter)

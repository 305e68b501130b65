"""Logit distillation: golden values, the direction of the divergence, and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.pipeline.losses import kd_kl


def logits(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def kl_by_hand(student: list[float], teacher: list[float], tau: float) -> float:
    """tau^2 sum_k p log(p / q) in plain Python."""
    p, q = (
        [math.exp(z / tau) / sum(math.exp(other / tau) for other in row) for z in row] for row in (teacher, student)
    )
    return tau**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize(
    ("student", "teacher", "tau", "golden"),
    [
        ([0, 0], [2, 0], 1, 0.3278133),
        ([0, 0], [2, 0], 2, 0.4437763),
        ([0, 0], [2, 0], 4, 0.4847978),
        ([2, 0], [0, 0], 1, 0.4337808),
        ([1, 0, 2], [0, 1, 4], 1, 0.2436660),
        ([1, 0, 2], [0, 1, 4], 2, 0.5694107),
    ],
)
def test_golden_values(student, teacher, tau, golden):
    """T-K-1."""
    assert float(kd_kl(logits(student), logits(teacher), tau)) == pytest.approx(golden, abs=1e-6)
    assert kl_by_hand(student, teacher, tau) == pytest.approx(golden, abs=1e-6)


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=6), st.floats(0.5, 8))
def test_a_student_equal_to_its_teacher_has_no_loss(row, tau):
    """T-K-1: KL(p, p) = 0."""
    assert float(kd_kl(logits(row), logits(row), tau)) == pytest.approx(0, abs=1e-12)


def test_the_batch_is_averaged_and_the_classes_are_summed():
    """T-K-1."""
    students, teachers = ([0.0, 0.0, 1.0], [1.0, 0.0, 2.0]), ([2.0, 0.0, 0.0], [0.0, 1.0, 4.0])
    expected = sum(kl_by_hand(s, t, 2) for s, t in zip(students, teachers, strict=True)) / 2
    assert float(kd_kl(logits(*students), logits(*teachers), 2)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
def test_the_gradient_is_tau_times_the_difference_of_probabilities(tau):
    """T-K-1: tau (p_student - p_teacher) / B, and none for the teacher."""
    student = logits([1, 0, 2], [0, 3, -1]).requires_grad_()
    teacher = logits([0, 1, 4], [1, 1, 0]).requires_grad_()
    kd_kl(student, teacher, tau).backward()
    p_student, p_teacher = ((z.detach() / tau).softmax(-1) for z in (student, teacher))
    torch.testing.assert_close(student.grad, tau * (p_student - p_teacher) / 2)
    assert teacher.grad is None


@pytest.mark.parametrize(("tau", "swapped"), [(1.0, 0.4824939), (2.0, 4 * 0.1800417)])
def test_swapping_student_and_teacher_changes_the_value(tau, swapped):
    """T-K-2: on [0,1,4] and [1,0,2]; a permuted pair would hide it."""
    a, b = logits([1, 0, 2]), logits([0, 1, 4])
    assert float(kd_kl(b, a, tau)) == pytest.approx(swapped, abs=1e-6)
    assert abs(float(kd_kl(a, b, tau)) - swapped) > 0.1

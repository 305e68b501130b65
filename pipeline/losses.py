"""Losses that several refinement methods share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def kd_kl(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """Logit distillation: tau^2 * mean_b KL( softmax(teacher / tau) || softmax(student / tau) ).

    student, teacher: logits (B, K); the teacher gets no gradient. d/d student = tau (p_student - p_teacher) / B.
    Source: Hinton et al., arXiv 1503.02531.
    """
    log_student = functional.log_softmax(student / tau, dim=-1)
    target = functional.softmax(teacher.detach() / tau, dim=-1)
    return functional.kl_div(log_student, target, reduction="batchmean") * tau**2

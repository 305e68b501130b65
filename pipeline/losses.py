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


def tet(sequence: Tensor, y: Tensor, *, weight: float = 1e-3, phi: float = 1.0) -> Tensor:
    """Temporal efficient training: (1 - weight) mean_t CE(z_t, y) + weight mean (z_t - phi)^2.

    sequence: logits of each timestep (T, B, K). y: labels (B,). phi: what the logits are drawn to, over all elements.
    Source: Deng et al., ICLR 2022.
    """
    each = functional.cross_entropy(sequence.flatten(0, 1), y.repeat(len(sequence)))
    return (1 - weight) * each + weight * (sequence - phi).square().mean()

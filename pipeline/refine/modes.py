"""Which mode networks are in while a method looks at them: the student evaluated or unrecorded, the teacher frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ...hw import BadInput
from ...models import GraphNet


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Within it the network is in evaluation mode and nothing is recorded for gradients; its mode is put back after."""
    before = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def unrecorded(net: nn.Module) -> Iterator[None]:
    """Within it batch norms normalise as ever, in training mode by the batch, but remember nothing of what they see."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def check_frozen(teacher: GraphNet, method: str) -> None:
    """Raise BadInput for a teacher that training could change: one in training mode, or with trainable parameters."""
    trainable = sum(p.requires_grad for p in teacher.parameters())
    if teacher.training or trainable:
        mode = "training" if teacher.training else "evaluation"
        raise BadInput(
            f"{method}: the teacher {teacher.architecture.name} is in {mode} mode, {trainable} of its tensors are "
            "trainable; it must not change: give teacher.eval().requires_grad_(False)"
        )

"""Students and teachers for the tests of closed-loop CKA and block-wise replacement. Not a test."""

from __future__ import annotations

from typing import Any

import torch
from spikeport.models import ENGINES, INPUT, PROFILES, Architecture, GraphNet, LinearWire, Unit
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine.closed_loop_cka import ClosedLoopCka, ClosedLoopCkaConfig
from torch import Tensor, nn
from torch.nn import functional

from .. import tiny_nets


def pair(n_steps: int = 2, profile: str = "loihi", seed: int = 0) -> tuple[GraphNet, GraphNet, Tensor, Tensor]:
    """(student, teacher, images, labels) on the residual network."""
    teacher, student = tiny_nets.converted(tiny_nets.residual(), PROFILES[profile], n_steps, seed)
    x = tiny_nets.images(teacher.architecture, 12)
    return student, teacher.requires_grad_(False), x, torch.arange(12) % 3


def built(student: GraphNet, teacher: GraphNet, x: Tensor, engine: str = "bptt", **options: Any) -> ClosedLoopCka:
    given = Pair(student=student, teacher=teacher, calibration=[x], engine=ENGINES[engine])
    return ClosedLoopCka(given, ClosedLoopCkaConfig(**options))


def shares(method: ClosedLoopCka) -> dict[str, float]:
    """The weight of each tap."""
    return dict(zip(method.taps, method.weights().tolist(), strict=True))


def train(method: ClosedLoopCka, student: GraphNet, x: Tensor, y: Tensor, steps: int, lr: float) -> list[float]:
    optimizer = torch.optim.Adam(student.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss, _, _ = method.loss(x, y, tiny_nets.moment())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def unchanged(before: dict[str, Tensor], net: nn.Module) -> bool:
    return all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def perceptron(shape: tuple[int, ...] = (6,)) -> Architecture:
    """6 - 16 - 12 - 3."""
    units = (
        Unit(name="one", channels=16, wires=(LinearWire(source=INPUT),)),
        Unit(name="two", channels=12, wires=(LinearWire(source="one"),)),
        Unit(name="readout", channels=3, wires=(LinearWire(source="two"),)),
    )
    return Architecture(name="perceptron", input_shape=shape, n_classes=3, units=units, taps=("one", "two"))


def trained_teacher(architecture: Architecture, x: Tensor, y: Tensor) -> GraphNet:
    """An ANN that knows the images by heart."""
    net = tiny_nets.ann(architecture).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        loss = functional.cross_entropy(net(x)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fold_batchnorm(net).requires_grad_(False)

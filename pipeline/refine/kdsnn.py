"""KDSNN: the student's firing rates are to equal the teacher's features, one by one.

    L = CE(zbar, y) + logits * WSL + alpha / B * sum (align(Fbar) - A)^2
    WSL = tau^2 mean_b w_b H( softmax(z_A / tau), softmax(zbar / tau) ),    w_b = 1 - exp(-CE_b(zbar) / CE_b(z_A))

zbar (B, K): student logits averaged over T. z_A (B, K): teacher logits. Fbar (B, C, H, W): firing rates of the last
stage. A (B, C', H, W): the teacher's activations there. align: a 1 x 1 convolution if C and C' differ, or nothing.
H: cross-entropy of two distributions. w_b has no gradient: a sample whose label the student knows better than the
teacher does counts less.

Source: KDSNN, CVPR 2023, in the form of BKDSNN's public code; the logit term is the "mixed" one of that code (BKDSNN,
ECCV 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...hw import BadInput
from ..training import Moment
from .activation_maps import common_size
from .attention import as_maps
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron


@dataclass(frozen=True, kw_only=True)
class KdsnnConfig:
    """alpha: weight of the feature term. logits, tau: weight and temperature of the logit term.

    rescale_teacher: scale the teacher's features so that a batch's largest is the student's largest rate.
    """

    alpha: float = 7e-5
    logits: float = 1.0
    tau: float = 2.0
    rescale_teacher: bool = False

    def __post_init__(self) -> None:
        if min(self.alpha, self.logits) < 0 or self.tau <= 0:
            raise BadInput(
                f"{type(self).__name__.removesuffix('Config').lower()}: alpha {self.alpha} and logits {self.logits} "
                f"must not be negative, tau {self.tau} must be positive"
            )


def weighted_soft_labels(student: Tensor, teacher: Tensor, y: Tensor, tau: float) -> Tensor:
    """WSL of logits (B, K) and labels (B,); the teacher gets no gradient."""
    teacher = teacher.detach()
    log_student = functional.log_softmax(student / tau, dim=-1)
    each = -(functional.softmax(teacher / tau, dim=-1) * log_student).sum(dim=-1)
    own = functional.cross_entropy(student.detach(), y, reduction="none")
    known = functional.cross_entropy(teacher, y, reduction="none")
    weight = 1 - torch.exp(-own / known.clamp_min(1e-7))
    return tau**2 * (weight * each).mean()


def convolution(source: int, target: int, kernel: int, generator: torch.Generator) -> nn.Conv2d:
    """A convolution that keeps the size, He-initialised from `generator`, its biases 0. source, target: channels."""
    conv = nn.Conv2d(source, target, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=generator)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


class Align(nn.Module):
    """Student channels to teacher channels: nothing if there are as many, else a 1 x 1 convolution."""

    def __init__(self, source: int, target: int, generator: torch.Generator) -> None:
        super().__init__()
        self.map = nn.Identity() if source == target else convolution(source, target, 1, generator)

    def forward(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """rates (B, source, H, W) -> (B, target, H, W). Nothing is drawn."""
        del generator
        return self.map(rates)


def last_channels(pair: Pair) -> tuple[int, int]:
    """Channels of the last stage of student and teacher."""
    student, teacher = (
        net.architecture.shapes()[net.architecture.stages[-1]][0] for net in (pair.student, pair.teacher)
    )
    return student, teacher


class FeatureDistillation(Distiller):
    """Both terms on one pair. translator: (rates (B, C, H, W), generator) -> the teacher's features (B, C', H, W).

    A stage without positions counts as one position; of stages of two sizes the larger is averaged down.
    """

    def __init__(self, pair: Pair, config: KdsnnConfig, translator: nn.Module) -> None:
        super().__init__(pair)
        self.config = config
        self.translator = translator

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        student, config = self.pair.student, self.config
        own, other = student.architecture.stages[-1], self.pair.teacher.architecture.stages[-1]
        target, activations = self.pair.ask_teacher(x, [other])
        got = self.pair.ask_student(x, student.architecture.taps)
        rates, features = common_size(as_maps(got.rates[own].float()), as_maps(activations[other]))
        if config.rescale_teacher:
            largest = features.max()
            features = features * (rates.detach().max() / torch.where(largest > 0, largest, 1))
        task = functional.cross_entropy(got.logits, y)
        logits = weighted_soft_labels(got.logits, target, y, config.tau)
        layers = (self.translator(rates, moment.generator).float() - features).square().sum() / len(x)
        rate = spikes_per_neuron(got.rates, student.n_steps)
        parts = {"task": task, "logits": logits, "layers": layers, "spikes_per_neuron": rate}
        return task + config.logits * logits + config.alpha * layers, got.logits, parts


def kdsnn(pair: Pair, config: KdsnnConfig) -> FeatureDistillation:
    """The method on one pair."""
    return FeatureDistillation(pair, config, Align(*last_channels(pair), torch.Generator().manual_seed(pair.seed)))


METHODS.register(
    "kdsnn",
    Method(
        summary="firing rates of the last stage equal to the teacher's features, and weighted logit distillation",
        source="KDSNN, CVPR 2023",
        config=KdsnnConfig,
        build=kdsnn,
        any_teacher=True,
    ),
)

"""CKDSNN: the student's spikes are to lie where the teacher finds its evidence, and its logits to bear noise.

    L = CE(zbar, y) + beta SAMD + gamma NLD
    SAMD = tau_s^2 mean_b KL( softmax(M_A / tau_s) || softmax(M_S / tau_s) )         over the positions
    NLD  = tau^2 mean_b KL( softmax(z_A / tau) || softmax((zbar + lambda eps) / tau) )
    eps ~ N(mean_k zbar, std_k(zbar)^2), new at every batch, mean and std without gradient

zbar (B, K): student logits averaged over T. z_A (B, K): teacher logits. M_S (B, H, W): the spikes of the last stage,
summed over timesteps and channels. M_A: the teacher's class activation map there, for the class it predicts. Both maps
are stretched to [0, 1] per sample first (`activation_maps`): sums over hundreds of channels would saturate the softmax.

The public code differs: it mixes probabilities, takes the variance for the standard deviation and lets the gradient
through both (`variant: official`), normalises over the batch (`norm: batch`) and leaves tau_s^2 out (`tau_squared`).

Source: CKDSNN, AAAI 2026, and its public code (SinoLeu/CKDSNN).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ...hw import BadInput
from ..losses import kd_kl
from ..training import Moment
from .activation_maps import Norm, class_map, common_size, mean_readout, normalise, positions, spike_map
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron

Variant = Literal["paper", "official"]


@dataclass(frozen=True, kw_only=True)
class CkdsnnConfig:
    """beta, gamma: weights of the map term and of the logit term. tau, tau_s: their temperatures.

    noise: lambda, the noise's share. norm: of the maps. tau_squared: whether the map term is multiplied by tau_s^2.
    variant: form of the logit term. stage: which of the architectures' stages is compared, -1 for the last.
    """

    beta: float = 1.0
    gamma: float = 1.0
    tau: float = 2.0
    tau_s: float = 2.0
    noise: float = 0.1
    norm: Norm = "per_sample"
    tau_squared: bool = True
    variant: Variant = "paper"
    stage: int = -1

    def __post_init__(self) -> None:
        if min(self.beta, self.gamma) < 0 or min(self.tau, self.tau_s) <= 0:
            raise BadInput(
                f"ckdsnn: beta {self.beta} and gamma {self.gamma} must not be negative, tau {self.tau} and tau_s "
                f"{self.tau_s} must be positive"
            )
        if not 0 <= self.noise < 1:
            raise BadInput(f"ckdsnn: noise is {self.noise}; it is a share, at least 0 and below 1")


def map_loss(student: Tensor, teacher: Tensor, *, tau: float, norm: Norm, tau_squared: bool = True) -> Tensor:
    """SAMD of two stacks of maps (B, H, W), sizes apart or not; the teacher's gets no gradient."""
    student, teacher = common_size(student, teacher)
    loss = kd_kl(normalise(student, norm).flatten(1), normalise(teacher, norm).flatten(1), tau)
    return loss if tau_squared else loss / tau**2


def noise_of(logits: Tensor, draws: Tensor, variant: Variant) -> Tensor:
    """eps of logits (B, K): mean and spread of each sample over its classes. draws: standard normal (B, K).

    paper: the spread is the standard deviation (n - 1), without gradient. official: the variance, with gradient.
    """
    if variant == "official":
        return logits.mean(dim=-1, keepdim=True) + logits.var(dim=-1, keepdim=True) * draws
    known = logits.detach()
    return known.mean(dim=-1, keepdim=True) + known.std(dim=-1, keepdim=True) * draws


def mixture(logits: Tensor, eps: Tensor, *, share: float, tau: float) -> Tensor:
    """Log of (1 - share) softmax(logits / tau) + share softmax(eps / tau), (B, K), for a share above 0."""
    clean = functional.log_softmax(logits / tau, dim=-1) + math.log1p(-share)
    return torch.logaddexp(clean, functional.log_softmax(eps / tau, dim=-1) + math.log(share))


def noisy_kd(student: Tensor, teacher: Tensor, draws: Tensor, *, share: float, tau: float, variant: Variant) -> Tensor:
    """NLD of logits (B, K). draws: standard normal (B, K). With share 0 it is logit distillation."""
    if share == 0:
        return kd_kl(student, teacher, tau)
    eps = noise_of(student, draws, variant)
    if variant == "paper":
        return kd_kl(student + share * eps, teacher, tau)
    target = functional.softmax(teacher.detach() / tau, dim=-1)
    answer = mixture(student, eps, share=share, tau=tau)
    return functional.kl_div(answer, target, reduction="batchmean") * tau**2


class Ckdsnn(Distiller):
    """The method on one pair. Raises BadInput if either has no such stage, or one of a single position.

    In evaluation mode its loss has no noise.
    """

    def __init__(self, pair: Pair, config: CkdsnnConfig) -> None:
        super().__init__(pair)
        self.config = config
        self.units: dict[str, str] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        for role, net in (("student", pair.student), ("teacher", pair.teacher)):
            stages = net.architecture.stages
            if not -len(stages) <= config.stage < len(stages):
                raise BadInput(
                    f"ckdsnn: refine.options.stage is {config.stage}, but the {role} {net.architecture.name} has "
                    f"{len(stages)} stages ({', '.join(stages)}); give {-len(stages)}..{len(stages) - 1}"
                )
            self.units[role] = stages[config.stage]
            self.sizes[role] = positions(net.architecture, self.units[role])

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`."""
        config, student, teacher = self.config, self.pair.student, self.pair.teacher
        target, activations = self.pair.ask_teacher(x, [self.units["teacher"]])
        got = self.pair.ask_student(x, student.architecture.taps)
        evidence = class_map(teacher, self.units["teacher"], activations[self.units["teacher"]], target.argmax(dim=-1))
        spikes = spike_map(got.rates[self.units["student"]].float(), student.n_steps)
        task = functional.cross_entropy(got.logits, y)
        maps = map_loss(spikes, evidence, tau=config.tau_s, norm=config.norm, tau_squared=config.tau_squared)
        draws = torch.randn(got.logits.shape, generator=moment.generator).to(got.logits)
        share = config.noise if self.training else 0.0
        logits = noisy_kd(got.logits, target, draws, share=share, tau=config.tau, variant=config.variant)
        rate = spikes_per_neuron(got.rates, student.n_steps)
        parts = {"task": task, "maps": maps, "logits": logits, "spikes_per_neuron": rate}
        return task + config.beta * maps + config.gamma * logits, got.logits, parts

    def report(self) -> dict[str, Any]:
        """{"maps": {"student", "teacher": unit and (H, W) of each, "kind": how the teacher's is made}}."""
        kind = "Grad-CAM" if mean_readout(self.pair.teacher, self.units["teacher"]) is None else "CAM"
        rows = {role: {"unit": self.units[role], "size": list(self.sizes[role])} for role in self.units}
        return {"maps": {**rows, "kind": kind}}


METHODS.register(
    "ckdsnn",
    Method(
        summary="spikes where the teacher's class activation map is, and logit distillation under noise",
        source="CKDSNN, AAAI 2026",
        config=CkdsnnConfig,
        build=Ckdsnn,
        any_teacher=True,
    ),
)

"""Similarity-aware distillation with attention over the teacher's layers, at every timestep (SASTC).

    L = CE(zbar, y) + tau^2 KL( softmax(z_A / tau) || softmax(zbar / tau) ) + beta L_SASTC

zbar (B, K): student logits averaged over T. z_A (B, K): teacher logits. L_SASTC: mean squared errors between regressed
student spikes and teacher activations, weighted by an attention that compares which samples the layers find alike
(`attention.py`). The attention learns through the loss, and so does the student through its similarities.

Source: "SASTC", AAAI 2025, with its public code (ieveresthd/SASTC). `docs/methods/sastc.md` says what was decided where
they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ...hw import BadInput
from ...models import Architecture
from ..cka import gram
from ..losses import kd_kl
from ..training import Moment
from .attention import SMALLEST_BATCH, LayerAttention, step_similarity, stm_score, weighted_error
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron


@dataclass(frozen=True, kw_only=True)
class SastcConfig:
    """tau: temperature of the logit term. beta: weight of the feature term.

    taps: compare the last unit of each stage, or of each block. include_stem: also the network's first unit.
    include_last: also a last hidden unit that is dense.
    """

    tau: float = 4.0
    beta: float = 0.1
    taps: Literal["stages", "blocks"] = "stages"
    include_stem: bool = False
    include_last: bool = False

    def __post_init__(self) -> None:
        if self.tau <= 0 or self.beta < 0:
            raise BadInput(f"sastc: tau {self.tau} must be positive and beta {self.beta} not negative")


def chosen_taps(architecture: Architecture, config: SastcConfig) -> list[str]:
    """The units of one network that are compared, in order. Raises BadInput if none are left.

    The first unit is the stem. A dense last hidden unit is the code's penultimate feature; a last stage that is a map
    is not, because there the penultimate feature is its spatial mean.
    """
    hidden = [unit.name for unit in architecture.units[:-1]]
    shapes = architecture.shapes()
    wanted = set(architecture.stages if config.taps == "stages" else architecture.taps)
    stem, last = hidden[0], hidden[-1]
    if len(shapes[last]) == 1 and not config.include_last:
        wanted.discard(last)
    wanted = wanted | {stem} if config.include_stem else wanted - {stem}
    if config.include_last:
        wanted.add(last)
    if not wanted:
        raise BadInput(
            f"sastc: {architecture.name} has nothing to compare between its stem {stem} and its last hidden unit "
            f"{last}; set include_stem or include_last"
        )
    return [name for name in hidden if name in wanted]


class Sastc(Distiller):
    """The method on one pair."""

    attended: Tensor
    batches: Tensor

    def __init__(self, pair: Pair, config: SastcConfig) -> None:
        super().__init__(pair)
        if pair.batch_size < SMALLEST_BATCH:
            raise BadInput(
                f"sastc: refine.batch_size is {pair.batch_size}; the method compares the images of a batch, give at "
                f"least {SMALLEST_BATCH}"
            )
        self.config = config
        self.smallest_batch = pair.batch_size
        student, teacher = pair.student.architecture, pair.teacher.architecture
        self.student_taps, self.teacher_taps = chosen_taps(student, config), chosen_taps(teacher, config)
        ours, theirs = student.shapes(), teacher.shapes()
        self.layers = LayerAttention(
            [ours[name] for name in self.student_taps],
            [theirs[name] for name in self.teacher_taps],
            pair.batch_size,
            torch.Generator().manual_seed(pair.seed),
        )
        self.register_buffer("attended", torch.zeros(len(self.student_taps), len(self.teacher_taps)))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def start_epoch(self, epoch: int) -> None:
        """See `Distiller.start_epoch`. The attention that is reported is that of one epoch."""
        del epoch
        self.attended.zero_()
        self.batches.zero_()

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """See `Distiller.loss`. Raises BadInput for a batch of another size than the pair's."""
        if len(x) != self.pair.batch_size:
            raise BadInput(
                f"sastc: a batch has {len(x)} images, but the similarities are embedded for {self.pair.batch_size}; "
                "set refine.batch_size to at most the number of training images"
            )
        student = self.pair.student
        target, activations = self.pair.ask_teacher(x, self.teacher_taps)
        got = self.pair.ask_student(x, list(dict.fromkeys([*student.architecture.taps, *self.student_taps])))
        assert got.spikes is not None  # the method asks for an engine with steps
        spikes = [got.spikes[name] for name in self.student_taps]
        features, stm = self._features(spikes, [activations[name] for name in self.teacher_taps])
        task, match = functional.cross_entropy(got.logits, y), kd_kl(got.logits, target, self.config.tau)
        total = task + match + self.config.beta * features
        rate = spikes_per_neuron({name: got.rates[name] for name in student.architecture.taps}, student.n_steps)
        parts = {"task": task, "logits": match, "features": features, "stm": stm, "spikes_per_neuron": rate}
        return total, got.logits, parts

    def _features(self, spikes: Sequence[Tensor], activations: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(L_SASTC, ln of the STM score), scalars. spikes: (T, B, *shape) per tap, activations: (B, *shape)."""
        ours, theirs = [step_similarity(s) for s in spikes], [gram(a) for a in activations]
        eta = self.layers.attention(ours, theirs)
        with torch.no_grad():
            self.attended += eta.mean(dim=(0, 1))
            self.batches += 1
            score = stm_score(ours, theirs)
            stm = score.clamp_min(torch.finfo(score.dtype).tiny).log()
        return weighted_error(eta, self.layers.errors(spikes, activations)), stm

    def report(self) -> dict[str, Any]:
        """{"attention": [{"student", "teacher": {tap: share}}]}, means over the last epoch; empty before the first."""
        if not self.batches:
            return {"attention": []}
        shares = (self.attended / self.batches).tolist()
        rows = zip(self.student_taps, shares, strict=True)
        return {"attention": [{"student": s, "teacher": dict(zip(self.teacher_taps, r, strict=True))} for s, r in rows]}


METHODS.register(
    "sastc",
    Method(
        summary="attention between student and teacher layers at every timestep, with logit distillation",
        source="SASTC, AAAI 2025",
        config=SastcConfig,
        build=Sastc,
        steps=True,
        any_teacher=True,
    ),
)

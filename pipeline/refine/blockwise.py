"""Hybrid block-wise replacement: after each of some stages, the teacher finishes what the student began.

    L = ell(y^S) + sum_k beta_k ell(y^{M_k})
    ell(z) = (1 - alpha) CE(z, y) + alpha KL_tau(y^A || z)
    y^{M_k} = A_n( ... A_{k+1}( C_k( F_k ) ) )

y^S (B, K): student logits averaged over T. y^A (B, K): teacher logits. F_k (B, C, H, W): the student's firing rates
after stage k. C_k: a learned projection (`projection.py`). A: the teacher's own units, frozen, in evaluation mode; the
gradient goes through them into C_k and into the student's stages up to k. A branch sees rates, not spikes, so it costs
the same at every T; projections and branches are left behind after training.

Source: Yang et al., CVPR 2025, arXiv 2503.16572. It does not say which of the terms the branches get; all of them get
both here, and `hybrid_ce` leaves out the branches' cross-entropy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...hw import BadInput, did_you_mean
from ...models import GraphNet
from ..losses import kd_kl
from ..training import Moment
from .method import METHODS, Distiller, Method, Pair, spikes_per_neuron
from .modes import check_frozen, evaluating
from .projection import Projection, ProjectionKind, Seen


@dataclass(frozen=True, kw_only=True)
class BlockwiseConfig:
    """alpha: share of distillation against cross-entropy. tau: temperature. beta: weight of a branch, None for 1 / n.

    branches: the stages of the architecture after which the teacher takes over, by name or by index from 0; None for
    the first three, without the last. projection: form of C_k. hybrid_ce: whether branches see the labels.
    """

    alpha: float = 0.5
    tau: float = 1.0
    beta: float | None = None
    branches: tuple[int | str, ...] | None = None
    projection: ProjectionKind = "conv1x1"
    hybrid_ce: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise BadInput(f"blockwise: alpha is {self.alpha}; it is a share, between 0 and 1")
        if self.tau <= 0 or (self.beta is not None and self.beta < 0):
            raise BadInput(f"blockwise: tau {self.tau} must be positive and beta {self.beta} not negative")
        if self.projection not in get_args(ProjectionKind):
            hint = did_you_mean(self.projection, get_args(ProjectionKind))
            raise BadInput(f"blockwise: unknown projection {self.projection!r}; {hint}")


def chosen_branches(stages: tuple[str, ...], branches: tuple[int | str, ...] | None) -> tuple[str, ...]:
    """The stages that get a branch, in the network's order. branches: names and indices of `stages`, None for default.

    By default the first three, without the last (the classifier alone adds little); a network of one stage has that
    one. Raises BadInput for an unknown or repeated stage.
    """
    if branches is None:
        return stages[:-1][:3] or stages
    there = ", ".join(f"{index} {name}" for index, name in enumerate(stages))
    names = []
    for branch in branches:
        known = branch in stages if isinstance(branch, str) else 0 <= branch < len(stages)
        if not known:
            raise BadInput(f"blockwise: there is no stage {branch!r} to branch from; there is: {there}")
        names.append(branch if isinstance(branch, str) else stages[branch])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"blockwise: the stage {twice[0]} is named twice in branches; keep one (there is: {there})")
    return tuple(name for name in stages if name in names)


class Blockwise(Distiller):
    """The method on one pair. The projections start from what student and teacher do on the calibration images.

    Raises BadInput for a teacher that is not frozen or whose branches do not take the student's shapes.
    """

    smallest_batch = 2  # of the projections' batch norms

    def __init__(self, pair: Pair, config: BlockwiseConfig) -> None:
        super().__init__(pair)
        check_frozen(pair.teacher, "blockwise")
        architecture = pair.student.architecture
        self.config = config
        self.branches = chosen_branches(architecture.stages, config.branches)
        _check_shapes(pair.student, pair.teacher, self.branches)
        shapes = architecture.shapes()
        self.projections = nn.ModuleList(Projection(config.projection, shapes[name]) for name in self.branches)
        self._check_tails()
        self._settle()

    @torch.no_grad()
    def _check_tails(self) -> None:
        """Raise BadInput where something of the teacher reads past a branch."""
        _, activations = self.pair.ask_teacher(self.pair.calibration[0][:1], self.branches)
        for name in self.branches:
            self.pair.teacher.tail(name, activations[name])

    def _settle(self) -> None:
        """Start every projection as the identity of rates in the teacher's units."""
        shapes = self.pair.student.architecture.shapes()
        seen = {name: Seen(shapes[name][0]) for name in self.branches}
        with evaluating(self.pair.student):
            for batch in self.pair.calibration:
                _, spikes = self.pair.student(batch, self.branches)
                _, activations = self.pair.ask_teacher(batch, self.branches)
                for name in self.branches:
                    seen[name].add(spikes[name].mean(dim=0), activations[name])
        for name, projection in self._projections().items():
            projection.settle_(seen[name])

    def _projections(self) -> dict[str, Projection]:
        """C_k by stage; units' names may hold dots, modules' names may not."""
        return dict(zip(self.branches, self.projections, strict=True))  # pyright: ignore[reportReturnType]

    def start_epoch(self, epoch: int) -> None:
        """See `Distiller.start_epoch`. Before the first, the projections start from the student that training gets."""
        if epoch == 1:
            self._settle()

    def project(self, rates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """C_k(F_k) of every branch. rates: (B, *shape) of each stage."""
        return {name: projection(rates[name]) for name, projection in self._projections().items()}

    def hybrids(self, projected: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """y^{M_k} (B, K) of every branch, float32."""
        return {name: self.pair.teacher.tail(name, value)[0].float() for name, value in projected.items()}

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `Distiller.loss`. Logged per branch: `cosine_<stage>`, of C_k(F_k) and the teacher's activations."""
        student, config = self.pair.student, self.config
        target, activations = self.pair.ask_teacher(x, self.branches)
        got = self.pair.ask_student(x, student.architecture.taps)
        task, match = functional.cross_entropy(got.logits, y), kd_kl(got.logits, target, config.tau)
        projected = self.project(got.rates)
        hybrid = got.logits.new_zeros(())
        for logits in self.hybrids(projected).values():
            labels = functional.cross_entropy(logits, y) if config.hybrid_ce else 0.0
            hybrid = hybrid + (1 - config.alpha) * labels + config.alpha * kd_kl(logits, target, config.tau)
        beta = 1 / max(1, len(self.branches)) if config.beta is None else config.beta
        total = (1 - config.alpha) * task + config.alpha * match + beta * hybrid
        cosines = {f"cosine_{name}": cosine(projected[name], activations[name]) for name in self.branches}
        rate = spikes_per_neuron(got.rates, student.n_steps)
        parts = {"task": task, "logits": match, "hybrids": beta * hybrid, "spikes_per_neuron": rate, **cosines}
        return total, got.logits, parts

    def report(self) -> dict[str, Any]:
        """{"branches": [{"layer", "scale"}]}: the activation that one spike per timestep stood for at the start."""
        return {"branches": [{"layer": n, "scale": p.scale.item()} for n, p in self._projections().items()]}


@torch.no_grad()
def cosine(projected: Tensor, activations: Tensor) -> Tensor:
    """Mean over the batch of the cosine between two sets of features (B, ...); 0 for a silent sample."""
    a, b = projected.detach().flatten(1).float(), activations.flatten(1).float()
    return functional.cosine_similarity(a, b, dim=1).mean()


def _check_shapes(student: GraphNet, teacher: GraphNet, branches: tuple[str, ...]) -> None:
    """Raise BadInput for a teacher whose units do not take what the student's stages give."""
    own, theirs = student.architecture, teacher.architecture
    if own.n_classes != theirs.n_classes:
        raise BadInput(
            f"blockwise: the student {own.name} tells {own.n_classes} classes apart and the teacher {theirs.name} "
            f"{theirs.n_classes}; take a teacher of the same data"
        )
    shapes, known = own.shapes(), theirs.shapes()
    for name in branches:
        if known.get(name) != shapes[name]:
            there = f"has the shape {known[name]}" if name in known else "does not exist"
            raise BadInput(
                f"blockwise: the student {own.name} gives {name} the shape {shapes[name]}, but in the teacher "
                f"{theirs.name} that stage {there}; the teacher finishes what the student began, so take one of the "
                "student's architecture, or another method"
            )


METHODS.register(
    "blockwise",
    Method(
        summary="the teacher finishes what the student's first stages began; cross-entropy and logits on every branch",
        source="Yang et al., CVPR 2025, arXiv 2503.16572",
        config=BlockwiseConfig,
        build=Blockwise,
    ),
)

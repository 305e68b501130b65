"""Attention between the layers of a spiking student and of its teacher, at every timestep, and what it aligns.

    A_s[t, i] = F F^T,  A_a[j] = G G^T                                  similarity of the samples of a batch   (Eq. 3)
    eta[t, b, i, :] = softmax_j( q_i(A_s[t, i, b]) . k_j(A_a[j, b]) )    q_i, k_j: MLPs onto the unit sphere    (4, 5)
    L = sum_{t, b, i, j} eta[t, b, i, j] MSE( r_ij(F_i[t, b]), G_j[b] ) / (T B s_L)                              (2, 6)

F_i (T, B, C, H, W): spikes at student tap i of s_L. G_j (B, C, H, W): activations at teacher tap j of a_L. A dense tap
(B, F) is a map of one pixel. Equations of SASTC, AAAI 2025; where the paper and its public code (ieveresthd/SASTC)
differ, this is the code: unit vectors, a mean over samples and steps, the smaller of two sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...hw import BadInput, Shape
from ..cka import gram

SMALLEST_BATCH = 4
"""An embedding has a quarter as many numbers as a batch has images."""


def step_similarity(features: Tensor) -> Tensor:
    """Gram matrices of each timestep, raw: (T, B, ...) -> (T, B, B), in at least float32. Source: Eq. 3."""
    return torch.stack([gram(step) for step in features])


def stm_score(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Spatio-temporal mismatch, a scalar: MSE(A_s[t, i], A_a[j]), averaged over timesteps and all pairs (i, j).

    student: (T, B, B) per tap, teacher: (B, B) per tap. 0 for equal matrices. The paper prints its logarithm. Source:
    Eq. 1.
    """
    pairs = [(a - b).square().mean() for a in student for b in teacher]
    return torch.stack(pairs).mean()


def attend(queries: Tensor, keys: Tensor) -> Tensor:
    """eta (T, B, s_L, a_L), summing to 1 over a_L, of queries (T, B, s_L, d) and keys (B, a_L, d). Source: Eq. 5.

    Of unit vectors no weight can vanish: e^-1 / (e^-1 + (a_L - 1) e) <= eta <= e / (e + (a_L - 1) e^-1).
    """
    return torch.einsum("tbid,bjd->tbij", queries, keys).softmax(dim=-1)


def weighted_error(eta: Tensor, errors: Tensor) -> Tensor:
    """sum eta * errors / (T B s_L), both (T, B, s_L, a_L): the mean over samples, steps and student taps. Eq. 6."""
    return (eta * errors).sum(dim=-1).mean()


def meet(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps (N, C, H, W) at the smaller of their sizes: the student pooled by maximum, the teacher by mean. Eq. 2.

    Windows are of adaptive size; a map that has the size already is returned as it is.
    """
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    if student.shape[2:] != size:
        student = functional.adaptive_max_pool2d(student, size)
    if teacher.shape[2:] != size:
        teacher = functional.adaptive_avg_pool2d(teacher, size)
    return student, teacher


class Embedding(nn.Module):
    """One layer's MLP: Linear(B -> 2d), ReLU, Linear(2d -> d), L2 norm, with d = B / 4 rounded down. Source: Eq. 4.

    Shape: rows of similarity (..., B) -> unit vectors (..., d).
    """

    def __init__(self, batch_size: int, generator: torch.Generator) -> None:
        super().__init__()
        width = batch_size // 4
        self.wide, self.narrow = nn.Linear(batch_size, 2 * width), nn.Linear(2 * width, width)
        for layer in (self.wide, self.narrow):
            _init_linear(layer, generator)

    def forward(self, rows: Tensor) -> Tensor:
        """The unit vectors."""
        return functional.normalize(self.narrow(self.wide(rows).relu()), dim=-1)


class Regressor(nn.Module):
    """What turns student maps into a teacher's: Conv3x3(C_i -> 2 C_j), batch norm, ReLU, Conv1x1(2 C_j -> C_j). Eq. 2.

    Shape: (N, C_i, H, W) -> (N, C_j, H, W).
    """

    def __init__(self, student: int, teacher: int, generator: torch.Generator) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(student, 2 * teacher, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * teacher)
        self.mix = nn.Conv2d(2 * teacher, teacher, 1, bias=False)
        for layer in (self.spatial, self.mix):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)

    def forward(self, maps: Tensor) -> Tensor:
        """The student's maps in the teacher's channels."""
        return self.mix(self.norm(self.spatial(maps)).relu())


class LayerAttention(nn.Module):
    """Attention over teacher taps and the regressors of all pairs of taps.

    student, teacher: shapes (C, H, W) or (F,) of one sample at each tap. batch_size: images of every batch, the width
    of the similarity matrices. Its weights are drawn from `generator`. Raises BadInput for a batch too small to embed.
    """

    def __init__(
        self, student: Sequence[Shape], teacher: Sequence[Shape], batch_size: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if batch_size < SMALLEST_BATCH:
            raise BadInput(
                f"batch_size is {batch_size}; similarities are embedded in a quarter as many numbers, so give at least "
                f"{SMALLEST_BATCH}"
            )
        self.queries = nn.ModuleList([Embedding(batch_size, generator) for _ in student])
        self.keys = nn.ModuleList([Embedding(batch_size, generator) for _ in teacher])
        self.regressors = nn.ModuleList(
            [nn.ModuleList([Regressor(own[0], goal[0], generator) for goal in teacher]) for own in student]
        )

    def attention(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """eta (T, B, s_L, a_L) of similarities, (T, B, B) per student tap and (B, B) per teacher tap; not autocast."""
        with torch.autocast(student[0].device.type, enabled=False):
            queries = [embed(a) for embed, a in zip(self.queries, student, strict=True)]
            keys = [embed(a) for embed, a in zip(self.keys, teacher, strict=True)]
            return attend(torch.stack(queries, dim=2), torch.stack(keys, dim=1))

    def errors(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Mean squared errors over C, H, W of every sample, step and pair: (T, B, s_L, a_L).

        student: spikes (T, B, *shape) per tap. teacher: activations (B, *shape) per tap.
        """
        rows = []
        for own, regressors in zip(student, self.regressors, strict=True):
            assert isinstance(regressors, nn.ModuleList)
            maps = as_maps(own.flatten(0, 1))
            row = []
            for goal, regress in zip(teacher, regressors, strict=True):
                mine, theirs = meet(maps, as_maps(goal))
                guess = regress(mine).to(theirs.dtype).unflatten(0, own.shape[:2])
                row.append((guess - theirs).square().flatten(2).mean(dim=2))
            rows.append(torch.stack(row, dim=-1))
        return torch.stack(rows, dim=2)


def as_maps(features: Tensor) -> Tensor:
    """(N, C, H, W) as it is, (N, F) as (N, F, 1, 1)."""
    return features if features.ndim == 4 else features[:, :, None, None]


@torch.no_grad()
def _init_linear(layer: nn.Linear, generator: torch.Generator) -> None:
    """Weights and biases uniform within 1 / sqrt(fan-in), torch's own choice.

    The biases matter: a silent layer has no similarity, and without them no direction.
    """
    bound = 1 / math.sqrt(layer.in_features)
    for parameter in (layer.weight, layer.bias):
        parameter.uniform_(-bound, bound, generator=generator)

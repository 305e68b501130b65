"""The activation of an ANN that is trained to be converted: a ReLU quantized, clipped and floor-shifted.

    h(x) = lam * clip( floor(x L / lam + 1/2) / L, 0, 1 )                     lam learned, one per population

It takes the values that a soft-reset neuron of threshold lam, started at half a threshold, emits in L timesteps for a
constant current: the rounding is in the training, so that conversion adds none. With the floor passed straight through:

    dh/dx   = 1 for -lam / 2L < x < lam - lam / 2L, else 0
    dh/dlam = (h - x) / lam there, 1 above, 0 below

Source: Bu et al., ICLR 2022 ("Optimal ANN-SNN conversion", QCFS). Their code passes the gradient up to lam + lam / 2L,
because it clips after rounding; here it ends where the activation becomes constant.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..hw import BadInput
from .graph import GraphNet, Rectify

LAM = 8.0
"""lam before training, as published. Short trainings do better from the data: `pipeline/train.py`."""


class Qcfs(nn.Module):
    """h(x) with `levels` steps L above 0; takes the same arguments as a spiking population.

    lam: scalar parameter, in units of the activation. Raises BadInput unless levels >= 1 and lam > 0.
    """

    def __init__(self, levels: int, lam: float = LAM) -> None:
        super().__init__()
        if levels < 1 or not lam > 0:
            raise BadInput(f"QCFS: levels {levels} and lam {lam}; give at least 1 level and a lam above 0")
        self.levels = levels
        self.lam = nn.Parameter(torch.tensor(float(lam)))

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """h(current), element by element; in float32 where the current is of lower precision, or steps would merge."""
        current = current.float() if current.dtype in (torch.bfloat16, torch.float16) else current
        return _Staircase.apply(current, self.lam, self.levels)  # pyright: ignore[reportReturnType]


class _Staircase(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lam: Tensor, levels: int) -> Tensor:
        out = lam * (torch.floor(x * levels / lam + 0.5) / levels).clamp(0, 1)
        ctx.save_for_backward(x, lam, out)
        ctx.levels = levels
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, lam, out = ctx.saved_tensors
        half = lam / (2 * ctx.levels)
        above = x >= lam - half
        inside = (x > -half) & ~above
        to_lam = torch.where(inside, (out - x) / lam, above.to(x.dtype))
        return grads[0] * inside, (grads[0] * to_lam).sum().to(lam.dtype), None


def as_qcfs(net: GraphNet, levels: int, lam: Mapping[str, float] | None = None) -> GraphNet:
    """A copy of an ANN with a `Qcfs` in the place of each ReLU. lam: where each unit's starts, LAM unless given.

    Raises BadInput for a unit with a ceiling of its own.
    """
    twin = copy.deepcopy(net)
    for node in twin.walk():
        if isinstance(node.neuron, Rectify):
            if node.unit.ceiling is not None:
                raise BadInput(
                    f"{node.unit.name}: its activation ends at {node.unit.ceiling}, and QCFS learns its own end; use "
                    "train.activation: relu"
                )
            node.neuron = Qcfs(levels, LAM if lam is None else lam[node.unit.name])
    return twin

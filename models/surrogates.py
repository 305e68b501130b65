"""Spike functions: a Heaviside step forward, a surrogate derivative backward.

A `Surrogate` is a value: called on a tensor it is Norse's function (the reference), and `slope` is the same derivative
in closed form, for loops that run without autograd. Every surrogate integrates to 1 over the membrane.
`x` is the distance from the threshold in units of the threshold, any shape; a spike is {0, 1} in x's dtype.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..hw import BadInput

with warnings.catch_warnings():  # Norse scripts functions at import, which torch 2.13 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from norse.torch.functional.threshold import heavi_tanh_fn, triangle_fn


@dataclass(frozen=True)
class Surrogate:
    """One spike function with its derivative, h'(x).

    kind: `triangle`: max(0, width - |x|) / width^2, with support (-width, width) and peak 1 / width.
    `sigmoid`: alpha s (1 - s) with s the logistic function of alpha x, and peak alpha / 4.
    parameter: the triangle's width, or the sigmoid's alpha; positive.
    at_or_above: whether x = 0 fires. The derivative is even in x, so it is the same either way.
    """

    kind: Literal["triangle", "sigmoid"]
    parameter: float
    at_or_above: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("triangle", "sigmoid"):
            raise BadInput(f"surrogate: there is no {self.kind!r}; take 'triangle' or 'sigmoid'")
        if not self.parameter > 0:
            name = "width" if self.kind == "triangle" else "alpha"
            raise BadInput(f"surrogate: the {self.kind}'s {name} is {self.parameter}; take a positive number")

    def __call__(self, x: Tensor) -> Tensor:
        """Spikes, with the surrogate as their derivative in autograd."""
        fire = _triangle if self.kind == "triangle" else _sigmoid
        return 1 - fire(-x, self.parameter) if self.at_or_above else fire(x, self.parameter)

    def slope(self, x: Tensor) -> Tensor:
        """h'(x), elementwise, outside autograd's spike function."""
        if self.kind == "triangle":
            return (self.parameter - x.abs()).clamp(min=0) * self.parameter**-2
        tail = torch.exp(x.abs() * -self.parameter)  # s (1 - s) = e / (1 + e)^2 with e = exp(-alpha |x|)
        return self.parameter * tail / (1 + tail).square()


def triangle(width: float = 1.0) -> Surrogate:
    """Derivative max(0, width - |x|) / width^2."""
    return Surrogate("triangle", width)


def sigmoid(alpha: float = 4.0) -> Surrogate:
    """Derivative alpha * s(alpha x) * (1 - s(alpha x)), s the logistic function."""
    return Surrogate("sigmoid", alpha)


def quadratic_gate(alpha: float = 2.0) -> Surrogate:
    """Derivative alpha - alpha^2 |x| for |x| <= 1 / alpha, else 0 (BrainCog's QGateGrad)."""
    # This is the triangle of width w = 1 / alpha: max(0, w - |x|) / w^2 = alpha - alpha^2 |x|.
    return triangle(1 / alpha)


def at_or_above(fire: Surrogate) -> Surrogate:
    """The same surrogate firing at x >= 0."""
    return replace(fire, at_or_above=True)


def _triangle(x: Tensor, width: float) -> Tensor:
    return triangle_fn(x / width, 1.0)


def _sigmoid(x: Tensor, alpha: float) -> Tensor:
    # Norse's derivative is sech^2(k x); with k = alpha / 2 that is 4 s (1 - s), so a straight-through factor is left.
    z = heavi_tanh_fn(x, alpha / 2)
    if alpha == 4:
        return z
    scaled = z * (alpha / 4)
    return z.detach() + (scaled - scaled.detach())  # adds an exact 0: the spike stays 0 or 1

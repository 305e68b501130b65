"""Spike functions: a Heaviside step forward, a surrogate derivative backward.

Norse's functions wherever Norse has the shape; every surrogate integrates to 1 over the membrane.
`x` is the distance from the threshold in units of the threshold, any shape; the result is {0, 1} in x's dtype.
All of them fire strictly above the threshold (x > 0); `at_or_above` turns one into its `>=` form.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

from torch import Tensor

with warnings.catch_warnings():  # Norse scripts functions at import, which torch 2.13 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from norse.torch.functional.threshold import heavi_tanh_fn, triangle_fn

SpikeFn = Callable[[Tensor], Tensor]


def triangle(width: float = 1.0) -> SpikeFn:
    """Derivative max(0, width - |x|) / width^2: support (-width, width), peak 1 / width."""
    return partial(_triangle, width=width)


def _triangle(x: Tensor, width: float) -> Tensor:
    return triangle_fn(x / width, 1.0)


def sigmoid(alpha: float = 4.0) -> SpikeFn:
    """Derivative alpha * s(alpha x) * (1 - s(alpha x)), s the logistic function: peak alpha / 4."""
    return partial(_sigmoid, alpha=alpha)


def _sigmoid(x: Tensor, alpha: float) -> Tensor:
    # Norse's derivative is sech^2(k x); with k = alpha / 2 that is 4 s (1 - s), so a straight-through factor is left.
    z = heavi_tanh_fn(x, alpha / 2)
    if alpha == 4:
        return z
    scaled = z * (alpha / 4)
    return z.detach() + (scaled - scaled.detach())  # adds an exact 0: the spike stays 0 or 1


def quadratic_gate(alpha: float = 2.0) -> SpikeFn:
    """Derivative alpha - alpha^2 |x| for |x| <= 1 / alpha, else 0 (BrainCog's QGateGrad)."""
    # This is the triangle of width w = 1 / alpha: max(0, w - |x|) / w^2 = alpha - alpha^2 |x|.
    return triangle(1 / alpha)


def at_or_above(fire: SpikeFn) -> SpikeFn:
    """The same surrogate firing at x >= 0. The derivative is even in x, so it is unchanged."""
    return partial(_mirrored, fire=fire)


def _mirrored(x: Tensor, fire: SpikeFn) -> Tensor:
    return 1 - fire(-x)

"""Linear centered kernel alignment (CKA): how alike two representations of the same samples are.

Features are flattened per sample, X (n, p1) and Y (n, p2), and compared through their Gram matrices. The unbiased
estimator is the one to use on convolutional maps: with n << p the biased one tends to 1 / (1 + n/p) for data that have
nothing to do with each other.

CKA does not change when a feature is shifted or all are scaled, so features are centred over the batch and brought to
unit size before their products are summed: what is left of a large offset in single precision would else be taken for
structure. A side that does not vary, or whose samples have nothing in common (spikes that never coincide), has no
alignment: CKA is 0 there.

Sources: Kornblith et al., ICML 2019 (CKA); Song et al., JMLR 13, 2012 (unbiased HSIC); Nguyen et al., ICLR 2021
(accumulation over minibatches).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..hw import BadInput

CONSTANT = 1e-5
"""Features whose spread is below this share of their size are constant: some 100 roundings of single precision."""

UNRELATED = 1e-4
"""Below this, an HSIC's root over the features' mean square is rounding. Random features give 1 / sqrt(p) or more."""

ROUNDING = 1e-24
"""The same for sums in double precision, as a share of the features' squared mean square."""


def gram(features: Tensor) -> Tensor:
    """X X^T of per-sample flattened features: (n, ...) -> (n, n), in at least float32, autocast or not."""
    with torch.autocast(features.device.type, enabled=False):
        x = _wide(features)
        return x @ x.T


def standardized(features: Tensor) -> Tensor:
    """Features (n, ...) flattened to (n, p), each with batch mean 0, all divided by one number.

    The mean squared norm of a sample is then 1, or close to 0 for constant features. The divisor gets no gradient,
    which is exact for whatever does not depend on the scale.
    """
    with torch.autocast(features.device.type, enabled=False):
        x = _wide(features)
        centered = x - x.mean(dim=0)
        spread, size = (value.detach().square().sum(dim=1).mean().sqrt() for value in (centered, x))
        floor = torch.finfo(x.dtype).tiny ** 0.5
        return centered / torch.maximum(spread, CONSTANT * size).clamp_min(floor)


def center_unbiased(k: Tensor) -> Tensor:
    """U-centering of a Gram matrix (n, n): zero diagonal, rows summing to 0. Raises BadInput for n < 4."""
    n = len(k)
    if n < 4:
        raise BadInput(f"unbiased CKA needs at least 4 samples in a batch, got {n}")
    k = k - torch.diag(torch.diagonal(k))
    rows = k.sum(dim=0)
    centered = k - (rows[:, None] + rows[None, :]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return centered - torch.diag(torch.diagonal(centered))


def hsic(k: Tensor, other: Tensor) -> Tensor:
    """Unbiased HSIC of two U-centered Gram matrices: sum_ij K_ij L_ij / (n (n - 3))."""
    n = len(k)
    return (k * other).sum() / (n * (n - 3))


def cka_unbiased(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased linear CKA in [-1, 1] of features (n, ...) and (n, ...), n >= 4. Scalar of the Gram matrices' dtype.

    0 with a gradient of 0, connected to the graph, for a silent, constant or unrelated representation. Raises BadInput
    for n < 4.
    """
    k, other = gram(standardized(x)), gram(standardized(y))
    a, b = (center_unbiased(g.double()) for g in (k, other))  # n x n: differences of sums, cheap in double
    return _ratio(hsic(a, b), hsic(a, a), hsic(b, b)).to(k.dtype)


def cka_biased(x: Tensor, y: Tensor) -> Tensor:
    """Biased linear CKA in [0, 1] of features (n, ...) and (n, ...). For comparison with papers that use it."""
    k, other = gram(standardized(x)), gram(standardized(y))
    a, b = (g.double() for g in (k, other))  # of centered features, so centered
    n2 = len(k) ** 2
    return _ratio((a * b).sum() / n2, (a * a).sum() / n2, (b * b).sum() / n2).to(k.dtype)


class DatasetCka:
    """Unbiased CKA over a whole data set: the three HSIC sums are accumulated and divided once."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)
        self._sizes = torch.zeros(2, dtype=torch.float64)

    @torch.no_grad()
    def add(self, x: Tensor, y: Tensor) -> None:
        """Account for one batch of features (n, ...) and (n, ...), n >= 4."""
        wide = [features.flatten(1).double() for features in (x, y)]
        k, other = (center_unbiased(gram(w - w.mean(dim=0))) for w in wide)
        self._sums += torch.stack([hsic(k, other), hsic(k, k), hsic(other, other)]).cpu()
        self._sizes += torch.stack([w.square().sum(dim=1).mean().square() for w in wide]).cpu()

    def value(self) -> float:
        """CKA over everything added so far; 0 if either side never varied."""
        cross, *own = self._sums.tolist()
        if any(value <= ROUNDING * size for value, size in zip(own, self._sizes.tolist(), strict=True)):
            return 0.0
        return cross / (own[0] * own[1]) ** 0.5


def _wide(features: Tensor) -> Tensor:
    """(n, p) in float32 or float64."""
    x = features.flatten(1)
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _ratio(cross: Tensor, xx: Tensor, yy: Tensor) -> Tensor:
    """cross / sqrt(xx yy) of standardized features; 0 where a side's own HSIC is below the square of UNRELATED."""
    product = xx.clamp_min(UNRELATED**2) * yy.clamp_min(UNRELATED**2)
    compared = (xx >= UNRELATED**2) & (yy >= UNRELATED**2)
    return torch.where(compared, cross, 0 * cross) / product.sqrt()

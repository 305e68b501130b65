"""Linear centered kernel alignment (CKA): how alike two representations of the same samples are.

Features are flattened per sample, X (n, p1) and Y (n, p2), and compared through their Gram matrices. The unbiased
estimator is the one to use on convolutional maps: with n << p the biased one tends to 1 / (1 + n/p) for data that have
nothing to do with each other.

Sources: Kornblith et al., ICML 2019 (CKA); Song et al., JMLR 13, 2012 (unbiased HSIC); Nguyen et al., ICLR 2021
(accumulation over minibatches).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..hw import BadInput


def gram(features: Tensor) -> Tensor:
    """X X^T of per-sample flattened features: (n, ...) -> (n, n), in at least float32, autocast or not."""
    with torch.autocast(features.device.type, enabled=False):
        x = features.flatten(1)
        x = x if x.dtype in (torch.float32, torch.float64) else x.float()
        return x @ x.T


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
    """Unbiased linear CKA in [-1, 1] of features (n, ...) and (n, ...), n >= 4.

    0 for a silent or constant representation, connected to the graph, with finite gradients.
    """
    k, other = center_unbiased(gram(x)), center_unbiased(gram(y))
    return _ratio(hsic(k, other), hsic(k, k), hsic(other, other), _scale(x), _scale(y))


def cka_biased(x: Tensor, y: Tensor) -> Tensor:
    """Biased linear CKA in [0, 1] of features (n, ...) and (n, ...). For comparison with papers that use it."""
    k, other = (g - g.mean(0) - g.mean(1)[:, None] + g.mean() for g in (gram(x), gram(y)))
    return _ratio((k * other).sum(), (k * k).sum(), (other * other).sum(), _scale(x), _scale(y))


class DatasetCka:
    """Unbiased CKA over a whole data set: the three HSIC sums are accumulated and divided once."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)

    @torch.no_grad()
    def add(self, x: Tensor, y: Tensor) -> None:
        """Account for one batch of features (n, ...) and (n, ...), n >= 4."""
        k, other = center_unbiased(gram(x.double())), center_unbiased(gram(y.double()))
        self._sums += torch.stack([hsic(k, other), hsic(k, k), hsic(other, other)]).cpu()

    def value(self) -> float:
        """CKA over everything added so far; 0 if either side never varied."""
        cross, xx, yy = self._sums.tolist()
        return cross / (xx * yy) ** 0.5 if xx > 0 and yy > 0 else 0.0


def _scale(x: Tensor) -> Tensor:
    """Mean squared norm of a sample: the scale against which a self-HSIC counts as zero."""
    with torch.autocast(x.device.type, enabled=False):
        flat = x.detach().flatten(1)
        flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
        return flat.square().sum(dim=1).mean()


def _ratio(cross: Tensor, xx: Tensor, yy: Tensor, x_scale: Tensor, y_scale: Tensor) -> Tensor:
    """cross / sqrt(xx yy), guarded: a side whose HSIC is below 1e-12 of its scale squared (or 0) counts as constant."""
    tiny = torch.finfo(cross.dtype).tiny
    floor_x, floor_y = (1e-12 * s.square() + tiny**0.5 for s in (x_scale, y_scale))
    return cross / (xx.clamp_min(floor_x).sqrt() * yy.clamp_min(floor_y).sqrt())

"""The one autograd node of a unit on the compiled path of the `rate` engine.

Forward it hands on the measured rate. Backward, with g = dL/d rate times the slope, a wire's sums y (mean over time),
their mean m and variance over all steps, s = gamma / sqrt(var + eps) and P positions of the batch:

    dL/dy = g                                                             without batch norm
    dL/dy = s g                                                           with running statistics
    dL/dy = s (g - sum(g) / P - (y - m) sum(g (y - m)) / (P (var + eps)))    with the batch's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from .graph import Synapses
from .kernels import rates
from .kernels.native import parallel
from .rate_conv import tiled


@dataclass(frozen=True, eq=False)
class ConvBack:
    """What the backward pass needs of a convolution and its batch norm. source: the rates it reads, (B, C, H, W).

    mean_sums: its sums y, the mean over time, (B, N), None without batch norm. center, inverse: m and
    1 / sqrt(var + eps) of each channel, float64; None without batch norm. of_batch: whether they are the batch's.
    """

    synapses: Synapses
    source: Tensor
    mean_sums: Tensor | None
    center: Tensor | None
    inverse: Tensor | None
    of_batch: bool

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution."""
        return cast(nn.Conv2d, self.synapses.weighted)

    def inputs(self) -> tuple[Tensor | None, ...]:
        """What gradients may be wanted of: source, weight, bias, gamma, beta, bias of each neuron."""
        norm = self.synapses.norm
        gamma, beta = (norm.weight, norm.bias) if isinstance(norm, nn.BatchNorm2d) else (None, None)
        return self.source, self.conv.weight, self.conv.bias, gamma, beta, self.synapses.bias


N_INPUTS = 6


def unit_rate(rate: Tensor, slope: Tensor, backs: Sequence[ConvBack], others: Sequence[Tensor]) -> Tensor:
    """The measured rate, (B, C, H, W) or (B, F), as a function of what the convolutions read and of other currents.

    rate, slope: float32 (B, H, W, C) or (B, F). others: mean currents in the shape of the result.
    """
    tensors = [tensor for back in backs for tensor in back.inputs()]
    return cast(Tensor, _Unit.apply(rate, slope, [*backs], *tensors, *others))


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rate: Tensor, slope: Tensor, backs: list[ConvBack], *tensors: Tensor | None) -> Tensor:
        ctx.geometry = [(back.conv.stride, back.conv.padding, back.conv.dilation, back.conv.groups) for back in backs]
        ctx.of_batch = [back.of_batch for back in backs]
        kept = []
        for i, back in enumerate(backs):
            source, weight, _, gamma, _, bias = tensors[N_INPUTS * i : N_INPUTS * (i + 1)]
            kept += [source, weight, gamma, bias, back.mean_sums, back.center, back.inverse]
        ctx.save_for_backward(slope, *kept)
        return rate.permute(0, 3, 1, 2) if rate.ndim == 4 else rate

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        slope, *kept = ctx.saved_tensors
        (grad,) = grads
        grad = (grad.permute(0, 2, 3, 1) if grad.ndim == 4 else grad).contiguous()
        channels = grad.shape[-1]
        current = torch.empty_like(grad)
        sums = torch.empty(len(grad), channels, dtype=torch.float64)
        _pull_back(grad, slope, current, sums)
        total = sums.sum(dim=0)
        given: list[Tensor | None] = [None, None, None]
        for i, geometry in enumerate(ctx.geometry):
            needs = ctx.needs_input_grad[3 + N_INPUTS * i : 3 + N_INPUTS * (i + 1)]
            given += _through_conv(current, total, kept[7 * i : 7 * (i + 1)], geometry, ctx.of_batch[i], needs)
        out = current.permute(0, 3, 1, 2) if current.ndim == 4 else current
        return *given, *(out for _ in ctx.needs_input_grad[len(given) :])


def _through_conv(
    current: Tensor, total: Tensor, kept: list[Any], geometry: tuple[Any, ...], of_batch: bool, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of `ConvBack.inputs`. current: (B, H, W, C), its gradient. total: its sum of each channel, float64."""
    source, weight, gamma, neuron_bias, mean_sums, center, inverse = kept
    to_sums, of_gamma, of_bias = current, None, total
    if mean_sums is not None:
        products = torch.empty(len(current), len(total), dtype=torch.float64)
        _correlate(current, mean_sums, center, products)
        product = products.sum(dim=0)
        of_gamma = product * inverse
        scale = inverse if gamma is None else gamma.detach() * inverse
        of_bias = torch.zeros_like(total) if of_batch else scale * total
        positions = current.numel() // len(total)
        share = scale / positions if of_batch else torch.zeros_like(scale)
        terms = torch.stack([scale, -share * inverse.square() * product, center, -share * total])
        to_sums = torch.empty_like(current)
        _through_norm(current, mean_sums, terms, to_sums)
    source_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
        to_sums.permute(0, 3, 1, 2), source, weight, None, *geometry[:3], False, [0, 0], geometry[3],
        [needs[0], needs[1], False],
    )  # fmt: skip
    return [
        source_grad,
        weight_grad,
        of_bias.to(weight.dtype) if needs[2] else None,
        of_gamma.to(weight.dtype) if needs[3] and of_gamma is not None else None,
        total.to(weight.dtype) if needs[4] else None,
        current.sum(dim=0).permute(2, 0, 1) if needs[5] and neuron_bias is not None else None,
    ]


def _pull_back(grad: Tensor, slope: Tensor, out: Tensor, sums: Tensor) -> None:
    g, s, o, added = grad.flatten(1).numpy(), slope.flatten(1).numpy(), out.flatten(1).numpy(), sums.numpy()
    channels = grad.shape[-1]
    parallel(lambda rows: rates.pull_back(g[rows], s[rows], channels, o[rows], added[rows]), len(g))


def _correlate(grad: Tensor, mean: Tensor, center: Tensor, sums: Tensor) -> None:
    g, m, added = grad.flatten(1).numpy(), mean.flatten(1).numpy(), sums.numpy()
    (centers,) = tiled(center[None], g.shape[1])
    parallel(lambda rows: rates.correlate(g[rows], m[rows], centers, added[rows]), len(g))


def _through_norm(grad: Tensor, mean: Tensor, terms: Tensor, out: Tensor) -> None:
    g, m, o = grad.flatten(1).numpy(), mean.flatten(1).numpy(), out.flatten(1).numpy()
    flat = tiled(terms, g.shape[1])
    parallel(lambda rows: rates.through_norm(g[rows], m[rows], flat, o[rows]), len(g))

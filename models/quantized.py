"""An ANN in few bits: what an ordinary accelerator for integers computes, simulated in floats.

    w' = s round(w / s),  s = max |w| / (2^(bits - 1) - 1)                            one s per wire and output channel
    h(x) = lam * clip( floor(x L / lam + 1/2) / L, 0, 1 ),  L = 2^bits - 1            one lam per population

Weights are symmetric and take at most 2^bits - 1 values per channel; their rounding is passed straight through to the
gradient, and s follows them. An activation is unsigned, the staircase of `models/qcfs.py`, and takes at most 2^bits
values; its end lam is learned.

All else is as wide as an accumulator and not rounded: the input, biases, sums over a unit's wires (a residual sum is
rounded once, by the activation after it), means over windows, linear units, constant scales of shortcuts, the products
of an attention, logits. A max pool passes on values that are rounded already.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..hw import BadInput
from .graph import GraphNet, Rectify, Synapses
from .qcfs import Qcfs


class _Round(torch.autograd.Function):
    """The nearest integer; gradient 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class SymmetricWeight(nn.Module):
    """w' of the weights of a convolution or matrix, output channels first. Raises BadInput below 2 bits."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        if bits < 2:
            raise BadInput(f"weights of {bits} bits: one holds the sign; give at least 2")
        self.largest = 2 ** (bits - 1) - 1

    def forward(self, weight: Tensor) -> Tensor:
        """Each channel on its own grid; one of zeros stays so."""
        ends = weight.detach().flatten(1).abs().amax(1).unflatten(0, (-1, *[1] * (weight.ndim - 1)))
        step = (ends / self.largest).clamp_min(torch.finfo(weight.dtype).tiny)
        return _Round.apply(weight / step) * step  # pyright: ignore[reportOperatorIssue]


def as_quantized(net: GraphNet, weight_bits: int, levels: int, ends: Mapping[str, float]) -> GraphNet:
    """A copy of an ANN with weights of `weight_bits` bits and activations of `levels` steps above 0.

    ends: where lam of each unit that fires starts. A ReLU's ceiling and the staircase of an ANN that has one give way
    to it. Raises BadInput for batch norms, which would be left unrounded.
    """
    if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
        raise BadInput(f"{net.architecture.name}: it has batch norms, whose gains scale its weights; fold them first")
    twin = copy.deepcopy(net)
    device = next(net.parameters()).device
    for node in twin.walk():
        if isinstance(node.neuron, Rectify | Qcfs):
            node.neuron = Qcfs(levels, ends[node.unit.name]).to(device)
        for synapses in node.synapses:
            if isinstance(synapses, Synapses) and isinstance(synapses.weighted, nn.Conv2d | nn.Linear):
                parametrize.register_parametrization(synapses.weighted, "weight", SymmetricWeight(weight_bits))
    return twin

"""Batch norm folded into the weights before it: the first step of every conversion.

W' = W g / sqrt(var + eps),   b' = beta + (b - mean) g / sqrt(var + eps)        per output channel
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from ..models import GraphNet, Synapses


def fold_batchnorm(net: GraphNet) -> GraphNet:
    """A copy of the network, in evaluation mode, without batch norms and with the same output."""
    folded = copy.deepcopy(net).eval()
    for node in folded.walk():
        for synapses in node.synapses:
            if isinstance(synapses, Synapses) and isinstance(synapses.norm, nn.BatchNorm2d):
                synapses.weighted = _folded(synapses.weighted, synapses.norm)
                synapses.norm = nn.Identity()
    return folded


@torch.no_grad()
def _folded(conv: nn.Module, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert isinstance(conv, nn.Conv2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = conv.bias if conv.bias is not None else torch.zeros_like(norm.running_mean)
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter(conv.weight * gain[:, None, None, None])
    folded.bias = nn.Parameter(norm.bias + (bias - norm.running_mean) * gain)
    return folded

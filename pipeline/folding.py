"""Batch norm folded into the weights before it: the first step of every conversion.

W' = W g / sqrt(var + eps),   b' = beta + (b - mean) g / sqrt(var + eps)        per output channel

A batch norm on an identity becomes a gain and a shift per channel: a 1 x 1 convolution of each channel with itself.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from ..models import ConvWire, GraphNet, IdentityWire, Synapses


def fold_batchnorm(net: GraphNet) -> GraphNet:
    """A copy of the network, in evaluation mode, without batch norms and with the same output."""
    folded = copy.deepcopy(net).eval()
    for node in folded.walk():
        for synapses in node.synapses:
            if isinstance(synapses, Synapses) and isinstance(synapses.norm, nn.BatchNorm2d):
                conv = synapses.weighted if isinstance(synapses.wire, ConvWire) else _of_identity(synapses)
                synapses.weighted = _folded(conv, synapses.norm)
                synapses.norm = nn.Identity()
    return folded


@torch.no_grad()
def _of_identity(synapses: Synapses) -> nn.Conv2d:
    """An identity of as many channels as its batch norm has, as a convolution."""
    assert isinstance(synapses.wire, IdentityWire)
    assert isinstance(synapses.norm, nn.BatchNorm2d)
    gains = torch.full_like(synapses.norm.weight, synapses.wire.scale)
    channels = len(gains)
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False, device="meta")
    conv.weight = nn.Parameter(gains.reshape(channels, 1, 1, 1))
    return conv


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

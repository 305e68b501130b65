"""Where in the image a network finds its evidence: one map (B, H, W) of the student, one of its teacher.

    spikes       M = sum_t sum_c s_(t,c) = T sum_c r_c
    CAM          M = relu( sum_c W_(k,c) A_c )                                        a read-out of the spatial mean
    Grad-CAM     M = relu( sum_c a_c A_c ),   a_c = mean over positions of dz_k / dA_c       any other

r (B, C, H, W): firing rates over T timesteps. A (B, C, H, W): the teacher's activations, z its logits, k the class
asked for. For a read-out W of the spatial mean a_c = W_(k,c) / (H W), so the two maps differ by a factor alone.

Source: Zhou et al., CVPR 2016 (CAM); Selvaraju et al., ICCV 2017 (Grad-CAM); CKDSNN, AAAI 2026 (spikes).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...hw import BadInput
from ...models import Architecture, GraphNet, LinearWire, Synapses

Norm = Literal["per_sample", "batch", "none"]
"""Whose smallest value becomes 0 and whose largest 1: each sample's, the whole batch's, or nobody's."""


def positions(architecture: Architecture, unit: str) -> tuple[int, int]:
    """(H, W) of a unit. Raises BadInput if there is but one position, where a map has nothing to tell."""
    shape = architecture.shapes()[unit]
    if len(shape) < 3 or shape[1] * shape[2] == 1:
        raise BadInput(
            f"{architecture.name}: {unit} has shape {shape}, one position, so its activation map is one number; "
            f"compare an earlier stage (refine.options.stage, of {', '.join(architecture.stages)}) or use method kd"
        )
    return shape[1], shape[2]


def spike_map(rates: Tensor, n_steps: int) -> Tensor:
    """Spikes per position over all timesteps and channels. rates: spikes per timestep (B, C, H, W)."""
    return n_steps * rates.sum(dim=1)


def mean_readout(net: GraphNet, unit: str) -> Tensor | None:
    """Weights (K, C) of the read-out if it is a linear map of the unit's spatial mean and of nothing else, or None."""
    node = net.node(net.architecture.units[-1].name)
    wire, synapses = node.unit.wires[0], node.synapses[0]
    if len(node.unit.wires) > 1 or not isinstance(wire, LinearWire) or wire.source != unit:
        return None
    if not wire.mean or wire.pool != 1:  # a pool's windows leave rows and columns out of the mean
        return None
    assert isinstance(synapses, Synapses)
    assert isinstance(synapses.weighted, nn.Linear)
    return synapses.weighted.weight.detach()


def cam(weight: Tensor, activations: Tensor, classes: Tensor) -> Tensor:
    """The class activation map, (B, H, W). weight: (K, C), activations: (B, C, H, W), classes: (B,)."""
    return (weight[classes][:, :, None, None] * activations).sum(dim=1).relu()


def grad_cam(net: GraphNet, unit: str, activations: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM of an ANN in evaluation mode at a unit, (B, H, W), without gradient.

    activations: of the unit, (B, C, H, W). classes: (B,). No parameter of the net gets a gradient. Raises BadInput if
    later units read past `unit`.
    """
    with torch.enable_grad():
        value = activations.detach().requires_grad_()
        logits, _ = net.tail(unit, value)
        score = logits.float().gather(1, classes[:, None]).sum()
        (slope,) = torch.autograd.grad(score, value)
    return (slope.mean(dim=(2, 3), keepdim=True) * activations.detach()).sum(dim=1).relu()


def class_map(net: GraphNet, unit: str, activations: Tensor, classes: Tensor) -> Tensor:
    """CAM if the net reads the unit's spatial mean, else Grad-CAM: (B, H, W), without gradient."""
    weight = mean_readout(net, unit)
    if weight is None:
        return grad_cam(net, unit, activations, classes)
    return cam(weight, activations.detach(), classes)


def normalise(maps: Tensor, norm: Norm) -> Tensor:
    """Maps (B, H, W) moved and stretched to [0, 1]; a constant map becomes 0. Differentiable, smallest and largest too.

    The published code divides by the largest plus 1e-3, which makes the result depend on the map's scale.
    """
    if norm == "none":
        return maps
    axes = (1, 2) if norm == "per_sample" else (0, 1, 2)
    above = maps - maps.amin(dim=axes, keepdim=True)
    span = above.amax(dim=axes, keepdim=True)
    return above / torch.where(span > 0, span, 1)


def common_size(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two stacks of maps (..., H, W), the larger averaged down to the smaller on each axis."""
    size = min(one.shape[-2], other.shape[-2]), min(one.shape[-1], other.shape[-1])
    return _averaged(one, size), _averaged(other, size)


def _averaged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[-2:] == size else functional.adaptive_avg_pool2d(maps, size)

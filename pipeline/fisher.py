"""Temporal Fisher information: how much the weights of a spiking network know after each timestep.

    I_t = 1/N sum_n || d/dtheta log p_t(y_n | x_n) ||^2,    p_t = softmax( mean of the logits of steps 1..t )
    centroid = sum_t t I_t / sum_t I_t

theta: all trained parameters. It is the trace of the empirical Fisher matrix, with the true labels and the surrogate
gradients that trained the network. Source: Kim et al., "Exploring Temporal Information Dynamics in Spiking Neural
Networks", AAAI 2023. Their public code squares the gradient of a batch's mean loss, which shrinks with the batch as the
samples' gradients cancel; their equation, and this, squares each sample's own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..hw import BadInput
from ..models import GraphNet


def temporal_fisher(student: GraphNet, images: Tensor, labels: Tensor) -> Tensor:
    """I_t of a spiking network for t = 1..T: float64 (T,), on the CPU.

    images: (B, C, H, W) in [0, 1], or (T, B, C, H, W). labels: int64 (B,). The network is run in evaluation mode
    and left as it was. One pass per image and one backward pass per image and step. Raises BadInput without images, for
    a network that is not spiking, and for labels that do not fit.
    """
    if student.n_steps < 1:
        raise BadInput(f"{student.architecture.name}: temporal Fisher information needs a spiking network; convert it")
    samples = images.unbind(dim=-len(student.architecture.input_shape) - 1)
    if not samples or labels.shape != (len(samples),):
        raise BadInput(f"{len(samples)} images and labels of shape {tuple(labels.shape)}; give one label per image")
    weights = {name: p.detach().requires_grad_() for name, p in student.named_parameters()}
    sums = torch.zeros(student.n_steps, dtype=torch.float64)
    was_training = student.training
    student.eval()
    for x, y in zip(samples, labels, strict=True):
        sums += _squared_norms(student, weights, x.unsqueeze(-len(student.architecture.input_shape) - 1), y)
    student.train(was_training)
    return sums / len(samples)


def information_centroid(fisher: Tensor) -> float:
    """The mean timestep, weighted by information (T,): from 1, all of it in the first step, to T.

    Raises BadInput if there is no information at all.
    """
    total = float(fisher.sum())
    if not total > 0:
        raise BadInput("no timestep has any Fisher information, so it has no centroid; give other images")
    return float((fisher * torch.arange(1, len(fisher) + 1)).sum()) / total


def _squared_norms(student: GraphNet, weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Of one sample x (1, C, H, W) or (T, 1, C, H, W), || d log p_t / dtheta ||^2 for every t: float64 (T,)."""
    logits, _ = torch.func.functional_call(student, weights, (x,))
    steps = torch.arange(1, len(logits) + 1, device=logits.device)
    likelihood = -functional.cross_entropy(
        logits.cumsum(dim=0).flatten(0, 1) / steps[:, None], y.expand(len(logits)), reduction="none"
    )
    norms = []
    for value in likelihood:
        gradients = torch.autograd.grad(value, list(weights.values()), retain_graph=True, allow_unused=True)
        norms.append(sum(float(g.double().square().sum()) for g in gradients if g is not None))
    return torch.tensor(norms, dtype=torch.float64)

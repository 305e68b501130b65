"""Events and still images of three classes that show the same thing, a student and a teacher. Not a test."""

from __future__ import annotations

from typing import Any

import torch
from spikeport.models import PROFILES, Architecture, GraphNet, as_spiking, build_ann
from spikeport.models.datasets import Clips, Images
from spikeport.models.zoo.preactivation import event_resnet
from spikeport.models.zoo.vgg import vgg
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine.ckd import CkdConfig, CrossModal
from torch import Tensor

from .. import tiny_nets

T, CLASSES = 3, 3


def stills(count: int = 24, seed: int = 0) -> Images:
    """A coloured bar on 12 x 12: at the top, in the middle or at the bottom."""
    rng = tiny_nets.generator(seed)
    y = torch.arange(count) % CLASSES
    x = torch.randint(0, 60, (count, 3, 12, 12), generator=rng)
    for i, label in enumerate(y.tolist()):
        x[i, :, 4 * label : 4 * label + 4] += torch.randint(60, 190, (3, 1, 1), generator=rng)
    return Images(x=x.to(torch.uint8), y=y)


def clips(count: int = 24, seed: int = 1) -> Clips:
    """Events where the bar is, on 8 x 8, among noise."""
    rng = tiny_nets.generator(seed)
    y = torch.randint(CLASSES, (count,), generator=rng)
    chance = torch.full((count, T, 2, 8, 8), 0.1)
    for i, label in enumerate(y.tolist()):
        chance[i, :, :, 3 * label : 3 * label + 2] = 0.6
    return Clips(x=torch.bernoulli(chance, generator=rng).to(torch.uint8), y=y, levels=1)


def convolutional() -> Architecture:
    """2 x 8 x 8 - 6 - average - 8: a VGG for events."""
    return vgg((2, 8, 8), CLASSES, name="tiny", layers=(6, "A", 8), bias=False)


def residual() -> Architecture:
    """A stream without neurons at its end."""
    return event_resnet((2, 8, 8), CLASSES, name="stream", stem=4, widths=(4, 6), count=1)


def pair(
    architecture: Architecture | None = None, *, pool: Images | None = None, profile: str = "loihi", seed: int = 0
) -> Pair:
    """A student with fresh batch norms in training mode, and an ANN that takes the still images."""
    student = as_spiking(
        build_ann(architecture or convolutional(), tiny_nets.generator(seed + 1)), PROFILES[profile], T
    )
    teacher = tiny_nets.ann(vgg((3, 12, 12), CLASSES, name="teacher", layers=(6, "A", 6), bias=False))
    return Pair(
        student=student.train(),
        teacher=teacher.requires_grad_(False),
        calibration=[],
        seed=seed,
        stills=stills() if pool is None else pool,
    )


def built(given: Pair | None = None, **options: Any) -> CrossModal:
    return CrossModal(pair() if given is None else given, CkdConfig(**options))


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    """(events (T, B, 2, 8, 8), labels)."""
    samples = clips(count)
    return samples.floats(), samples.y


def gradients(net: GraphNet) -> dict[str, Tensor]:
    """What the last backward pass left, and a clean slate."""
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)
    return found

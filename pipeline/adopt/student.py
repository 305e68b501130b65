"""A spiking student of a folded ANN, converted and quantized after training: nothing is learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...hw import BadInput, Chip, Network, check
from ...models import PROFILES, GraphNet
from ...models.integer import as_integer, integer_logits
from ..compensate import Compensation, compensate
from ..convert import convert
from ..lower import to_network
from ..notices import notice, of_conversion, of_quantization
from ..scales import Scales, choose_scales, contain_
from .folded import Folded
from .teacher import to_graphnet

__all__ = ["Adoption", "quantized_student", "to_graphnet"]

BATCH = 64
"""Calibration images computed at a time."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """How a student was quantized without training.

    agreement: share of the calibration images that it answers as the ANN does. thresholds, worth, errors: of each
    hidden unit, see `Compensation`. notices: as in a report.
    """

    agreement: float
    images: int
    payload_bits: int
    thresholds: dict[str, float]
    worth: dict[str, float]
    errors: dict[str, float]
    notices: tuple[dict[str, str], ...]


def quantized_student(
    folded: Folded,
    images: Tensor,
    chip: Chip,
    n_steps: int,
    *,
    payload_bits: int | None = None,
    levels: int = 255,
) -> tuple[Network, Adoption]:
    """The ANN in the chip's integers, converted and quantized after training, on the chip's neurons that reset hard.

    images: calibration, float (N, *input shape) in [0, 1], N >= 1, of `levels` steps from 0 to 1. payload_bits: as of
    `choose_scales`. Raises BadInput for images outside [0, 1] or none, and what `to_graphnet`, calibration,
    `choose_scales` and `hw.check` raise.
    """
    _require_pixels(folded, images)
    profile = PROFILES["loihi"]
    ann = to_graphnet(folded)
    made = compensate(ann, images, profile, n_steps)
    student = convert(made.ann, made.thresholds, profile, n_steps, worth=made.worth)
    scales = choose_scales(student, chip, payload_bits, levels.bit_length())
    net = as_integer(student, profile, scales.units, scales.gains, chip.bias_max)
    contain_(net, chip, scales)
    network = to_network(net, scales.payload_bits)
    check(network, chip)
    adoption = Adoption(
        agreement=_agreement(ann, net, images, scales.payload_bits),
        images=len(images),
        payload_bits=scales.payload_bits,
        thresholds=made.thresholds,
        worth=made.worth,
        errors=made.errors,
        notices=_notices(ann, net, made, scales, levels),
    )
    return network, adoption


@torch.no_grad()
def _agreement(ann: GraphNet, net: GraphNet, images: Tensor, payload_bits: int) -> float:
    """Share of images that the integer network answers as the ANN does."""
    top = (1 << payload_bits) - 1
    hits = 0
    for batch in images.split(BATCH):
        logits, _ = integer_logits(net, net((batch * top + 0.5).floor())[0])
        hits += int((logits.argmax(dim=-1) == ann(batch)[0].argmax(dim=-1)).sum())
    return hits / len(images)


def _require_pixels(folded: Folded, images: Tensor) -> None:
    way_out = "give pixels in [0, 1], and the network's own normalisation as mean and std"
    if not len(images):
        raise BadInput(f"{folded.name}: there are no calibration images; {way_out}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise BadInput(f"{folded.name}: the calibration images reach from {low:.4g} to {high:.4g}; {way_out}")


def _notices(
    ann: GraphNet, net: GraphNet, made: Compensation, scales: Scales, levels: int
) -> tuple[dict[str, str], ...]:
    compensated = [
        notice(
            name,
            f"threshold {made.thresholds[name]:.4g}, a spike counts {made.worth[name]:.4g}, biases shifted; rates stay "
            f"{error:.1%} of the activations' squares off",
            "the chip's neurons reset hard and lose what exceeds the threshold",
            "train in integers: a recipe with model.file",
        )
        for name, error in made.errors.items()
    ]
    return (
        *of_conversion(ann, made.worth, "best share of the 99.9 % point of calibration activations"),
        *compensated,
        *of_quantization(net, scales, levels, trained=False),
    )

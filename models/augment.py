"""Random crop, mirror and cutout on batches of images: one gather and one mask, driven by an explicit generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..hw import BadInput


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What to do to each image of a batch, independently.

    crop: pad by this many zero pixels and cut the image's own size out at a random place (0: leave it).
    flip: mirror left and right with probability 1/2.
    cutout: erase (set to 0) a square of this side around a random pixel, clipped at the border (0: none). DeVries and
    Taylor, arXiv 1708.04552.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        for field in ("crop", "cutout"):
            if getattr(self, field) < 0:
                raise BadInput(f"augment: {field} is {getattr(self, field)}; give a number of pixels, 0 for none")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x: float (B, C, H, W). Returns a new tensor of the same shape, dtype and device; x is left alone.

        generator: the only source of randomness; equal states give equal results. It is drawn from on its own device,
        so a CPU generator gives the same augmentation whatever device x is on.
        """
        if x.ndim != 4:
            raise BadInput(f"augment: a batch has shape (B, C, H, W), got {tuple(x.shape)}")
        if self.crop or self.flip:
            x = self._moved(x, generator)
        if self.cutout:
            x = x * _keep(x, self.cutout, generator)
        return x if self.crop or self.flip or self.cutout else x.clone()

    def _moved(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Crop and mirror as one look-up of each output pixel in the padded image."""
        count, channels, height, width = x.shape
        pad = self.crop
        rows = torch.arange(height, device=x.device).expand(count, height)
        columns = torch.arange(width, device=x.device).expand(count, width)
        if pad:
            rows = rows + _integers(2 * pad + 1, x, generator)
            columns = columns + _integers(2 * pad + 1, x, generator)
            x = functional.pad(x, (pad, pad, pad, pad))
        if self.flip:
            columns = torch.where(_integers(2, x, generator) == 1, columns.flip(1), columns)
        place = rows[:, :, None] * x.shape[3] + columns[:, None, :]
        place = place.reshape(count, 1, -1).expand(-1, channels, -1)
        return x.reshape(count, channels, -1).gather(2, place).reshape(count, channels, height, width)


def _keep(x: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """x's dtype (B, 1, H, W): 0 inside a square of `side` pixels about a random centre of each image, 1 elsewhere."""
    inside = []
    for size in x.shape[2:]:
        first = _integers(size, x, generator) - side // 2
        at = torch.arange(size, device=x.device)
        inside.append((at >= first) & (at < first + side))
    return (~(inside[0][:, :, None] & inside[1][:, None, :]))[:, None].to(x.dtype)


def _integers(below: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """One integer in 0..below-1 per image: int64 (B, 1) on x's device."""
    return torch.randint(below, (len(x), 1), generator=generator, device=generator.device).to(x.device)

"""Random crop, roll, mirror and cutout on batches of pictures: one gather and one mask, driven by a generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..hw import BadInput


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What to do to each picture of a batch, independently, in the order crop, roll, mirror, erase.

    crop: pad by this many zero pixels and cut the picture's own size out at a random place (0: leave it).
    roll: move it by a random -roll..roll pixels on each axis, what leaves it coming back on the other side (0: none).
    flip: mirror left and right with probability 1/2.
    cutout: erase (set to 0) a square of this side around a random pixel, clipped at the border (0: none). DeVries and
    Taylor, arXiv 1708.04552.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    roll: int = 0

    def __post_init__(self) -> None:
        for field in ("crop", "cutout", "roll"):
            if getattr(self, field) < 0:
                raise BadInput(f"augment: {field} is {getattr(self, field)}; give a number of pixels, 0 for none")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x: float, images (B, C, H, W) or clips (T, B, C, H, W). Returns a new tensor of its shape, dtype and device.

        All frames of a clip are changed alike, as one image would be. generator: the only source of randomness; equal
        states give equal results. It is drawn from on its own device, so a CPU generator gives the same augmentation
        whatever device x is on.
        """
        if x.ndim == 5:
            steps, count, channels, *size = x.shape
            frames = x.transpose(0, 1).reshape(count, steps * channels, *size)
            return self(frames, generator).reshape(count, steps, channels, *size).transpose(0, 1)
        if x.ndim != 4:
            raise BadInput(f"augment: a batch has shape (B, C, H, W) or (T, B, C, H, W), got {tuple(x.shape)}")
        moves = self.crop or self.roll or self.flip
        if moves:
            x = self._moved(x, generator)
        if self.cutout:
            x = x * _keep(x, self.cutout, generator)
        return x if moves or self.cutout else x.clone()

    def _moved(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Crop, roll and mirror as one look-up of each output pixel in the padded picture."""
        count, channels, height, width = x.shape
        pad, roll = self.crop, self.roll
        rows = torch.arange(height, device=x.device).expand(count, height)
        columns = torch.arange(width, device=x.device).expand(count, width)
        if roll:
            rows = (rows + _integers(2 * roll + 1, x, generator) - roll) % height
            columns = (columns + _integers(2 * roll + 1, x, generator) - roll) % width
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
    """x's dtype (B, 1, H, W): 0 inside a square of `side` pixels about a random centre of each picture, 1 elsewhere."""
    inside = []
    for size in x.shape[2:]:
        first = _integers(size, x, generator) - side // 2
        at = torch.arange(size, device=x.device)
        inside.append((at >= first) & (at < first + side))
    return (~(inside[0][:, :, None] & inside[1][:, None, :]))[:, None].to(x.dtype)


def _integers(below: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """One integer in 0..below-1 per picture: int64 (B, 1) on x's device."""
    return torch.randint(below, (len(x), 1), generator=generator, device=generator.device).to(x.device)

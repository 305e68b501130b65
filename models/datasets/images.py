"""Labelled images as integers, and the ways to take some of them: a split, batches, a payload for the chip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...hw import BadInput

PAYLOAD_BITS_MAX = 16
"""The widest graded spike of any chip (`hw.Chip.payload_bits_max`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images with their labels, stored as the integers they were published as.

    x: uint8 (N, C, H, W), 0..levels. y: int64 (N,), class of each image. levels: the value of x that means 1.0
    (255 for 8-bit images, 16 for scikit-learn's digits). Raises BadInput where that does not hold.
    """

    x: Tensor
    y: Tensor
    levels: int = 255

    def __post_init__(self) -> None:
        if self.x.dtype != torch.uint8 or self.x.ndim != 4:
            raise BadInput(f"images: x is {self.x.dtype} {tuple(self.x.shape)}; give uint8 of shape (N, C, H, W)")
        if self.y.dtype != torch.int64 or self.y.shape != self.x.shape[:1]:
            raise BadInput(
                f"images: y is {self.y.dtype} {tuple(self.y.shape)}; give int64 ({len(self.x)},), one per image"
            )
        if not 1 <= self.levels <= 255:
            raise BadInput(f"images: levels is {self.levels}; the value that means 1.0 is between 1 and 255")
        if self.x.numel() and int(self.x.max()) > self.levels:
            raise BadInput(
                f"images: x reaches {int(self.x.max())}, above levels = {self.levels}; give the right levels"
            )
        if len(self.y) and int(self.y.min()) < 0:
            raise BadInput(f"images: label {int(self.y.min())} is negative; labels count from 0")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.x.shape[1:]
        return channels, height, width

    def subset(self, index: Tensor | slice) -> Images:
        """The images at `index` (int64 tensor, boolean mask or slice), in its order."""
        return Images(x=self.x[index], y=self.y[index], levels=self.levels)

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device."""
        return Images(x=self.x.to(device), y=self.y.to(device), levels=self.levels)

    def floats(self, index: Tensor | slice = slice(None)) -> Tensor:
        """x / levels: float32 (B, C, H, W) in [0, 1].

        No mean is subtracted: a chip's payload is never negative, and training must see what the chip will see.
        """
        return self.x[index].to(torch.float32) / self.levels

    def payload(self, index: Tensor | slice = slice(None), *, bits: int) -> Tensor:
        """round(x / levels * (2^bits - 1)), halves away from zero: int32 (B, C, H, W) in 0..2^bits - 1.

        Computed in integers, so it is exact: floor((2 x m + levels) / (2 levels)) with m = 2^bits - 1. With 8 bits
        and 255 levels it is x itself. Raises BadInput unless 1 <= bits <= 16.
        """
        top = _largest_payload(bits)
        # At most 2 * 255 * 65535 + 255, far inside int32.
        doubled = self.x[index].to(torch.int32) * (2 * top) + self.levels
        return torch.div(doubled, 2 * self.levels, rounding_mode="floor")


def decode_payload(payload: Tensor, bits: int) -> Tensor:
    """The number a payload stands for, payload / (2^bits - 1): float32 of payload's shape, in [0, 1]."""
    return payload.to(torch.float32) / _largest_payload(bits)


def fingerprint(images: Images) -> str:
    """SHA-256 over pixels, labels, shape and levels, as 64 hex digits; equal for equal images on any device."""
    digest = hashlib.sha256(f"images {tuple(images.x.shape)} {images.levels}".encode())
    digest.update(images.x.cpu().contiguous().numpy().data)
    digest.update(images.y.cpu().contiguous().numpy().astype("<i8", copy=False).data)
    return digest.hexdigest()


def split(train: Images, validation: int, seed: int, limit: int | None = None) -> tuple[Images, Images]:
    """Carve a validation set from the training set: (train, validation), disjoint.

    A permutation seeded by `seed` orders the images; the first `validation` of them are held out, and the rest (or
    the first `limit` of the rest) remain. The held-out images therefore do not depend on `limit`, and a smaller limit
    is a subset of a larger one. Raises BadInput for sizes that the training set cannot give.
    """
    n = len(train)
    if not 1 <= validation < n:
        raise BadInput(f"split: validation is {validation}, of {n} training images; hold out 1..{n - 1}")
    rest = n - validation
    if limit is not None and not 1 <= limit <= rest:
        raise BadInput(
            f"split: limit is {limit}, but {rest} of {n} training images remain beside {validation} for validation; "
            f"give 1..{rest}, or no limit"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held_out, remaining = order[:validation], order[validation:][:limit]
    return train.subset(remaining), train.subset(held_out)


def batches(
    n: int, size: int, generator: torch.Generator | None = None, *, drop_last: bool = False
) -> Iterator[Tensor]:
    """Index tensors (int64, on the CPU) that visit 0..n-1 once, `size` at a time.

    generator: shuffles (and is advanced by one permutation); None keeps the order. drop_last: leave out a last batch
    shorter than `size`. Raises BadInput where there is nothing to visit.
    """
    if n < 1 or size < 1:
        raise BadInput(f"batches: n is {n} and size is {size}; both are at least 1")
    if drop_last and n < size:
        raise BadInput(f"batches: {n} images make no full batch of {size}; lower the batch size or keep the last batch")
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return iter(order[: n - n % size if drop_last else n].split(size))


def _largest_payload(bits: int) -> int:
    if not 1 <= bits <= PAYLOAD_BITS_MAX:
        raise BadInput(f"payload: {bits} bits; a graded spike carries 1..{PAYLOAD_BITS_MAX}")
    return (1 << bits) - 1

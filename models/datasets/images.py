"""Labelled images and event clips as integers, and the ways to take some: a split, batches, a payload for the chip."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...hw import BadInput

PAYLOAD_BITS_MAX = 16
"""The widest graded spike of any chip (`hw.Chip.payload_bits_max`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples(ABC):
    """Labelled inputs, stored as the integers they were published as.

    x: uint8, samples first, 0..levels. y: int64 (N,), class of each. levels: the value of x that means 1.0. ids: the
    name of the scene each shows, (N,) text, where it is known: a recording of an image has that image's. Raises
    BadInput where that does not hold.
    """

    x: Tensor
    y: Tensor
    levels: int = 255
    ids: np.ndarray | None = None

    axes = 0
    """Axes of x."""

    def __post_init__(self) -> None:
        what = type(self).__name__.lower()
        if self.x.dtype != torch.uint8 or self.x.ndim != self.axes:
            form = "(N, C, H, W)" if self.axes == 4 else "(N, T, C, H, W)"
            raise BadInput(f"{what}: x is {self.x.dtype} {tuple(self.x.shape)}; give uint8 of shape {form}")
        if self.y.dtype != torch.int64 or self.y.shape != self.x.shape[:1]:
            raise BadInput(
                f"{what}: y is {self.y.dtype} {tuple(self.y.shape)}; give int64 ({len(self.x)},), one per sample"
            )
        if not 1 <= self.levels <= 255:
            raise BadInput(f"{what}: levels is {self.levels}; the value that means 1.0 is between 1 and 255")
        if self.x.numel() and int(self.x.max()) > self.levels:
            raise BadInput(
                f"{what}: x reaches {int(self.x.max())}, above levels = {self.levels}; give the right levels"
            )
        if len(self.y) and int(self.y.min()) < 0:
            raise BadInput(f"{what}: label {int(self.y.min())} is negative; labels count from 0")
        if self.ids is not None and self.ids.shape != (len(self.x),):
            raise BadInput(f"{what}: ids has shape {self.ids.shape}; give ({len(self.x)},), one per sample")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image or frame."""
        channels, height, width = self.x.shape[-3:]
        return channels, height, width

    @property
    def binary(self) -> bool:
        """Whether a value is a spike or none, and carries no payload."""
        return self.levels == 1

    def subset(self, index: Tensor | slice) -> Self:
        """The samples at `index` (int64 tensor, boolean mask or slice), in its order."""
        ids = None
        if self.ids is not None:
            ids = self.ids[index if isinstance(index, slice) else index.cpu().numpy()]
        return replace(self, x=self.x[index], y=self.y[index], ids=ids)

    def to(self, device: torch.device | str) -> Self:
        """The same samples on another device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    @abstractmethod
    def values(self, index: Tensor | slice) -> Tensor:
        """x of some samples, as a network takes them: time, if there is any, before the batch."""

    def floats(self, index: Tensor | slice = slice(None)) -> Tensor:
        """What a network sees of some samples, `values / levels`: float32 in [0, 1].

        No mean is subtracted: a chip's payload is never negative, and training must see what the chip will see.
        """
        return self.values(index).to(torch.float32) / self.levels

    @abstractmethod
    def stills(self, index: Tensor | slice = slice(None)) -> Tensor:
        """One picture of each sample, for networks and measurements without time: float32 (B, C, H, W) in [0, 1]."""

    def payload(self, index: Tensor | slice = slice(None), *, bits: int) -> Tensor:
        """round(values / levels * (2^bits - 1)), halves away from zero: int32 of the shape of `values`.

        Computed in integers, so it is exact: floor((2 x m + levels) / (2 levels)) with m = 2^bits - 1. With 8 bits
        and 255 levels it is x itself, and so is a binary sample with 0 bits, a spike without payload. Raises BadInput
        unless 1 <= bits <= 16, or 0 for binary samples.
        """
        if bits == 0 and self.binary:
            return self.values(index).to(torch.int32)
        top = _largest_payload(bits)
        # At most 2 * 255 * 65535 + 255, far inside int32.
        doubled = self.values(index).to(torch.int32) * (2 * top) + self.levels
        return torch.div(doubled, 2 * self.levels, rounding_mode="floor")


@dataclass(frozen=True, kw_only=True, eq=False)
class Images(Samples):
    """Images: x is uint8 (N, C, H, W). levels: 255 for 8-bit images, 16 for scikit-learn's digits."""

    axes = 4

    def values(self, index: Tensor | slice) -> Tensor:
        """(B, C, H, W)."""
        return self.x[index]

    def stills(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The images themselves."""
        return self.floats(index)


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips(Samples):
    """Frames of events: x is uint8 (N, T, C, H, W), events per pixel and frame, counted up to `levels`.

    levels 1: a pixel spikes in a frame or does not. C is 2 for a camera: OFF, ON.
    """

    axes = 5

    @property
    def n_steps(self) -> int:
        """T."""
        return self.x.shape[1]

    def values(self, index: Tensor | slice) -> Tensor:
        """(T, B, C, H, W)."""
        return self.x[index].transpose(0, 1)

    def joined(self, other: Clips) -> Clips:
        """These clips, then the others, whose frames are of the same kind."""
        ids = None if self.ids is None or other.ids is None else np.concatenate([self.ids, other.ids])
        return replace(self, x=torch.cat([self.x, other.x]), y=torch.cat([self.y, other.y]), ids=ids)

    def stills(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The mean over time: how often each pixel spikes."""
        return self.x[index].to(torch.float32).mean(dim=1) / self.levels


S = TypeVar("S", bound=Samples)


def decode_payload(payload: Tensor, bits: int) -> Tensor:
    """The number a payload stands for, payload / (2^bits - 1): float32 of payload's shape, in [0, 1]."""
    return payload.to(torch.float32) / _largest_payload(bits)


def fingerprint(images: Samples) -> str:
    """SHA-256 over values, labels, shape and levels, as 64 hex digits; equal for equal samples on any device."""
    digest = hashlib.sha256(f"images {tuple(images.x.shape)} {images.levels}".encode())
    digest.update(images.x.cpu().contiguous().numpy().data)
    digest.update(images.y.cpu().contiguous().numpy().astype("<i8", copy=False).data)
    return digest.hexdigest()


def split(train: S, validation: int, seed: int, limit: int | None = None) -> tuple[S, S]:
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

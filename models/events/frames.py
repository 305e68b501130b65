"""Frames of events: a recording cut into T parts, each a picture per polarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...hw import BadInput
from .recording import Recording


@dataclass(frozen=True, kw_only=True)
class Frames:
    """How a recording becomes T frames.

    by: `time`, T windows of equal length from the first event to the last; or `count`, T parts of equally many events.
    until_us: leave out what comes later than this after the first event (None: keep all). size: side of the square
    frames in pixels; None for the camera's own size. fit: how they are made of the camera's pixels: `crop` cuts them
    out of its centre, or pads it with silence; `scale` maps each pixel to the one at its place in a smaller frame.
    levels: events per pixel and frame are counted up to this; 1: a pixel spikes or not.
    """

    T: int
    by: Literal["time", "count"] = "time"
    until_us: int | None = None
    size: int | None = None
    fit: Literal["crop", "scale"] = "crop"
    levels: int = 1

    def __post_init__(self) -> None:
        for field, low, high in (("T", 1, 1000), ("until_us", 1, None), ("size", 1, None), ("levels", 1, 255)):
            value = getattr(self, field)
            if value is not None and not low <= value <= (high or value):
                limits = f"{low}..{high}" if high else f"at least {low}"
                raise BadInput(f"frames: {field} is {value}; give {limits}")


def to_frames(recording: Recording, frames: Frames) -> np.ndarray:
    """Events per frame, polarity and pixel, up to `frames.levels`: uint8 (T, 2, H, W)."""
    raise NotImplementedError

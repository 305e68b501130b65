"""Frames of events: a recording cut into T parts, each a picture per polarity."""

from __future__ import annotations

from dataclasses import dataclass
from math import trunc
from typing import Literal

import numpy as np

from ...hw import BadInput
from .recording import Recording


@dataclass(frozen=True, kw_only=True)
class Frames:
    """How a recording becomes T frames.

    by: `time`, T windows of equal length from the first event to the last; or `count`, T parts of equally many events.
    until_us: leave out what comes this long after the first event, or later (None: keep all); windows then divide this
    time, however short the recording is. size: side of the square frames in pixels; None for the camera's own size.
    fit: how they are made of the camera's pixels: `crop` cuts them out of its centre, or surrounds it with silence;
    `scale` maps each pixel to the one at its place in a smaller frame. levels: events per pixel and frame are counted
    up to this; 1: a pixel spikes or not. Raises BadInput for a number out of range.
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
    """Events per frame, polarity (OFF, ON) and pixel, up to `frames.levels`: uint8 (T, 2, H, W).

    Every event that is kept is in one frame. By time, frame k holds the events t microseconds after the first with
    k D <= t T < (k + 1) D, where D is `until_us`, or 1 + the time of the last event: a window is closed at its start
    and open at its end, and the last event is in the last frame. By count, n events are cut before events
    floor(k n / T), so that sizes differ by one at most; earlier events are in earlier frames.

    `crop` moves the camera's centre to the frame's; where the two differ by an odd number of pixels, one more column
    is cut off (or silent) at the right, and one more row at the bottom. `scale` keeps the aspect ratio: x becomes
    floor(x size / side), side being the camera's longer one, y likewise, and the shorter axis is centred as above.
    Raises BadInput for a scaled frame larger than the camera, which would have gaps.
    """
    x, y, height, width = _placed(recording, frames)
    borders = _borders(recording.t, frames)
    part = np.repeat(np.arange(frames.T), np.diff(borders))
    n = len(part)
    x, y, p = x[:n], y[:n], recording.p[:n].astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    cell = (((part * 2 + p) * height + y) * width + x)[inside]
    counts = np.bincount(cell, minlength=frames.T * 2 * height * width)
    return np.minimum(counts, frames.levels).astype(np.uint8).reshape(frames.T, 2, height, width)


def _borders(t: np.ndarray, frames: Frames) -> np.ndarray:
    """The event before which each part begins, and the one before which the last ends: integers (T + 1,), ascending."""
    t = t.astype(np.int64)
    t -= t[0]
    span = int(t[-1]) + 1
    until = span if frames.until_us is None else frames.until_us
    parts = range(frames.T + 1)
    if frames.by == "count":
        n = int(np.searchsorted(t, min(until, span)))
        return np.array([k * n // frames.T for k in parts])
    # The first whole microsecond of each window, ceil(k until / T); what lies behind the last event is one place.
    return np.searchsorted(t, [min(-(-k * until // frames.T), span) for k in parts])


def _placed(recording: Recording, frames: Frames) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Where in a frame every event is, perhaps outside: x, y, and the frame's height and width."""
    x, y = recording.x.astype(np.int64), recording.y.astype(np.int64)
    width, height, size = recording.width, recording.height, frames.size
    if size is None:
        return x, y, height, width
    if frames.fit == "scale":
        side = max(width, height)
        if size > side:
            raise BadInput(
                f"{recording.where}: frames of {size} pixels cannot be scaled from a camera of {width} x {height}; "
                f"give frames.size up to {side}, or frames.fit crop, which surrounds the camera's pixels with silence"
            )
        x, y = x * size // side, y * size // side
        width, height = ((extent - 1) * size // side + 1 for extent in (width, height))
    return x + trunc((size - width) / 2), y + trunc((size - height) / 2), size, size

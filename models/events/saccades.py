"""A simulated event camera that looks at still images: synthetic events, for any image set."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...hw import BadInput
from ..datasets.images import Images, fingerprint
from .recording import Recording, Recordings

SYNTHETIC = "synthetic events: a simulated camera looked at still images, no sensor recorded them"
"""What a report or a picture says beside anything that was made of simulated recordings."""

CORNERS = ((-0.5, -0.5), (0.0, 0.5), (0.5, -0.5), (-0.5, -0.5))
"""Where the picture lies on the sensor, (x, y) in amplitudes: an isosceles triangle, its base last.

The directions are N-MNIST's: in its recordings the digits go down and right, up and right, and back to the left, by
about 5.6 pixels (benchmarks/saccades.py).
"""
DARK = 0.1
"""Light that comes from a black pixel, of the light that a white one adds: no screen is quite black.

It bounds the contrast: log(1.1 / 0.1) is 12 thresholds of 0.2. With this value MNIST's digits send about as many
events as N-MNIST's recordings of them hold (docs/events.md).
"""
STEPS_PER_PIXEL = 16
"""Sampling instants for each pixel of the amplitude; between two of them brightness is taken to change linearly."""
VERSION = 1
"""Part of every key. It is raised when the same images, settings and constants give other events."""


@dataclass(frozen=True, kw_only=True)
class Saccades:
    """How the camera moves and sees. See `simulate`.

    amplitude: width and height, in pixels, of the triangle along which it moves, 1..64. period_us: time of one side, up
    to 10^9. threshold: change of log intensity at which a pixel sends an event, 0.01..10; that of real cameras is set
    between 0.1 and 0.5 (Gallego et al., "Event-based vision: a survey", IEEE TPAMI 44(1), 2022).

    Raises BadInput for a value out of range.
    """

    amplitude: int = 2
    period_us: int = 100_000
    threshold: float = 0.2

    def __post_init__(self) -> None:
        for field, low, high in (("amplitude", 1, 64), ("period_us", 1, 10**9), ("threshold", 0.01, 10)):
            value = getattr(self, field)
            if not low <= value <= high:
                raise BadInput(f"saccades: {field} is {value}; give {low}..{high}")


def simulate(images: Images, saccades: Saccades, name: str) -> Recordings:
    """Recordings of still images, one each, with the image's id and label. name: for errors and caches.

    The camera moves along the three sides of a triangle (`CORNERS`), each at constant speed in `period_us`, and ends
    where it began. Its sensor has the image's H x W; what the motion brings in from outside repeats the image's border,
    so that the border itself is no edge. A pixel sees the brightness log(`DARK` + I), where I in [0, 1] is the largest
    channel (V of HSV), interpolated bilinearly. It remembers the brightness at the start, and sends an event each time
    the brightness gets more than a threshold away from what it remembers, which then moves by the threshold, up (ON) or
    down (OFF). Because the camera returns, a pixel's ON and OFF events differ by one at most. Times are interpolated
    linearly between sampling instants and rounded down to microseconds, in 0..3 period_us. There is no noise, no
    refractory period, no latency and no mismatch between pixels: a real camera has all four.

    The result's name begins with `simulated`; a recording is computed when it is read, the same one each time. Reading
    one without a single event raises BadInput.

    Sources: motion, Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades",
    Frontiers in Neuroscience 9:437, 2015. Pixel, Lichtsteiner, Posch and Delbruck, "A 128x128 120 dB 15 us latency
    asynchronous temporal contrast vision sensor", IEEE J. Solid-State Circuits 43(2), 2008. Linear interpolation
    between rendered instants, Rebecq, Gehrig and Scaramuzza, "ESIM: an open event camera simulator", CoRL 2018.
    """
    name = f"simulated {name}"
    places = _places(saccades.amplitude)
    step_us = 3 * saccades.period_us / (len(places) - 1)

    def read(index: int) -> Recording:
        intensity = images.x[index].amax(dim=0).cpu().numpy() / images.levels
        steps, x, y, p = crossings(np.log(DARK + views(intensity, places)), saccades.threshold)
        if not len(steps):
            raise BadInput(
                f"{name}: image {index} sends no events, its log intensity nowhere changes by more than the threshold "
                f"{saccades.threshold:g}; lower saccades.threshold, raise saccades.amplitude, or leave "
                "the image out"
            )
        t = np.floor(steps * step_us).astype(np.int64)
        height, width = intensity.shape
        return Recording(x=x, y=y, t=t, p=p, width=width, height=height, where=f"{name}: image {index}")

    settings = (VERSION, saccades, CORNERS, DARK, STEPS_PER_PIXEL)
    return Recordings(
        name=name,
        labels=images.y.cpu().numpy(),
        ids=images.ids,
        key=f"{name} {fingerprint(images)} {settings}",
        read=read,
    )


def views(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What the sensor sees of a picture that was moved, between pixels bilinearly; its border goes on outside it.

    picture: floats (H, W). places: by how many pixels it was moved, (K, 2) as (x, y). Returns (K, H, W).
    """
    height, width = picture.shape
    top, bottom, down = _seen(height, places[:, 1])
    left, right, across = (array[:, None, :] for array in _seen(width, places[:, 0]))
    rows = picture[top] + down[:, :, None] * (picture[bottom] - picture[top])
    here, beside = np.take_along_axis(rows, left, axis=2), np.take_along_axis(rows, right, axis=2)
    return here + across * (beside - here)


def crossings(brightness: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Events of pixels that compare brightness with what they remember, in the order of time: (steps, x, y, p).

    brightness: (K, H, W), linear between its K instants, remembered at the first. steps: when, 0..K - 1, of the
    instants. p: 1 where it got brighter.
    """
    level = (brightness - brightness[0]) / threshold  # whole numbers are what can be remembered
    low, high = np.ceil(level) - 1, np.floor(level) + 1
    remembered = np.zeros_like(level)
    for k in range(1, len(level)):  # the nearest of those that are at most one away
        np.clip(remembered[k - 1], low[k], high[k], out=remembered[k])
    moved = np.diff(remembered, axis=0)
    k, y, x = np.nonzero(moved)
    count = np.abs(moved[k, y, x]).astype(np.int64)
    nth = 1 + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)  # of a pixel between two instants
    k, y, x = (np.repeat(index, count) for index in (k, y, x))
    sign = np.sign(moved[k, y, x])
    before, after = level[k, y, x], level[k + 1, y, x]
    steps = k + (remembered[k, y, x] + sign * nth - before) / (after - before)
    order = np.argsort(steps, kind="stable")
    return steps[order], x[order], y[order], (sign[order] > 0).astype(np.uint8)


def _places(amplitude: int) -> np.ndarray:
    """Where the picture lies at each instant, (K, 2) as (x, y) in pixels; the last is the first, exactly."""
    corners = amplitude * np.array(CORNERS)
    share = np.arange(STEPS_PER_PIXEL * amplitude)[:, None] / (STEPS_PER_PIXEL * amplitude)
    sides = [start + share * (end - start) for start, end in pairwise(corners)]
    return np.concatenate([*sides, corners[-1:]])


def _seen(size: int, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per shift (K,) and pixel: the two pixels of a moved line that it lies between, and its way from one to the other.

    Each (K, size).
    """
    position = np.clip(np.arange(size) - shifts[:, None], 0, size - 1)
    first = np.floor(position).astype(np.int64)
    return first, np.minimum(first + 1, size - 1), position - first

"""A simulated event camera that looks at still images: synthetic events, for any image set."""

from __future__ import annotations

from dataclasses import dataclass

from ..datasets.images import Images
from .recording import Recordings


@dataclass(frozen=True, kw_only=True)
class Saccades:
    """How the camera moves and sees. See `simulate`.

    amplitude: pixels it moves along each side of a triangle, as the N-MNIST set-up does. period_us: time of one side.
    threshold: change of log intensity at which a pixel sends an event.
    """

    amplitude: int = 2
    period_us: int = 100_000
    threshold: float = 0.2


def simulate(images: Images, saccades: Saccades, name: str) -> Recordings:
    """Recordings of still images, one each, with the image's id and label. name: for errors and caches."""
    raise NotImplementedError

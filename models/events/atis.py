"""The `.bin` format of the ATIS camera, in which N-MNIST and N-Caltech101 are published: five bytes per event."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...hw import BadInput
from .files import read_bytes
from .recording import Recording

EVENT_BYTES = 5
OVERFLOW_Y = 240
"""An entry with this y is no event: it says that time went on by OVERFLOW_US without one."""
OVERFLOW_US = 2**13


def read_atis(path: Path, width: int, height: int) -> Recording:
    """The recording in a `.bin` file of a camera of width x height pixels, at most 240 rows.

    Bytes of an event: x; y; one bit of polarity (1: ON) and the upper seven of a time of 23 bits in microseconds; its
    other 16. Raises BadInput for a file that is not whole events, and as `Recording` does. Source: Orchard et al.,
    Front. Neurosci. 9:437 (2015), and `Read_Ndataset.m` beside the data.
    """
    raw = np.frombuffer(read_bytes(path), np.uint8)
    if len(raw) % EVENT_BYTES:
        raise BadInput(
            f"{path}: {len(raw)} bytes, which is no multiple of the {EVENT_BYTES} of an event; it is truncated or of "
            "another format, fetch it again"
        )
    x, y, high, middle, low = raw.reshape(-1, EVENT_BYTES).T
    t = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    overflow = y == OVERFLOW_Y
    t += OVERFLOW_US * np.cumsum(overflow)
    event = ~overflow
    return Recording(
        x=x[event], y=y[event], t=t[event], p=(high >> 7)[event], width=width, height=height, where=str(path)
    )

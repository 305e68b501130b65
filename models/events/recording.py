"""A recording of an event camera, and a set of them that is read one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...hw import BadInput

T_LIMIT = 2**62
"""Times are below this, 146,000 years: a larger one is a negative number misread."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Events in the order of time: pixel (x, y), time t and polarity p, arrays of one length, at least one event.

    x, y: columns and rows, 0..width - 1 and 0..height - 1. t: integers, microseconds, ascending, from 0 or later. p: 0
    where it got darker (OFF), 1 where it got brighter (ON). where: the file, or what else errors call it.

    Raises BadInput for arrays of several lengths, no events, and events out of range or out of order, naming the first.
    """

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray
    width: int
    height: int
    where: str

    def __post_init__(self) -> None:
        lengths = {name: getattr(self, name).shape for name in "xytp"}
        if len(set(lengths.values())) != 1 or self.x.ndim != 1:
            raise BadInput(f"{self.where}: x, y, t and p have shapes {lengths}; the file is damaged, fetch it again")
        if not len(self.x):
            raise BadInput(f"{self.where}: holds no events; it is empty or damaged, fetch it again or leave it out")
        for name, limit in (("x", self.width), ("y", self.height), ("p", 2), ("t", T_LIMIT)):
            values = getattr(self, name)
            if values.dtype.kind not in "biu":
                raise BadInput(f"{self.where}: {name} is {values.dtype}; events are whole numbers")
            wrong = (values < 0) | (values >= limit)
            if wrong.any():
                at = int(wrong.argmax())
                raise BadInput(
                    f"{self.where}: event {at} of {len(self.x)} has {name} = {values[at]}, outside 0..{limit - 1}; the "
                    "file is damaged or of another camera, fetch it again"
                )
        back = np.flatnonzero(self.t[1:] < self.t[:-1])
        if back.size:
            at = int(back[0]) + 1
            raise BadInput(
                f"{self.where}: event {at} of {len(self.t)} is at {self.t[at]} us, before the {self.t[at - 1]} us of "
                "the one before it; events must be in the order of time, so the file is damaged: fetch it again"
            )

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recordings:
    """A set of recordings in a fixed order, each read when it is asked for.

    labels: int64 (N,). ids: the name of the scene each shows (N,) where it is known, as in `Samples`. key: a text that
    changes when a file does, for caches. read: index -> Recording; raises BadInput for a damaged one.
    """

    name: str
    labels: np.ndarray
    ids: np.ndarray | None
    key: str
    read: Callable[[int], Recording]

    def __len__(self) -> int:
        return len(self.labels)

"""AEDAT 3.1, the format in which DVS Gesture is published: a text header, then packets of events."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...hw import BadInput
from .files import read_bytes

MAGIC = b"#!AER-DAT3.1"
END = b"#!END-HEADER"
PACKET = struct.Struct("<hhiiiiii")
"""Type, source, bytes per event, offset of the time in it, overflows of time, capacity, events, valid events."""
POLARITY = 1
"""The type of packets with pixel events, of eight bytes: data, time."""


@dataclass(frozen=True, eq=False)
class Stream:
    """All events of a file, (n,) each: x, y, t in microseconds (int64), p. Nothing is checked but the file's form."""

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray


def read_aedat3(path: Path) -> Stream:
    """The pixel events of a file; packets of other types, and events marked invalid, are left out.

    An event's data, from the lowest bit: valid, polarity (1: ON), 15 bits of y, 15 of x. Its time has 31 bits, the
    packet counts their overflows. Raises BadInput for a file that is not such packets from end to end. Source: AEDAT
    3.1, "AEDAT file formats", iniVation, and libcaer's `events/common.h` and `events/polarity.h`.
    """
    raw = read_bytes(path)
    place, parts = _end_of_header(path, raw), []
    while place < len(raw):
        kind, _, size, _, overflows, capacity, n, _ = _packet(path, raw, place)
        place += PACKET.size
        if kind == POLARITY:
            pairs = np.frombuffer(raw, "<u4", 2 * n, place).reshape(n, 2)
            parts.append((pairs[:, 0], pairs[:, 1].astype(np.int64) + (overflows << 31)))
        place += size * capacity
    data = np.concatenate([part for part, _ in parts] or [np.empty(0, "<u4")])
    t = np.concatenate([part for _, part in parts] or [np.empty(0, np.int64)])
    valid = (data & 1) == 1
    data, t = data[valid], t[valid]
    return Stream(x=data >> 17, y=data >> 2 & 0x7FFF, t=t, p=data >> 1 & 1)


def _end_of_header(path: Path, raw: bytes) -> int:
    """Where the first packet begins. The header is lines that begin with `#`."""
    if not raw.startswith(MAGIC):
        raise BadInput(
            f"{path}: begins with {raw[: len(MAGIC)]!r}, expected {MAGIC!r}; it is of another format, fetch it again"
        )
    place = 0
    while raw.startswith(b"#", place):
        line_end = raw.find(b"\n", place)
        if line_end < 0:
            raise BadInput(f"{path}: ends after {len(raw)} bytes, within its header; it is truncated, fetch it again")
        last = raw.startswith(END, place)
        place = line_end + 1
        if last:
            break
    return place


def _packet(path: Path, raw: bytes, place: int) -> tuple[int, ...]:
    """The header of the packet at `place`, all of which is there."""
    if place + PACKET.size > len(raw):
        raise BadInput(
            f"{path}: ends after {len(raw)} bytes, within a packet's header at {place}; it is truncated, fetch it again"
        )
    header = PACKET.unpack_from(raw, place)
    kind, _, size, _, overflows, capacity, n, _ = header
    if not (0 <= n <= capacity and size > 0 and overflows >= 0) or (kind == POLARITY and size != 8):
        raise BadInput(
            f"{path}: the packet at byte {place} says {n} of {capacity} events of {size} bytes, {overflows} overflows; "
            "the file is damaged, fetch it again"
        )
    end = place + PACKET.size + size * capacity
    if end > len(raw):
        raise BadInput(
            f"{path}: ends after {len(raw)} bytes, but the packet at byte {place} ends at {end}; it is truncated, "
            "fetch it again"
        )
    return header

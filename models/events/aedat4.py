"""AEDAT 4, the format in which CIFAR10-DVS is distributed: decoded by tonic, which the user installs, checked here."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ...hw import BadInput
from .files import read_bytes
from .recording import Recording

MAGIC = b"#!AER-DAT4.0\r\n"
PACKET = struct.Struct("<II")
"""Stream, bytes that follow."""
FIELDS = struct.Struct("<HHHHH")
"""A flatbuffers vtable of three fields: its own size, the table's, and where in the table each field is (0: absent)."""


def read_aedat4(path: Path, width: int, height: int) -> Recording:
    """The recording in an AEDAT 4 file of a camera of width x height pixels.

    The container is checked before the decoder sees it, since that stops the whole program at some kinds of damage.
    Raises BadInput for a file that is damaged, for events as `Recording` does, and where tonic or aedat is missing.
    """
    _check_container(path, read_bytes(path))
    try:
        from tonic.io import read_aedat4 as decode  # GPL-3.0, an optional part: `spikeport[events]`

        events = decode(str(path))
    except ImportError as error:
        raise BadInput(
            f"{path}: AEDAT 4 is read by tonic and aedat, and {error.name} is not installed; install both with: "
            "pip install 'spikeport[events]'"
        ) from error
    except BaseException as error:
        # A panic of the decoder, which is written in Rust, is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _damaged(path, f"is refused by the decoder ({error})") from error
    t, x, y, p = (np.ascontiguousarray(events[name]) for name in events.dtype.names)
    return Recording(x=x, y=y, t=t, p=p, width=width, height=height, where=str(path))


def _check_container(path: Path, raw: bytes) -> None:
    """Raise BadInput unless the file is a header and whole packets, from end to end or to its table of contents.

    After MAGIC and the header's length in four bytes, the header: a flatbuffers table of the compression, the place of
    the table of contents (-1: none) and a description in XML. Then packets. Source: "AEDAT 4.0", iniVation.
    """
    if not raw.startswith(MAGIC):
        raise _damaged(path, f"begins with {raw[: len(MAGIC)]!r}, expected {MAGIC!r}")
    try:
        start = len(MAGIC) + 4
        (length,) = struct.unpack_from("<I", raw, len(MAGIC))
        contents = _place_of_contents(raw[start : start + length])
        if start + length > len(raw):
            raise ValueError("its header is longer than the file")
    except (struct.error, ValueError) as error:
        raise _damaged(path, f"has no readable header ({error})") from error
    end = len(raw) if contents == -1 else contents
    place = start + length
    while place < end:
        if place + PACKET.size > len(raw):
            raise _damaged(path, f"ends after {len(raw)} bytes, within a packet's header at {place}")
        _, length = PACKET.unpack_from(raw, place)
        if place + PACKET.size + length > len(raw):
            raise _damaged(path, f"ends after {len(raw)} bytes, within the packet of {length} bytes at {place}")
        place += PACKET.size + length
    if place != end:
        raise _damaged(path, f"has packets up to byte {place}, expected them to end at {end}")


def _place_of_contents(header: bytes) -> int:
    """Where the table of contents begins, -1 if there is none. Raises ValueError or struct.error for a damaged header.

    Flatbuffers: places are relative, and a table begins with the distance back to its vtable.
    """
    if header[4:8] != b"IOHE":
        raise ValueError(f"it is marked {header[4:8]!r}, not b'IOHE'")
    (table,) = struct.unpack_from("<I", header)
    (back,) = struct.unpack_from("<i", header, table)
    if not 0 <= table - back <= len(header) - FIELDS.size:
        raise ValueError("its table has no vtable")
    size, _, _, contents, text = FIELDS.unpack_from(header, table - back)
    if size < FIELDS.size or not text:
        raise ValueError("it has no description")
    place = table + text + struct.unpack_from("<I", header, table + text)[0]
    (length,) = struct.unpack_from("<I", header, place)
    if place + 4 + length > len(header):
        raise ValueError("its description is longer than the header")
    header[place + 4 : place + 4 + length].decode()
    return struct.unpack_from("<q", header, table + contents)[0] if contents else -1


def _damaged(path: Path, problem: str) -> BadInput:
    return BadInput(f"{path}: {problem}; it is truncated, damaged or no AEDAT 4 file, fetch it again")

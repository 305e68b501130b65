"""Event files in the official formats, written by the tests that read them. Events are (x, y, t, p) tuples."""

import struct
from importlib.util import find_spec

import numpy as np
import pytest

needs_tonic = pytest.mark.skipif(
    not (find_spec("tonic") and find_spec("aedat")),
    reason="tonic and aedat are not installed: pip install -e '.[events]'",
)

EVENTS = [(0, 1, 10, 1), (33, 2, 10, 0), (7, 33, 90_000, 1), (8, 30, 300_000, 0)]
"""Four events of a camera of 34x34 pixels."""


def columns(events):
    """x, y, t, p as int64 arrays."""
    return np.array(events, np.int64).reshape(-1, 4).T


def atis(events):
    """A `.bin` file: 5 bytes an event, polarity in the top bit of 24 with 23 bits of time, big-endian."""
    return b"".join(struct.pack(">BBBH", x, y, p << 7 | t >> 16, t & 0xFFFF) for x, y, t, p in events)


def aedat3_packet(events, *, kind=1, size=8, overflows=0, capacity=None, n=None, valid=1):
    """Header and events; each event is data (valid, polarity, y, x from the lowest bit), time."""
    n = len(events) if n is None else n
    head = struct.pack("<hhiiiiii", kind, 1, size, 4, overflows, n if capacity is None else capacity, n, n)
    return head + b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | valid, t) for x, y, t, p in events)


AEDAT3_HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-05-05 14:00:00\r\n#!END-HEADER\r\n"
)


def aedat3(*packets):
    """An AEDAT 3.1 file."""
    return AEDAT3_HEADER + b"".join(packets)


DESCRIPTION = (
    b'<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/"><node name="0" path="/0/">'
    b'<attr key="compression" type="string">NONE</attr><attr key="typeIdentifier" type="string">EVTS</attr>'
    b'<node name="info" path="/0/info/"><attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr>'
    b"</node></node></node></dv>"
)


def aedat4_header(contents=-1, description=DESCRIPTION, mark=b"IOHE"):
    """Flatbuffers: root, mark, vtable of three fields, table (compression 0, text, place of contents), the text."""
    start = struct.pack("<I4s5H2xiiIq", 20, mark, 10, 20, 4, 12, 8, 12, 0, 12, contents)
    return start + struct.pack("<I", len(description)) + description + b"\0"


def aedat4_packet(events):
    """Uncompressed: stream 0, length, then a flatbuffers table with one vector of structs of 16 bytes."""
    rows = b"".join(struct.pack("<qhhb3x", t, x, y, p) for x, y, t, p in events)
    body = struct.pack("<I4s3H2xiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(events)) + rows
    return struct.pack("<II", 0, len(body) + 4) + struct.pack("<I", len(body)) + body


def aedat4(*packets, contents=True):
    """An AEDAT 4 file, its table of contents (here some bytes) at the end or left out."""
    magic, data = b"#!AER-DAT4.0\r\n", b"".join(packets)
    start = len(magic) + 4 + len(aedat4_header())
    header = aedat4_header(start + len(data) if contents else -1)
    return magic + struct.pack("<I", len(header)) + header + data + (b"contents" if contents else b"")

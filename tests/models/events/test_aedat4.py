"""AEDAT 4 through tonic's reader, and what keeps damaged files from it."""

import builtins
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.events.aedat4 import read_aedat4

from . import writers

packet = writers.aedat4_packet
EVENTS = writers.EVENTS
MAGIC = 14
WHOLE = writers.aedat4(packet(EVENTS[:3]), packet(EVENTS[3:]))
BODY = MAGIC + 4 + len(writers.aedat4_header())
"""Where the first packet begins."""


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "cifar10_airplane_0.aedat4"
        path.write_bytes(content)
        return path

    return write


def read(path, side=128):
    recording = read_aedat4(path, side, side)
    return list(zip(*(getattr(recording, name).tolist() for name in "xytp"), strict=True))


@writers.needs_tonic
@pytest.mark.parametrize("contents", [True, False])
def test_events_of_all_packets_are_read_in_order(written, contents):
    path = written(writers.aedat4(packet(EVENTS[:3]), packet(EVENTS[3:]), contents=contents))
    assert read(path) == [(x, y, t, bool(p)) for x, y, t, p in EVENTS]


event = st.tuples(*[st.integers(0, 127)] * 2, st.integers(0, 2**50), st.integers(0, 1))


@writers.needs_tonic
@settings(deadline=None)
@given(st.lists(st.lists(event, min_size=1), min_size=1, max_size=4))
def test_any_events_are_read_as_written(tmp_path_factory, packets):
    times = iter(sorted(t for events in packets for *_, t, _ in events))
    packets = [[(x, y, next(times), p) for x, y, _, p in events] for events in packets]
    path = tmp_path_factory.mktemp("aedat") / "a.aedat4"
    path.write_bytes(writers.aedat4(*map(packet, packets)))
    recording = read_aedat4(path, 128, 128)
    x, y, t, p = writers.columns([event for events in packets for event in events])
    assert np.array_equal(np.stack([recording.x, recording.y, recording.t, recording.p]), np.stack([x, y, t, p]))


@writers.needs_tonic
@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([(128, 0, 1, 1)], r"event 0 of 1 has x = 128, outside 0\.\.127"),
        ([(0, -1, 1, 1)], r"event 0 of 1 has y = 65535, outside 0\.\.127"),
        ([(0, 0, 1, 1), (0, 0, -1, 1)], r"event 1 of 2 has t = 18446744073709551615"),
        ([(0, 0, 7, 1), (0, 0, 6, 1)], "event 1 of 2 is at 6 us, before the 7 us of the one before it"),
    ],
)
def test_events_that_cannot_be_are_refused(written, events, message):
    path = written(writers.aedat4(packet(events)))
    with pytest.raises(BadInput, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")


@writers.needs_tonic
def test_a_file_without_events_is_refused(written):
    with pytest.raises(BadInput, match="refused by the decoder"):
        read(written(writers.aedat4()))


@writers.needs_tonic
def test_a_panic_of_the_decoder_is_an_error_like_others(written, capfd):
    # A packet of four bytes, too short for what every packet begins with.
    with pytest.raises(BadInput, match=r"refused by the decoder .*truncated, damaged"):
        read(written(writers.aedat4(struct.pack("<II", 0, 4) + b"EVTS")))
    capfd.readouterr()  # the decoder also writes to the terminal


@pytest.mark.parametrize("part", ["tonic", pytest.param("aedat", marks=writers.needs_tonic)])
def test_without_the_optional_packages_the_error_says_how_to_get_them(written, monkeypatch, part):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == part:
            raise ModuleNotFoundError(f"No module named {part!r}", name=part)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match=rf"{part} is not installed; .*pip install 'spikeport\[events\]'"):
        read(written(WHOLE))


def header_with(**changed):
    header = writers.aedat4_header(**changed)
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header + packet(EVENTS)


def spoilt(place, value):
    content = bytearray(WHOLE)
    content[place : place + len(value)] = value
    return bytes(content)


@writers.needs_tonic
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with b'', expected"),
        (b"#!AER-DAT3.1\r\n", r"begins with b'#!AER-DAT3.1"),
        (WHOLE[: BODY - 1], "has no readable header"),
        (WHOLE[: BODY + 7], f"within a packet's header at {BODY}"),
        (WHOLE[: BODY + 9], f"ends after {BODY + 9} bytes, within the packet of .* bytes at {BODY}"),
        (header_with(mark=b"EVTS"), "it is marked b'EVTS', not b'IOHE'"),
        (header_with(description=b"<dv>\xc4<"), "no readable header .*utf-8"),
        (header_with(contents=BODY + 1), f"expected them to end at {BODY + 1}"),
        (header_with(contents=3), "expected them to end at 3"),
        (spoilt(MAGIC + 4, b"\xff\xff\xff\x7f"), "no readable header"),  # the root
        (spoilt(MAGIC + 4 + 20, b"\xff\xff\xff\x7f"), "no readable header .*no vtable"),
        (spoilt(MAGIC + 4 + 8, b"\0\0"), "no readable header .*no description"),
        (spoilt(MAGIC + 4 + 40, b"\xff\xff\xff\xff"), "its description is longer than the header"),
    ],
)
def test_a_damaged_file_never_reaches_the_decoder(written, monkeypatch, content, message):
    monkeypatch.setattr("tonic.io.read_aedat4", lambda path: pytest.fail("was decoded"))
    path = written(content)
    with pytest.raises(BadInput, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")


@writers.needs_tonic
def test_a_file_cut_anywhere_before_its_table_of_contents_is_refused(written, monkeypatch):
    monkeypatch.setattr("tonic.io.read_aedat4", lambda path: pytest.fail("was decoded"))
    for cut in range(len(WHOLE) - len(b"contents")):
        with pytest.raises(BadInput, match="truncated"):
            read(written(WHOLE[:cut]))

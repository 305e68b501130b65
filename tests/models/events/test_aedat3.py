"""AEDAT 3.1: every field of a packet, and every way in which a file is not one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.events.aedat3 import read_aedat3

from . import writers

packet = writers.aedat3_packet
EVENTS = writers.EVENTS


def read(path, content):
    path.write_bytes(content)
    stream = read_aedat3(path)
    return list(zip(*(getattr(stream, name).tolist() for name in "xytp"), strict=True))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "user01_led.aedat"


def test_packets_follow_one_another(path):
    assert read(path, writers.aedat3(packet(EVENTS[:3]), packet(EVENTS[3:]))) == EVENTS


def test_a_header_without_an_end_mark_ends_where_lines_do(path):
    assert read(path, b"#!AER-DAT3.1\r\n# made by hand\r\n" + packet(EVENTS)) == EVENTS


def test_a_packet_that_begins_like_a_line_of_the_header_is_none(path):
    assert read(path, writers.aedat3(packet([], kind=ord("#")), packet(EVENTS))) == EVENTS


def test_overflows_of_time_are_added(path):
    late = [(x, y, t + 2 * 2**31, p) for x, y, t, p in EVENTS]
    assert read(path, writers.aedat3(packet(EVENTS, overflows=2))) == late


def test_invalid_events_and_packets_of_other_types_are_left_out(path):
    frame = packet(EVENTS[:2], kind=2, size=4, n=4)  # 16 bytes in events of 4
    assert read(path, writers.aedat3(packet(EVENTS[:2], valid=0), frame, packet(EVENTS[2:]))) == EVENTS[2:]


def test_places_for_more_events_than_there_are_hold_none(path):
    assert read(path, writers.aedat3(packet(EVENTS, n=2, capacity=4), packet(EVENTS[2:]))) == EVENTS


def test_a_file_without_events_is_empty(path):
    assert read(path, writers.aedat3()) == []


@writers.needs_tonic
@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(*[st.integers(0, 127)] * 2, st.integers(0, 2**31 - 1), st.integers(0, 1))), min_size=1)
)
def test_events_are_those_that_tonic_reads(tmp_path_factory, packets):
    import tonic.io

    path = tmp_path_factory.mktemp("aedat") / "a.aedat"
    path.write_bytes(writers.aedat3(*(packet(events) for events in packets)))
    theirs = tonic.io.get_aer_events_from_file(str(path), 3.1, len(writers.AEDAT3_HEADER))
    ours = read_aedat3(path)
    assert np.array_equal(ours.t, theirs["timeStamp"])
    # The words of the data set's own README.
    assert np.array_equal(ours.x, theirs["address"] >> 17 & 0x1FFF)
    assert np.array_equal(ours.y, theirs["address"] >> 2 & 0x1FFF)
    assert np.array_equal(ours.p, theirs["address"] >> 1 & 1)


WHOLE = writers.aedat3(packet(EVENTS[:3]), packet(EVENTS[3:]))
FIRST_END = len(writers.AEDAT3_HEADER) + 28 + 24


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with b'', expected b'#!AER-DAT3.1'"),
        (b"#!AER-DAT2.0\r\n", "begins with b'#!AER-DAT2.0'"),
        (WHOLE[:20], "ends after 20 bytes, within its header"),
        (WHOLE[: FIRST_END - 1], f"ends after {FIRST_END - 1} bytes, but the packet at byte .* ends at {FIRST_END}"),
        (WHOLE[: FIRST_END + 27], f"within a packet's header at {FIRST_END}; it is truncated"),
        (writers.aedat3(packet(EVENTS, n=5, capacity=4)), "says 5 of 4 events of 8 bytes, 0 overflows; .* damaged"),
        (writers.aedat3(packet(EVENTS, size=12)), "says 4 of 4 events of 12 bytes"),
        (writers.aedat3(packet(EVENTS, kind=2, size=0)), "events of 0 bytes"),
        (writers.aedat3(packet(EVENTS, kind=2, size=-8)), "events of -8 bytes"),
        (writers.aedat3(packet(EVENTS, n=-1)), "says -1 of -1 events"),
        (writers.aedat3(packet(EVENTS, overflows=-1)), "-1 overflows"),
    ],
)
def test_a_damaged_file_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as error:
        read_aedat3(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_file_cut_anywhere_is_refused_or_ends_at_a_packet(path):
    whole_at = {len(writers.AEDAT3_HEADER): 0, FIRST_END: 3}
    # The end mark alone may be cut: a header's last whole line is one end of it.
    lines = [place + 1 for place in range(len(writers.AEDAT3_HEADER) - 1) if WHOLE[place : place + 1] == b"\n"]
    for cut in range(len(WHOLE)):
        path.write_bytes(WHOLE[:cut])
        if cut in whole_at or cut in lines:
            assert len(read_aedat3(path).t) == whole_at.get(cut, 0)
        else:
            with pytest.raises(BadInput, match=r"truncated|expected b'#!AER"):
                read_aedat3(path)

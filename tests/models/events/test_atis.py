"""The `.bin` format: every field, and every way in which a file is not one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.events.atis import read_atis

from . import writers


@pytest.fixture
def written(tmp_path):
    """A file with some content; gives its path."""

    def write(content):
        path = tmp_path / "00001.bin"
        path.write_bytes(content)
        return path

    return write


def read(path):
    recording = read_atis(path, 34, 34)
    return list(zip(*(getattr(recording, name).tolist() for name in "xytp"), strict=True))


def test_events_are_read_as_written(written):
    assert read(written(writers.atis(writers.EVENTS))) == writers.EVENTS


def test_an_entry_in_row_240_puts_off_all_later_events(written):
    entries = [(1, 2, 100, 1), (0, 240, 0, 0), (3, 4, 5, 0), (0, 240, 0, 0), (0, 240, 0, 0), (5, 6, 7, 1)]
    # 2^13 us each time.
    assert read(written(writers.atis(entries))) == [(1, 2, 100, 1), (3, 4, 5 + 8192, 0), (5, 6, 7 + 3 * 8192, 1)]


rows = st.tuples(st.integers(0, 239), st.integers(0, 240), st.integers(0, 2**23 - 1), st.integers(0, 1))


@writers.needs_tonic
@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_events_are_those_that_tonic_reads(tmp_path_factory, entries):
    import tonic.io

    times = sorted(t for _, _, t, _ in entries)
    path = tmp_path_factory.mktemp("atis") / "a.bin"
    path.write_bytes(writers.atis([(x, y, t, p) for (x, y, _, p), t in zip(entries, times, strict=True)]))
    theirs = tonic.io.read_mnist_file(str(path), np.dtype([(name, int) for name in "xytp"]))
    if not len(theirs):
        with pytest.raises(BadInput, match="holds no events"):
            read_atis(path, 240, 240)
        return
    ours = read_atis(path, 240, 240)
    assert all(np.array_equal(getattr(ours, name), theirs[name]) for name in "xytp")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no events; it is empty or damaged"),
        (writers.atis(writers.EVENTS)[:-1], "19 bytes, which is no multiple of the 5 of an event; it is truncated"),
        (writers.atis([(0, 240, 0, 0)]), "holds no events"),
        (writers.atis([(0, 0, 5, 0), (34, 0, 6, 0)]), r"event 1 of 2 has x = 34, outside 0\.\.33"),
        (writers.atis([(0, 34, 5, 0)]), r"event 0 of 1 has y = 34, outside 0\.\.33"),
        (writers.atis([(0, 0, 6, 0), (0, 0, 5, 0)]), "event 1 of 2 is at 5 us, before the 6 us of the one before it"),
    ],
)
def test_a_damaged_file_is_refused(written, content, message):
    path = written(content)
    with pytest.raises(BadInput, match=message) as error:
        read_atis(path, 34, 34)
    assert str(error.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"00001\.bin: cannot be read .*fetch it again"):
        read_atis(tmp_path / "00001.bin", 34, 34)

"""A recording holds sound events only, and says which one is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.events.recording import Recording

from . import writers


def recording(**changed):
    x, y, t, p = writers.columns(writers.EVENTS)
    return Recording(**({"x": x, "y": y, "t": t, "p": p, "width": 34, "height": 34, "where": "a.bin"} | changed))


def test_a_recording_has_the_length_of_its_events():
    assert len(recording()) == len(writers.EVENTS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": [0, 34, 7, 8]}, r"a\.bin: event 1 of 4 has x = 34, outside 0\.\.33"),
        ({"x": [0, 33, 7, -1]}, r"event 3 of 4 has x = -1, outside 0\.\.33"),
        ({"y": [1, 2, 200, 34]}, r"event 2 of 4 has y = 200, outside 0\.\.33"),
        ({"width": 33}, r"event 1 of 4 has x = 33, outside 0\.\.32"),
        ({"p": [1, 2, 1, 0]}, r"event 1 of 4 has p = 2, outside 0\.\.1"),
        ({"t": [-1, 10, 20, 30]}, r"event 0 of 4 has t = -1, outside 0"),
        ({"t": [10, 10, 300, 299]}, "event 3 of 4 is at 299 us, before the 300 us of the one before it"),
        ({"x": [0, 1, 2]}, r"x, y, t and p have shapes .*'x': \(3,\)"),
        ({name: [] for name in "xytp"}, "holds no events"),
        ({"x": [[0], [1], [2], [3]]}, "x, y, t and p have shapes"),
    ],
)
def test_events_that_cannot_be_are_refused(changed, message):
    arrays = {name: value if name == "width" else np.array(value, np.int64) for name, value in changed.items()}
    with pytest.raises(BadInput, match=message) as error:
        recording(**arrays)
    assert str(error.value).startswith("a.bin: ")


def test_events_that_are_no_whole_numbers_are_refused():
    with pytest.raises(BadInput, match="t is float64; events are whole numbers"):
        recording(t=np.array([0, 1.5, 2, 3]))


def test_a_negative_time_read_as_an_unsigned_number_is_refused():
    with pytest.raises(BadInput, match="event 3 of 4 has t = 18446744073709551615"):
        recording(t=np.array([0, 1, 2, 2**64 - 1], np.uint64))


@settings(deadline=None)
@given(st.data())
def test_the_first_wrong_event_is_named_whatever_the_type(data):
    dtype = data.draw(st.sampled_from([np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.uint64]))
    values = np.array(data.draw(st.lists(st.integers(0, 100), min_size=1, max_size=20)), dtype)
    wrong = [index for index, value in enumerate(values) if value >= 34]
    zeros = np.zeros(len(values), np.uint8)
    if not wrong:
        assert len(recording(x=values, y=zeros, t=zeros, p=zeros)) == len(values)
        return
    with pytest.raises(BadInput, match=f"event {wrong[0]} of {len(values)} has x = {values[wrong[0]]},"):
        recording(x=values, y=zeros, t=zeros, p=zeros)

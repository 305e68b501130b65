"""Frames against a loop over events, and what no setting may do to them: lose an event, or show it twice."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.events.frames import Frames, to_frames
from spikeport.models.events.recording import Recording


def recording(events, width=5, height=4):
    x, y, t, p = np.array(events, np.int64).T
    return Recording(x=x, y=y, t=t, p=p, width=width, height=height, where="made up")


@st.composite
def recordings(draw):
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    event = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1), st.integers(0, 300), st.integers(0, 1))
    events = sorted(draw(st.lists(event, min_size=1, max_size=60)), key=lambda event: event[2])
    return recording(events, width, height)


chosen = st.builds(
    Frames,
    T=st.integers(1, 12),
    by=st.sampled_from(["time", "count"]),
    until_us=st.none() | st.integers(1, 400),
    size=st.none() | st.integers(1, 12),
    fit=st.just("crop"),
    levels=st.sampled_from([1, 2, 255]),
)


def slowly(recording, frames):
    """One event after the other, times as fractions."""
    size = frames.size
    height, width = (recording.height, recording.width) if size is None else (size, size)
    out = np.zeros((frames.T, 2, height, width), np.uint8)
    t = recording.t - recording.t[0]
    kept = [i for i in range(len(t)) if frames.until_us is None or t[i] < frames.until_us]
    duration = frames.until_us or int(t[-1]) + 1
    for place, i in enumerate(kept):
        x, y = int(recording.x[i]), int(recording.y[i])
        if size is not None and frames.fit == "crop":
            for _ in range((recording.width - size) // 2 if recording.width > size else 0):
                x -= 1
            for _ in range((size - recording.width) // 2 if size > recording.width else 0):
                x += 1
            y += (size - recording.height) // 2 if size > recording.height else -((recording.height - size) // 2)
        elif size is not None:
            ratio = Fraction(size, max(recording.width, recording.height))
            used = [int((extent - 1) * ratio) + 1 for extent in (recording.width, recording.height)]
            x, y = int(x * ratio) + (size - used[0]) // 2, int(y * ratio) + (size - used[1]) // 2
        if frames.by == "time":
            part = int(Fraction(int(t[i]), duration) * frames.T)
        else:
            part = max(k for k in range(frames.T) if k * len(kept) // frames.T <= place)
        if 0 <= x < width and 0 <= y < height:
            cell = (part, int(recording.p[i]), y, x)
            out[cell] = min(int(out[cell]) + 1, frames.levels)
    return out


@settings(deadline=None, max_examples=60)
@given(recordings(), chosen)
def test_frames_are_those_of_a_loop_over_events(events, frames):
    assert np.array_equal(to_frames(events, frames), slowly(events, frames))


@settings(deadline=None, max_examples=60)
@given(recordings(), chosen, st.data())
def test_scaled_frames_are_those_of_a_loop_over_events(events, frames, data):
    size = data.draw(st.integers(1, max(events.width, events.height)))
    scaled = replace(frames, fit="scale", size=size)
    assert np.array_equal(to_frames(events, scaled), slowly(events, scaled))


@settings(deadline=None, max_examples=60)
@given(recordings(), chosen, st.booleans(), st.data())
def test_every_event_is_in_one_frame(events, frames, scale, data):
    whole = replace(frames, until_us=None, levels=255)
    if scale:
        whole = replace(whole, fit="scale", size=data.draw(st.integers(1, max(events.width, events.height))))
    elif frames.size is not None:  # a frame that no pixel is cut from
        whole = replace(whole, size=max(events.width, events.height, frames.size))
    made = to_frames(events, whole)
    assert made.sum() == len(events)
    assert made[:, 1].sum() == events.p.sum()


@settings(deadline=None, max_examples=60)
@given(recordings(), chosen)
def test_binary_frames_are_where_counts_are_not_zero(events, frames):
    counts = to_frames(events, replace(frames, levels=255))
    assert np.array_equal(to_frames(events, replace(frames, levels=1)), counts > 0)


@settings(deadline=None, max_examples=60)
@given(recordings(), st.integers(1, 12), st.randoms())
def test_the_order_of_events_at_one_time_does_not_change_frames_by_time(events, n, random):
    order = list(range(len(events)))
    random.shuffle(order)
    order.sort(key=lambda index: events.t[index])
    shuffled = replace(events, **{name: getattr(events, name)[order] for name in "xytp"})
    frames = Frames(T=n, levels=255)
    assert np.array_equal(to_frames(shuffled, frames), to_frames(events, frames))


@settings(deadline=None, max_examples=60)
@given(recordings(), st.integers(1, 12), st.integers(0, 10**15))
def test_when_a_recording_began_does_not_change_its_frames(events, n, start):
    later = replace(events, t=events.t + start)
    assert np.array_equal(to_frames(later, Frames(T=n)), to_frames(events, Frames(T=n)))


@settings(deadline=None, max_examples=60)
@given(recordings(), st.integers(1, 12))
def test_frames_by_count_hold_equally_many_events_but_for_one(events, n):
    counts = to_frames(events, Frames(T=n, by="count", levels=255)).reshape(n, -1).sum(axis=1, dtype=int)
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == len(events)


@settings(deadline=None, max_examples=60)
@given(recordings(), st.integers(0, 12))
def test_a_crop_undoes_the_silence_around(events, more):
    around = to_frames(events, Frames(T=1, size=max(events.width, events.height) + more, levels=255))
    side = around.shape[-1]
    top, left = (side - events.height) // 2, (side - events.width) // 2
    inner = around[:, :, top : top + events.height, left : left + events.width]
    assert np.array_equal(inner, to_frames(events, Frames(T=1, levels=255)))


def frame_of_each(times, **chosen):
    """The frame of each event; one pixel per event."""
    made = to_frames(recording([(i, 0, t, 1) for i, t in enumerate(times)], len(times), 1), Frames(**chosen))
    assert made[:, 1, 0].sum(axis=0).tolist() == [1] * len(times)
    return made[:, 1, 0].argmax(axis=0).tolist()


def test_windows_are_closed_at_their_start_and_the_last_event_is_in_the_last():
    # 100 us to 199 us are 100 whole microseconds: 4 windows of 25.
    assert frame_of_each([100, 124, 125, 149, 150, 199], T=4) == [0, 0, 1, 1, 2, 3]


def test_windows_need_not_be_whole_microseconds():
    # 10 us in 3 windows: they begin at 0, 3 1/3, 6 2/3.
    assert frame_of_each([0, 3, 4, 6, 7, 9], T=3) == [0, 0, 1, 1, 2, 2]


def test_events_at_one_instant_are_in_the_first_window():
    assert frame_of_each([7, 7, 7], T=5) == [0, 0, 0]


def test_windows_up_to_a_time_do_not_depend_on_the_last_event():
    # 4 windows of 25 us after the event at 1000; nothing after 1099.
    made = to_frames(
        recording([(i, 0, t, 1) for i, t in enumerate([1000, 1024, 1025, 1100])]), Frames(T=4, until_us=100)
    )
    assert made[:, 1, 0, :4].tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_more_frames_than_events_leave_some_empty():
    assert frame_of_each([0, 1], T=4, by="count") == [1, 3]  # cut before floor(k * 2 / 4): 0, 0, 1, 1


def test_a_time_in_unsigned_integers_is_no_other():
    events = recording([(0, 0, 3, 1), (1, 0, 5, 0), (2, 0, 9, 1)])
    for dtype in (np.uint8, np.uint32, np.uint64, np.int32):
        assert np.array_equal(
            to_frames(replace(events, t=events.t.astype(dtype)), Frames(T=3)), to_frames(events, Frames(T=3))
        )


def test_off_is_the_first_channel_and_rows_come_before_columns():
    made = to_frames(recording([(4, 1, 0, 0), (0, 3, 0, 1)]), Frames(T=1))
    assert np.argwhere(made).tolist() == [[0, 0, 1, 4], [0, 1, 3, 0]]


def test_counts_stop_at_levels():
    made = to_frames(recording([(0, 0, 0, 1)] * 300), Frames(T=1, levels=255))
    assert made.max() == 255
    assert made.dtype == np.uint8


def columns_kept(width, size):
    """The frame's column of each column of a camera, None for one that is cut off."""
    events = [recording([(x, 0, 0, 1)], width, 1) for x in range(width)]
    rows = [to_frames(event, Frames(T=1, size=size))[0, 1, (size - 1) // 2] for event in events]
    return [int(row.argmax()) if row.any() else None for row in rows]


def test_an_odd_column_is_cut_off_or_silent_at_the_right():
    assert columns_kept(6, 3) == [None, 0, 1, 2, None, None]
    assert columns_kept(3, 6) == [1, 2, 3]  # silent: 0, 4, 5


def test_scaling_keeps_the_aspect_ratio():
    corners = [(0, 0, 0, 1), (239, 0, 0, 1), (0, 179, 0, 1), (239, 179, 0, 1)]
    made = to_frames(recording(corners, 240, 180), Frames(T=1, size=48, fit="scale"))
    # 48 of 240 columns: a fifth. 180 rows become 36, with 6 silent ones above and below.
    assert np.argwhere(made[0, 1]).tolist() == [[6, 0], [6, 47], [41, 0], [41, 47]]


def test_frames_larger_than_the_camera_are_not_scaled():
    with pytest.raises(
        BadInput, match=r"made up: frames of 6 pixels cannot be scaled from a camera of 5 x 4; .* up to 5"
    ):
        to_frames(recording([(0, 0, 0, 1)]), Frames(T=1, size=6, fit="scale"))


@pytest.mark.parametrize(
    ("field", "value", "limits"),
    [("T", 0, r"1\.\.1000"), ("T", 1001, r"1\.\.1000"), ("until_us", 0, "at least 1"), ("size", 0, "at least 1"),
     ("levels", 0, r"1\.\.255"), ("levels", 256, r"1\.\.255")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(field, value, limits):
    with pytest.raises(BadInput, match=f"frames: {field} is {value}; give {limits}"):
        Frames(**({"T": 1} | {field: value}))

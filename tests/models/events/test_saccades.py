"""The simulated camera: what it must send is derived, or counted by a slow pixel of its own."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spikeport.hw import BadInput
from spikeport.models.datasets import ROOT_VARIABLE, Images, load
from spikeport.models.events.recording import Recording
from spikeport.models.events.saccades import DARK, SYNTHETIC, Saccades, crossings, simulate, views

BRIGHT = math.log((DARK + 1) / DARK)
"""From black to white."""


def images(*pictures: np.ndarray, levels: int = 255) -> Images:
    """Pictures (H, W) or (C, H, W) as images of the classes 0, 1, ..."""
    x = np.stack([p if p.ndim == 3 else p[None] for p in pictures]).astype(np.uint8)
    return Images(
        x=torch.from_numpy(x), y=torch.arange(len(x)), levels=levels, ids=np.array([f"i/{n}" for n in range(len(x))])
    )


def noise(seed: int, shape: tuple[int, ...] = (6, 7)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def per_pixel(recording: Recording, polarity: int) -> np.ndarray:
    """Events of one polarity of each pixel, (H, W)."""
    chosen = recording.p == polarity
    counts = np.zeros((recording.height, recording.width), dtype=int)
    np.add.at(counts, (recording.y[chosen], recording.x[chosen]), 1)
    return counts


def arrays_of(recording: Recording) -> list[list[int]]:
    return [getattr(recording, name).tolist() for name in "xytp"]


@functools.cache
def digits_train() -> Images:
    return load("digits")[0]


# what the sensor sees


def test_a_picture_that_is_not_moved_is_seen_as_it_is():
    picture = noise(0) / 255
    assert np.array_equal(views(picture, np.zeros((3, 2))), np.stack([picture] * 3))


def test_a_picture_moved_by_whole_pixels_is_seen_there_and_its_border_goes_on():
    picture = noise(1, (5, 5)) / 255
    (seen,) = views(picture, np.array([[2.0, -1.0]]))  # right by two, up by one
    assert np.array_equal(seen[:4, 2:], picture[1:, :3])
    assert np.array_equal(seen[:4, :2], picture[1:, [0, 0]])
    assert np.array_equal(seen[4], seen[3])


def slow_view(picture: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """Every pixel from its four neighbours."""
    height, width = picture.shape
    seen = np.empty_like(picture)
    for y in range(height):
        for x in range(width):
            there_x, there_y = min(max(x - dx, 0), width - 1), min(max(y - dy, 0), height - 1)
            value = 0.0
            for j in range(height):
                for i in range(width):
                    value += max(0, 1 - abs(i - there_x)) * max(0, 1 - abs(j - there_y)) * picture[j, i]
            seen[y, x] = value
    return seen


@given(st.floats(-9, 9), st.floats(-9, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_between_pixels_the_view_is_bilinear(dx, dy, seed):
    picture = noise(seed, (4, 5)) / 255
    (seen,) = views(picture, np.array([[dx, dy]]))
    np.testing.assert_allclose(seen, slow_view(picture, dx, dy), atol=1e-12)


# what a pixel sends


def slow_pixel(brightness: np.ndarray, threshold: float) -> list[tuple[float, int]]:
    """(when, polarity) of one pixel's events, one at a time. brightness: (K,)."""
    remembered, sent = brightness[0], []
    for k in range(len(brightness) - 1):
        before, after = brightness[k], brightness[k + 1]
        while abs(after - remembered) > threshold:
            remembered += threshold if after > remembered else -threshold
            sent.append((k + (remembered - before) / (after - before), int(after > before)))
    return sent


@given(arrays(np.float64, (7, 2, 3), elements=st.floats(-3, 3)), st.floats(0.05, 2))
@settings(max_examples=150, deadline=None)
def test_a_pixel_sends_what_the_slow_one_does(brightness, threshold):
    level = (brightness - brightness[0]) / threshold
    if np.abs(level - np.rint(level))[1:].min() < 1e-6:  # a tie, which rounding decides
        brightness = brightness + 1e-3 * np.sin(1 + np.arange(brightness.size)).reshape(brightness.shape)
    steps, x, y, p = crossings(brightness, threshold)
    assert (np.diff(steps) >= 0).all()
    for row, column in np.ndindex(2, 3):
        mine = (x == column) & (y == row)
        expected = slow_pixel(brightness[:, row, column], threshold)
        assert p[mine].tolist() == [polarity for _, polarity in expected]
        np.testing.assert_allclose(steps[mine], [when for when, _ in expected], atol=1e-6)


def test_events_come_when_the_line_between_two_instants_crosses_a_threshold():
    brightness = np.array([0.0, 0.0, 1.0, 0.125]).reshape(4, 1, 1)
    steps, x, y, p = crossings(brightness, 0.25)
    # up through 1/4, 2/4 and 3/4 in the second step, but not past 4/4; then down from 3/4, which is remembered
    assert steps.tolist() == [1.25, 1.5, 1.75, 2 + 0.5 / 0.875, 2 + 0.75 / 0.875]
    assert p.tolist() == [1, 1, 1, 0, 0]
    assert x.tolist() == y.tolist() == [0] * 5


@given(arrays(np.float64, (5, 2, 2), elements=st.floats(-3, 3)), st.floats(0.05, 2))
@settings(max_examples=100, deadline=None)
def test_events_add_up_to_the_change_of_brightness(brightness, threshold):
    """What a pixel remembers is at most a threshold away."""
    _, x, y, p = crossings(brightness, threshold)
    balance = np.zeros((2, 2))
    np.add.at(balance, (y, x), 2.0 * p - 1)
    assert (np.abs(brightness[-1] - brightness[0] - threshold * balance) <= threshold * (1 + 1e-9)).all()


def test_a_picture_that_does_not_move_sends_nothing():
    still = np.log(DARK + views(noise(2) / 255, np.full((20, 2), 0.3)))
    assert [len(array) for array in crossings(still, 0.01)] == [0, 0, 0, 0]


def test_a_bright_bar_that_moves_right_is_on_ahead_and_off_behind():
    picture = np.zeros((3, 12))
    picture[:, 3:6] = 1
    places = np.stack([np.linspace(0, 2, 33), np.zeros(33)], axis=1)
    steps, x, y, p = crossings(np.log(DARK + views(picture, places)), BRIGHT / 4.5)
    sent = Recording(x=x, y=y, t=(1000 * steps).astype(int), p=p, width=12, height=3, where="bar")
    ahead, behind = np.zeros((3, 12), dtype=int), np.zeros((3, 12), dtype=int)
    ahead[:, 6:8] = 4  # black to white is four and a half thresholds
    behind[:, 3:5] = 4
    assert np.array_equal(per_pixel(sent, 1), ahead)
    assert np.array_equal(per_pixel(sent, 0), behind)
    assert steps[(p == 1) & (x == 6)].max() < steps[(p == 1) & (x == 7)].min()  # one column after the other


# recordings of images


def test_on_and_off_of_a_pixel_differ_by_one_at_most_because_the_camera_returns():
    recording = simulate(images(noise(3)), Saccades(), "noise").read(0)
    on, off = per_pixel(recording, 1), per_pixel(recording, 0)
    assert (on + off).min() > 1
    assert np.abs(on - off).max() <= 1


def test_events_do_not_come_at_once_when_the_camera_is_back():
    """All pixels see then what they saw at first, to the last bit; that alone is no event."""
    recording = simulate(images(noise(3, (30, 30))), Saccades(period_us=1000), "noise").read(0)
    assert (recording.t == 3000).sum() == 0


@given(st.integers(0, 999), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_a_threshold_n_times_as_high_leaves_at_most_one_nth_of_each_pixels_events(seed, n):
    """Upon each event of the higher threshold both remember the same, and the lower sends n or more until the next."""
    shown = images(noise(seed))
    low, high = (simulate(shown, Saccades(threshold=t), "noise").read(0) for t in (0.13, n * 0.13))
    for polarity in (0, 1):
        assert (n * per_pixel(high, polarity) <= per_pixel(low, polarity)).all()


def step(axis: int) -> Recording:
    """What is sent of a picture of 9 x 9 pixels, black before the fifth along an axis, white from there on.

    The triangle is 2 pixels wide and high, a side takes 1000 us, and black to white is four and a half thresholds.
    """
    picture = np.zeros((9, 9), dtype=np.uint8)
    np.moveaxis(picture, axis, 0)[5:] = 255
    return simulate(images(picture), Saccades(amplitude=2, period_us=1000, threshold=BRIGHT / 4.5), "step").read(0)


def test_the_scene_goes_right_and_right_and_back():
    """At first it lies one pixel to the left, so 4 is white: it darkens on the first side, 5 on the second."""
    sent = step(axis=1)
    for x, sides in ((4, {(0, 0), (2, 1)}), (5, {(1, 0), (2, 1)})):
        mine = sent.x == x
        assert (
            set(zip((sent.t[mine] // 1000).tolist(), sent.p[mine].tolist(), strict=True)) == sides
        )  # (side, polarity)
    off, on = per_pixel(sent, 0), per_pixel(sent, 1)
    assert off.tolist() == [[0, 0, 0, 0, 4, 4, 0, 0, 0]] * 9
    assert on.tolist() == [[0, 0, 0, 0, 3, 3, 0, 0, 0]] * 9  # back to white, but not past it


def test_the_scene_goes_down_and_back_and_stays_at_its_height():
    """At first it lies one pixel too high: 4 and 5 darken on the first side, and brighten on the second."""
    sent = step(axis=0)
    assert set(zip((sent.t // 1000).tolist(), sent.p.tolist(), strict=True)) == {(0, 0), (1, 1)}
    assert per_pixel(sent, 0).T.tolist() == [[0, 0, 0, 0, 4, 4, 0, 0, 0]] * 9
    assert per_pixel(sent, 1).T.tolist() == [[0, 0, 0, 0, 3, 3, 0, 0, 0]] * 9


@pytest.mark.parametrize("period_us", [1, 777, 100_000])
def test_times_are_whole_microseconds_inside_the_three_sides(period_us):
    recording = simulate(images(noise(4)), Saccades(period_us=period_us), "noise").read(0)
    assert recording.t.dtype.kind == "i"
    assert recording.t[0] >= 0
    assert recording.t[-1] <= 3 * period_us
    assert (recording.t[1:] >= recording.t[:-1]).all()


def test_all_three_sides_are_as_long():
    sides = [simulate(digits_train(), Saccades(period_us=p), "digits").read(0) for p in (100, 100_000)]
    slow, fast = sides[1], sides[0]
    assert np.array_equal(slow.t // 1000, fast.t)  # the same walk, a thousand times slower
    assert np.histogram(slow.t, bins=3, range=(0, 300_000))[0].min() > len(slow) / 6


def test_a_recording_is_the_same_each_time_it_is_read():
    recordings = simulate(images(noise(5), noise(6)), Saccades(), "noise")
    first = arrays_of(recordings.read(1))
    recordings.read(0)
    assert arrays_of(recordings.read(1)) == first
    assert arrays_of(simulate(images(noise(6)), Saccades(), "noise").read(0)) == first


def test_the_sensor_has_the_size_of_the_image():
    recording = simulate(images(noise(7, (5, 9))), Saccades(), "noise").read(0)
    assert (recording.height, recording.width) == (5, 9)


def test_of_colours_the_brightest_channel_is_seen():
    colour = noise(8, (3, 6, 6))
    seen, grey = (simulate(images(shown), Saccades(), "noise").read(0) for shown in (colour, colour.max(axis=0)))
    assert arrays_of(seen) == arrays_of(grey)


def test_brightness_is_a_share_of_the_images_levels():
    picture = noise(9) // 17  # 0..15
    small, wide = (simulate(images(picture * k, levels=15 * k), Saccades(), "noise").read(0) for k in (1, 17))
    assert arrays_of(small) == arrays_of(wide)


def test_an_image_without_contrast_is_refused_by_name_when_it_is_read():
    recordings = simulate(images(noise(10), np.full((6, 7), 90)), Saccades(threshold=0.3), "flat/test")
    assert len(recordings.read(0))
    with pytest.raises(BadInput, match=r"simulated flat/test: image 1 sends no events.*threshold 0\.3"):
        recordings.read(1)


def test_labels_and_ids_are_the_images_own():
    shown = digits_train().subset(slice(5))
    recordings = simulate(shown, Saccades(), "digits/train")
    assert recordings.labels.tolist() == shown.y.tolist()
    assert recordings.ids is not None
    assert shown.ids is not None
    assert recordings.ids.tolist() == shown.ids.tolist()
    assert len(recordings) == 5
    assert simulate(replace(shown, ids=None), Saccades(), "digits/train").ids is None


def test_what_is_simulated_says_so():
    recordings = simulate(images(noise(11)), Saccades(), "noise")
    assert "simulated" in recordings.name
    assert "simulated" in recordings.read(0).where
    assert "synthetic" in SYNTHETIC


def test_the_key_changes_with_the_images_and_with_every_setting():
    shown = images(noise(12))
    settings = [Saccades(), Saccades(amplitude=3), Saccades(period_us=5), Saccades(threshold=0.3)]
    keys = [simulate(shown, chosen, "noise").key for chosen in settings]
    keys.append(simulate(images(noise(13)), Saccades(), "noise").key)
    assert len(set(keys)) == len(keys)
    assert simulate(images(noise(12)), Saccades(), "noise").key == keys[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amplitude": 0}, r"amplitude is 0; give 1\.\.64"),
        ({"amplitude": 65}, "amplitude is 65"),
        ({"period_us": 0}, "period_us is 0"),
        ({"threshold": 0.0}, r"threshold is 0\.0; give 0\.01\.\.10"),
        ({"threshold": math.nan}, "threshold is nan"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        Saccades(**change)


# real images


def test_digits_send_a_plausible_number_of_events():
    """An edge that goes over a pixel sends eleven events, and ten when it comes back, as black to white is 11.99.

    So it is for the pixels that strokes pass: between a quarter of them all, once, and half of them, twice.
    """
    recordings = simulate(digits_train(), Saccades(), "digits/train")
    counts = [len(recordings.read(index)) for index in range(100)]
    there_and_back = 11 + 10
    assert min(counts) > 64 / 4 * there_and_back
    assert max(counts) < 64 / 2 * 2 * there_and_back


def test_simulated_digits_are_as_busy_as_the_recorded_ones():
    """The same MNIST digits before N-MNIST's camera: alike in number, picture by picture."""
    if not os.environ.get(ROOT_VARIABLE):
        pytest.skip(f"{ROOT_VARIABLE} names no folder of real data sets")
    from spikeport.models.datasets import load_recordings

    real, _ = load_recordings("nmnist")
    mnist, _ = load("mnist")
    assert real.ids is not None
    assert mnist.ids is not None
    at = {name: index for index, name in enumerate(mnist.ids.tolist())}
    recordings = simulate(mnist, Saccades(), "mnist/train")
    recorded = [len(real.read(index)) for index in range(40)]
    simulated = [len(recordings.read(at[real.ids[index]])) for index in range(40)]
    assert 0.5 < np.mean(simulated) / np.mean(recorded) < 2
    assert np.corrcoef(simulated, recorded)[0, 1] > 0.5

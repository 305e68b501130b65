"""Pictures of frames, read back from the files they become."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from spikeport.models.events.picture import BOTH, OFF, ON, SILENT, Picture, animation, painted, sheet

LINES = ("a title", "what was sent", "what is seen")


def frames(n_steps: int = 3, height: int = 4, width: int = 5, *events: tuple[int, int, int, int]) -> np.ndarray:
    """Frames with one event at each (t, p, y, x)."""
    made = np.zeros((n_steps, 2, height, width), dtype=np.uint8)
    for at in events:
        made[at] += 1
    return made


def some(seed: int, shape: tuple[int, ...] = (3, 2, 4, 5), levels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, levels + 1, shape, dtype=np.uint8)


def pixels(content: bytes, shot: int = 0) -> np.ndarray:
    """(height, width, 3) of a picture, or of one of an animation."""
    with Image.open(io.BytesIO(content)) as image:
        image.seek(shot)
        return np.asarray(image.convert("RGB"))


def code(colours: np.ndarray) -> np.ndarray:
    """Each colour (..., 3) as one number."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])


def where(content: bytes, colour: tuple[int, int, int], shot: int = 0) -> np.ndarray:
    return (pixels(content, shot) == colour).all(axis=-1)


# colours


def test_off_on_both_and_neither_have_their_colours():
    shown = painted(frames(1, 1, 4, (0, 0, 0, 1), (0, 1, 0, 2), (0, 0, 0, 3), (0, 1, 0, 3)))
    assert shown.tolist() == [[[list(SILENT), list(OFF), list(ON), list(BOTH)]]]


def test_the_two_colours_are_those_that_everyone_tells_apart():
    assert ["#{:02X}{:02X}{:02X}".format(*colour) for colour in (OFF, ON)] == ["#D55E00", "#0072B2"]  # Okabe and Ito


def test_more_events_are_drawn_stronger_up_to_the_most_of_all_frames():
    made = frames(2, 1, 3)
    made[0, 1, 0, :2] = 1, 3
    made[1, 0, 0, 2] = 5
    shown = painted(made)
    assert shown[1, 0, 2].tolist() == list(OFF)
    for x, share in ((0, 0.4), (1, 0.7)):  # one event: 40%; three lie halfway between one and five
        expected = [s + share * (c - s) for s, c in zip(SILENT, ON, strict=True)]
        np.testing.assert_allclose(shown[0, 0, x], expected, atol=0.5)


def test_frames_without_events_are_silent():
    assert (painted(frames()) == SILENT).all()


# sheets


@pytest.mark.parametrize(("side", "scale"), [(8, 21), (34, 5), (128, 1), (240, 1)])
def test_every_pixel_becomes_a_square(side, scale):
    """170 pixels hold 21 x 8, 5 x 34 and 1 x 128; a larger frame is not made smaller."""
    shown = Picture(frames=frames(2, side, side, (0, 0, 1, 1), (0, 1, 3, 5), (1, 0, 7, 7)), lines=LINES)
    empty = Picture(frames=frames(2, side, side), lines=LINES)
    for colour, events in ((OFF, 2), (ON, 1)):
        more = where(sheet(shown), colour).sum() - where(sheet(empty), colour).sum()  # the legend has both colours
        assert more == events * scale**2


def test_a_sheet_shows_every_frame_as_it_is_painted():
    """The frames are found again in reading order, each once, by their own pixels."""
    made = some(0, (6, 2, 17, 17))
    canvas = code(pixels(sheet(Picture(frames=made, lines=LINES))))
    height, width = (n - 169 for n in canvas.shape)
    found = []
    for colours in code(painted(made)):
        here = np.ones((height, width), dtype=bool)
        for y, x in np.ndindex(17, 17):
            here &= canvas[10 * y : 10 * y + height, 10 * x : 10 * x + width] == colours[y, x]
        starts = [(y, x) for y, x in np.argwhere(here).tolist() if not here[y - 1, x] and not here[y, x - 1]]
        ((y, x),) = starts
        assert np.array_equal(canvas[y : y + 170, x : x + 170], colours.repeat(10, axis=0).repeat(10, axis=1))
        found.append((y, x))
    assert found == sorted(found)
    assert len({y for y, _ in found}) == 2
    assert len({x for _, x in found}) == 4


@pytest.mark.parametrize(("n_steps", "columns"), [(1, 1), (3, 3), (8, 4), (20, 7), (50, 10)])
def test_a_sheet_is_about_twice_as_wide_as_high(n_steps, columns):
    canvas = where(sheet(Picture(frames=frames(n_steps, 30, 30), lines=("x",))), SILENT)
    assert canvas.sum(axis=1).max() == columns * 150


def test_no_line_is_cut_off():
    short, long = (sheet(Picture(frames=frames(1), lines=("a title", "word " * n))) for n in (1, 60))
    assert pixels(long).shape[1] > 1500
    assert pixels(short).shape[1] < 500
    ink = (pixels(long) < 100).all(axis=-1).any(axis=0)
    assert 16 <= ink[::-1].argmax() < 100  # the last word ends inside, with a margin


def test_a_notice_stands_out():
    """A black bar under white letters, which there is none of without."""
    plain, warned = (sheet(Picture(frames=frames(), lines=LINES, notice=n)) for n in (None, "synthetic events"))
    assert pixels(warned).shape[0] > pixels(plain).shape[0]
    assert where(warned, (25, 25, 25)).sum(axis=1).max() > 100  # along the bar
    assert where(plain, (25, 25, 25)).sum(axis=1).max() < 100


def test_equal_pictures_give_equal_bytes():
    assert sheet(Picture(frames=some(1), lines=LINES)) == sheet(Picture(frames=some(1), lines=LINES))
    assert sheet(Picture(frames=some(1), lines=LINES)) != sheet(Picture(frames=some(2), lines=LINES))
    assert sheet(Picture(frames=some(1), lines=LINES)) != sheet(Picture(frames=some(1), lines=("another", *LINES[1:])))


# animations


@pytest.mark.parametrize("kind", ["gif", "png"])
def test_an_animation_shows_the_frames_in_turn_without_end(kind):
    made = some(3, (4, 2, 10, 10))
    content = animation(Picture(frames=made, lines=LINES), kind)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == kind.upper()
        assert image.n_frames == 4  # pyright: ignore[reportAttributeAccessIssue]
        assert image.info["loop"] == 0
    legend = [where(animation(Picture(frames=frames(1, 10, 10), lines=LINES), kind), c).sum() for c in (OFF, ON)]
    for t, frame in enumerate(made):
        off, on = frame[0] & ~frame[1] & 1, frame[1] & ~frame[0] & 1
        shown = [where(content, colour, t).sum() - n for colour, n in zip((OFF, ON), legend, strict=True)]
        assert shown == [40**2 * off.sum(), 40**2 * on.sum()]


@pytest.mark.parametrize(("n_steps", "duration_ms"), [(2, 400), (20, 200), (120, 40)])
def test_an_animation_takes_four_seconds_unless_that_is_too_fast_or_too_slow(n_steps, duration_ms):
    content = animation(Picture(frames=frames(n_steps, 4, 4), lines=LINES), "gif")
    with Image.open(io.BytesIO(content)) as image:
        assert image.info["duration"] == duration_ms


def test_one_frame_is_a_picture_that_stands_still():
    content = animation(Picture(frames=frames(1, 4, 4, (0, 1, 2, 2)), lines=LINES), "gif")
    with Image.open(io.BytesIO(content)) as image:
        assert getattr(image, "n_frames", 1) == 1


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (1, 2, 1, 40), (2, 2, 60, 1), (5, 2, 180, 240)])
def test_any_camera_can_be_drawn(shape):
    shown = Picture(frames=some(4, shape, levels=9), lines=LINES, notice="n")
    assert pixels(sheet(shown)).shape[0] > shape[2]
    assert pixels(animation(shown, "gif")).shape[0] > shape[2]

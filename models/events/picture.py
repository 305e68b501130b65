"""Frames of events as a picture to look at: all of them side by side on a sheet, or one after the other.

ON and OFF are the blue and the vermilion that people of every colour vision tell apart (Okabe and Ito, "Color universal
design", 2008); a pixel that did both in one frame is nearly black.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

SILENT: Colour = (234, 234, 234)
OFF: Colour = (213, 94, 0)
ON: Colour = (0, 114, 178)
BOTH: Colour = (25, 25, 25)

SHEET_SIDE, ANIMATION_SIDE = 170, 400
"""Pixels that a frame is enlarged to, at most, in whole multiples."""

LOOP_MS, SHORTEST_MS, LONGEST_MS = 4000, 40, 400
"""How long an animation takes, unless that makes its frames shorter or longer than these."""

_PAPER: Colour = (255, 255, 255)
_INK: Colour = (25, 25, 25)
_FAINT: Colour = (110, 110, 110)
_LEGEND = ((ON, "ON, brighter"), (OFF, "OFF, darker"), (BOTH, "both in one frame"))
_TITLE, _TEXT = 17, 13  # sizes of letters
_LINE, _GAP, _MARGIN, _SWATCH, _CELL = 21, 14, 16, 12, 90  # pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What is drawn. frames: uint8 (T, 2, H, W), events per frame, polarity (OFF, ON) and pixel.

    lines: what is written above; the first is the title. notice: a warning below them, white on black.
    """

    frames: np.ndarray
    lines: Sequence[str]
    notice: str | None = None


def sheet(picture: Picture) -> bytes:
    """All frames, each with its timestep and number of events, as a PNG file. Equal pictures give equal bytes."""
    n_steps, _, height, width = picture.frames.shape
    columns = min(n_steps, max(4, math.ceil(math.sqrt(2 * n_steps))))
    rows = math.ceil(n_steps / columns)
    scale = _scale(picture.frames, SHEET_SIDE)
    step_x, step_y = max(width * scale, _CELL) + _GAP, _LINE + height * scale + _GAP
    canvas, top = _headed(picture, columns * step_x - _GAP, rows * step_y - _GAP)
    for t, (frame, colours) in enumerate(zip(picture.frames, painted(picture.frames), strict=True)):
        row, column = divmod(t, columns)
        place = (_MARGIN + column * step_x, top + row * step_y)
        _draw_frame(canvas, place, _enlarged(colours, scale), f"t = {t + 1}", int(frame.sum()))
    return _saved([canvas], "png")


def animation(picture: Picture, kind: Literal["gif", "png"]) -> bytes:
    """The frames one after the other, again and again, as an animated GIF or PNG file."""
    n_steps, _, height, width = picture.frames.shape
    scale = _scale(picture.frames, ANIMATION_SIDE)
    canvas, top = _headed(picture, max(width * scale, _CELL), _LINE + height * scale)
    shots = []
    for t, (frame, colours) in enumerate(zip(picture.frames, painted(picture.frames), strict=True)):
        shots.append(canvas.copy())
        caption = f"t = {t + 1} of {n_steps}"
        _draw_frame(shots[-1], (_MARGIN, top), _enlarged(colours, scale), caption, int(frame.sum()))
    return _saved(shots, kind)


def painted(frames: np.ndarray) -> np.ndarray:
    """The colour of every pixel of frames (T, 2, H, W): uint8 (T, H, W, 3).

    The more events, the stronger: 40% of the colour for one, all of it for the most that any pixel has in any frame.
    """
    off, on = frames[:, 0] > 0, frames[:, 1] > 0
    colour = np.array([SILENT, OFF, ON, BOTH], dtype=np.float64)[off + 2 * on]
    count, most = frames.max(axis=1).astype(np.float64), max(int(frames.max()), 1)
    strength = 1 - 0.6 * (most - count) / max(most - 1, 1)
    return np.rint(SILENT + strength[..., None] * (colour - SILENT)).astype(np.uint8)


def _scale(frames: np.ndarray, side: int) -> int:
    return max(1, side // max(frames.shape[2:]))


def _enlarged(colours: np.ndarray, scale: int) -> Image.Image:
    """Each pixel as a square."""
    return Image.fromarray(colours.repeat(scale, axis=0).repeat(scale, axis=1))


def _headed(picture: Picture, width: int, height: int) -> tuple[Image.Image, int]:
    """A canvas with the lines, the notice and the legend on it, and where the room of width x height below begins."""
    title, text = ImageFont.load_default(_TITLE), ImageFont.load_default(_TEXT)
    notice = [] if picture.notice is None else [picture.notice]
    legend = sum(_SWATCH + 6 + math.ceil(text.getlength(words)) + _GAP for _, words in _LEGEND)
    widths = [width, legend, math.ceil(title.getlength(picture.lines[0]))]
    widths += [math.ceil(text.getlength(line)) + 2 * _GAP for line in (*picture.lines[1:], *notice)]
    y = _MARGIN
    bottom = y + (len(picture.lines) + len(notice) + 1) * _LINE + 2 * _GAP
    canvas = Image.new("RGB", (max(widths) + 2 * _MARGIN, bottom + height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for line, font in zip(picture.lines, (title, *[text] * len(picture.lines)), strict=False):
        draw.text((_MARGIN, y), line, _INK, font)
        y += _LINE + 3 * (font is title)
    for line in notice:
        draw.rectangle((_MARGIN, y, _MARGIN + text.getlength(line) + _GAP, y + _LINE - 2), _INK)
        draw.text((_MARGIN + _GAP // 2, y + 1), line, _PAPER, text)
        y += _LINE + 4
    x = _MARGIN
    for colour, words in _LEGEND:
        draw.rectangle((x, y + 3, x + _SWATCH, y + 3 + _SWATCH), colour)
        draw.text((x + _SWATCH + 6, y), words, _FAINT, text)
        x += _SWATCH + 6 + math.ceil(text.getlength(words)) + _GAP
    return canvas, bottom


def _draw_frame(canvas: Image.Image, place: tuple[int, int], frame: Image.Image, caption: str, n_events: int) -> None:
    """A frame below its timestep, to the left, and its number of events, to the right."""
    x, y = place
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    draw.text((x, y), caption, _INK, font)
    draw.text((x + max(frame.width, _CELL), y), str(n_events), _FAINT, font, anchor="ra")
    canvas.paste(frame, (x, y + _LINE))


def _saved(shots: list[Image.Image], kind: str) -> bytes:
    """One picture, or several as an endless loop."""
    loop = {}
    if len(shots) > 1:
        duration = min(LONGEST_MS, max(SHORTEST_MS, LOOP_MS // len(shots)))
        loop = {"save_all": True, "append_images": shots[1:], "duration": duration, "loop": 0}
    buffer = io.BytesIO()
    shots[0].save(buffer, format=kind, **loop)
    return buffer.getvalue()

"""How every figure is made: from a `Sketch`, which says what is shown, to a `Drawing`, which is SVG or PDF.

matplotlib through its object-oriented interface; the caller's settings are neither used nor changed. Narrow on purpose
(324 points), with layers and steps down the side: figures are readable on a phone and scale up. Text stays text.
Colours are the values of `PALETTE`, so that a page can replace them for a dark background.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

Form = Literal["svg", "pdf"]

PALETTE = {
    "paper": "#ffffff",
    "ink": "#1d2430",
    "muted": "#5f6b7a",
    "line": "#d5dae1",
    "accent": "#1f5fa8",
    "warm": "#b4531a",
    "cool": "#3a8a7d",
    "violet": "#8a4fa3",
    "gold": "#c2902b",
    "red": "#d1495b",
    "green": "#4f9d3a",
    "sky": "#2fa3c7",
    "brown": "#7a4b2a",
}
"""Every colour a figure may use, on light paper."""

DARK = {
    "paper": "#14181e",
    "ink": "#e4e8ee",
    "muted": "#a0abb9",
    "line": "#39424e",
    "accent": "#74aeea",
    "warm": "#e5935c",
    "cool": "#6fc4b5",
    "violet": "#c69adb",
    "gold": "#e0b85a",
    "red": "#f08794",
    "green": "#86cc72",
    "sky": "#6fcbe8",
    "brown": "#c49a78",
}
"""What replaces each of them on dark paper."""

SERIES = ("accent", "warm", "cool", "violet", "gold", "muted", "red", "green", "sky", "brown")
"""Colours of things that are told apart, in their order."""

WIDTH_IN = 4.5
ROW_IN = 0.27

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spikeport",  # the same report gives the same bytes
    "pdf.fonttype": 42,  # TrueType: text in a paper can be searched and copied
    "text.parse_math": False,  # a layer may be called a$b
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["line"],
    "axes.labelcolor": PALETTE["muted"],
    "axes.titlecolor": PALETTE["ink"],
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "text.color": PALETTE["ink"],
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["ink"],
    "grid.color": PALETTE["line"],
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@dataclass(frozen=True)
class Drawing:
    """A figure. key: its name in a page. caption: what it shows. alt: the same for who cannot see it.

    svg: its text, or pdf: its bytes; the one that was not asked for is empty.
    """

    key: str
    caption: str
    alt: str
    svg: str = ""
    pdf: bytes = b""


@dataclass(frozen=True)
class Sketch:
    """A figure before it has a format. height_in: in inches. paint: puts it on an empty figure of that height."""

    key: str
    caption: str
    alt: str
    height_in: float
    paint: Callable[[Figure], None]


def render(sketch: Sketch, form: Form = "svg") -> Drawing:
    """The sketch as SVG text or PDF bytes; the same sketch gives the same bytes."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        # The reader's browser picks a font that has the character; DejaVu only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure, content = Figure(figsize=(WIDTH_IN, sketch.height_in), layout="constrained"), io.BytesIO()
        FigureCanvasPdf(figure) if form == "pdf" else FigureCanvasSVG(figure)  # joins the figure it is given
        sketch.paint(figure)
        dates: Any = {"CreationDate": None} if form == "pdf" else {"Date": None}
        figure.savefig(content, format=form, transparent=True, metadata=dates)
    if form == "pdf":
        return Drawing(sketch.key, sketch.caption, sketch.alt, pdf=content.getvalue())
    return Drawing(sketch.key, sketch.caption, sketch.alt, svg=content.getvalue().decode())

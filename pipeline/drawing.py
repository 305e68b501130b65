"""What pictures of the command line share: colours, and settings that make the same picture the same bytes."""

from __future__ import annotations

from typing import Any

COLOURS = (
    "#1f5fa8", "#b4531a", "#3a8a7d", "#8a4fa3", "#c2902b", "#5f6b7a", "#d1495b", "#4f9d3a", "#2fa3c7", "#7a4b2a",
)  # fmt: skip
"""One per thing that is told apart, in their order."""

INK, MUTED, LINE = "#1d2430", "#5f6b7a", "#d5dae1"
DPI = 150

SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spikeport",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "legend.frameon": False,
}
"""For matplotlib, in the place of its defaults."""

"""What the networks do, in words."""

from __future__ import annotations

from .. import units
from ..portrait import Heatmap, Portrait, Rasters
from ..tables import shared_layers


def portrait(found: Portrait) -> list[str]:
    """How alike ANN and spiking network are, over all layers."""
    lines = []
    for title, heatmap in (("Before refinement", found.cka_converted), ("After refinement", found.cka_refined)):
        if heatmap is not None and (text := alike(heatmap)):
            lines.append(f"{title}, CKA of a layer with its own in the ANN: {text}.")
    return lines


def sample(found: Rasters) -> str:
    """Which sample the rasters show, and what the network took it for."""
    verdict = "rightly" if found.label == found.prediction else f"but of class {found.label}"
    return f"Sample {found.sample:,} of the {found.split} images, taken for class {found.prediction}, {verdict}."


def alike(heatmap: Heatmap) -> str:
    """Range and mean of the similarities of layers of one name; empty if no name is shared."""
    values = list(shared_layers(heatmap).values())
    if not values:
        return ""
    low, high = units.coefficient(min(values)), units.coefficient(max(values))
    return f"{low} to {high}, {units.coefficient(sum(values) / len(values))} on average"

"""How alike ANN and spiking network are, layer by layer."""

from __future__ import annotations

from .. import units
from ..portrait import Heatmap
from ..schema import Report
from .table import NONE, Table


def correlations(report: Report) -> Table:
    """Pearson's r between firing rates and the ANN's activations."""
    rows = tuple(
        (c.layer, *(NONE if r is None else units.coefficient(r) for r in (c.converted, c.refined, c.integer)))
        for c in (report.portrait.correlations if report.portrait else ())
    )
    return Table(
        "correlations",
        "Pearson's r between a layer's firing rates and the ANN's activations, neuron by neuron over the samples.",
        ("Layer", "Converted", "Refined", "Chip integers"),
        "lrrr",
        rows,
    )


def cka(report: Report) -> Table:
    """Unbiased linear CKA between each layer of the ANN and the same layer of the spiking network."""
    portrait = report.portrait
    before = shared_layers(portrait.cka_converted if portrait else None)
    after = shared_layers(portrait.cka_refined if portrait else None)
    rows = tuple(
        (layer, *(units.coefficient(side[layer]) if layer in side else NONE for side in (before, after)))
        for layer in dict.fromkeys((*before, *after))
    )
    return Table(
        "cka",
        "Unbiased linear CKA between each layer of the ANN and the same layer of the spiking network, before and after "
        "refinement. Of all pairs of layers: report.json.",
        ("Layer", "Before refinement", "After refinement"),
        "lrr",
        rows,
    )


def shared_layers(heatmap: Heatmap | None) -> dict[str, float]:
    """The values of layers of one name."""
    if heatmap is None:
        return {}
    columns = {name: j for j, name in enumerate(heatmap.columns)}
    return {name: heatmap.values[i][columns[name]] for i, name in enumerate(heatmap.rows) if name in columns}

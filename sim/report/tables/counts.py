"""Spikes and operations of every layer."""

from __future__ import annotations

from collections.abc import Iterable

from .. import units
from ..schema import Layer, Report
from .table import Table, unit


def activity(report: Report) -> Table:
    """Neurons, spikes and operations of every layer, means per sample; counts first."""
    layers = report.layers
    spikes = units.count_scale([sum(row.spikes for row in layers)])
    synapses = units.count_scale([sum(row.synapses for row in layers)])
    synops = units.count_scale([sum(row.synops for row in layers), sum(row.dense_macs for row in layers)])

    def line(name: str, kind: str, rows: Iterable[Layer]) -> tuple[str, ...]:
        rows = list(rows)
        neurons = sum(row.neurons for row in rows)
        fired = sum(row.spikes for row in rows)
        per_neuron = fired / neurons if neurons else 0.0
        return (
            name,
            kind,
            f"{neurons:,}",
            synapses.whole(sum(row.synapses for row in rows)),
            spikes.text(fired),
            units.rate(per_neuron),
            units.rate(per_neuron / report.network.n_steps),
            synops.text(sum(row.synops for row in rows)),
            synops.text(sum(row.synops_effective for row in rows)),
            synops.text(sum(row.dense_macs for row in rows)),
        )

    return Table(
        "activity",
        f"Spikes and operations per sample, means over n = {report.counted_samples:,} samples of "
        f"{report.network.n_steps} timesteps. Synaptic operations are exact counts of spikes times synapses reached; "
        "effective ones leave out synapses that store a zero weight; dense MACs are the work of one pass of the ANN.",
        (
            "Layer",
            "Kind",
            "Neurons",
            unit("Synapses", synapses.prefix),
            unit("Spikes", spikes.prefix),
            "Spikes per neuron",
            "Per neuron and timestep",
            unit("Synaptic operations", synops.prefix),
            unit("Effective", synops.prefix),
            unit("Dense MACs", synops.prefix),
        ),
        "llrrrrrrrr",
        tuple(line(row.name, row.kind, [row]) for row in layers),
        line("Total", "", layers),
    )

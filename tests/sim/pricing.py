"""Counts by hand, for tests of prices."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from spikeport import hw, sim


def counts_of(
    net: hw.Network, synops: Mapping[tuple[str, str], int], spikes: Mapping[str, int] | None = None
) -> sim.Counts:
    """Counts of one sample with the given totals, all at the first timestep; what is not named is 0."""

    def table(value: int) -> torch.Tensor:
        cells = torch.zeros(net.n_steps, 1, dtype=torch.int64)
        cells[0, 0] = value
        return cells

    pairs = {(c.source, c.target): synops.get((c.source, c.target), 0) for c in net.connections}
    return sim.Counts(
        spikes={p.name: table((spikes or {}).get(p.name, 0)) for p in net.populations},
        synops={pair: table(value) for pair, value in pairs.items()},
        synops_effective={pair: table(value) for pair, value in pairs.items()},
    )


def line(report: sim.EnergyReport, what: str) -> tuple[int, float]:
    """Events over all samples, and pJ per sample, of the lines of a bill that count `what`, in all layers."""
    rows = [item for item in report.items if item.what == what]
    return sum(item.events for item in rows), sum(item.pj for item in rows)

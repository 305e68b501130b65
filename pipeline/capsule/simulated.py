"""A network's golden integers as the simulator computes them: torch on the CPU, no training code."""

from __future__ import annotations

import numpy as np
import torch

from ... import sim
from ...hw import Network
from .golden import Golden, Row, count_rows


def run(network: Network, inputs: np.ndarray) -> Golden:
    """Simulate samples, integers (B, *S) or (T, B, *S). Raises what `sim.run` does."""
    trace = sim.run(network, torch.from_numpy(np.ascontiguousarray(inputs)), record=("spikes", "readout"))
    assert trace.readouts is not None  # asked for
    counted = rows_of(trace.counts)
    return Golden(
        spikes={population.name: trace.spikes[population.name].numpy() for population, _ in network.neurons},
        readouts=trace.readouts.numpy(),
        counts={row: counted[row].numpy() for row in count_rows(network)},
    )


def rows_of(counts: sim.Counts) -> dict[Row, torch.Tensor]:
    """Counts by the names of `golden.count_rows`, int64 (T, B) each, in any order."""
    return {
        **{("spikes", name): events for name, events in counts.spikes.items()},
        **{("synops", *pair): events for pair, events in counts.synops.items()},
        **{("synops_effective", *pair): events for pair, events in counts.synops_effective.items()},
    }

"""A network's golden integers as real Lava computes them from the `.net` file; Lava counts no synaptic operations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...export import lava
from ...hw import Network
from .golden import Golden, readouts_of


def run(network: Network, inputs: np.ndarray, net: Path) -> Golden:
    """Run samples, integers (B, *S) or (T, B, *S), through a file. Raises OracleFailed where Lava is missing."""
    trace = lava.run(net, inputs, network=network)
    answers = network.readout.population
    return Golden(
        spikes=dict(trace.spikes),
        readouts=readouts_of(network, trace.spikes[answers], trace.v[answers]),
        counts=None,
    )

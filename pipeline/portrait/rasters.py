"""The spikes of one sample in the deployed network, of a few neurons per population.

Nothing is chosen by what it shows: the sample is the first of the split, whatever is answered to it, and the neurons
are the middles of equal parts of their population, silent ones among them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import sim
from ...hw import Network, Population
from ...models.datasets import Samples
from ..deploy import payload_for

NEURONS = 40
"""Neurons shown of a population, at most."""


def rasters(network: Network, samples: Samples, split: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The report's `Rasters` of the first of a split's samples.

    The source is shown too: what it sends is what the first layer's synapses are charged for. A payload that is not 0
    is a spike, so an image's pixels spike at every timestep. A population of a chain counts the relays it carries among
    its neurons. A read-out that answers by its membrane sends nothing and is left out.
    """
    trace = sim.run(network, payload_for(network, samples, slice(1)), record=("spikes",), device=device)
    silent = {network.readout.population} if network.readout.kind == "membrane" else set()
    return {
        "split": split,
        "sample": 0,
        "label": int(samples.y[0]),
        "prediction": int(trace.predictions[0]),
        "n_steps": network.n_steps,
        "layers": [raster(p, trace.spikes[p.name][:, 0]) for p in network.populations if p.name not in silent],
    }


def raster(population: Population, spikes: Tensor) -> dict[str, Any]:
    """The report's `Raster` of a population. spikes: (T, *shape), payloads or {0, 1}."""
    shown = evenly(population.size)
    fired = spikes.flatten(1)[:, shown] != 0
    return {
        "population": population.name,
        "neurons": population.size,
        "shown": shown,
        "spikes": fired.nonzero().tolist(),
    }


def evenly(size: int) -> list[int]:
    """The middles of `NEURONS` equal parts of 0..size - 1; all, where there are not more."""
    count = min(NEURONS, size)
    return [(2 * i + 1) * size // (2 * count) for i in range(count)]

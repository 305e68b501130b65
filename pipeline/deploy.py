"""The export stage: the integer network becomes a `.net` file, which is read back before anyone relies on it.

A residual network becomes a chain first; both are simulated and must agree in every spike of every population.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import sim
from ..export import netx, relays
from ..hw import CHIPS, Network, NotRepresentable, Source, SpikeportError, check, same
from ..models.datasets import Images
from .artefacts import load_network, load_splits
from .notices import notice
from .stage import Stage, StageContext

PROOF_IMAGES = 32
"""Validation images on which a graph and its chain are compared."""


def run(context: StageContext) -> dict[str, Any]:
    """Lower the quantized network to a chain, check it against the chip, write `<recipe>.net`, and read it back.

    Raises NotRepresentable for numbers the chip or the file cannot hold, UnsupportedLayer for a graph netx cannot.
    """
    graph = load_network(context.inputs["quantize"])
    chain, added = relays.to_chain(graph)
    if added:
        images = load_splits(context.recipe).validation.subset(slice(PROOF_IMAGES))
        require_same_spikes(graph, chain, payload_for(graph, images))
    path = context.folder / f"{context.recipe.name}.net"
    write_checked(chain, path, context.recipe.quantize.chip)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "fingerprint": chain.fingerprint(),
        "populations": len(chain.populations),
        "notices": [
            notice(
                row.layer,
                f"relay channels added that repeat {row.carries}: {row.neurons} neurons, {row.synapses} synapses",
                "a .net file holds a chain; the shortcut travels through this layer",
                "none needed: the spikes are the same",
            )
            for row in added
        ],
    }


def payload_for(network: Network, images: Images) -> Tensor:
    """Images as the integers the network's source carries: int32 (N, C, H, W)."""
    neuron = network.sources[0].neuron
    assert isinstance(neuron, Source)
    return images.payload(slice(None), bits=neuron.payload_bits)


def require_same_spikes(graph: Network, chain: Network, payload: Tensor) -> None:
    """Raise SpikeportError unless a graph's populations fire alike in the chain it became, where they come first."""
    before, after = (sim.run(network, payload, record=("spikes",)) for network in (graph, chain))
    for population in graph.populations:
        own = after.spikes[population.name][:, :, : population.shape[0]]
        if not torch.equal(own, before.spikes[population.name]):
            raise SpikeportError(
                f"export: {population.name} fires differently once the shortcuts are relay channels; this is a bug: "
                "please report it with the run folder"
            )
    if not torch.equal(before.readout, after.readout):
        raise SpikeportError("export: the read-out differs once the shortcuts are relay channels; this is a bug")


def write_checked(network: Network, path: Path, chip: str) -> None:
    """Write a network that `chip` can hold to a `.net` file that reads back as the same network, or raise."""
    check(network, CHIPS[chip])
    netx.write(network, path, chip=CHIPS[chip])
    if not same(netx.read(path), network):
        path.unlink()
        raise NotRepresentable(
            f"{path.name}: the file reads back as another network, so it was removed; please report this network"
        )


def written(folder: Path, results: Any) -> Path:
    """The `.net` file of a finished export stage. results: the stage's metrics."""
    return folder / str(results["file"])


STAGE = Stage(name="export", needs=("quantize",), reads=("name", "seed", "data", "quantize"), version=1, run=run)

"""The export stage: the integer network becomes a `.net` file, which is read back before anyone relies on it.

A graph becomes a chain first; both are simulated and must agree in every spike of every population.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import sim
from ..export import netx
from ..export.lowering import to_chain
from ..export.lowering_rewrite import Rewrite
from ..hw import CHIPS, BadInput, Chip, Network, NotRepresentable, Source, SpikeportError, check, same
from ..models.datasets import Clips, Samples
from . import anytime
from .artefacts import load_network
from .data import load_splits
from .notices import notice
from .stage import Stage, StageContext

PROOF_IMAGES = 32
"""Validation images on which a graph and its chain are compared."""


def run(context: StageContext) -> dict[str, Any]:
    """Lower the quantized network to a chain, check it against the chip, write `<recipe>.net`, and read it back.

    `anytime`: accuracy, operations and energy on the validation images for every T up to the trained one; a budget
    picks the file's T among them. Raises NotRepresentable for numbers the chip or the file cannot hold,
    UnsupportedLayer for a graph netx cannot, BadInput for a budget that no T meets.
    """
    recipe = context.recipe
    graph = load_network(context.inputs["quantize"])
    samples = load_splits(recipe).validation
    payload = payload_for(graph, samples)
    with context.progress.task("any T", total=len(samples)) as task:
        rows = anytime.curve(graph, payload, samples.y, device=context.device, progress=task.advance)
    notices = []
    if recipe.export.budget is not None:
        chosen = anytime.choose(rows, recipe.export.budget)
        notices.append(of_budget(rows, chosen))
        graph = replace(graph, n_steps=chosen)
    proof = payload_for(graph, samples, slice(PROOF_IMAGES))
    chain, rewrites = proven_chain(graph, proof, CHIPS[recipe.quantize.chip])
    path = context.folder / f"{recipe.name}.net"
    write_checked(chain, path, recipe.quantize.chip)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "fingerprint": chain.fingerprint(),
        "n_steps": chain.n_steps,
        "anytime": rows,
        "populations": len(chain.populations),
        "added": {
            "neurons": sum(rewrite.neurons for rewrite in rewrites),
            "synapses": sum(rewrite.synapses for rewrite in rewrites),
        },
        "notices": [*notices, *notices_of(rewrites)],
    }


def of_budget(rows: list[dict[str, Any]], chosen: int) -> dict[str, str]:
    """The notice of a T that a budget picked."""
    here, whole = rows[chosen - 1], rows[-1]
    return notice(
        "all spiking layers",
        f"the file's samples last {chosen} of the {whole['T']} timesteps trained: {here['score']['accuracy']:.2%} "
        f"instead of {whole['score']['accuracy']:.2%} on the validation images, "
        f"{here['synops'] / whole['synops']:.0%} of the synaptic operations",
        "export.budget",
        "leave export.budget out",
    )


def proven_chain(network: Network, payload: Tensor, chip: Chip) -> tuple[Network, tuple[Rewrite, ...]]:
    """The chain a `.net` file can hold, simulated and found to fire as the network does, and what was rewritten.

    payload: integers of the network's source, (B, *S) or (T, B, *S), on which both are compared; the more they make
    fire, the more is proven. A network that is a chain already is not simulated. Raises what `to_chain` does, and
    SpikeportError if the two differ.
    """
    chain, rewrites = to_chain(network, chip=chip)
    if rewrites:
        require_same_spikes(network, chain, payload)
    return chain, rewrites


def notices_of(rewrites: Iterable[Rewrite]) -> list[dict[str, str]]:
    """One entry of the report's list of notices for each rewrite, with its cost."""
    return [
        notice(
            row.layer,
            f"{row.what} ({row.neurons} neurons and {row.synapses} stored synapses more)",
            row.why,
            "none needed: the spikes are the same, both networks were simulated",
        )
        for row in rewrites
    ]


def payload_for(network: Network, samples: Samples, chosen: slice = slice(None)) -> Tensor:
    """Samples as the integers the network's source carries: int32 (N, C, H, W), or (T, N, C, H, W) of clips.

    A network of fewer timesteps than a clip has takes the first of them. Raises BadInput for one of more.
    """
    neuron = network.sources[0].neuron
    assert isinstance(neuron, Source)
    payload = samples.payload(chosen, bits=neuron.payload_bits)
    if isinstance(samples, Clips):
        if samples.n_steps < network.n_steps:
            raise BadInput(
                f"clips of {samples.n_steps} frames for a network of {network.n_steps} timesteps; a frame is a "
                f"timestep, so give data.frames.T: {network.n_steps}"
            )
        return payload[: network.n_steps]
    return payload


def require_same_spikes(graph: Network, chain: Network, payload: Tensor) -> None:
    """Raise SpikeportError unless a graph's populations fire alike in the chain it became, where they come first.

    payload: integers of the network's source, (B, *S) or (T, B, *S).
    """
    before, after = (sim.run(network, payload, record=("spikes",)) for network in (graph, chain))
    for population in graph.populations:
        own = after.spikes[population.name][:, :, : population.shape[0]]
        if not torch.equal(own, before.spikes[population.name]):
            raise SpikeportError(
                f"export: {population.name} fires differently in the chain than in the graph; this is a bug: "
                "please report it with the network"
            )
    if not torch.equal(before.readout, after.readout):
        raise SpikeportError(
            "export: the read-out differs between the chain and the graph; this is a bug: please report it"
        )


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


STAGE = Stage(
    name="export",
    needs=("quantize",),
    reads=("name", "seed", "data", "quantize", "export"),
    version=3,
    run=run,
)

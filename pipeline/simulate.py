"""The simulate stage: the file that is shipped, run bit for bit on the whole test set, every event counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import sim
from ..export import netx
from ..hw import Network, SpikeportError
from .data import load_splits
from .deploy import payload_for, written
from .files import read_tensors, write_tensors
from .metrics import accuracy
from .stage import Stage, StageContext

COUNTS = "counts.safetensors"
PREDICTIONS = "predictions.safetensors"


def run(context: StageContext) -> dict[str, Any]:
    """Run the `.net` file on the test set; its answers must be those of the quantize stage, image for image.

    Writes the predictions (int64 (N,)) and the counts (int64 (T, N) each). Raises SpikeportError naming the first image
    on which the file and the quantize stage differ.
    """
    test = load_splits(context.recipe).test
    path = written(context.inputs["export"], context.results["export"])
    network = netx.read(path)
    with context.progress.task("simulate", total=len(test)) as task:
        trace = sim.run(
            network,
            payload_for(network, test),
            batch_size=context.recipe.simulate.batch_size,
            device=context.device,
            progress=task.advance,
        )
    trained = read_tensors(context.inputs["quantize"] / PREDICTIONS)["test"]
    require_equal(trained[network.n_steps - 1], trace.predictions, path.name)
    write_tensors(context.folder / PREDICTIONS, {"test": trace.predictions})
    write_tensors(context.folder / COUNTS, counts_as_tensors(trace.counts))
    return {
        "test": accuracy(int((trace.predictions == test.y).sum()), len(test)),
        "spikes_per_sample": trace.counts.spikes_per_sample(),
    }


def require_equal(trained: Tensor, simulated: Tensor, name: str) -> None:
    """Raise SpikeportError if two sets of predictions, int64 (N,), differ anywhere."""
    if trained.shape != simulated.shape:
        raise SpikeportError(
            f"simulate: {len(simulated)} images answered, the quantize stage answered {len(trained)}; "
            "run the quantize stage again"
        )
    different = (trained != simulated).nonzero().flatten()
    if len(different):
        first = int(different[0])
        raise SpikeportError(
            f"simulate: test image {first}: {name} answers {int(simulated[first])}, the quantize stage answered "
            f"{int(trained[first])} ({len(different)} of {len(trained)} images differ); the two compute the same "
            "integers by design, so this is a bug: please report it with the run folder"
        )


def counts_as_tensors(counts: sim.Counts) -> dict[str, Tensor]:
    """Counts as flat tensors; each name is a JSON list [table, population] or [table, source, target]."""
    flat = {_name("spikes", population): events for population, events in counts.spikes.items()}
    flat |= {_name("synops", *pair): events for pair, events in counts.synops.items()}
    return flat | {_name("synops_effective", *pair): events for pair, events in counts.synops_effective.items()}


def load_counts(folder: Path, network: Network) -> sim.Counts:
    """The counts of a finished simulate stage, populations and connections in the network's order."""
    stored = read_tensors(folder / COUNTS)
    pairs = list(dict.fromkeys((c.source, c.target) for c in network.connections))
    return sim.Counts(
        spikes={p.name: stored[_name("spikes", p.name)] for p in network.populations},
        synops={pair: stored[_name("synops", *pair)] for pair in pairs},
        synops_effective={pair: stored[_name("synops_effective", *pair)] for pair in pairs},
    )


def _name(*parts: str) -> str:
    return json.dumps(parts)


STAGE = Stage(name="simulate", needs=("quantize", "export"), reads=("seed", "data", "simulate"), version=2, run=run)

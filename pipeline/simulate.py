"""The simulate stage: the file that is shipped, run bit for bit on the whole test set, every event counted.

The messages that its spikes become on each chip that holds the network are counted with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import sim
from ..export import netx
from ..hw import Network, SpikeportError
from ..sim.routing import tallies_of
from .data import load_splits
from .deploy import payload_for, written
from .files import read_tensors, write_tensors
from .metrics import accuracy
from .placing import placements
from .stage import Stage, StageContext

ACTIVITY = "activity.safetensors"
COUNTS = "counts.safetensors"
PREDICTIONS = "predictions.safetensors"


def run(context: StageContext) -> dict[str, Any]:
    """Run the `.net` file on the test set; its answers must be those of the quantize stage, image for image.

    Writes the predictions (int64 (N,)), the counts (int64 (T, N) each; `sim.routing`'s tallies of every chip that holds
    the network among them) and how often each neuron spikes at each timestep (int64 (T, *shape), over all images).
    Raises SpikeportError naming the first image on which the file and the quantize stage differ.
    """
    test = load_splits(context.recipe).test
    path = written(context.inputs["export"], context.results["export"])
    network = netx.read(path)
    placed, _ = placements(network)
    with context.progress.task("simulate", total=len(test)) as task:
        trace = sim.run(
            network,
            payload_for(network, test),
            batch_size=context.recipe.simulate.batch_size,
            record=("activity",),
            device=context.device,
            progress=task.advance,
            tallies=tallies_of(*placed.values()),
        )
    trained = read_tensors(context.inputs["quantize"] / PREDICTIONS)["test"]
    require_equal(trained[network.n_steps - 1], trace.predictions, path.name)
    write_tensors(context.folder / PREDICTIONS, {"test": trace.predictions})
    write_tensors(context.folder / COUNTS, counts_as_tensors(trace.counts))
    write_tensors(context.folder / ACTIVITY, trace.activity)
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
    """Counts as flat tensors; each name is a JSON list.

    It is [table, population] or [table, source, target], and ["tallies", name, population] of a tally.
    """
    flat = {_name("spikes", population): events for population, events in counts.spikes.items()}
    flat |= {_name("synops", *pair): events for pair, events in counts.synops.items()}
    flat |= {_name("synops_effective", *pair): events for pair, events in counts.synops_effective.items()}
    return flat | {
        _name("tallies", tally, population): events
        for tally, table in counts.tallies.items()
        for population, events in table.items()
    }


def load_counts(folder: Path, network: Network) -> sim.Counts:
    """The counts of a finished simulate stage, populations and connections in the network's order, tallies by name."""
    stored = read_tensors(folder / COUNTS)
    tallies = sorted({name for table, name, *_ in map(json.loads, stored) if table == "tallies"})
    pairs = list(dict.fromkeys((c.source, c.target) for c in network.connections))
    return sim.Counts(
        spikes={p.name: stored[_name("spikes", p.name)] for p in network.populations},
        synops={pair: stored[_name("synops", *pair)] for pair in pairs},
        synops_effective={pair: stored[_name("synops_effective", *pair)] for pair in pairs},
        tallies={
            tally: {
                p.name: stored[_name("tallies", tally, p.name)]
                for p in network.populations
                if _name("tallies", tally, p.name) in stored
            }
            for tally in tallies
        },
    )


def load_activity(folder: Path, network: Network) -> dict[str, Tensor]:
    """In how many test images each neuron spikes at each timestep, int64 (T, *shape), in the network's order."""
    stored = read_tensors(folder / ACTIVITY)
    return {p.name: stored[p.name] for p in network.populations}


def _name(*parts: str) -> str:
    return json.dumps(parts)


STAGE = Stage(name="simulate", needs=("quantize", "export"), reads=("seed", "data", "simulate"), version=3, run=run)

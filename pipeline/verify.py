"""The verify stage: the file in real Lava, every neuron at every timestep against our simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import sim
from ..export import lava, netx
from ..hw import BadInput, Network
from ..models.datasets import Images, load
from .artefacts import load_splits
from .deploy import payload_for, written
from .metrics import accuracy
from .progress import Progress
from .recipe import Data, Recipe, Verify
from .stage import Stage, StageContext


def run(context: StageContext) -> dict[str, Any]:
    """Compare the first test images in real Lava with the simulator.

    Without Lava the stage ends with {"skipped": why, and the way out} and no number.
    """
    if not lava.available():
        reason = f"real Lava is not installed; {lava.WAY_OUT}, then run this again"
        context.progress.stage(f"verify: skipped: {reason}")
        return {"skipped": reason}
    test = load_splits(context.recipe).test
    path = written(context.inputs["export"], context.results["export"])
    return compare(path, netx.read(path), test, context.recipe.verify, context.progress)


def verify_file(path: Path, data: Data, settings: Verify, progress: Progress) -> dict[str, Any]:
    """Verify any `.net` file on the first test images of a data set. Returns what the stage would.

    Raises BadInput for a file or data that are not as expected, OracleFailed if Lava is missing or fails.
    """
    lava.find_python()
    network = netx.read(path)
    _, test = load(data.name, data.root)
    source = network.sources[0]
    if test.shape != source.shape:
        raise BadInput(
            f"verify: {path} takes images of {source.shape}, {data.name} has {test.shape}; name its own data"
        )
    return compare(path, network, test, settings, progress)


def compare(path: Path, network: Network, test: Images, settings: Verify, progress: Progress) -> dict[str, Any]:
    """Run a file in Lava and its network in the simulator: u, v and spikes of every layer at every timestep.

    Returns {samples, layers_written, layers_built, values, mismatches, first_mismatch, test, seconds, versions}; `test`
    is the accuracy of Lava's own answers.
    """
    if settings.samples > len(test):
        raise BadInput(f"verify.samples is {settings.samples}, but there are {len(test)} test images; ask for fewer")
    images = test.subset(slice(settings.samples))
    payload = payload_for(network, images)
    ours = sim.run(network, payload, record=("spikes", "u", "v"))
    expected = {
        population.name: {
            "u": ours.u[population.name].numpy(),
            "v": ours.v[population.name].numpy(),
            "spikes": ours.spikes[population.name].numpy(),
        }
        for population, _ in network.neurons
    }
    progress.say(f"verify: {settings.samples} images in real Lava")
    theirs = lava.run(
        path, payload.numpy(), network=network, timeout_s=settings.timeout_s, fast_conv=settings.fast_conv
    )
    verdict = lava.compare(theirs, expected)
    hits = int((lava_predictions(theirs, network) == images.y.numpy()).sum())
    if not verdict.agrees:
        progress.stage(f"verify: LAVA DISAGREES: {verdict.mismatches} of {verdict.values} values; {verdict.first}")
    return {
        "samples": verdict.samples,
        "layers_written": verdict.layers_written,
        "layers_built": verdict.layers_built,
        "values": verdict.values,
        "mismatches": verdict.mismatches,
        "first_mismatch": str(verdict.first) if verdict.first else None,
        "test": accuracy(hits, len(images)),
        "seconds": theirs.seconds,
        "versions": dict(theirs.versions),
    }


def lava_predictions(trace: lava.LavaTrace, network: Network) -> np.ndarray:
    """Lava's answers, int64 (B,): the read-out's membrane after the last timestep, or its number of spikes."""
    name = network.readout.population
    counted = network.readout.kind == "spike_count"
    scores = trace.spikes[name].sum(axis=0, dtype=np.int64) if counted else trace.v[name][-1]
    return scores.reshape(len(scores), -1).argmax(axis=1)


def _lava_is_there(recipe: Recipe) -> bool:
    del recipe  # a skipped stage is run when Lava appears, whatever the recipe
    return lava.available()


STAGE = Stage(
    name="verify",
    needs=("export",),
    reads=("seed", "data", "verify"),
    version=1,
    run=run,
    outside=_lava_is_there,
)

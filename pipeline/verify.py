"""The verify stage: the file in real Lava, every neuron at every timestep against our simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..export import lava, netx
from ..export.traces import Recording
from ..hw import BadInput, Network, OneToOne
from ..models.datasets import Samples
from .data import load_data, load_splits
from .deploy import payload_for, written
from .metrics import accuracy
from .progress import Progress
from .sections import Data, Recipe, Verify
from .stage import Stage, StageContext
from .toolbox.diagnose import diagnose
from .toolbox.recording import record


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


def verify_file(path: Path, network: Network, data: Data, settings: Verify, progress: Progress) -> dict[str, Any]:
    """Verify any `.net` file on the first test images of a data set. Returns what the stage would.

    Raises BadInput for a file or data that are not as expected, OracleFailed if Lava is missing or fails.
    """
    lava.find_python()
    return compare(path, network, images_for(path, network, data), settings, progress)


def verify_payload(
    path: Path, network: Network, payload: np.ndarray, settings: Verify, progress: Progress
) -> dict[str, Any]:
    """Verify any `.net` file on inputs of your own, integers (B, *S) or (T, B, *S); no accuracy is known of them."""
    lava.find_python()
    return compare_payload(path, network, payload, settings, progress)[1]


def images_for(path: Path, network: Network, data: Data) -> Samples:
    """The test images, or clips, of a data set, once they have the shape a file's network takes. Raises BadInput."""
    _, test = load_data(data)
    source = network.sources[0]
    if test.shape != source.shape:
        raise BadInput(
            f"verify: {path} takes images of {source.shape}, {data.name} has {test.shape}; name its own data"
        )
    return test


def compare(path: Path, network: Network, test: Samples, settings: Verify, progress: Progress) -> dict[str, Any]:
    """Run a file in Lava and its network in the simulator on the first test images.

    Returns what `compare_payload` does, with `test`, the accuracy of Lava's own answers.
    """
    if settings.samples > len(test):
        raise BadInput(f"verify.samples is {settings.samples}, but there are {len(test)} test images; ask for fewer")
    images = test.subset(slice(settings.samples))
    theirs, verdict = compare_payload(path, network, payload_for(network, images).numpy(), settings, progress)
    hits = int((lava_predictions(theirs, network) == images.y.numpy()).sum())
    return {**verdict, "test": accuracy(hits, len(images))}


def compare_payload(
    path: Path, network: Network, payload: np.ndarray, settings: Verify, progress: Progress
) -> tuple[lava.LavaTrace, dict[str, Any]]:
    """A file in Lava against its network in the simulator: u, v and spikes of every layer at every timestep.

    payload: integers (B, *S) or (T, B, *S). Returns Lava's trace, and {samples, layers_written, layers_built, values,
    mismatches, first_mismatch, likely_cause, seconds, versions}.
    """
    ours = record(network, payload, str(path))
    progress.say(f"verify: {ours.n_samples} samples in real Lava")
    theirs = lava.run(path, payload, network=network, timeout_s=settings.timeout_s, fast_conv=settings.fast_conv)
    expected = {name: _comparable(network, name, values) for name, values in ours.values.items()}
    verdict = lava.compare(theirs, expected)
    cause = None
    if verdict.first is not None:
        progress.stage(f"verify: LAVA DISAGREES: {verdict.mismatches} of {verdict.values} values; {verdict.first}")
        cause = str(diagnose(network, _recording(network, theirs, payload), ours, verdict.first))
    return theirs, {
        "samples": verdict.samples,
        "layers_written": verdict.layers_written,
        "layers_built": verdict.layers_built,
        "values": verdict.values,
        "mismatches": verdict.mismatches,
        "first_mismatch": str(verdict.first) if verdict.first else None,
        "likely_cause": cause,
        "seconds": theirs.seconds,
        "versions": dict(theirs.versions),
    }


def _comparable(network: Network, name: str, values: Mapping[Any, np.ndarray]) -> dict[Any, np.ndarray]:
    """What Lava computes as we do: netx drives the neurons of an input layer past their current, so their u is 0."""
    first = isinstance(network.incoming(name)[0], OneToOne)
    return {quantity: array for quantity, array in values.items() if not (first and quantity == "u")}


def _recording(network: Network, trace: lava.LavaTrace, payload: np.ndarray) -> Recording:
    values = {
        name: _comparable(network, name, {"u": trace.u[name], "v": trace.v[name], "spikes": trace.spikes[name]})
        for name in trace.v
    }
    return Recording(where="Lava", inputs=payload, values=values)


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

"""A capsule from a finished run: the golden samples are run, and must repeat what the run's own stages recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import yaml

from ... import __version__
from ...export import netx
from ...hw import BadInput, Network, SpikeportError
from ...models.datasets import DATASETS, Samples, fingerprint, load
from ..data import load_data, load_splits
from ..deploy import payload_for, written
from ..files import read_json, read_tensors
from ..report import data_name
from ..runs import MANIFEST
from ..sections import Recipe, digest
from ..simulate import PREDICTIONS, load_counts
from ..toolbox.inputs import only_source
from . import archive, arrays, schema, simulated
from .content import INPUTS, SPIKES, members_of
from .finished import Finished
from .golden import Golden, Row
from .readme import readme


def make(run: Finished, *, samples: int, inputs: bool = True) -> dict[str, bytes]:
    """The sealed members of a run's capsule, with its first test samples; the same run gives the same members.

    inputs: whether the samples themselves are in it, or only their hash. Raises BadInput for more samples than the test
    set has and for data that are not those of the run, SpikeportError if the network no longer answers as the run did.
    """
    recipe, export = run.recipe, run.folder / "export"
    path = written(export, run.metrics("export"))
    network = netx.read(path)
    _, source = only_source(network)
    data = _data_used(run)
    test = load_splits(recipe).test
    if samples > len(test):
        raise BadInput(f"--samples {samples}: there are {len(test)} test samples; ask for fewer")
    payload = payload_for(network, test, slice(samples)).numpy()
    golden = simulated.run(network, payload)
    whole = simulated.rows_of(load_counts(run.folder / "simulate", network))
    predictions = read_tensors(run.folder / "simulate" / PREDICTIONS)["test"]
    _require_recorded(golden, whole, predictions)
    net = path.read_bytes()
    document = schema.Document(
        format=schema.FORMAT,
        made_by=__version__,
        recipe=recipe.name,
        seeds=dict(_seeds(recipe.model_dump(mode="json"))),
        versions={stage: dict(manifest["versions"]) for stage, manifest in run.manifests.items()},
        data=data,
        network=schema.Net(
            sha256=archive.sha256(net),
            fingerprint=network.fingerprint(),
            n_steps=network.n_steps,
            chip=recipe.quantize.chip,
        ),
        tested=len(predictions),
        samples=samples,
        inputs=schema.Inputs(
            file=INPUTS if inputs else None, shape=list(payload.shape), sha256=arrays.of_payload(payload)
        ),
        populations=spikes_entries(network, golden),
        predictions=golden.predictions.tolist(),
        counts=count_entries(golden, whole),
        waterfall=_waterfall(run),
    )
    manifests = {stage: (run.folder / stage / MANIFEST).read_bytes() for stage in run.manifests}
    text = readme(document)
    return archive.sealed(members_of(document, text, _without_places(recipe), manifests, net, source, payload, golden))


def _data_used(run: Finished) -> schema.DataUsed:
    """The run's data, loaded once more and found to be the same. Raises BadInput."""
    recipe = run.recipe
    parts: dict[str, Samples] = dict(zip(("train", "test"), load_data(recipe.data), strict=True))
    sets = [DATASETS[recipe.data.name]]
    if recipe.data.stills is not None:
        stills = load(recipe.data.stills.name, recipe.data.stills.root)
        parts |= dict(zip(("stills train", "stills test"), stills, strict=True))
        sets.append(DATASETS[recipe.data.stills.name])
    rows = [
        schema.Part.model_validate({"part": part, "samples": len(held), "sha256": fingerprint(held)})
        for part, held in parts.items()
    ]
    found = digest([row.sha256 for row in rows])
    for stage, manifest in run.manifests.items():
        if manifest["data"] not in (None, found):
            raise BadInput(
                f"{run.folder}: {stage} was computed from other data than {recipe.data.name} holds here; give the data "
                "of the run, or run `spikeport run RECIPE` on these"
            )
    return schema.DataUsed(
        name=data_name(recipe),
        licence={each.name: each.licence for each in sets},
        source={each.name: each.source for each in sets},
        parts=rows,
    )


def _require_recorded(golden: Golden, whole: Mapping[Row, torch.Tensor], predictions: torch.Tensor) -> None:
    """Raise SpikeportError unless the samples answer, and count, as they did in the run's simulate stage."""
    samples = golden.n_samples
    assert golden.counts is not None  # the simulator counts
    same = np.array_equal(golden.predictions, predictions[:samples].numpy()) and all(
        np.array_equal(events, whole[row][:, :samples].numpy()) for row, events in golden.counts.items()
    )
    if not same:
        raise SpikeportError(
            "capsule: the network answers or counts otherwise than in the run's simulate stage; both are the same "
            "integers by design, so this is a bug: please report it with the run folder"
        )


def spikes_entries(network: Network, golden: Golden) -> list[schema.Spikes]:
    """What the document says of the spikes of every population that computes."""
    return [
        schema.Spikes(
            name=population.name,
            shape=list(population.shape),
            file=SPIKES.format(index),
            spikes=int(golden.spikes[population.name].sum()),
            sha256=arrays.of_spikes(golden.spikes[population.name]),
        )
        for index, (population, _) in enumerate(network.neurons)
    ]


def count_entries(golden: Golden, whole: Mapping[Row, torch.Tensor]) -> list[schema.CountRow]:
    """What the document says of the events. whole: those of the whole test set, (T, N) each."""
    assert golden.counts is not None  # the simulator counts
    return [
        schema.CountRow.model_validate(
            {
                "kind": row[0],
                "populations": list(row[1:]),
                "golden": int(events.sum()),
                "test_set": int(whole[row].sum()),
            }
        )
        for row, events in golden.counts.items()
    ]


def _waterfall(run: Finished) -> list[schema.Step]:
    report = read_json(run.folder / "report" / "report.json", "make it again with `spikeport report`")
    fields = schema.Step.model_fields
    return [schema.Step(**{key: step.get(key) for key in fields}) for step in report["waterfall"]]


def _seeds(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every `seed` of a recipe by its dotted key."""
    for key, value in values.items():
        if key == "seed" and value is not None:  # None: the one above it
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from _seeds(value, f"{prefix}{key}.")


def _without_places(recipe: Recipe) -> bytes:
    """The recipe as YAML, without the folders its data lie in here: they say nothing elsewhere."""
    values = json.loads(recipe.canonical())
    values["data"]["root"] = None
    if values["data"]["stills"] is not None:
        values["data"]["stills"]["root"] = None
    return yaml.safe_dump(values, sort_keys=False).encode()

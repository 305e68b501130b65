"""The portrait stage: what the networks do on validation samples, for the report to show. The test set is not used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export import netx
from ...hw import Network, Shape
from ...models import Architecture
from ...models.datasets import Samples
from ...sim.report import Heatmap, Portrait
from ..artefacts import load_ann, load_into
from ..convert import refined_profile, skeleton
from ..data import load_splits
from ..deploy import written
from ..files import read_json, write_json
from ..notices import notice
from ..refine.stage import load_student
from ..sections import Recipe
from ..stage import Stage, StageContext
from .comparison import SMALLEST, compare, work
from .rasters import rasters
from .views import of_chip, of_net

FILE = "portrait.json"
SPLIT = "validation"

SAMPLES = 256
"""Validation samples that are looked at, from the first: CKA's Gram matrices grow with their square."""


def run(context: StageContext) -> dict[str, Any]:
    """Write portrait.json, the values of the report's `Portrait`, from the first validation samples.

    Every network is compared with the ANN of the train stage on the same samples. An ANN of still images does not see
    what its student sees, so there nothing is compared. Metrics: means over the layers of r, and of CKA between layers
    of the same name; `left_out`: what was not measured, and why.
    """
    recipe = context.recipe
    samples = load_splits(recipe).validation.subset(slice(SAMPLES))
    network = netx.read(written(context.inputs["export"], context.results["export"]))
    left_out = why_left_out(recipe, len(samples))
    values = {
        "split": SPLIT,
        "samples": len(samples),
        "rasters": rasters(network, samples, SPLIT, context.device),
        **({} if "correlations" in left_out else _compared(context, samples, network)),
    }
    portrait = Portrait.model_validate(values)
    write_json(context.folder / FILE, portrait.model_dump(mode="json"))
    notices = [notice("all", f"no {name}", reason, "") for name, reason in left_out.items()]
    return {"samples": len(samples), **means(portrait), "left_out": left_out, "notices": notices}


def load_portrait(folder: Path) -> dict[str, Any]:
    """What a finished portrait stage measured: the fields of `sim.report.Portrait`. Raises BadInput for a bad file."""
    return read_json(folder / FILE, "run `spikeport portrait` again")


def why_left_out(recipe: Recipe, count: int) -> dict[str, str]:
    """Of correlations and CKA, what cannot be measured on so many samples of a recipe's data, and why."""
    stills = recipe.data.stills
    if stills is not None:
        reason = f"the ANN reads images of {stills.name}, the network events of {recipe.data.name}"
        return dict.fromkeys(("correlations", "cka"), f"{reason}: they do not see the same samples")
    if count < SMALLEST:
        return {"cka": f"data.validation leaves {count} samples, and unbiased CKA needs {SMALLEST}"}
    return {}


def firing(architecture: Architecture) -> dict[str, Shape]:
    """Shapes of the hidden layers whose spiking twins emit spikes: populations of neurons and max pools, in order."""
    shapes = architecture.shapes()
    return {unit.name: shapes[unit.name] for unit in architecture.units[:-1] if not unit.linear}


def means(portrait: Portrait) -> dict[str, Any]:
    """Means over the layers: `mean_r` over those that have one, `mean_cka` over layers of the same name; else None."""
    r = {
        name: [value for row in portrait.correlations if (value := getattr(row, name)) is not None]
        for name in ("converted", "refined", "integer")
    }
    cka = {"converted": _diagonal(portrait.cka_converted), "refined": _diagonal(portrait.cka_refined)}
    return {
        "mean_r": {name: _mean(values) for name, values in r.items()},
        "mean_cka": {name: _mean(values) for name, values in cka.items()},
    }


def _compared(context: StageContext, samples: Samples, network: Network) -> dict[str, Any]:
    """The run's networks against its ANN."""
    recipe, device = context.recipe, context.device
    ann = load_ann(recipe, context.inputs["train"])
    spiking = firing(ann.architecture)
    converted = load_into(skeleton(recipe, refined_profile(recipe), recipe.refine.T), context.inputs["convert"])
    refined = load_student(recipe, context.inputs["refine"])
    view = of_net(ann, samples, device)
    twins = {
        "converted": of_net(converted, samples, device),
        "refined": of_net(refined, samples, device),
        "integer": of_chip(network, spiking, samples, device),
    }
    with context.progress.task("portrait", total=work(view, len(samples))) as task:
        rng = np.random.default_rng(recipe.seed)
        return compare(view, twins, spiking, len(samples), rng, advance=task.advance)


def _diagonal(found: Heatmap | None) -> list[float]:
    """The values of a heat map where row and column have the same name."""
    if found is None:
        return []
    rows = zip(found.rows, found.values, strict=True)
    return [value for row, values in rows for name, value in zip(found.columns, values, strict=True) if name == row]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


STAGE = Stage(
    name="portrait",
    needs=("train", "convert", "refine", "export"),
    reads=("seed", "data", "model", "refine.T", "refine.profile", "refine.v_decay"),
    version=1,
    run=run,
)

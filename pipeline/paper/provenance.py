"""provenance.json and reproduce.md: the command, the recipe, every hash, and how to check them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ... import __version__
from ...sim.report import Report
from ..capsule.finished import Finished
from ..capsule.manifests import outcome
from ..deploy import written
from ..files import sha256
from ..runs import folder_of
from ..sections import Recipe

SCHEMA = "spikeport.paper/1"
RECIPE = "recipe.yaml"
COMMAND = f"spikeport run {RECIPE}"
"""What computes the run again, in the folder of the pack."""


def recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML, without the folders its data lie in here: they say nothing elsewhere."""
    values = json.loads(recipe.canonical())
    values["data"]["root"] = None
    if values["data"]["stills"] is not None:
        values["data"]["stills"]["root"] = None
    return yaml.safe_dump(values, sort_keys=False)


def provenance(run: Finished, report: Report) -> dict[str, Any]:
    """What provenance.json holds, as plain values. Every hash is SHA-256 in hex."""
    recipe, folder = run.recipe, run.folder
    net = written(folder / "export", run.metrics("export"))
    return {
        "schema": SCHEMA,
        "made_by": {"spikeport": __version__, "python": platform.python_version()},
        "machine": machine(),
        "command": COMMAND,
        "recipe": {
            "name": recipe.name,
            "seed": recipe.seed,
            "trained_ann": recipe.identity(),
            "folder": folder_of(recipe, Path("runs")).as_posix(),
            "needs": needs(recipe),
        },
        "data": {
            "name": report.data.name,
            "licence": report.data.licence,
            "sha256": next(m["data"] for m in run.manifests.values() if m["data"] is not None),
        },
        "network": {
            "file": net.name,
            "sha256": sha256(net),
            "fingerprint": report.network.fingerprint,
            "n_steps": report.network.n_steps,
            "chip": report.network.chip,
        },
        "report": {
            "sha256": sha256(folder / "report" / "report.json"),
            "created": report.created.isoformat(),
        },
        "stages": {stage: _stage(manifest) for stage, manifest in run.manifests.items()},
    }


def machine() -> dict[str, Any]:
    """The machine that made the pack; what computed a stage is in its `versions`, `device` and `threads`."""
    return {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()}


def needs(recipe: Recipe) -> dict[str, str | None]:
    """Files that the recipe names beside its data, by the SHA-256 of what decides the run."""
    return {
        "model.file": recipe.model.identity().get("file"),
        "refine.teacher": recipe.refine.teacher_identity(),
    }


def reproduce(facts: Mapping[str, Any]) -> str:
    """The text of reproduce.md. facts: those of provenance.json."""
    net, data, recipe = facts["network"], facts["data"], facts["recipe"]
    stages = "\n".join(
        f"| {name} | `{stage['outcome'][:16]}` | {stage['device']} | {stage['seconds']:g} |"
        for name, stage in facts["stages"].items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(_versions(facts).items()))
    others = [f"- `{key}`: SHA-256 `{value}`" for key, value in recipe["needs"].items() if value is not None]
    more = "\nIt needs these files beside its data; set their places in the recipe:\n\n" + "\n".join(others) + "\n"
    return f"""# How to reproduce this

Everything comes from one run of Spikeport, by one command, in this folder:

```
{facts["command"]}
```

Versions: {versions}.

Data: {data["name"]}; {data["licence"]}. Their files are looked for in the folder that the environment variable
SPIKEPORT_DATA names; embedded sets need none.
{more if others else ""}
## What must come out

| what | SHA-256 |
|---|---|
| data, samples and labels in order | `{data["sha256"]}` |
| the network, `{net["file"]}` | `{net["sha256"]}` |
| the network's fingerprint | `{net["fingerprint"]}` |
| the report of this run, `report.json` | `{facts["report"]["sha256"]}` |

The same data have the same hash everywhere. Training is repeatable on the same machine, device, number of threads and
versions, where it gives the same network; elsewhere floating point may round otherwise, and the network with it. The
network itself computes with integers: it gives the same spikes on any machine. The report holds the time it was made
at, so its hash is of this one file.

## How to check

```
sha256sum --check SHA256SUMS
spikeport capsule {recipe["folder"]} --out {recipe["name"]}.zip
spikeport replay {recipe["name"]}.zip --independent
spikeport verify {recipe["folder"]}/export/{net["file"]}
```

The first line compares the files of this pack with their sums. The second packs the run for others, which it refuses
if a stage, a file or the data changed since; the third computes its spikes again by a second implementation; the last
runs the file in real Lava.

## Stages

Each names the outputs of those it was computed from; all hashes are in `provenance.json`.

| stage | outputs and metrics | device | seconds |
|---|---|---|---|
{stages}
"""


def _versions(facts: Mapping[str, Any]) -> dict[str, str]:
    """Versions of every stage; where stages differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for stage in facts["stages"].values():
        for name, version in stage["versions"].items():
            found.setdefault(name, {})[version] = None
    return {name: " and ".join(versions) for name, versions in found.items()}


def _stage(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says that somebody else can compare. outcome: over outputs and metrics."""
    kept = ("key", "version", "inputs", "outputs", "versions", "seed", "device", "threads", "started", "seconds")
    return {"outcome": outcome(manifest), **{name: manifest[name] for name in kept}}

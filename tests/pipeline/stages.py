"""A stage run by itself in a folder of its own, without a run around it. Not a test."""

from __future__ import annotations

from pathlib import Path

from spikeport.pipeline.checkpoint import Checkpoint
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.sections import Recipe
from spikeport.pipeline.stage import LOG, StageContext


def context(recipe: Recipe, folder: Path, name: str, into: str | None = None) -> StageContext:
    """What the stage `name` is given: it works in `<folder>/<into>`, by default in `<folder>/<name>`.

    Its inputs are the folders of the stages before it, `<folder>/<their name>`.
    """
    out = folder / (into or name)
    out.mkdir(exist_ok=True)
    return StageContext(
        name=name,
        recipe=recipe,
        folder=out,
        inputs={other: folder / other for other in ("train", "convert", "refine")},
        results={},
        progress=Progress(quiet=True),
        checkpoint=Checkpoint(folder / f"{out.name}.checkpoint", "k", out / LOG),
    )

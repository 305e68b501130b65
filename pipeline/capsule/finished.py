"""A finished run, found on disk and held against itself: its recipe, its stages' manifests, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...hw import BadInput
from .. import chain
from ..files import sha256
from ..recipe import load, parse
from ..runs import folder_of, read_manifest, read_recipe
from ..sections import Recipe
from .manifests import Manifests, check_chain


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run of which every stage is finished, unchanged on disk, computed from the others and from this recipe."""

    recipe: Recipe
    folder: Path
    manifests: Manifests

    def metrics(self, stage: str) -> Mapping[str, Any]:
        """What a stage measured."""
        return self.manifests[stage]["metrics"]


def finished_run(source: Path, changes: list[str], root: Path) -> Finished:
    """The finished run in a folder, or the one under `root` of a recipe.

    changes: settings of the recipe. Nothing is computed or written. Raises BadInput for a stage that is missing, was
    computed from other inputs or another recipe, or whose files changed.
    """
    if source.is_dir():
        if changes:
            raise BadInput(f"--set {changes[0]}: {source} is a finished run; give a recipe to choose among runs")
        recipe, folder = parse(read_recipe(source), f"recipe of {source}"), source
    else:
        recipe = load(source, changes)
        folder = folder_of(recipe, root)
        if not folder.is_dir():
            raise BadInput(f"{folder}: there is no such run; make it with `spikeport run {source}`")
    stages = chain.stages()
    manifests = {stage.name: read_manifest(folder / stage.name) for stage in stages}
    check_chain(manifests, str(folder))
    for stage in stages:
        manifest = manifests[stage.name]
        if manifest["recipe"] != recipe.sections(stage.reads):
            raise BadInput(
                f"{folder}: {stage.name} was computed from other settings than the recipe's; run `spikeport run RECIPE`"
            )
        for name, wanted in manifest["outputs"].items():
            file = folder / stage.name / name
            if not file.is_file() or sha256(file) != wanted:
                raise BadInput(f"{file}: is missing or changed since its stage wrote it; run `spikeport run RECIPE`")
    return Finished(recipe=recipe, folder=folder, manifests=manifests)

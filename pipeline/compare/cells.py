"""The cells of a comparison: one ordinary run each, in a folder of its own, that can be killed, continued and repeated.

    <out>/<comparison>/
        converted-T<T>/<run>/train, convert     the teacher, computed once, and its conversion, once per T
        <label>-T<T>-s<seed>/
            recipe.yaml                         `spikeport run recipe.yaml` makes the cell alone, bit for bit
            <run>/train, convert, refine, ...   an ordinary run folder; train and convert were copied into it
            activity.json                       spikes and synaptic operations of the refined student
            log.txt                             what the cell's process said last

A stage's key and the hashes of its files are checked when a run is opened (`pipeline/runs.py`), so a copied stage is
used where it fits and computed where it does not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .. import chain
from ..files import read_json, write_bytes, write_json
from ..progress import Progress
from ..runs import MANIFEST, Outcome, Run, folder_of
from ..sections import Recipe
from .spec import Comparison

SHARED = ("train", "convert")
"""Stages that are computed once and copied into the cells."""

RECIPE, ACTIVITY, LOG = "recipe.yaml", "activity.json", "log.txt"

Identity = Callable[[Recipe], str]
"""A hash of the data a recipe names (`chain.data_identity`)."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method at one T with one seed. root: its folder, which holds its run folder."""

    label: str
    recipe: Recipe
    root: Path

    @property
    def name(self) -> str:
        """`<label>-T<T>-s<seed>`."""
        return self.root.name

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return folder_of(self.recipe, self.root)

    @property
    def n_steps(self) -> int:
        """T."""
        return self.recipe.refine.T

    @property
    def seed(self) -> int:
        """The seed of its refinement."""
        seed = self.recipe.refine.seed
        assert seed is not None
        return seed

    def finished(self, identity: Identity, *stages: str) -> dict[str, Outcome] | None:
        """These stages, if all are finished and up to date, else None. Nothing is locked or computed."""
        run = Run(self.recipe, self.folder, chain.stages(), Progress(quiet=True), identity)
        outcomes = {stage: run.finished(stage) for stage in stages}
        found = {stage: outcome for stage, outcome in outcomes.items() if outcome is not None}
        return found if len(found) == len(stages) else None

    def activity(self, refined: Outcome) -> dict[str, Any] | None:
        """What was counted of the refined student (`worker.count`), or None if it was not counted yet."""
        path = self.root / ACTIVITY
        if not path.is_file():
            return None
        counted = read_json(path, f"delete {path} to count again")
        return counted if counted.get("refine") == refined.hash else None


def cells_of(comparison: Comparison, folder: Path) -> list[Cell]:
    """All cells, T by T and within it method by method. folder: the comparison's."""
    return [
        Cell(
            label=entry.label,
            recipe=comparison.recipe(entry, n_steps, seed),
            root=folder / f"{entry.label}-T{n_steps}-s{seed}",
        )
        for n_steps in comparison.T
        for entry in comparison.methods
        for seed in comparison.seeds
    ]


def convert_once(
    comparison: Comparison, folder: Path, progress: Progress
) -> dict[int, tuple[Path, dict[str, Outcome]]]:
    """Train the teacher, convert it for every T; what is finished is reused. By T: the run folder and the two stages.

    Raises what the stages raise.
    """
    entry, seed = comparison.methods[0], comparison.seeds[0]  # neither stage depends on them
    made: dict[int, tuple[Path, dict[str, Outcome]]] = {}
    for n_steps in comparison.T:
        recipe = comparison.recipe(entry, n_steps, seed)
        root = folder / f"converted-T{n_steps}"
        own = folder_of(recipe, root)
        if made:
            adopt(made[comparison.T[0]][0], own, SHARED[:1])
        with chain.opened(recipe, root, progress) as run:
            made[n_steps] = own, {stage: run.finish(stage) for stage in SHARED}
    return made


def prepare(cell: Cell, converted: Path) -> None:
    """Make a cell's folder ready to be run: its recipe, and the stages it shares, from the run folder `converted`."""
    cell.root.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(cell.recipe.model_dump(mode="json"), sort_keys=False)
    write_bytes(cell.root / RECIPE, text.encode())
    adopt(converted, cell.folder, SHARED)


def adopt(source: Path, target: Path, stages: Iterable[str]) -> None:
    """Copy finished stages from one run folder to another, as hard links where the file system has them.

    A stage that is there with the same manifest stays. A kill leaves the old folder, none, or the new one.
    """
    target.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        final, partial = target / stage, target / f"{stage}.copy"
        if _text(final / MANIFEST) == _text(source / stage / MANIFEST):
            continue
        for old in (partial, final):
            if old.exists():
                shutil.rmtree(old)
        shutil.copytree(source / stage, partial, copy_function=_link)
        os.replace(partial, final)


def _text(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _link(source: str, target: str) -> None:
    """A finished stage's files are never written again, so two runs may share one."""
    try:
        os.link(source, target)
    except OSError:  # another device, or a file system without links
        shutil.copy2(source, target)


def write_activity(root: Path, values: dict[str, Any]) -> None:
    """Keep what was counted of a cell's student."""
    write_json(root / ACTIVITY, values)


def best_cells(cells: Sequence[Cell], validation: Callable[[Cell], float], *, per_t: bool) -> list[Cell]:
    """For each label the cell of the best validation accuracy, of equals the first; with `per_t` one for each T."""
    best: dict[tuple[str, int | None], Cell] = {}
    for cell in cells:
        group = (cell.label, cell.n_steps if per_t else None)
        if group not in best or validation(cell) > validation(best[group]):
            best[group] = cell
    return list(best.values())

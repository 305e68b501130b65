"""Run a comparison: the teacher, its conversions, the cells, and what came out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...hw import BadInput, NotRepresentable, did_you_mean
from .. import chain
from ..convert import refined_profile
from ..files import write_bytes, write_json
from ..progress import Progress
from ..quantize import require_on_chip
from ..sections import Recipe
from . import picture, table
from .cells import Cell, Identity, best_cells, cells_of, convert_once, prepare
from .pool import Failure, run_cells
from .results import DEPLOYMENT, Finished, document, finished_cells
from .spec import Comparison

DOCUMENT, MARKDOWN = "compare.json", "compare.md"

Deploy = Literal["best", "per_t"]
"""Which cells go on to the chip: the best of each label, or of each label and T, by validation accuracy."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a comparison left in its folder. document: `compare.json`. failures: cells that did not finish."""

    document: dict[str, Any]
    folder: Path
    failures: list[Failure]

    @property
    def lava_agrees(self) -> bool:
        """Whether no file that ran in Lava differed there."""
        verdicts = [each["lava"] for each in self.document["deployed"]]
        return all(
            v.get("skipped") or (v["mismatches"] == 0 and v["layers_built"] == v["layers_written"]) for v in verdicts
        )


def run(
    comparison: Comparison,
    out: Path,
    progress: Progress,
    *,
    jobs: int = 1,
    only: Sequence[str] = (),
    deploy: Deploy | None = None,
) -> Result:
    """Finish a comparison in `<out>/<its name>`; what is finished is reused, what is half finished continued.

    jobs: cells at a time. only: labels to compute, all if empty; the result holds every cell that is finished. Raises
    BadInput for an unknown label and for cells side by side that would each take all cores, and what the train and
    convert stages raise; a failing cell does not raise.
    """
    labels = [entry.label for entry in comparison.methods]
    for label in only:
        if label not in labels:
            raise BadInput(f"compare {comparison.name}: no method is labelled {label!r}; {did_you_mean(label, labels)}")
    if jobs > 1 and comparison.base.threads is None and comparison.base.device == "cpu":
        raise BadInput(
            f"compare {comparison.name}: {jobs} cells at a time would each take all cores, as base.threads is not set; "
            "give base.threads: 1"
        )
    folder = out / comparison.name
    cells = cells_of(comparison, folder)
    progress.stage(f"{comparison.name}: {folder}, {len(cells)} cells")
    converted = convert_once(comparison, folder, progress)
    identity = _once(chain.data_identity)

    def finish(wanted: Sequence[Cell], last: str) -> list[Failure]:
        for cell in wanted:
            prepare(cell, converted[cell.n_steps][0])
        return run_cells(wanted, last, jobs, progress) if wanted else []

    done = {each.cell.name for each in finished_cells(comparison, cells, identity)}
    wanted = [cell for cell in cells if not only or cell.label in only]
    todo = [cell for cell in wanted if cell.name not in done]
    if len(wanted) > len(todo):
        progress.stage(f"{comparison.name}: {len(wanted) - len(todo)} cells are finished, reused")
    failures = finish(todo, "refine")
    finished = finished_cells(comparison, cells, identity)
    refused: dict[str, str] = {}
    if deploy is not None:
        best = _best([f for f in finished if not only or f.cell.label in only], deploy)
        refused = _refused([each.cell for each in best])
        ready = [each.cell for each in best if each.cell.name not in refused and each.deployed is None]
        failures += [f for f in finish(ready, DEPLOYMENT[-1]) if not f.cell.finished(identity, *DEPLOYMENT)]
        finished = finished_cells(comparison, cells, identity)
    on_chip = [each for each in _best(finished, "per_t") if each.deployed is not None]
    made = document(comparison, {t: stages for t, (_, stages) in converted.items()}, cells, finished, on_chip, refused)
    write_json(folder / DOCUMENT, made)
    write_bytes(folder / MARKDOWN, table.markdown(made).encode())
    if finished:
        picture.write(made, folder)
    return Result(document=made, folder=folder, failures=failures)


def _best(finished: Sequence[Finished], deploy: Deploy) -> list[Finished]:
    by_name = {each.cell.name: each for each in finished}
    cells = [each.cell for each in finished]
    best = best_cells(cells, lambda cell: by_name[cell.name].validation, per_t=deploy == "per_t")
    return [by_name[cell.name] for cell in best]


def _refused(cells: Sequence[Cell]) -> dict[str, str]:
    """By name, why the chip cannot compute a cell's student; those it can are left out."""
    found = {}
    for cell in cells:
        try:
            require_on_chip(cell.recipe, refined_profile(cell.recipe))
        except NotRepresentable as error:
            found[cell.name] = str(error)
    return found


def _once(identity: Identity) -> Identity:
    """The same, but data are read once."""
    known: dict[str, str] = {}

    def asked(recipe: Recipe) -> str:
        key = recipe.data.model_dump_json()
        if key not in known:
            known[key] = identity(recipe)
        return known[key]

    return asked

"""One cell in a process of its own: `python -m spikeport.pipeline.compare.worker RECIPE ROOT LAST_STAGE`.

It finishes the recipe's stages as `spikeport run` does and counts what the refined student's spikes reach. It ends when
its standard input does, so that it does not outlive the comparison that started it; a cell can be killed at any moment.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import torch
import typer

from ...hw import UnsupportedLayer
from .. import chain
from ..allocator import keep_pages
from ..cli_common import told
from ..cli_run import finish
from ..data import load_splits
from ..recipe import load
from ..refine.stage import load_student
from ..runs import Outcome
from ..sections import Recipe
from ..synops import activity
from .cells import Cell, write_activity

COUNTED_IMAGES = 1000
"""Test images, from the first, on which spikes are counted."""

KILLED = 137


def cell(recipe_file: Path, root: Path, last: str) -> None:
    """Finish the stages of a recipe up to `last`, and count."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    names = list(chain.MODULES)
    with told():
        outcomes = finish(recipe_file, [], root, False, names[: names.index(last) + 1])
        recipe, refined = load(recipe_file), outcomes["refine"]
        if Cell(label="", recipe=recipe, root=root).activity(refined) is None:
            write_activity(root, count(recipe, refined))


def count(recipe: Recipe, refined: Outcome) -> dict[str, Any]:
    """Spikes and synaptic operations of the refined student over the first test images, means per image.

    {refine: hash of the counted stage, images, spikes_per_neuron, synops_per_image, synops_by_step: one per timestep,
    not_counted: None}; for a network that nothing counts, not_counted says why and the numbers are None.
    """
    student = load_student(recipe, refined.folder)
    cuda = recipe.device != "cpu" and torch.cuda.is_available()
    samples = load_splits(recipe).test.subset(slice(COUNTED_IMAGES))
    found: dict[str, Any] = {"refine": refined.hash, "images": len(samples), "not_counted": None}
    try:
        counted = activity(student.to("cuda" if cuda else "cpu"), samples.floats())
    except UnsupportedLayer as error:
        nothing = dict.fromkeys(("spikes_per_neuron", "synops_per_image", "synops_by_step"))
        return {**found, **nothing, "not_counted": str(error)}
    by_step = counted.synops_by_step()
    return {
        **found,
        "spikes_per_neuron": counted.spikes_per_neuron(),
        "synops_per_image": float(by_step.sum()),
        "synops_by_step": by_step.tolist(),
    }


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock the interpreter wants when it ends
        pass
    os._exit(KILLED)


if __name__ == "__main__":
    keep_pages()
    typer.run(cell)

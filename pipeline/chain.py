"""The stages in order, where each is found, and what a recipe must name for them to run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..hw import CHIPS, BadInput, did_you_mean
from .progress import Progress
from .runs import Run, open_run
from .sections import Recipe, digest
from .stage import Stage

MODULES = {
    "train": "train",
    "convert": "convert",
    "refine": "refine.stage",
    "quantize": "quantize",
    "export": "deploy",
    "simulate": "simulate",
    "verify": "verify",
    "baselines": "baselines",
    "portrait": "portrait.stage",
    "energy": "energy",
    "report": "report",
}
"""Stage names in order, and the module of this package whose `STAGE` each is."""


def stages() -> tuple[Stage, ...]:
    """All stages, in order; each needs only earlier ones."""
    return tuple(
        importlib.import_module(f".{module}", __package__).STAGE  # a module without one is our mistake
        for module in MODULES.values()
    )


def check(recipe: Recipe) -> None:
    """Raise BadInput for a name in the recipe that nothing is registered under, before anything is computed."""
    from ..models import ARCHITECTURES, PROFILES
    from ..models.datasets import DATASETS
    from ..sim import CONVENTIONS
    from .data import require_same_classes
    from .refine import check_method

    stills = recipe.data.stills
    for registry, name in (
        (DATASETS, recipe.data.name),
        (DATASETS, stills.name if stills else None),
        (ARCHITECTURES, recipe.model.architecture),
        (ARCHITECTURES, recipe.train.architecture),
        (PROFILES, recipe.refine.profile),
        (CHIPS, recipe.quantize.chip),
    ):
        if name is not None:
            _ = registry[name]  # raises with the nearest known name
    budget = recipe.export.budget
    if budget is not None and budget.energy_convention not in CONVENTIONS:
        raise BadInput(
            f"export.budget.energy_convention: unknown name {budget.energy_convention!r}; "
            f"{did_you_mean(budget.energy_convention, CONVENTIONS)}"
        )
    recipe.model.identity()  # raises if the file cannot be read
    require_same_classes(recipe.data)
    check_method(recipe)


def check_deployable(recipe: Recipe) -> None:
    """Raise NotRepresentable, before anything is trained, for a recipe whose student the chip could never compute."""
    from .convert import refined_profile
    from .quantize import require_on_chip

    check(recipe)
    require_on_chip(recipe, refined_profile(recipe))


def data_identity(recipe: Recipe) -> str:
    """SHA-256 over the samples and labels of the recipe's data. Raises BadInput if its files are not as expected."""
    from ..models.datasets import fingerprint, load
    from .data import load_data

    parts = [*load_data(recipe.data)]
    if recipe.data.stills is not None:
        parts += load(recipe.data.stills.name, recipe.data.stills.root)
    return digest([fingerprint(samples) for samples in parts])


@contextmanager
def opened(recipe: Recipe, root: Path, progress: Progress) -> Iterator[Run]:
    """The checked recipe's run folder, locked while open, computing on the recipe's number of threads."""
    check(recipe)
    threads = torch.get_num_threads()
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    try:
        with open_run(recipe, root, stages(), progress=progress, data_identity=data_identity) as run:
            yield run
    finally:
        torch.set_num_threads(threads)

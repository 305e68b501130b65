"""Commands that look into a refined student: `maps` draws where it spikes, `fisher` shows when it knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hw import BadInput
from .cli_common import Settings, say, table, told

if TYPE_CHECKING:
    from ..models import GraphNet
    from .sections import Recipe

Refined = Annotated[
    Path, typer.Argument(metavar="RUN_FOLDER|RECIPE", help="A finished run's folder, or the recipe it was made from.")
]
Runs = Annotated[Path, typer.Option("--runs", help="The folder that holds the run folders, for a recipe.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (maps, fisher):
        app.command()(command)


def maps(
    source: Refined,
    settings: Settings = None,
    runs: Runs = Path("runs"),
    images: Annotated[int, typer.Option("--images", min=1, help="Validation images, from the first.")] = 8,
    out: Annotated[Path, typer.Option("--out", help="The picture, a PNG file.")] = Path("maps.png"),
) -> None:
    """Draw where the ANN looks and where the refined student spikes, in total and at single timesteps."""
    with told():
        if out.suffix != ".png" or out.is_dir():
            raise BadInput(f"--out {out}: the picture is a PNG file; give a name that ends in .png")
        recipe, folder = refined(source, settings or [], runs)
        from ..models.datasets import Images
        from .data import load_splits
        from .files import write_bytes
        from .maps import activation_maps, picture

        student, teacher = _networks(recipe, folder)
        validation = load_splits(recipe).validation
        if not isinstance(validation, Images):
            raise BadInput(f"{recipe.data.name}: the maps are drawn beside an image, and a clip of events is none")
        if images > len(validation):
            raise BadInput(f"--images {images}: there are {len(validation)} validation images; ask for fewer")
        shown = validation.subset(slice(images))
        drawn = activation_maps(student, teacher, shown.floats(), shown.y)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, picture(drawn))
        say(f"wrote {out}: {images} images at {drawn.unit}, T = {student.n_steps}")


def fisher(
    source: Refined,
    settings: Settings = None,
    runs: Runs = Path("runs"),
    images: Annotated[int, typer.Option("--images", min=1, help="Training images, from the first.")] = 100,
) -> None:
    """Show how much the student's weights know after each timestep: Fisher information and its centroid."""
    with told():
        recipe, folder = refined(source, settings or [], runs)
        from .data import load_splits
        from .fisher import information_centroid, temporal_fisher

        student, _ = _networks(recipe, folder)
        train = load_splits(recipe).train
        if images > len(train):
            raise BadInput(f"--images {images}: there are {len(train)} training images; ask for fewer")
        known = temporal_fisher(student, train.floats(slice(images)), train.y[:images])
        shares = (known / known.sum()).tolist()
        rows = [
            (str(t), f"{value:.4g}", f"{share:.1%}")
            for t, (value, share) in enumerate(zip(known.tolist(), shares, strict=True), 1)
        ]
        table("temporal Fisher information", ("t", "information", "share"), rows)
        say(f"centroid: timestep {information_centroid(known):.3f} of {student.n_steps}, {images} training images")


def refined(source: Path, changes: list[str], root: Path) -> tuple[Recipe, Path]:
    """A finished refinement: its recipe and its run folder.

    source: a run folder, whose own settings count, or a recipe, which must be the one the run under `root` was made
    from. Raises BadInput if there is none, or if it was made from something else.
    """
    from . import chain
    from .progress import Progress
    from .recipe import load, parse
    from .runs import folder_of, read_manifest, read_recipe

    if source.is_dir():
        if changes:
            raise BadInput(f"--set {changes[0]}: {source} is a finished run; give a recipe to choose among runs")
        made = read_manifest(source / "refine")["recipe"]["refine"]
        values = read_recipe(source)
        refine = {**made, "teacher": values["refine"].get("teacher")}  # a manifest knows it by its weights
        recipe = parse({**values, "refine": refine}, f"recipe of {source}")
        if recipe.refine.teacher_identity() != made.get("teacher"):
            raise BadInput(f"{source}: was refined with another teacher than its run.json names; refine it again")
        return recipe, source
    recipe = load(source, changes)
    folder = folder_of(recipe, root)
    way_out = f"make it with `spikeport run {source} --until refine`"
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such run; {way_out}")
    with chain.opened(recipe, root, Progress(quiet=True)) as opened:
        if opened.finished("refine") is None:
            raise BadInput(f"{folder}: its refinement is missing or out of date; {way_out}")
    return recipe, folder


def _networks(recipe: Recipe, folder: Path) -> tuple[GraphNet, GraphNet]:
    """(student, its teacher with batch norms folded), both in evaluation mode, on the CPU."""
    from .artefacts import load_ann
    from .folding import fold_batchnorm
    from .refine.stage import load_student
    from .teacher_run import load_teacher

    own = recipe.refine.teacher is None
    teacher = fold_batchnorm(load_ann(recipe, folder / "train")) if own else load_teacher(recipe)
    return load_student(recipe, folder / "refine"), teacher

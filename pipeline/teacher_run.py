"""A teacher from another run: its trained ANN, of any architecture, distils into this recipe's student."""

from __future__ import annotations

from ..hw import BadInput
from ..models import GraphNet
from .artefacts import load_ann
from .folding import fold_batchnorm
from .recipe import parse
from .runs import read_manifest, read_recipe
from .sections import Recipe


def load_teacher(recipe: Recipe) -> GraphNet:
    """The ANN of the run that `refine.teacher` names, in evaluation mode, batch norms folded.

    Raises BadInput for a folder without a trained ANN, and for a run on other data or another split: a teacher that was
    trained on this recipe's validation images would make its choices look better than they are.
    """
    folder = recipe.refine.teacher
    assert folder is not None
    recipe.refine.teacher_identity()
    read_manifest(folder / "train")
    other = parse(read_recipe(folder), f"refine.teacher {folder}")
    for what, theirs, ours in (
        ("data.name", other.data.name, recipe.data.name),
        ("data.validation", other.data.validation, recipe.data.validation),
        ("data.folds", other.data.folds, recipe.data.folds),
        ("seed", other.seed, recipe.seed),
    ):
        if theirs != ours:
            raise BadInput(
                f"refine.teacher {folder}: was trained with {what} {theirs}, this recipe has {ours}; the validation "
                "images must be the same, so train the teacher with this recipe's data and seed"
            )
    return fold_batchnorm(load_ann(other, folder / "train"))

"""Refinement methods, one file each; importing this package registers them all."""

import sys

from ...hw import BadInput, import_siblings
from ...models import ENGINES
from ..recipe import options_as
from ..sections import Recipe
from .method import METHODS, Distiller, Method, Pair

import_siblings(sys.modules[__name__])


def check_method(recipe: Recipe) -> None:
    """Raise BadInput for an unknown method or engine, settings it does not take, or an engine or data it cannot use."""
    settings = recipe.refine
    method, engine = METHODS[settings.method], ENGINES[settings.engine]
    options_as(method.config, settings.options, "refine.options")
    if method.steps and not engine.steps:
        raise BadInput(
            f"refine.method {settings.method} compares single timesteps, which the engine {settings.engine} does not "
            "differentiate; use refine.engine bptt"
        )
    if settings.teacher is not None and not method.any_teacher:
        raise BadInput(
            f"refine.method {settings.method} compares layers of the same name, so its teacher is the run's own; leave "
            f"refine.teacher out, or use one of {', '.join(n for n, m in METHODS.items() if m.any_teacher)}"
        )
    stills = recipe.data.stills
    if stills is None and method.asks == "stills":
        raise BadInput(
            f"refine.method {settings.method} shows its teacher still images beside the events; name them in "
            "data.stills"
        )
    if stills is not None and method.asks == "inputs":
        raise BadInput(
            f"refine.method {settings.method} asks the teacher about the events, but with data.stills it has learned "
            f"from {stills.name}; use one of {', '.join(n for n, m in METHODS.items() if m.asks != 'inputs')}, or "
            "leave data.stills out"
        )
    if stills is not None and settings.teacher is not None:
        raise BadInput("refine.teacher: with data.stills the teacher is the run's own; leave it out")
    settings.teacher_identity()  # raises if there is no trained network


__all__ = ["METHODS", "Distiller", "Method", "Pair", "check_method"]

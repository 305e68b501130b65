"""Refinement methods, one file each; importing this package registers them all."""

import sys

from ...hw import BadInput, import_siblings
from ...models import ENGINES
from ..recipe import options_as
from ..sections import Refine
from .method import METHODS, Distiller, Method, Pair

import_siblings(sys.modules[__name__])


def check_method(settings: Refine) -> None:
    """Raise BadInput for an unknown method or engine, settings it does not take, or an engine it cannot use."""
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
    settings.teacher_identity()  # raises if there is no trained network


__all__ = ["METHODS", "Distiller", "Method", "Pair", "check_method"]

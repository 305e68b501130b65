"""Refinement methods, one file each; importing this package registers them all."""

import sys

from ...hw import import_siblings
from ..recipe import Refine, options_as
from .method import METHODS, Distiller, Method

import_siblings(sys.modules[__name__])


def check_method(settings: Refine) -> None:
    """Raise BadInput for an unknown method or settings it does not take."""
    options_as(METHODS[settings.method].config, settings.options, "refine.options")


__all__ = ["METHODS", "Distiller", "Method", "check_method"]

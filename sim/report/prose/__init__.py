"""The sentences of a report: what happened, said in words and with the same numbers as the tables."""

from .chip import chip_energies, on_chip, times, traffic
from .energy import activity, audit, conventions, energy, neurobench, scope, scopes
from .portrait import alike, portrait, sample
from .run import NO_NOTICES, about, accuracy, lava, skipped, title
from .scrutiny import break_even, sensitivity, spread

__all__ = [
    "NO_NOTICES",
    "about",
    "accuracy",
    "activity",
    "alike",
    "audit",
    "break_even",
    "chip_energies",
    "conventions",
    "energy",
    "lava",
    "neurobench",
    "on_chip",
    "portrait",
    "sample",
    "scope",
    "scopes",
    "sensitivity",
    "skipped",
    "spread",
    "times",
    "title",
    "traffic",
]

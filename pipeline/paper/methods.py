"""The methods paragraphs: every choice in words and numbers, from the report and the recipe alone.

What the report does not hold is not stated; what papers usually give and this run did not measure is said to be
missing.
"""

from __future__ import annotations

from ...sim.report import Report
from ..sections import Recipe
from . import methods_measures as measured
from . import methods_networks as made
from .statement import Paragraph


def methods(report: Report, recipe: Recipe) -> tuple[Paragraph, ...]:
    """What was done, in the order in which it was done. recipe: the one the report's run was computed with."""
    listed = {"Energy": measured.conventions(report)}
    parts = {
        "Data": made.data(report, recipe),
        "Float network": made.ann(recipe),
        "Conversion": made.conversion(report, recipe),
        "Refinement": made.refinement(recipe),
        "Deployed network": made.deployed(report, recipe),
        "Accuracy": measured.accuracy(report),
        "Counting": measured.counting(report),
        "Energy": measured.energy(report),
        "Baselines": measured.baselines(report),
        "Spread and sensitivity": measured.spread(report),
        "Placement": measured.placement(report),
        "Check against Lava": measured.lava(report),
        "Versions and seeds": measured.versions(report),
        "Not measured": measured.missing(report),
    }
    paragraphs = (
        Paragraph(title, tuple(statements), tuple(listed.get(title, ()))) for title, statements in parts.items()
    )
    return tuple(paragraph for paragraph in paragraphs if paragraph.statements or paragraph.listed)

"""The tables of a report, as plain text cells: Markdown, LaTeX and HTML render the same ones.

So a number reads the same in every file, and every number comes from report.json or is a sum of numbers there. Every
function named like a table takes the report and returns a `Table`: its key is the function's name, and it has no rows
where the report has no such numbers.
"""

from .accuracy import anytime, on_split, timesteps, waterfall
from .baselines import (
    baseline_energies,
    baselines,
    deployed,
    limit,
    margins,
    priced_baselines,
    side,
    snn_energies,
    thresholds,
)
from .chip import chip_energies, placements, populations_on_chip, refusals, resources, times
from .counts import activity
from .energy import (
    audit,
    bills,
    conventions,
    energy_layers,
    energy_totals,
    first_rule,
    operations,
    rule_text,
)
from .events import event_kinds, events
from .network import drift, notices, populations, versions
from .portrait import cka, correlations, shared_layers
from .scrutiny import sensitivity, spread
from .table import NONE, NOT_RUN, STEP_TITLES, Table, detailed_first

__all__ = [
    "NONE",
    "NOT_RUN",
    "STEP_TITLES",
    "Table",
    "activity",
    "anytime",
    "audit",
    "baseline_energies",
    "baselines",
    "bills",
    "chip_energies",
    "cka",
    "conventions",
    "correlations",
    "deployed",
    "detailed_first",
    "drift",
    "energy_layers",
    "energy_totals",
    "event_kinds",
    "events",
    "first_rule",
    "limit",
    "margins",
    "notices",
    "on_split",
    "operations",
    "placements",
    "populations",
    "populations_on_chip",
    "priced_baselines",
    "refusals",
    "resources",
    "rule_text",
    "sensitivity",
    "shared_layers",
    "side",
    "snn_energies",
    "spread",
    "thresholds",
    "times",
    "timesteps",
    "versions",
    "waterfall",
]

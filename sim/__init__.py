"""Run a network bit for bit as the chip does, count every event, price the counts.

The report on a run is in `sim.report`, which is imported on its own.
"""

from . import conventions as _registered
from .audit import Audit, AuditStep, audit
from .baselines import baseline_energies, matched_bits
from .bill import Bill, Item, bill
from .break_even import BreakEven, break_even, dense_ratio
from .choices import Choices
from .constants import Constant
from .convention import CONVENTIONS, AccessCost, Convention, LinearAccessCost, Term, operation_counts
from .counts import Counts, dense_macs, fan_out, is_graded, n_synapses, neuron_updates
from .energy import ConnectionRow, EnergyReport, ItemRow, PopulationRow, price, price_all
from .ledger import Events, ledger
from .neurobench import NeuroBench, neurobench
from .on_chip import OnChip, on_chip
from .ranking import Conflict, Verdict, ranking_conflicts, twin_conflicts
from .run import largest_sums, run
from .sensitivity import Sensitivity, sensitivity
from .simulator import Simulator
from .spread import Spread, spread
from .trace import Trace
from .workload import COUNTABLES, Counted, Traffic, Workload, countable

__all__ = [
    "CONVENTIONS",
    "COUNTABLES",
    "AccessCost",
    "Audit",
    "AuditStep",
    "Bill",
    "BreakEven",
    "Choices",
    "Conflict",
    "ConnectionRow",
    "Constant",
    "Convention",
    "Counted",
    "Counts",
    "EnergyReport",
    "Events",
    "Item",
    "ItemRow",
    "LinearAccessCost",
    "NeuroBench",
    "OnChip",
    "PopulationRow",
    "Sensitivity",
    "Simulator",
    "Spread",
    "Term",
    "Trace",
    "Traffic",
    "Verdict",
    "Workload",
    "audit",
    "baseline_energies",
    "bill",
    "break_even",
    "countable",
    "dense_macs",
    "dense_ratio",
    "fan_out",
    "is_graded",
    "largest_sums",
    "ledger",
    "matched_bits",
    "n_synapses",
    "neurobench",
    "neuron_updates",
    "on_chip",
    "operation_counts",
    "price",
    "price_all",
    "ranking_conflicts",
    "run",
    "sensitivity",
    "spread",
    "twin_conflicts",
]
del _registered

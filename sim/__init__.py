"""Run a network bit for bit as the chip does, count every event, price the counts.

The report on a run is in `sim.report`, which is imported on its own.
"""

from . import conventions as _registered
from .audit import Audit, AuditStep, audit
from .bill import Bill, Item, bill
from .choices import Choices
from .constants import Constant
from .convention import CONVENTIONS, AccessCost, Convention, LinearAccessCost, Term, operation_counts
from .counts import Counts, dense_macs, fan_out, is_graded, n_synapses, neuron_updates
from .energy import ConnectionRow, EnergyReport, ItemRow, PopulationRow, price, price_all
from .neurobench import NeuroBench, neurobench
from .ranking import Conflict, Verdict, ranking_conflicts, twin_conflicts
from .run import largest_sums, run
from .simulator import Simulator
from .trace import Trace
from .workload import COUNTABLES, Counted, Traffic, Workload, countable

__all__ = [
    "CONVENTIONS",
    "COUNTABLES",
    "AccessCost",
    "Audit",
    "AuditStep",
    "Bill",
    "Choices",
    "Conflict",
    "ConnectionRow",
    "Constant",
    "Convention",
    "Counted",
    "Counts",
    "EnergyReport",
    "Item",
    "ItemRow",
    "LinearAccessCost",
    "NeuroBench",
    "PopulationRow",
    "Simulator",
    "Term",
    "Trace",
    "Traffic",
    "Verdict",
    "Workload",
    "audit",
    "bill",
    "countable",
    "dense_macs",
    "fan_out",
    "is_graded",
    "largest_sums",
    "n_synapses",
    "neurobench",
    "neuron_updates",
    "operation_counts",
    "price",
    "price_all",
    "ranking_conflicts",
    "run",
    "twin_conflicts",
]
del _registered

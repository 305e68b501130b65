"""Run a network bit for bit as the chip does, count every event, price the counts.

The report on a run is in `sim.report`, which is imported on its own.
"""

from .constants import CONVENTIONS, Constant, Convention
from .counts import Counts, dense_macs, fan_out, is_graded, n_synapses, neuron_updates
from .energy import Choices, ConnectionRow, EnergyReport, PopulationRow, price
from .run import largest_sums, run
from .simulator import Simulator
from .trace import Trace

__all__ = [
    "CONVENTIONS",
    "Choices",
    "ConnectionRow",
    "Constant",
    "Convention",
    "Counts",
    "EnergyReport",
    "PopulationRow",
    "Simulator",
    "Trace",
    "dense_macs",
    "fan_out",
    "is_graded",
    "largest_sums",
    "n_synapses",
    "neuron_updates",
    "price",
    "run",
]

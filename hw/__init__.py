"""What the chip is: the integer network, its arithmetic, its limits. Imports numpy only."""

from . import chips as _registered
from .chip import CHIPS, Chip
from .connections import DELAY_MAX, Connection, Conv, Dense, OneToOne, Shape
from .errors import (
    BadInput,
    DoesNotFit,
    NotRepresentable,
    OracleFailed,
    SpikeportError,
    UnsupportedLayer,
    did_you_mean,
)
from .legality import check, rests_on_calibration, sum_limit, violations, worst_sum
from .network import Network, Population, Readout, Source, same
from .neurons import NEVER_FIRES, Cuba, step
from .registry import Registry, import_siblings

__all__ = [
    "CHIPS",
    "DELAY_MAX",
    "NEVER_FIRES",
    "BadInput",
    "Chip",
    "Connection",
    "Conv",
    "Cuba",
    "Dense",
    "DoesNotFit",
    "Network",
    "NotRepresentable",
    "OneToOne",
    "OracleFailed",
    "Population",
    "Readout",
    "Registry",
    "Shape",
    "Source",
    "SpikeportError",
    "UnsupportedLayer",
    "check",
    "did_you_mean",
    "import_siblings",
    "rests_on_calibration",
    "same",
    "step",
    "sum_limit",
    "violations",
    "worst_sum",
]
del _registered

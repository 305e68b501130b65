"""What the chip is: the integer network, its arithmetic, its limits. Imports numpy only."""

from . import chips as _registered
from .chip import CHIPS, Chip
from .errors import (
    BadInput,
    DoesNotFit,
    NotRepresentable,
    OracleFailed,
    SpikeportError,
    UnsupportedLayer,
    did_you_mean,
)
from .legality import check, violations, worst_sum
from .network import Connection, Conv, Dense, Network, Population, Readout, Shape, Source, same
from .neurons import NEVER_FIRES, Cuba, step
from .registry import Registry, import_siblings

__all__ = [
    "CHIPS",
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
    "same",
    "step",
    "violations",
    "worst_sum",
]
del _registered

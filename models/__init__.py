"""Networks in torch: architectures, the ANN, its spiking twin, its twin in chip arithmetic, and data sets."""

from . import zoo as _registered
from .architecture import (
    ARCHITECTURES,
    INPUT,
    Architecture,
    Attention,
    ConvWire,
    IdentityWire,
    LinearWire,
    PoolWire,
    Unit,
)
from .engines import ENGINES, Engine, Response, bptt
from .graph import (
    Accumulate,
    GraphNet,
    Node,
    Rectify,
    Synapses,
    as_spiking,
    build_ann,
    draw_weights_,
    membrane_of,
    outline,
)
from .neurons import Spiking
from .profiles import PROFILES, Profile
from .rate import through_rates

__all__ = [
    "ARCHITECTURES",
    "ENGINES",
    "INPUT",
    "PROFILES",
    "Accumulate",
    "Architecture",
    "Attention",
    "ConvWire",
    "Engine",
    "GraphNet",
    "IdentityWire",
    "LinearWire",
    "Node",
    "PoolWire",
    "Profile",
    "Rectify",
    "Response",
    "Spiking",
    "Synapses",
    "Unit",
    "as_spiking",
    "bptt",
    "build_ann",
    "draw_weights_",
    "membrane_of",
    "outline",
    "through_rates",
]
del _registered

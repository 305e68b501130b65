"""Networks in torch: architectures, the ANN, its spiking twin, its twin in chip arithmetic, and data sets."""

from . import zoo as _registered
from .architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, IdentityWire, LinearWire, PoolWire, Unit
from .engines import ENGINES, Engine, Response, bptt
from .graph import Accumulate, GraphNet, Node, Rectify, Synapses, as_spiking, build_ann
from .neurons import Spiking
from .profiles import PROFILES, Profile

__all__ = [
    "ARCHITECTURES",
    "ENGINES",
    "INPUT",
    "PROFILES",
    "Accumulate",
    "Architecture",
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
]
del _registered

"""Where a network sits on a chip: what its parts take, how its populations are cut, which core holds what."""

from .advice import advice, place_or_advise
from .mesh import Traffic, tile, traffic
from .parts import Grid, Part
from .place import Core, Placement, place
from .rules import RULES, Rule
from .usage import RESOURCES, Usage

__all__ = [
    "RESOURCES",
    "RULES",
    "Core",
    "Grid",
    "Part",
    "Placement",
    "Rule",
    "Traffic",
    "Usage",
    "advice",
    "place",
    "place_or_advise",
    "tile",
    "traffic",
]

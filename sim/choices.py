"""The choices that change a price, each a flag that stands in the report.

first_layer   per_step: a graded input multiplies at every timestep, as the deployed network does
              once:     its products are made once and reused, as most papers assume; for inputs that never change
first_macs    events: a pixel of value zero sends no spike and costs nothing
              dense:  every pixel is charged, as papers do
synops        stored: a synapse of weight zero is reached and paid for;   effective: it is not
ann_macs      edge_exact: no products with padding;   formula: kH kW H_out W_out C_in C_out / groups
active        which neuron updates are active where a source prices active and inactive ones; no published
              definition of the two exists. every: all of them, the upper bound;   fired: those of neurons that
              fire in that timestep;   never: none, the lower bound
errata        corrected: Lemaire et al.'s equation 2.4 without its extra factor N_in and with the reset;
              printed: as it stands in the paper
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from ..hw import BadInput, did_you_mean
from .counts import DenseMacs

FirstLayer = Literal["per_step", "once"]
FirstMacs = Literal["events", "dense"]
Synops = Literal["stored", "effective"]
Active = Literal["every", "fired", "never"]
Errata = Literal["corrected", "printed"]

_KINDS = {
    "first_layer": FirstLayer,
    "first_macs": FirstMacs,
    "synops": Synops,
    "ann_macs": DenseMacs,
    "active": Active,
    "errata": Errata,
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The flags of one price; see the module for what each means. Raises BadInput for an unknown one."""

    first_layer: FirstLayer = "per_step"
    first_macs: FirstMacs = "events"
    synops: Synops = "stored"
    ann_macs: DenseMacs = "edge_exact"
    active: Active = "every"
    errata: Errata = "corrected"

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                raise BadInput(f"energy: unknown {name} {value!r}; {did_you_mean(value, get_args(kind))}")

    def only(self, read: frozenset[str]) -> Choices:
        """These choices where `read` names them, the default elsewhere: what a price really depends on."""
        return Choices(**{field.name: getattr(self, field.name) for field in fields(self) if field.name in read})

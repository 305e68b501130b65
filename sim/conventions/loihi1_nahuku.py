"""Loihi 1 as calibrated on silicon: SANA-FE's constants, fitted to runs on a Nahuku board.

A neuron is accessed at every timestep; its state is written where it is updated or fires; a spike that leaves costs
again. Stated error of the fit: up to 11.7 % of energy.
"""

from __future__ import annotations

from ..constants import Constant
from ..convention import CONVENTIONS, Convention, Term


def _nahuku(value: float, scope: str) -> Constant:
    return Constant(
        value=value,
        unit="pJ",
        source="SANA-FE, arch/loihi.yaml at 8951ab0; a fit to a Nahuku board, Boyle et al., IEEE TCAD (2025)",
        kind="measured",
        scope=scope,
        voltage=None,
        node=14,
    )


DENSE_SYNOP = _nahuku(35.5, "one spike through one synapse stored densely")
CONV_SYNOP = _nahuku(24.0, "one spike through one synapse of a shared kernel")
ACCESS = _nahuku(51.2, "one access to a neuron, at every timestep")
UPDATE = _nahuku(21.6, "one write of a neuron's state, where it is updated or fires")
SPIKE = _nahuku(69.3, "one spike sent by a neuron")
MESSAGE = _nahuku(111.0, "one message of an output axon")
HOP_EW = _nahuku(3.0, "one hop to the next tile east or west")
HOP_NS = _nahuku(4.2, "one hop to the next tile north or south")

CONVENTIONS.register(
    "loihi1_nahuku",
    Convention(
        name="loihi1_nahuku",
        title="Loihi 1, calibrated on a Nahuku board (SANA-FE)",
        about="dynamic energy of the neuro-cores",
        excluded="barrier, host processors, input and output, static power",
        snn=(
            Term(count="dense_synops", cost=DENSE_SYNOP),
            Term(count="conv_synops", cost=CONV_SYNOP),
            Term(count="updates", cost=ACCESS),
            Term(count="touched_updates", cost=UPDATE),
            Term(count="spikes", cost=SPIKE),
        ),
        routing=(
            Term(count="messages", cost=MESSAGE),
            Term(count="hops_ew", cost=HOP_EW),
            Term(count="hops_ns", cost=HOP_NS),
        ),
        chip="loihi1",
    ),
)

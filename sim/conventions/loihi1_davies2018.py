"""Loihi 1 as its designers simulated it before silicon, at 0.75 V."""

from __future__ import annotations

from ..constants import Constant
from ..convention import CONVENTIONS, Convention, Term


def _davies(value: float, scope: str) -> Constant:
    return Constant(
        value=value,
        unit="pJ",
        source="Davies et al., IEEE Micro 38(1) (2018) 82, table 2, pre-silicon; known through papers that quote it",
        kind="simulated",
        scope=scope,
        voltage=0.75,
        node=14,
    )


SYNOP = _davies(23.6, "one spike through one synapse, the minimum")
ACTIVE = _davies(81.0, "one update of an active neuron; `active` is not defined there")
INACTIVE = _davies(52.0, "one update of an inactive neuron")
TILE_SPIKE = _davies(1.7, "one spike within a tile")
HOP_EW = _davies(3.0, "one hop to the next tile east or west")
HOP_NS = _davies(4.0, "one hop to the next tile north or south")

CONVENTIONS.register(
    "loihi1_davies2018",
    Convention(
        name="loihi1_davies2018",
        title="Loihi 1, pre-silicon simulation at 0.75 V (Davies et al. 2018)",
        about="dynamic energy of the neuro-cores",
        excluded="memory access beyond the operation, barrier, host processors, input and output, static power",
        snn=(
            Term(count="synops", cost=SYNOP),
            Term(count="active_updates", cost=ACTIVE),
            Term(count="inactive_updates", cost=INACTIVE),
        ),
        routing=(
            Term(count="messages", cost=TILE_SPIKE),
            Term(count="hops_ew", cost=HOP_EW),
            Term(count="hops_ns", cost=HOP_NS),
        ),
        chip="loihi1",
    ),
)

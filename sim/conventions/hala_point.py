"""A bound for Loihi 2: the power of a whole system over its advertised rate. No energy per operation is published."""

from __future__ import annotations

from ..constants import Constant
from ..convention import CONVENTIONS, Convention, Term

POWER_W, SYNOPS_PER_S = 2600, 380e12

SYNOP = Constant(
    value=POWER_W / SYNOPS_PER_S * 1e12,
    unit="pJ",
    source="Intel, announcement of Hala Point (2024): at most 2600 W, over 380e12 8-bit synaptic operations per second",
    kind="derived",
    scope="all-in at the advertised peak: 1152 chips, memory, routing, updates, hosts and static power together",
    voltage=None,
    node=None,
)

CONVENTIONS.register(
    "loihi2_hala_point_bound",
    Convention(
        name="loihi2_hala_point_bound",
        title="Loihi 2: bound from Hala Point's power at its advertised peak; not an energy per operation",
        about="system power shared out over synaptic operations at full load",
        excluded="nothing of a fully loaded system; a network that loads it less costs more per operation",
        snn=(Term(count="synops", cost=SYNOP),),
    ),
)

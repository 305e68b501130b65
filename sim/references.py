"""Published energies and powers that no convention uses: for comparison, and static power. Each with its scope."""

from __future__ import annotations

from ..hw import CHIPS
from .constants import Constant

LOIHI1_STATIC = Constant(
    value=3340 / 32,
    unit="mW per chip",
    source="Frady et al., NICE 2020: 3.34 W of 32 chips; known through papers that quote it",
    kind="measured",
    scope="static power of a chip",
    voltage=None,
    node=14,
)
LOIHI1_STATIC_CORE = Constant(
    value=LOIHI1_STATIC.value / CHIPS["loihi1"].cores.per_chip,
    unit="mW per core",
    source=f"{LOIHI1_STATIC.source}; divided by the 128 cores of a chip",
    kind="derived",
    scope="at most a core's part of it, as if nothing else on the chip drew any",
    voltage=LOIHI1_STATIC.voltage,
    node=LOIHI1_STATIC.node,
)
TRUENORTH_ALL_IN = Constant(
    value=72e-3 / (4096 * 256 * 20 * 128) * 1e12,
    unit="pJ per synaptic operation",
    source="Merolla et al., Science 345 (2014) 668: 72 mW at 4096 cores x 256 neurons x 20 Hz x 128 active synapses",
    kind="derived",
    scope="all-in: leakage, routing and updates included",
    voltage=0.775,
    node=28,
)
TRUENORTH_EVENT = Constant(
    value=2.5,
    unit="pJ per synaptic operation",
    source="Akopyan et al. 2015, in PMC10326429, table 3",
    kind="measured",
    scope="one active synaptic event",
    voltage=None,
    node=28,
)
ODIN = Constant(
    value=12.7,
    unit="pJ per synaptic operation",
    source="Frenkel et al., TBCAS 13(1) (2019); known through papers that quote it",
    kind="measured",
    scope="the minimum at 0.55 V, whole chip; 8.43 pJ incremental",
    voltage=0.55,
    node=28,
)

REFERENCES = {
    "Loihi 1, static": LOIHI1_STATIC,
    "Loihi 1, static, by core": LOIHI1_STATIC_CORE,
    "TrueNorth, all-in": TRUENORTH_ALL_IN,
    "TrueNorth, one event": TRUENORTH_EVENT,
    "ODIN": ODIN,
}
"""By the name a table gives them."""

STATIC_POWER = {"loihi1": (LOIHI1_STATIC_CORE, LOIHI1_STATIC)}
"""By chip: of one core in use, and of a whole chip, in mW. None is published per chip for Loihi 2."""

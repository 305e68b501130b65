"""77 fJ per synaptic operation beside 12.5 pJ per FLOP: a pair some papers use.

The first number is attributed to ROLLS, an analog sub-threshold chip in 180 nm; the second is a digital one. The pair
compares two technologies and is offered to reproduce such tables, not to stand beside digital figures.
"""

from __future__ import annotations

from ..constants import Constant
from ..convention import CONVENTIONS, operation_counts

SOP = Constant(
    value=0.077,
    unit="pJ",
    source="Qiao et al., Front. Neurosci. 9 (2015) 141, and Indiveri et al., IEDM 2015, as cited by papers that use it",
    kind="measured",
    scope="one synaptic operation of a mixed-signal sub-threshold chip",
    voltage=None,
    node=180,
)
FLOP = Constant(
    value=12.5,
    unit="pJ",
    source="papers that pair it with 77 fJ; its own origin is not established",
    kind="derived",
    scope="one floating-point operation; a MAC is charged as one, as those papers do",
    voltage=None,
    node=None,
)

CONVENTIONS.register(
    "rolls_77fJ",
    operation_counts("rolls_77fJ", "77 fJ per synaptic operation, 12.5 pJ per FLOP (mixed signal)", ac=SOP, mac=FLOP),
)

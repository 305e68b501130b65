"""Published energies as data: every number with its source, kind, scope, voltage and node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..hw import BadInput

Kind = Literal["simulated", "measured", "derived"]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One published or derived number.

    kind: `simulated` is a design estimate, `measured` comes from silicon, `derived` is computed here from others.
    scope: what one such event includes. voltage in V, node in nm; None where the source does not state it.

    Raises BadInput for a value that is negative, infinite or not a number, and for an empty unit, source or scope.
    """

    value: float
    unit: str
    source: str
    kind: Kind
    scope: str
    voltage: float | None
    node: int | None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0:
            raise BadInput(
                f"constant: {self.value} {self.unit} ({self.source}) is no energy, power or time; give a number >= 0"
            )
        for name in ("unit", "source", "scope"):
            if not getattr(self, name).strip():
                raise BadInput(f"constant: {self.value} has an empty {name}; a number without it cannot be printed")

    @property
    def process(self) -> str:
        """Node and voltage in words."""
        known = [f"{self.node} nm"] if self.node is not None else []
        known += [f"{self.voltage:g} V"] if self.voltage is not None else []
        return ", ".join(known) or "process not stated"


HOROWITZ = "Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323, table of operation energies"


def _horowitz(value: float, what: str) -> Constant:
    return Constant(
        value=value,
        unit="pJ",
        source=f"{HOROWITZ}: {what}",
        kind="simulated",
        scope="the arithmetic of one operation; no memory, no control",
        voltage=0.9,
        node=45,
    )


def multiply_add(add: Constant, multiply: Constant) -> Constant:
    """A multiply followed by an add, to the hundredth of a picojoule that the table is printed in."""
    return Constant(
        value=round(add.value + multiply.value, 2),
        unit="pJ",
        source=f"{multiply.source} {multiply.value} pJ + add {add.value} pJ",
        kind="derived",
        scope=add.scope,
        voltage=add.voltage,
        node=add.node,
    )


FP32_ADD = _horowitz(0.9, "fp32 add")
FP32_MULTIPLY = _horowitz(3.7, "fp32 multiply")
INT8_ADD = _horowitz(0.03, "int8 add")
INT8_MULTIPLY = _horowitz(0.2, "int8 multiply")
INT32_ADD = _horowitz(0.1, "int32 add")
INT32_MULTIPLY = _horowitz(3.1, "int32 multiply")

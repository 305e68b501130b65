"""Operation energies as data: every number with its source, kind, scope, voltage and node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..hw import BadInput, Registry


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One published or derived number.

    kind: `simulated` is a design estimate, `measured` comes from silicon, `derived` is computed here from others.
    scope: what one such event includes. voltage in V, node in nm.

    Raises BadInput for a value that is negative, infinite or not a number.
    """

    value: float
    unit: str
    source: str
    kind: Literal["simulated", "measured", "derived"]
    scope: str
    voltage: float
    node: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0:
            raise BadInput(
                f"constant: {self.value} {self.unit} ({self.source}) is not an energy; give a finite number >= 0"
            )


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How counts become picojoules: one price for an accumulate, one for a multiply-accumulate."""

    name: str
    title: str
    ac: Constant
    mac: Constant

    def __post_init__(self) -> None:
        for constant in (self.ac, self.mac):
            if constant.unit != "pJ":
                raise BadInput(f"{self.name}: constants of a convention are in pJ, got {constant.unit!r}; convert it")


CONVENTIONS: Registry[Convention] = Registry("energy convention")

_HOROWITZ = "Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323, table of operation energies"


def _horowitz(value: float, what: str) -> Constant:
    return Constant(
        value=value,
        unit="pJ",
        source=f"{_HOROWITZ}: {what}",
        kind="simulated",
        scope="the arithmetic of one operation; no memory, no control",
        voltage=0.9,
        node=45,
    )


def _mac(add: Constant, multiply: Constant) -> Constant:
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

CONVENTIONS.register(
    "op_count_fp32",
    Convention(
        name="op_count_fp32",
        title="operation counts at 32-bit floating point (AC 0.9 pJ, MAC 4.6 pJ)",
        ac=FP32_ADD,
        mac=_mac(FP32_ADD, FP32_MULTIPLY),
    ),
)
CONVENTIONS.register(
    "op_count_int8",
    Convention(
        name="op_count_int8",
        title="operation counts at 8-bit integer (AC 0.03 pJ, MAC 0.23 pJ)",
        ac=INT8_ADD,
        mac=_mac(INT8_ADD, INT8_MULTIPLY),
    ),
)

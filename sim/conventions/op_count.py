"""Operation counts at Horowitz's 45 nm energies: the table of most SNN papers (Spikformer family, SEW, syops)."""

from __future__ import annotations

from ..constants import FP32_ADD, FP32_MULTIPLY, INT8_ADD, INT8_MULTIPLY, multiply_add
from ..convention import CONVENTIONS, operation_counts

CONVENTIONS.register(
    "op_count_fp32",
    operation_counts(
        "op_count_fp32",
        "operation counts at 32-bit floating point (AC 0.9 pJ, MAC 4.6 pJ)",
        ac=FP32_ADD,
        mac=multiply_add(FP32_ADD, FP32_MULTIPLY),
    ),
)
CONVENTIONS.register(
    "op_count_int8",
    operation_counts(
        "op_count_int8",
        "operation counts at 8-bit integer (AC 0.03 pJ, MAC 0.23 pJ)",
        ac=INT8_ADD,
        mac=multiply_add(INT8_ADD, INT8_MULTIPLY),
    ),
)

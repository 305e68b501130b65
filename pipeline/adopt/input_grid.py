"""How float inputs become the integers a source carries: spikes as they are, exact steps where there are some."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...hw import BadInput, Chip, NotRepresentable, Source

DEFAULT_BITS = 8
SAMPLE = 1 << 16  # values looked at when exact steps are sought
CLOSE = 1e-4  # of a step: what float32 leaves of an exact multiple


@dataclass(frozen=True, kw_only=True)
class InputGrid:
    """integer = floor(value * steps + 1/2), clipped to the payload. exact: whether calibration data lie on the grid.

    steps: integers per unit of the input. source: payload_bits 0 for spikes.
    """

    steps: float
    source: Source
    exact: bool

    def encode(self, x: Tensor) -> Tensor:
        """Payloads of inputs of any shape, int32. Raises BadInput for values that are not finite."""
        if not torch.isfinite(x).all():
            raise BadInput("inputs: they hold NaN or infinity; clean the data")
        integers = (x.to(torch.float64) * self.steps + 0.5).floor()
        return integers.clamp(self.source.min_payload, self.source.max_payload).to(torch.int32)

    @property
    def text(self) -> str:
        """The encoding in words, for a report."""
        if not self.source.payload_bits:
            return "spikes, as they are"
        kind = "signed " if self.source.signed else ""
        how = "exactly" if self.exact else "rounded"
        return f"{kind}payloads of {self.source.payload_bits} bits, {self.steps:g} steps per unit, {how}"


def input_grid(x: Tensor, chip: Chip, payload_bits: int | None) -> InputGrid:
    """The grid for data like `x`: spikes if all are 0 or 1, else a payload as fine as its bits allow.

    payload_bits: None for 8, or fewer where the data are whole multiples of a coarser step. Raises BadInput for data
    that are not finite or all zero, and NotRepresentable where the chip carries no such payload.
    """
    if not torch.isfinite(x).all():
        raise BadInput("calibration data: they hold NaN or infinity; clean them")
    low, high = float(x.min()), float(x.max())
    if low == high == 0:
        raise BadInput("calibration data: all inputs are zero; give samples the network was made for")
    if not payload_bits and bool(((x == 0) | (x == 1)).all()):
        return InputGrid(steps=1.0, source=Source(), exact=True)
    if chip.payload_bits_max == 0:
        raise NotRepresentable(
            f"calibration data: values from {low:g} to {high:g}, and {chip.name} takes only spikes; encode the inputs "
            "as spikes (0 and 1), or use a chip with graded spikes"
        )
    signed = low < 0
    bits = payload_bits or DEFAULT_BITS
    largest = Source(payload_bits=bits, signed=signed).max_payload / max(high, -low)
    steps = _exact_steps(x, largest)
    if steps is None:
        return InputGrid(steps=largest, source=Source(payload_bits=bits, signed=signed), exact=False)
    if payload_bits is None:
        bits = max(round(max(high, -low) * steps).bit_length() + signed, 1 + signed)
    return InputGrid(steps=float(steps), source=Source(payload_bits=bits, signed=signed), exact=True)


def _exact_steps(x: Tensor, largest: float) -> int | None:
    """The fewest whole steps per unit, at most `largest`, of which all values are multiples; None if there are none."""
    values = torch.unique(x.to(torch.float64).reshape(-1)[:SAMPLE])
    for steps in range(1, int(largest + CLOSE) + 1):
        scaled = values * steps
        if torch.all((scaled - scaled.round()).abs() < CLOSE * max(1.0, float(steps) / 16)):
            whole = x.to(torch.float64) * steps
            if torch.all((whole - whole.round()).abs() < 1e-2):
                return steps
    return None

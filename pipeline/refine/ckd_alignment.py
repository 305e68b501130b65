"""What of a student's two streams is aligned, at every timestep, and how far it is.

Where the read-out reads a sum of spikes (a pre-activation network), that sum, pooled as the read-out pools it; else the
membrane of the last population, after the reset: there is more in it than in the spikes. Source: He et al., AAAI 2024,
public code (VGGSNN and ResNet-18).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...hw import BadInput
from ...models import INPUT, GraphNet, LinearWire, Spiking, membrane_of
from ..cka import cka_biased, cka_unbiased


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What is compared. unit: its name. what: `membrane`, `sum`, or a sum's spatial `mean`."""

    unit: str
    what: str

    @property
    def tap(self) -> str:
        """What a network is asked for."""
        return membrane_of(self.unit) if self.what == "membrane" else self.unit

    def of(self, taps: Mapping[str, Tensor]) -> Tensor:
        """The features (T, B, ...), given the taps that the network returned."""
        found = taps[self.tap]
        return found.mean(dim=(-2, -1)) if self.what == "mean" else found


def feature_of(student: GraphNet) -> Feature:
    """What is compared of a student. Raises BadInput for one whose last population has no spiking neurons."""
    architecture = student.architecture
    units = {unit.name: unit for unit in architecture.units}
    read = architecture.units[-1].wires[-1]
    if read.source != INPUT and units[read.source].linear:
        return Feature(unit=read.source, what="mean" if isinstance(read, LinearWire) and read.mean else "sum")
    last = next((unit.name for unit in reversed(architecture.units[:-1]) if unit.fires), None)
    if last is None or not isinstance(student.node(last).neuron, Spiking):
        raise BadInput(
            f"ckd: {architecture.name} has no spiking neurons before its read-out, so there is no membrane to align; "
            "leave refine.last_activation at spiking, and give the network a hidden layer"
        )
    return Feature(unit=last, what="membrane")


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """|CKA| of two streams at every timestep, (T,) each; the biased one is never negative."""

    biased: Tensor
    unbiased: Tensor


def similarity(a: Tensor, b: Tensor) -> Similarity:
    """a, b: features (T, B, ...). Raises BadInput for fewer than 4 samples."""
    return Similarity(
        biased=torch.stack([cka_biased(x, y) for x, y in zip(a, b, strict=True)]),
        unbiased=torch.stack([cka_unbiased(x, y) for x, y in zip(a, b, strict=True)]).abs(),
    )

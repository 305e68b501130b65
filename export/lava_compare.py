"""What Lava recorded, and its comparison with what we expect: every neuron, every timestep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..hw import BadInput

Quantity = Literal["u", "v", "spikes"]
QUANTITIES: tuple[Quantity, ...] = ("u", "v", "spikes")
"""What is recorded of every neuron."""

DTYPES = {"u": np.int32, "v": np.int32, "spikes": np.uint8}


@dataclass(frozen=True, kw_only=True)
class LavaTrace:
    """What Lava's neurons did.

    u, v: int32, spikes: uint8, by population, each (T, B, *shape) with shape (C, H, W) or (F,); v is after the reset.
    layers_written: layers with neurons in the file. layers_built: what netx made of them. seconds: Lava's own time.
    """

    u: Mapping[str, np.ndarray]
    v: Mapping[str, np.ndarray]
    spikes: Mapping[str, np.ndarray]
    layers_written: int
    layers_built: int
    seconds: float
    versions: Mapping[str, str]

    @property
    def n_samples(self) -> int:
        """Samples that went through."""
        return next(iter(self.v.values())).shape[1]


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first number that differs: of the earliest timestep, in the earliest layer, of the earliest sample.

    timestep: 0-based. neuron: index into the population's shape.
    """

    sample: int
    timestep: int
    layer: str
    neuron: tuple[int, ...]
    quantity: Quantity
    expected: int
    found: int

    def __str__(self) -> str:
        return (
            f"sample {self.sample}, timestep {self.timestep}, layer {self.layer}, neuron {self.neuron}: "
            f"{self.quantity} expected {self.expected}, Lava has {self.found}"
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Outcome of a comparison. values: numbers compared. mismatches: how many differ. first: where it begins."""

    samples: int
    layers_written: int
    layers_built: int
    values: int
    mismatches: int
    first: Divergence | None

    @property
    def agrees(self) -> bool:
        """Whether every number is equal and every layer was built."""
        return self.mismatches == 0 and self.layers_built == self.layers_written


def compare(trace: LavaTrace, expected: Mapping[str, Mapping[str, np.ndarray]]) -> Verdict:
    """Compare Lava with what we expect, number by number.

    expected: by population, then by quantity (`u`, `v`, `spikes`, any of them), arrays (T, B, *shape). Raises BadInput
    for a population or quantity Lava did not record, a layer that is left out, or another shape.
    """
    missing = [name for name in trace.v if not expected.get(name)]
    unknown = [name for name in expected if name not in trace.v]
    if missing or unknown:
        raise BadInput(f"lava: expected values are missing for {missing}, and given for unknown layers {unknown}")
    values = mismatches = 0
    first: tuple[tuple[int, ...], Divergence] | None = None
    for depth, layer in enumerate(trace.v):
        for quantity, wanted in expected[layer].items():
            if quantity not in QUANTITIES:
                raise BadInput(f"lava: {layer}: {quantity!r} is not recorded; recorded: {', '.join(QUANTITIES)}")
            found = getattr(trace, quantity)[layer]
            wanted = np.asarray(wanted)
            if wanted.shape != found.shape:
                raise BadInput(f"lava: {layer}: {quantity} of shape {wanted.shape} given, Lava recorded {found.shape}")
            different = wanted != found
            values += found.size
            mismatches += int(different.sum())
            here = first_difference(different, wanted, found, layer, quantity)
            if here is not None:
                rank = (here.timestep, depth, here.sample)
                if first is None or rank < first[0]:
                    first = (rank, here)
    return Verdict(
        samples=trace.n_samples,
        layers_written=trace.layers_written,
        layers_built=trace.layers_built,
        values=values,
        mismatches=mismatches,
        first=first[1] if first else None,
    )


def first_difference(
    different: np.ndarray, expected: np.ndarray, found: np.ndarray, layer: str, quantity: Quantity
) -> Divergence | None:
    """The first entry of `different`, (T, B, *shape), as a divergence; None if nothing differs."""
    if not different.any():
        return None
    where = np.unravel_index(int(different.argmax()), different.shape)
    timestep, sample, *neuron = (int(n) for n in where)
    return Divergence(
        sample=sample,
        timestep=timestep,
        layer=layer,
        neuron=tuple(neuron),
        quantity=quantity,
        expected=int(expected[where]),
        found=int(found[where]),
    )

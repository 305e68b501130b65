"""What a network did with some samples, as integers, and the first of them in which two runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...hw import Network

Row = tuple[str, ...]
"""What is counted: ("spikes", population), or ("synops" or "synops_effective", source, target)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Golden:
    """What a network did with B samples.

    spikes: by population that computes, zeros and ones, uint8 (T, B, *shape). readouts: what it would have answered
    after each timestep, int64 (T, B, K): the read-out's membrane, or its spikes so far. counts: events by `count_rows`,
    int64 (T, B); None of who does not count.
    """

    spikes: Mapping[str, np.ndarray]
    readouts: np.ndarray
    counts: Mapping[Row, np.ndarray] | None

    @property
    def n_samples(self) -> int:
        """B."""
        return self.readouts.shape[1]

    @property
    def predictions(self) -> np.ndarray:
        """Index of the largest read-out after the last timestep, the first of equal ones: int64 (B,)."""
        return self.readouts[-1].argmax(axis=1)

    def first(self, samples: int) -> Golden:
        """The same for the first samples only."""
        counts = self.counts
        return Golden(
            spikes={name: values[:, :samples] for name, values in self.spikes.items()},
            readouts=self.readouts[:, :samples],
            counts=None if counts is None else {row: values[:, :samples] for row, values in counts.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One integer that differs. timestep and sample count from 0; neuron: index into what, () for a count."""

    what: str
    timestep: int
    sample: int
    neuron: tuple[int, ...]
    expected: int
    found: int

    def __str__(self) -> str:
        where = f", neuron {self.neuron}" if self.neuron else ""
        return (
            f"sample {self.sample}, timestep {self.timestep}, {self.what}{where}: the capsule has {self.expected}, "
            f"the replay {self.found}"
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs side by side. integers: how many were compared. mismatches: how many differ, first: where it begins."""

    samples: int
    integers: int
    mismatches: int
    first: Difference | None


def compare(expected: Golden, found: Golden) -> Comparison:
    """Compare every integer both runs have.

    The first difference is that of the earliest timestep, in the earliest population (then the read-out, then the
    counts), of the earliest sample: what comes later may follow from it.
    """
    integers = mismatches = 0
    first: Difference | None = None
    for what, wanted, got in _side_by_side(expected, found):
        assert wanted.shape == got.shape  # both are of one network and its first samples
        different = wanted != got
        integers += wanted.size
        mismatches += int(different.sum())
        if different.any():
            place = np.unravel_index(int(different.argmax()), different.shape)
            timestep, sample, *neuron = (int(n) for n in place)
            if first is None or timestep < first.timestep:
                first = Difference(
                    what=what,
                    timestep=timestep,
                    sample=sample,
                    neuron=tuple(neuron),
                    expected=int(wanted[place]),
                    found=int(got[place]),
                )
    return Comparison(samples=expected.n_samples, integers=integers, mismatches=mismatches, first=first)


def count_rows(network: Network) -> tuple[Row, ...]:
    """What is counted in a network, in order; connections that join the same two populations are counted together."""
    pairs = list(dict.fromkeys((c.source, c.target) for c in network.connections))
    return (
        *(("spikes", population.name) for population in network.populations),
        *(("synops", *pair) for pair in pairs),
        *(("synops_effective", *pair) for pair in pairs),
    )


def readouts_of(network: Network, spikes: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The answers after each timestep, int64 (T, B, K), from the read-out's spikes and v, both (T, B, *shape)."""
    answers = v if network.readout.kind == "membrane" else spikes.cumsum(axis=0, dtype=np.int64)
    return answers.astype(np.int64).reshape(*answers.shape[:2], -1)


def _side_by_side(expected: Golden, found: Golden) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(what, expected, found) of everything both have; each array is (T, B, ...)."""
    for name, wanted in expected.spikes.items():
        yield f"spikes of {name}", wanted, found.spikes[name]
    yield "read-out", expected.readouts, found.readouts
    if expected.counts is not None and found.counts is not None:
        for row, wanted in expected.counts.items():
            kind, *names = row
            yield f"count of {kind} of {' -> '.join(names)}", wanted, found.counts[row]

"""Exact event counts: which spike reaches how many synapses.

A neuron's **fan-out** under a connection is the number of synapses a spike of it reaches: for `Dense` one per output,
for `OneToOne` one, for `Conv` the target positions that lie inside the target (padding and the border of a strided
kernel reach nothing) times the output channels of its group. A recurrent connection is counted as the pair (p, p).
Summed over the spikes that were really sent it gives the synaptic operations,

    synops[t, b] = sum over neurons of [neuron spiked at timestep t in sample b] * fan_out(neuron),

an integer, with no mean firing rate in between. An operation is counted at the timestep its spike is sent, whatever the
delay, and also where the spike would arrive after the sample's end. *Stored* counts every synapse, zero weights
included (SpikingJelly's `SynOpCounter`); *effective* counts the non-zero ones (NeuroBench's `SynapticOperations`). A
graded spike is any payload but zero; its operations multiply (MAC), those of a binary spike only add (AC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from ..hw import BadInput, Connection, Conv, Network, OneToOne, Shape, Source, did_you_mean

Pair = tuple[str, str]
"""(source, target). Connections that join the same two populations are counted together."""

DenseMacs = Literal["edge_exact", "formula"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Events per timestep and sample. Every value is int64 of shape (T, B), on the CPU.

    spikes: by population, sources included. synops: by (source, target), stored synapses reached.
    synops_effective: the same without zero weights. overflows: by population that the run watched (`sim.run`'s `chip`),
    synaptic sums of a magnitude above `hw.sum_limit`; all must be zero. tallies: by name, then by population, what the
    spikes add up to where each neuron's weighs as much as `sim.run` was told.
    """

    spikes: dict[str, torch.Tensor]
    synops: dict[Pair, torch.Tensor]
    synops_effective: dict[Pair, torch.Tensor]
    overflows: dict[str, torch.Tensor] = field(default_factory=dict)
    tallies: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    @property
    def n_steps(self) -> int:
        """Timesteps per sample."""
        return next(iter(self.spikes.values())).shape[0]

    @property
    def n_samples(self) -> int:
        """Samples counted."""
        return next(iter(self.spikes.values())).shape[1]

    @staticmethod
    def merge(parts: Sequence[Counts]) -> Counts:
        """The counts of several runs of one network, their samples side by side.

        Raises BadInput for no parts, for parts of different networks, or for parts that were watched or tallied
        differently.
        """
        if not parts:
            raise BadInput("merge: there are no counts to merge; pass those of at least one run")
        first = parts[0]
        for i, part in enumerate(parts):
            same_names = part.spikes.keys() == first.spikes.keys() and part.synops.keys() == first.synops.keys()
            if not same_names or part.n_steps != first.n_steps:
                raise BadInput(
                    f"merge: part {i} counts {sorted(part.spikes)} over {part.n_steps} timesteps, the first part "
                    f"{sorted(first.spikes)} over {first.n_steps}; merge runs of one network only"
                )
            if part.overflows.keys() != first.overflows.keys():
                raise BadInput(
                    f"merge: part {i} watched the sums of {sorted(part.overflows)}, the first part those of "
                    f"{sorted(first.overflows)}; run all parts with the same chip"
                )
            if _tallied(part) != _tallied(first):
                raise BadInput(
                    f"merge: part {i} holds the tallies {_tallied(part)}, the first part {_tallied(first)}; run all "
                    "parts with the same tallies"
                )

        def joined(tables: Sequence[dict]) -> dict:
            return {key: torch.cat([table[key] for table in tables], dim=1) for key in tables[0]}

        return Counts(
            spikes=joined([part.spikes for part in parts]),
            synops=joined([part.synops for part in parts]),
            synops_effective=joined([part.synops_effective for part in parts]),
            overflows=joined([part.overflows for part in parts]),
            tallies={name: joined([part.tallies[name] for part in parts]) for name in first.tallies},
        )

    def until(self, n_steps: int) -> Counts:
        """The events of the first n_steps timesteps: those of a sample that ends there. Raises BadInput beyond T."""
        if not 1 <= n_steps <= self.n_steps:
            raise BadInput(f"until: {n_steps} timesteps of a run of {self.n_steps}; give 1..{self.n_steps}")

        def begun(table: dict) -> dict:
            return {key: events[:n_steps] for key, events in table.items()}

        return Counts(
            spikes=begun(self.spikes),
            synops=begun(self.synops),
            synops_effective=begun(self.synops_effective),
            overflows=begun(self.overflows),
            tallies={name: begun(table) for name, table in self.tallies.items()},
        )

    def spikes_per_sample(self) -> dict[str, float]:
        """Mean number of spikes of each population over one sample (all timesteps)."""
        return {name: int(events.sum()) / self.n_samples for name, events in self.spikes.items()}

    def synops_per_sample(self, *, effective: bool = False) -> dict[Pair, float]:
        """Mean synaptic operations of each (source, target) over one sample (all timesteps)."""
        table = self.synops_effective if effective else self.synops
        return {pair: int(events.sum()) / self.n_samples for pair, events in table.items()}


def _tallied(counts: Counts) -> dict[str, list[str]]:
    """Which populations each tally is of."""
    return {name: sorted(table) for name, table in sorted(counts.tallies.items())}


def fan_out(connection: Connection, source: Shape, *, effective: bool = False) -> np.ndarray:
    """Synapses that one spike of each source neuron reaches. int64 of shape `source`.

    effective: leave out synapses of weight zero. Raises BadInput if the connection does not fit `source`.
    """
    target = connection.out_shape(source)
    present = connection.weight != 0 if effective else np.ones(connection.weight.shape, bool)
    if isinstance(connection, OneToOne):
        return np.full(source, int(present), np.int64)
    if not isinstance(connection, Conv):
        return present.sum(axis=0, dtype=np.int64).reshape(source)
    rows = _reach(source[1], target[1], connection, axis=0)
    columns = _reach(source[2], target[2], connection, axis=1)
    # Synapses of each source channel at each kernel tap: (out, in / groups, kH, kW) -> (in, kH, kW).
    grouped = present.reshape(connection.groups, -1, *present.shape[1:])
    taps = grouped.sum(axis=1, dtype=np.int64).reshape(-1, *present.shape[2:])
    return np.einsum("hi,wj,cij->chw", rows, columns, taps, optimize=True)


def dense_macs(network: Network, connection: Connection, how: DenseMacs = "edge_exact") -> int:
    """Multiply-accumulates of one pass through a connection when every source neuron is active.

    edge_exact: the synapses that exist, nothing at padded positions (also the number of synapses, see `n_synapses`).
    formula: kH * kW * H_out * W_out * C_in * C_out / groups, as papers count; it includes the padding.
    """
    if how not in ("edge_exact", "formula"):
        raise BadInput(f"dense_macs: unknown count {how!r}; {did_you_mean(how, ('edge_exact', 'formula'))}")
    source = network[connection.source].shape
    if how == "edge_exact" or not isinstance(connection, Conv):
        return _synapses(connection, source, effective=False)
    positions = int(np.prod(connection.out_shape(source)[1:]))
    return connection.weight.size * positions


def n_synapses(network: Network, *, effective: bool = False) -> dict[Pair, int]:
    """Synapses between each (source, target), shared kernels counted at every place; `effective` skips zero weights."""
    totals: dict[Pair, int] = {}
    for connection in network.connections:
        pair = (connection.source, connection.target)
        here = _synapses(connection, network[connection.source].shape, effective=effective)
        totals[pair] = totals.get(pair, 0) + here
    return totals


def neuron_updates(network: Network) -> dict[str, int]:
    """State updates of each population over one sample: its neurons times the timesteps, spike or no spike."""
    return {population.name: population.size * network.n_steps for population, _ in network.neurons}


def is_graded(network: Network, name: str) -> bool:
    """Whether the spikes of a population carry a payload, so that each synaptic operation is a MAC."""
    neuron = network[name].neuron
    return isinstance(neuron, Source) and neuron.payload_bits > 0


@lru_cache(maxsize=128)
def _synapses(connection: Connection, source: Shape, *, effective: bool) -> int:
    """Synapses of a connection; kept, as every convention asks again. Connections never change."""
    return int(fan_out(connection, source, effective=effective).sum())


def _reach(source: int, target: int, conv: Conv, axis: int) -> np.ndarray:
    """Which source position meets which kernel tap along one axis. int64 0/1 of shape (source, kernel).

    Target t reads source t * stride - padding + tap * dilation, so a pair meets where that t is whole and exists.
    """
    position = np.arange(source)[:, None]
    tap = np.arange(conv.weight.shape[2 + axis])[None, :]
    start = position + conv.padding[axis] - tap * conv.dilation[axis]
    whole = start % conv.stride[axis] == 0
    inside = (start >= 0) & (start // conv.stride[axis] < target)
    return (whole & inside).astype(np.int64)

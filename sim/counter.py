"""Counting what the spikes of one population reach, while they are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType, ModuleType

import numpy as np
import torch

from ..hw import Network, Population
from .counts import fan_out, is_graded
from .exact import FLOAT32_EXACT, sum_dtype
from .kernels import parallel
from .kernels.rows import EventRows
from .layout import inside


class EventCounter:
    """Counts the spikes of one population and what they reach, in one pass over them.

    The fan-outs are columns of one table over the neurons. In a convolution's interior they are the same at every
    pixel, so there are few kinds of pixels: compiled code adds up the spikes of each kind and channel, and weighs those
    sums. Tallies are further columns, which may differ at every neuron: compiled code adds up their rows, spike by
    spike. Plain torch multiplies the whole table, cut into blocks of neurons small enough that no partial sum leaves
    the exact range of float32.

    tallies: by name, what each spike of a neuron adds, int64 of the population's shape (`sim.run`).
    """

    def __init__(
        self,
        network: Network,
        population: Population,
        device: torch.device,
        tallies: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        self.graded = is_graded(network, population.name)
        self.pairs = [(c.source, c.target) for c in network.outgoing(population.name)]
        columns = [np.ones(population.shape, np.int64)]
        for connection in network.outgoing(population.name):
            for effective in (False, True):
                columns.append(fan_out(connection, population.shape, effective=effective))
        self.tallies = tuple(tallies)
        self._n_fixed = len(columns)
        columns += [values.astype(np.int64) for values in tallies.values()]
        self.table = np.stack([inside(column) for column in columns])
        self.device = device
        self.name = population.name
        self._plain: tuple[torch.dtype, list[tuple[int, int, torch.Tensor]]] | None = None
        self._kinds: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._rows: EventRows | None = None

    def count(self, spikes: torch.Tensor, loops: ModuleType | None = None) -> torch.Tensor:
        """Events of each timestep and sample.

        spikes: (B, T, *S) with channels last, any type. loops: `kernels.compiled`, or None for plain torch. Returns
        int64 (B, T, K): the spikes, then for each outgoing connection the synapses reached, stored and effective, then
        the tallies.
        """
        rows = spikes.flatten(2).flatten(0, 1)
        if self.graded:
            rows = (rows != 0).to(torch.uint8)
        totals = self._by_product(rows) if loops is None else self._by_loops(rows.to(torch.uint8), loops)
        return totals.reshape(*spikes.shape[:2], -1)

    def activity(self, spikes: torch.Tensor) -> torch.Tensor:
        """In how many of the samples each neuron spikes. spikes: as for `count`. Returns int64 (T, *S)."""
        events = (spikes != 0).to(torch.uint8) if self.graded else spikes
        blocks = events.split(np.iinfo(np.uint8).max)  # of so many samples no byte overflows
        return sum((block.sum(dim=0, dtype=torch.uint8).to(torch.int64) for block in blocks), torch.tensor(0))

    def _by_loops(self, events: torch.Tensor, loops: ModuleType) -> torch.Tensor:
        fixed = self._by_kind(events, loops)
        if not self.tallies:
            return fixed
        if self._rows is None:
            values = self.table[self._n_fixed :]
            self._rows = EventRows(values.reshape(len(values), -1), loops.add_events)
        return torch.cat([fixed, torch.from_numpy(self._rows(events.numpy()))], dim=1)

    def _by_kind(self, events: torch.Tensor, loops: ModuleType) -> torch.Tensor:
        if self._kinds is None:
            self._kinds = _kinds_of_pixels(self.table[: self._n_fixed])
        rows, kinds, table = self._kinds
        totals = torch.empty(len(events), len(table), dtype=torch.int64)
        given, filled = events.reshape(len(events), len(rows), -1).numpy(), totals.numpy()
        parallel(lambda part: loops.tally(given[part], rows, kinds, table, filled[part]), len(given), smallest=4)
        return totals

    def _by_product(self, rows: torch.Tensor) -> torch.Tensor:
        if self._plain is None:
            matrix = self.table.reshape(len(self.table), -1).T
            dtype = sum_dtype(int(matrix.max()), self.device, self.name)
            cuts = _cuts(matrix.max(axis=1)) if dtype == torch.float32 else [0, len(matrix)]
            parts = [(a, b, torch.from_numpy(matrix[a:b].copy()).to(self.device, dtype)) for a, b in pairwise(cuts)]
            self._plain = dtype, parts
        dtype, parts = self._plain
        events = rows.to(dtype)
        totals = torch.zeros(len(rows), len(self.table), dtype=torch.int64, device=rows.device)
        for start, stop, part in parts:
            totals += (events[:, start:stop] @ part).to(torch.int64)
        return totals


def _kinds_of_pixels(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pixels share their fan-outs. table: (K, H, W, C) or (K, F), a vector being one pixel of F channels.

    Returns the kind of each row of pixels, int32 (H,), the kind of each pixel in each kind of row, int32 (rows, W), and
    the fan-outs of each kind of pixel, int64 (K, kinds, C).
    """
    columns, channels = len(table), table.shape[-1]
    height = table.shape[1] if table.ndim == 4 else 1
    pixels = table.reshape(columns, -1, channels).swapaxes(0, 1)
    kinds, first = _distinct(pixels.reshape(len(pixels), -1))
    kinds = kinds.reshape(height, -1)
    rows, first_row = _distinct(kinds)
    return rows, np.ascontiguousarray(kinds[first_row]), np.ascontiguousarray(pixels[first].swapaxes(0, 1))


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the distinct rows of `values` each row is, int32, and where each distinct one is first found."""
    _, first, which = np.unique(values, axis=0, return_index=True, return_inverse=True)
    return which.reshape(-1).astype(np.int32), first


def _cuts(largest: np.ndarray) -> list[int]:
    """Block borders such that the sum of `largest` within a block stays below 2^24 (each entry does already)."""
    cuts, total = [0], 0
    for i, value in enumerate(largest.tolist()):
        if total + value >= FLOAT32_EXACT:
            cuts.append(i)
            total = 0
        total += value
    return [*cuts, len(largest)]

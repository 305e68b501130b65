"""A connection as what can be added up at once: bundles of synapses of one delay, and the ways to sum each.

Every way turns the spikes of N independent pictures or vectors into their synaptic sums, and all give the same
integers; `sim.plan` says which one is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch

from ..hw import Connection, Conv, Dense, Network, Shape, Source
from . import selfcheck
from .kernels import LANES
from .kernels.events import EventConv, EventDense
from .kernels.int8 import Int8Conv, Int8Dense, computes_right, on_grid
from .kernels.plain import FloatConv, FloatDense, Scale
from .layout import order

Sum = Callable[[torch.Tensor], torch.Tensor]
"""Spikes (N, *inner shape of the source) to sums (N, ...), float32 or float64, in the inner order of the target."""

EVENT_OFFSETS = 1 << 31
"""Weights of one bundle that event-driven sums can tell apart."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """The synapses of one connection that share one delay.

    weight: for Dense the part of the matrix, neurons in the inner order, between `columns` of the source and `rows` of
    the target; None for either stands for all of them. delay: in timesteps, one more than the synapse's if recurrent.
    macs: multiply-accumulates of one pass.
    """

    connection: Connection
    source_shape: Shape
    target_shape: Shape
    weight: np.ndarray
    delay: int = 0
    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one picture or vector, those with padding included."""
        positions = math.prod(self.target_shape[1:]) if isinstance(self.connection, Conv) else 1
        return self.weight.size * positions

    def take(self, spikes: torch.Tensor) -> torch.Tensor:
        """The spikes a way of this bundle is called with. spikes: (N, *inner shape of the source)."""
        if not isinstance(self.connection, Dense):
            return spikes
        flat = spikes.flatten(1)
        return flat if self.columns is None else flat.index_select(1, self.columns)

    def plain(self, dtype: torch.dtype, device: torch.device) -> Sum:
        """The reference way."""
        if isinstance(self.connection, Conv):
            return FloatConv(self.connection, dtype, device)
        if isinstance(self.connection, Dense):
            return FloatDense(self.weight, dtype, device)
        return Scale(self.weight, dtype)

    def int8(self, most: int) -> Sum | None:
        """8-bit products for payloads of at most `most`, or None where weights, payloads or the machine forbid them."""
        grid = on_grid(self.weight)
        if grid is None or most > 255 or most > selfcheck.int8_payload():
            return None
        if isinstance(self.connection, Conv):
            return Int8Conv(self.connection, grid) if computes_right(self.connection) else None
        return Int8Dense(grid) if isinstance(self.connection, Dense) else None

    def event(self, binary: bool, loops: ModuleType | None) -> Sum | None:
        """Event-driven sums, or None for graded spikes, grouped convolutions, huge matrices, or without numba."""
        outputs = len(self.weight) if self.weight.ndim else 1
        padded = self.weight.size // outputs * (outputs + LANES)
        if not binary or loops is None or padded >= EVENT_OFFSETS:
            return None
        if isinstance(self.connection, Conv):
            grouped = self.connection.groups > 1
            return None if grouped else EventConv(self.connection, self.target_shape, loops.conv_events)
        return EventDense(self.weight, loops.conv_events) if isinstance(self.connection, Dense) else None


def bundles(network: Network, connection: Connection, device: torch.device) -> Iterator[Bundle]:
    """The bundles of a connection; one, unless its synapses have several delays."""
    source, target = network[connection.source].shape, network[connection.target].shape
    if not isinstance(connection, Dense):
        yield Bundle(connection, source, target, connection.weight)
        return
    sources, targets = order(source), order(target)
    weight = connection.weight[np.ix_(targets, sources)]
    later = 1 if connection.recurrent else 0
    delays = connection.delay
    if delays.ndim == 0:
        yield Bundle(connection, source, target, weight, int(delays) + later)
        return
    delays = np.broadcast_to(delays, connection.weight.shape)[np.ix_(targets, sources)]
    for delay in np.unique(delays).tolist():
        here = delays == delay
        rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
        part = np.where(here, weight, 0)[np.ix_(rows, columns)]
        yield Bundle(
            connection,
            source,
            target,
            part,
            delay + later,
            None if len(rows) == len(targets) else torch.from_numpy(rows).to(device),
            None if len(columns) == len(sources) else torch.from_numpy(columns).to(device),
        )


def largest_payload(network: Network, name: str) -> int | None:
    """The largest payload a population sends, 1 for binary spikes; None where a payload can be negative."""
    neuron = network[name].neuron
    if not isinstance(neuron, Source):
        return 1
    return None if neuron.min_payload < 0 else neuron.max_payload

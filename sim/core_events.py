"""What every core of a placement does, from the spikes that were counted.

A core holds a box of one population. What reaches it over a convolution is a product of three axes (channels, rows,
columns), and so are the boxes of a population; the operations of all its cores are therefore three small matrix
products over the spikes, exact in integers.

The chip is a pipeline: a population whose longest way from the source has l connections, its **level**, works on
timestep t of a sample at step t + l of the chip, and what it hears of that timestep reaches its core one step before,
when it is sent; from itself, in the step in which it fires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..hw import BadInput, Connection, Conv, Dense, Network, Shape, Source
from ..hw.placement import Grid, Part, Placement
from ..hw.placement.reach import axes, channel_groups

Activity = Mapping[str, torch.Tensor]
"""Spikes of each neuron at each timestep, summed over samples: by population, sources too, integers (T, *shape)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CoreEvents:
    """Events of each core at each step of the chip, summed over samples: int64 (T + depth, cores), unless said.

    dense_synops, shared_synops: operations of synapses stored one by one, and of those that share a weight
    (convolutions, one-to-one). messages_in: spikes received, one for each neuron and connection. spikes: sent by the
    core's neurons. messages_out: the same, once for each core they go to. neurons: int64 (cores,), updated at every
    step. n_steps: timesteps of a sample, T.
    """

    dense_synops: np.ndarray
    shared_synops: np.ndarray
    messages_in: np.ndarray
    spikes: np.ndarray
    messages_out: np.ndarray
    neurons: np.ndarray
    n_steps: int


def core_operations(placement: Placement, activity: Activity) -> np.ndarray:
    """Synaptic operations delivered to each core at each timestep, summed over samples. int64 (T, cores).

    Stored synapses, zero weights included; over the cores of a population they add up to `Counts.synops` of all that
    leads to it. Raises BadInput for an activity that is not the network's.
    """
    spikes = _checked(placement.network, activity)
    total = np.zeros((_n_steps(spikes), len(placement.cores)), np.int64)
    for connection in placement.network.connections:
        _, synops = _delivered(placement, connection, spikes[connection.source])
        total[:, _cores(placement, connection.target)] += synops
    return total


def core_events(placement: Placement, activity: Activity) -> CoreEvents:
    """What each core does at each step of the chip while one sample passes, with nothing before it or after it.

    Raises BadInput for an activity that is not the network's.
    """
    network, spikes = placement.network, _checked(placement.network, activity)
    level = levels(network)
    n_steps = _n_steps(spikes)
    shape = (n_steps + level[network.readout.population], len(placement.cores))
    dense, shared, messages_in, fired, messages_out = (np.zeros(shape, np.int64) for _ in range(5))
    for connection in network.connections:
        source, target = connection.source, connection.target
        cores, step = _cores(placement, target), level[target] - (source != target)
        messages, synops = _delivered(placement, connection, spikes[source])
        _add(messages_in, step, cores, messages)
        _add(dense if isinstance(connection, Dense) else shared, step, cores, synops)
        if source in placement.grids:
            sent = spikes[source] * _destinations(placement, connection)
            _add(messages_out, level[source], _cores(placement, source), _by_box(sent, placement.grids[source]))
    for name, grid in placement.grids.items():
        _add(fired, level[name], _cores(placement, name), _by_box(spikes[name], grid))
    return CoreEvents(
        dense_synops=dense,
        shared_synops=shared,
        messages_in=messages_in,
        spikes=fired,
        messages_out=messages_out,
        neurons=np.array([core.part.size for core in placement.cores], np.int64),
        n_steps=n_steps,
    )


def levels(network: Network) -> dict[str, int]:
    """Connections on the longest way from a source to each population; a shorter way waits for it on the chip."""
    found: dict[str, int] = {}
    for population in network.populations:
        before = [c.source for c in network.incoming(population.name) if c.source != population.name]
        found[population.name] = 1 + max((found[name] for name in before), default=-1)
    return found


def _delivered(placement: Placement, connection: Connection, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(messages, synaptic operations) that each core of the target gets over a connection, int64 (T, its cores)."""
    grid = placement.grids[connection.target]
    if isinstance(connection, Dense):
        sent = spikes.reshape(len(spikes), -1).sum(axis=1)[:, None]
        sizes = np.array([part.size for part in grid.parts()], np.int64)
        return np.broadcast_to(sent, (len(spikes), grid.n_parts)), sent * sizes
    if not isinstance(connection, Conv):
        arrived = _by_box(spikes, grid)
        return arrived, arrived
    fans = _fans(connection, spikes.shape[1:], grid)
    return _contract(spikes, [(fan > 0).astype(np.int64) for fan in fans]), _contract(spikes, fans)


def _destinations(placement: Placement, connection: Connection) -> np.ndarray:
    """To how many cores each neuron of the source sends. int64, broadcastable to the source's shape."""
    grid, source = placement.grids[connection.target], placement.network[connection.source].shape
    if not isinstance(connection, Conv):
        return np.array(grid.n_parts if isinstance(connection, Dense) else 1, np.int64)
    channels, rows, columns = ((fan > 0).sum(axis=0) for fan in _fans(connection, source, grid))
    return channels[:, None, None] * rows[:, None] * columns


def _fans(connection: Conv, source: Shape, grid: Grid) -> list[np.ndarray]:
    """Synapses of an input onto a box of the target along each axis; a neuron's onto a core are their product.

    int64 (boxes, source's size) for channels, rows and columns.
    """
    fans = [np.zeros((len(grid.ranges[axis]), source[axis]), np.int64) for axis in range(3)]
    width = connection.weight.shape[1]
    for axis, ranges in enumerate(grid.ranges):
        for box, (first, stop) in enumerate(ranges):
            part = Part(_with((0, 0, 0), axis, first), _with(grid.shape, axis, stop))
            if axis:
                fans[axis][box] = axes(connection, source, part)[axis - 1].fan_out
            else:
                for group, low, high in channel_groups(connection, part):
                    fans[0][box, group * width : (group + 1) * width] = high - low
    return fans


def _contract(spikes: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    """Spikes (T, *shape) times a matrix (boxes, size) along each axis: (T, boxes), in the order of the parts."""
    for axis, matrix in enumerate(matrices, start=1):
        spikes = np.moveaxis(np.tensordot(matrix, spikes, axes=(1, axis)), 0, axis)
    return spikes.reshape(len(spikes), -1)


def _by_box(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Sums over each box of a population: (T, *shape) to (T, boxes), in the order of the parts."""
    for axis, ranges in enumerate(grid.ranges, start=1):
        values = np.add.reduceat(values, [first for first, _ in ranges], axis=axis)
    return values.reshape(len(values), -1)


def _with(shape: Shape, axis: int, value: int) -> Shape:
    return (*shape[:axis], value, *shape[axis + 1 :])


def _cores(placement: Placement, population: str) -> slice:
    """The columns of a population's cores, which follow one another."""
    cores = placement.of(population)
    return slice(cores[0].index, cores[-1].index + 1)


def _add(table: np.ndarray, first: int, cores: slice, values: np.ndarray) -> None:
    """Add what begins at a step of the chip; what comes after the answer is left out."""
    rows = table[first : first + len(values), cores]
    rows += values[: len(rows)]


def _n_steps(spikes: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(spikes.values())))


def _checked(network: Network, activity: Activity) -> dict[str, np.ndarray]:
    """The activity as arrays. Raises BadInput where a population, its shape or a whole number is missing."""
    found: dict[str, np.ndarray] = {}
    for population in network.populations:
        name, kind = population.name, "source" if isinstance(population.neuron, Source) else "population"
        if name not in activity:
            raise BadInput(f"activity: {kind} {name} is not among {sorted(activity)}; give the spikes of all")
        spikes = activity[name].numpy()
        n_steps = next(iter(found.values()), spikes).shape[:1]
        if spikes.shape != (*n_steps, *population.shape) or n_steps == (0,) or spikes.dtype.kind not in "iu":
            raise BadInput(
                f"activity: {name} is {spikes.dtype} of shape {spikes.shape}, the spikes of {kind} {name} are integers "
                f"of shape (T, {str(population.shape)[1:-1].rstrip(',')}), T alike for all; sum them over samples only"
            )
        found[name] = spikes.astype(np.int64, copy=False)
    return found

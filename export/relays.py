"""Layers of a chain: a population with the relays and copies that later layers need, and one connection into all.

Where a connection of the graph skips layers, each layer it skips repeats what is carried in relay channels of its own
(rows, in a dense layer). A relay fires exactly when what it repeats fires and is reset at once (`lowering_drive`), so
carried spikes arrive with the main path's, and the layer at the end reads both with one kernel:

    before   A -> B -> C,  A -> C            after   A -> [B | relay of A] -> C

Every population keeps its name, its integers and its first channels; only channels are added, in this order: copies of
the population itself, then, per carried population, copy and phase, its channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..hw import Connection, Conv, Cuba, Dense, DoesNotFit, Network, Population, UnsupportedLayer
from ..hw.arithmetic import STATE_SHIFT
from .hdf5_fields import MAX_ELEMENTS
from .lowering_geometry import Pair
from .lowering_links import with_groups
from .lowering_plan import LayerPlan, forward
from .lowering_rewrite import RelayRewrite, Rewrite, synapses_of
from .netx_chain import file_bias
from .netx_weights import check_dense_weight


@dataclass(frozen=True, kw_only=True)
class View:
    """Channels of a layer, `start` to `stop`, that hold a copy of a population at one phase; in a vector, neurons."""

    name: str
    copy: int
    phase: Pair
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """As an index."""
        return slice(self.start, self.stop)


class Layout:
    """Where a layer of the chain holds what. width: its channels, or neurons."""

    def __init__(self, network: Network, layer: LayerPlan) -> None:
        self.layer = layer
        self.network = network
        self.flat = len(layer.population.shape) == 1
        self.views = list(self._lay_out())
        self.width = self.views[-1].stop

    def _lay_out(self) -> Iterator[View]:
        start = 0
        for block in self.layer.blocks.values():
            population = self.network[block.name]
            width = population.size if self.flat else population.shape[0]
            for copy in range(block.copies):
                for phase in block.phases:
                    yield View(name=block.name, copy=copy, phase=phase, start=start, stop=start + width)
                    start += width

    def view(self, name: str, phase: Pair, copy: int = 0) -> View:
        """The view of one population, phase and copy."""
        return next(v for v in self.views if (v.name, v.phase, v.copy) == (name, phase, copy))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the layer in the chain."""
        return (self.width, *self.layer.population.shape[1:])

    def columns(self, name: str, copy: int = 0) -> np.ndarray:
        """For each neuron of a population, in its own order, its index among the neurons of this layer. int64 (n,)."""
        if self.flat:
            view = self.view(name, (0, 0), copy)
            return np.arange(view.start, view.stop)
        shape, places = self.network[name].shape, self.layer.population.shape[1:]
        stride = self.layer.blocks[name].stride
        found = np.full(shape, -1, np.int64)
        for view in (v for v in self.views if (v.name, v.copy) == (name, copy)):
            rows, columns = (view.phase[axis] + stride[axis] * np.arange(places[axis]) for axis in range(2))
            rows, columns = rows[rows < shape[1]], columns[columns < shape[2]]
            channels = view.start + np.arange(shape[0])
            place = np.arange(len(rows))[:, None] * places[1] + np.arange(len(columns))
            found[:, rows[:, None], columns] = channels[:, None, None] * int(np.prod(places)) + place
        assert found.min() >= 0  # the plan asked for every position
        return found.reshape(-1)


def is_plain(network: Network, layer: LayerPlan, before: LayerPlan) -> bool:
    """Whether a layer is the graph's own: one connection, from the layer before, and nothing is carried or copied."""
    incoming = forward(network, layer.population.name)
    alone = all(list(plan.blocks) == [plan.population.name] for plan in (layer, before))
    copied = any(plan.blocks[plan.population.name].copies > 1 for plan in (layer, before))
    return len(incoming) == 1 and incoming[0].source == before.population.name and alone and not copied


def joined_layer(
    network: Network, layer: LayerPlan, before: LayerPlan
) -> tuple[Population, tuple[Connection, ...], tuple[Rewrite, ...]]:
    """One layer of the chain, the connections into it (its recurrent one included), and what was added.

    Raises NotRepresentable for a dense matrix that stock Lava would change, DoesNotFit for one too large for a file.
    """
    rows, inputs = Layout(network, layer), Layout(network, before)
    link = _dense(network, layer, rows, inputs) if rows.flat else _conv(network, layer, rows, inputs)
    population = replace(layer.population, shape=rows.shape, neuron=_neuron(layer, rows))
    recurrent = tuple(_recurrent(network, layer, rows, c) for c in network.recurrent(layer.population.name))
    if isinstance(link, Dense) and not recurrent:
        check_dense_weight(f"{link.source} -> {link.target}", link.weight)
    return population, (link, *recurrent), tuple(_rewrites(network, layer, rows, link, recurrent))


def _conv(network: Network, layer: LayerPlan, rows: Layout, inputs: Layout) -> Conv:
    name, geometry = layer.population.name, layer.geometry
    assert geometry is not None
    weight = _zeros(name, rows.width, inputs.width, *geometry.kernel)

    def add(at: slice, source: str, offset: Pair, values: np.ndarray, copy: int = 0) -> None:
        """values: (rows, channels of the source)."""
        landing = layer.landings[source, offset]
        if landing is not None:
            row, column = geometry.tap(landing[1])
            weight[at, inputs.view(source, landing[0], copy).rows, row, column] += values

    own = rows.view(name, (0, 0)).rows
    for connection in forward(network, name):
        assert isinstance(connection, Conv)
        full = with_groups(connection, 1).weight
        for row in range(full.shape[2]):
            for column in range(full.shape[3]):
                offset = (
                    row * connection.dilation[0] - connection.padding[0],
                    column * connection.dilation[1] - connection.padding[1],
                )
                add(own, connection.source, offset, full[:, :, row, column])
    for view in rows.views:
        if view.name == name and view.copy:
            weight[view.rows] = weight[own]
        elif view.name != name:
            assert layer.drive is not None
            identity = np.eye(view.stop - view.start, dtype=np.int64) * layer.drive.weight
            for copy in range(layer.drive.inputs):
                add(view.rows, view.name, view.phase, identity, copy)
    return Conv(
        source=inputs.layer.population.name,
        target=name,
        weight=weight,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )


def _dense(network: Network, layer: LayerPlan, rows: Layout, inputs: Layout) -> Dense:
    name = layer.population.name
    neurons = inputs.width * int(np.prod(inputs.layer.population.shape[1:]))
    weight = _zeros(name, rows.width, neurons)
    delay = np.zeros(weight.shape, np.uint8)
    own = rows.view(name, (0, 0)).rows
    for connection in forward(network, name):
        assert isinstance(connection, Dense)
        columns = inputs.columns(connection.source)
        if weight[own, columns].any() and np.any(delay[own, columns] != connection.delay):
            raise UnsupportedLayer(
                f"{connection.source} -> {name}: two connections with different delays cannot become one matrix; give "
                "them one delay, or put a population that repeats the source behind one of them"
            )
        weight[own, columns] += connection.weight
        delay[own, columns] = connection.delay
    for view in rows.views:
        if view.name == name and view.copy:
            weight[view.rows], delay[view.rows] = weight[own], delay[own]
        elif view.name != name:
            assert layer.drive is not None
            for copy in range(layer.drive.inputs):
                weight[np.arange(view.start, view.stop), inputs.columns(view.name, copy)] = layer.drive.weight
    return Dense(source=inputs.layer.population.name, target=name, weight=weight, delay=delay)


def _recurrent(network: Network, layer: LayerPlan, rows: Layout, connection: Dense) -> Dense:
    """A recurrent matrix over all rows of a layer: copies hear what the original hears, relays nothing."""
    name, size = layer.population.name, layer.population.size
    weight = _zeros(name, rows.width, rows.width)
    delay = np.zeros(weight.shape, np.uint8)
    for view in rows.views:
        if view.name == name:
            weight[view.rows, :size], delay[view.rows, :size] = connection.weight, connection.delay
    return replace(connection, weight=weight, delay=delay)


def _zeros(name: str, *shape: int) -> np.ndarray:
    """A weight to be filled, int64. Raises DoesNotFit beyond what a file is read back with."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise DoesNotFit(
            f"{name}: with what it carries its weight would be {shape}, more than the {MAX_ELEMENTS} numbers a file "
            "may hold; let the skip end before it, or run the graph without a file, with export.lava_graph"
        )
    return np.zeros(shape, np.int64)


def _neuron(layer: LayerPlan, rows: Layout) -> Cuba:
    """The layer's neuron with a bias for every row: copies have the original's, relays that of their drive."""
    neuron = layer.population.neuron
    assert isinstance(neuron, Cuba)
    bias = file_bias(layer.population)
    if bias.ndim == 0:
        bias = np.full(layer.population.shape[0], bias)
    of_relays = layer.drive.bias if layer.drive else 0
    parts = [
        bias if view.name == layer.population.name else np.full((view.stop - view.start, *bias.shape[1:]), of_relays)
        for view in rows.views
    ]
    return replace(neuron, bias_mant=np.concatenate(parts), bias_exp=STATE_SHIFT)


def _rewrites(
    network: Network, layer: LayerPlan, rows: Layout, link: Conv | Dense, recurrent: tuple[Dense, ...]
) -> Iterator[Rewrite]:
    """What a layer gained: per population carried, for its own copies, and for one joint connection."""
    name = layer.population.name
    positions = int(np.prod(layer.population.shape[1:]))
    per_row = int(np.prod(link.weight.shape[1:])) + sum(r.weight.shape[1] for r in recurrent)
    for block in layer.carried:
        channels = sum(v.stop - v.start for v in rows.views if v.name == block.name)
        drive = layer.drive
        assert drive is not None
        until = "" if drive.lasting else f", silent without input for the {network.n_steps} timesteps of a sample"
        many = f" in {len(block.phases)} phases" if len(block.phases) > 1 else ""
        many += f" and {block.copies} copies" if block.copies > 1 else ""
        yield RelayRewrite(
            step="relays",
            layer=name,
            what=f"relays added that repeat {block.name}{many}: {drive.way}{until}",
            why="a netx file holds a chain; the shortcut travels through this layer",
            neurons=channels * positions,
            synapses=channels * positions * per_row,
            carries=block.name,
            weight=drive.weight,
            bias=drive.bias,
            inputs=drive.inputs,
            lasting=drive.lasting,
        )
    width = rows.view(name, (0, 0)).stop
    copies = layer.blocks[name].copies
    if copies > 1:
        yield Rewrite(
            step="copies",
            layer=name,
            what=f"{copies - 1} copies of the population added",
            why=f"one weight cannot exceed the threshold of a layer that repeats {name}",
            neurons=(copies - 1) * width * positions,
            synapses=(copies - 1) * width * positions * per_row,
        )
    before = sum(synapses_of(c, layer.population.shape) for c in network.incoming(name))
    grown = width * positions * per_row - before
    sources = [c.source for c in forward(network, name)]
    if grown or len(sources) > 1:
        yield Rewrite(
            step="joint",
            layer=name,
            what=f"the connections from {', '.join(sources)} became one, over all channels of {link.source}",
            why="a layer of a netx file has one connection; its weights on channels it does not read are zero",
            synapses=grown,
        )

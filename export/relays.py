"""A residual graph as the chain a netx file can hold: relay channels carry the skip through the layers in between.

Where a connection skips layers, each layer it skips gets relay channels beside its own: channel c has one tap, weight
w_r on channel c of what is carried, bias 0. With w_r above the layer's threshold and a current without memory, a relay
fires exactly when what it repeats fires, is reset at once, and never holds a potential, whatever its voltage decay. So
the carried spikes arrive with the main path's, and the layer at the end reads both with one kernel:

    before   A -> B -> C,  A -> C            after   A -> [B | relay of A] -> C

Every population of the graph keeps its name, its integers and its first channels; only channels are added. A layer of
stride 2 carries every second position, which is what a 1 x 1 shortcut of stride 2 reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..hw import Connection, Conv, Cuba, Dense, Network, NotRepresentable, Population, Source, UnsupportedLayer
from ..hw.arithmetic import DECAY_ONE

RELAY_WEIGHT_MAX = 254
"""The largest mixed-sign weight; a layer that hosts relays has a threshold below it."""


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """Relay channels added to one layer. carries: the population they repeat. neurons, synapses: what they cost."""

    layer: str
    carries: str
    weight: int
    neurons: int
    synapses: int


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Channels of a layer that hold one population's spikes, sampled every `stride` positions."""

    name: str
    channels: int
    stride: tuple[int, int]


def to_chain(network: Network) -> tuple[Network, tuple[Rewrite, ...]]:
    """The network as a chain that computes the same spikes, and what had to be added; a chain comes back as it is.

    Raises UnsupportedLayer for a skip that relays cannot carry (from a graded source, through or into a layer of
    another kind or geometry) and NotRepresentable for a relay whose layer has a threshold of 254 or more.
    """
    order = [population.name for population in network.populations]
    last_use = {name: max((order.index(c.target) for c in network.outgoing(name)), default=-1) for name in order}
    if all(len(network.incoming(name)) <= 1 and len(network.outgoing(name)) <= 1 for name in order):
        return network, ()
    populations = [network.populations[0]]
    connections: list[Connection] = []
    rewrites: list[Rewrite] = []
    blocks = [_Block(name=order[0], channels=network.populations[0].shape[0], stride=(1, 1))]
    for position, population in enumerate(network.populations[1:], start=1):
        carried = [block for block in blocks if last_use[block.name] > position]
        layer, link, blocks, added = _layer(network, population, blocks, carried, order[position - 1])
        populations.append(layer)
        connections.append(link)
        rewrites += added
    chain = Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=network.readout,
        n_steps=network.n_steps,
    )
    return chain, tuple(rewrites)


def _layer(
    network: Network, population: Population, blocks: Sequence[_Block], carried: Sequence[_Block], previous: str
) -> tuple[Population, Connection, list[_Block], list[Rewrite]]:
    """One layer of the chain: its population, the connection into it, its blocks, and the relays added."""
    name = population.name
    main = [c for c in network.incoming(name) if c.source == previous]
    if len(main) != 1:
        raise UnsupportedLayer(
            f"{name}: has {len(main)} connections from {previous}, the layer before it; a chain needs exactly 1 there"
        )
    if not isinstance(population.neuron, Cuba):
        raise UnsupportedLayer(f"{name}: a second source cannot join a chain; feed the network through one source")
    if isinstance(main[0], Dense):
        if carried:
            raise UnsupportedLayer(
                f"{name}: a skip from {carried[0].name} passes this dense layer; only convolutions carry relays"
            )
        return population, _joined_dense(network, population, blocks, main[0]), [_own(population)], []
    kernel = _Kernel(main[0], blocks, population.shape[0] + sum(block.channels for block in carried))
    for connection in network.incoming(name):
        kernel.add_inputs(connection)
    relays, rewrites = [], []
    row = population.shape[0]
    positions = int(np.prod(population.shape[1:]))
    for block in carried:
        weight = _relay_weight(network, population, block)
        kernel.add_relay(block, row, weight)
        row += block.channels
        relays.append(replace(block, stride=_times(block.stride, main[0].stride)))
        rewrites.append(
            Rewrite(
                layer=name,
                carries=block.name,
                weight=weight,
                neurons=block.channels * positions,
                synapses=block.channels * positions * int(np.prod(kernel.weight.shape[1:])),
            )
        )
    layer = population
    if carried:
        shape = (row, *population.shape[1:])
        layer = replace(population, shape=shape, neuron=_with_silent_bias(population, population.neuron, shape))
    return layer, kernel.connection(name, previous), [_own(population), *relays], rewrites


class _Kernel:
    """The one convolution into a layer of the chain, filled block by block. weight: (out, in, kH, kW)."""

    def __init__(self, main: Conv, blocks: Sequence[_Block], channels: int) -> None:
        self.main = main
        self.blocks = blocks
        self.weight = np.zeros((channels, sum(block.channels for block in blocks), *main.weight.shape[2:]), np.int64)

    def connection(self, target: str, previous: str) -> Conv:
        return replace(self.main, source=previous, target=target, weight=self.weight, groups=1)

    def columns(self, name: str) -> tuple[slice, _Block]:
        start = 0
        for block in self.blocks:
            if block.name == name:
                return slice(start, start + block.channels), block
            start += block.channels
        raise UnsupportedLayer(f"{self.main.target}: {name} does not reach it; list the populations in order")

    def add_inputs(self, connection: Connection) -> None:
        """Add a connection of the graph, from the layer before or from a population that relays carried here."""
        where = f"{connection.source} -> {connection.target}"
        if not isinstance(connection, Conv):
            raise UnsupportedLayer(f"{where}: a dense skip cannot join a convolution; make both convolutions")
        columns, block = self.columns(connection.source)
        dense = _without_groups(connection)
        for kh in range(dense.shape[2]):
            for kw in range(dense.shape[3]):
                tap = self._tap(connection, block, (kh, kw), where)
                self.weight[: dense.shape[0], columns, tap[0], tap[1]] += dense[:, :, kh, kw]

    def add_relay(self, block: _Block, row: int, weight: int) -> None:
        """Repeat a block in rows `row`...: one tap on the position the layer's stride lands on."""
        columns, _ = self.columns(block.name)
        tap = []
        for axis in range(2):
            place, rest = divmod(self.main.padding[axis], self.main.dilation[axis])
            if rest or place >= self.weight.shape[2 + axis]:
                raise UnsupportedLayer(
                    f"{self.main.target}: its kernel has no tap on the position it is applied at (padding "
                    f"{self.main.padding}, dilation {self.main.dilation}), so it cannot relay {block.name}"
                )
            tap.append(place)
        channels = np.arange(block.channels)
        self.weight[row + channels, columns.start + channels, tap[0], tap[1]] = weight

    def _tap(self, connection: Conv, block: _Block, place: tuple[int, int], where: str) -> tuple[int, int]:
        """Where in the joint kernel a tap of a connection lies.

        Per axis the connection reads its source at `o stride + place dilation - padding`; the joint kernel, on a source
        sampled every `s` positions, reads it at `s (o stride' + tap dilation' - padding')`. Both for every output o.
        """
        taps = []
        for axis in range(2):
            sampled = block.stride[axis]
            offset = place[axis] * connection.dilation[axis] - connection.padding[axis]
            tap, rest = divmod(offset + sampled * self.main.padding[axis], sampled * self.main.dilation[axis])
            fits = rest == 0 and 0 <= tap < self.weight.shape[2 + axis]
            if connection.stride[axis] != sampled * self.main.stride[axis] or not fits:
                raise UnsupportedLayer(
                    f"{where}: stride {connection.stride}, padding {connection.padding} and kernel "
                    f"{connection.weight.shape[2:]} cannot join the main path's stride {self.main.stride}, padding "
                    f"{self.main.padding} and kernel {self.main.weight.shape[2:]}; use a 1 x 1 shortcut whose stride "
                    "is the product of the strides it passes"
                )
            taps.append(tap)
        return taps[0], taps[1]


def _joined_dense(network: Network, population: Population, blocks: Sequence[_Block], main: Dense) -> Dense:
    """The one dense connection into a layer, over the channels of all blocks."""
    parts = []
    found = {c.source: c for c in network.incoming(population.name)}
    for block in blocks:
        connection = found.pop(block.name, None)
        if connection is None:
            raise UnsupportedLayer(f"{population.name}: {block.name} is carried here and not read")
        if not isinstance(connection, Dense) or block.stride != (1, 1):
            raise UnsupportedLayer(
                f"{block.name} -> {population.name}: only an unstrided dense skip joins a dense layer"
            )
        parts.append(connection.weight)
    return replace(main, weight=np.concatenate(parts, axis=1))


def _relay_weight(network: Network, population: Population, block: _Block) -> int:
    """The smallest even weight above the layer's threshold."""
    neuron, source = population.neuron, network[block.name].neuron
    where = f"{population.name}: a relay of {block.name}"
    if isinstance(source, Source) and source.payload_bits:
        raise UnsupportedLayer(f"{where} would lose its payload; let the first layer be the source of the skip")
    if not isinstance(neuron, Cuba) or neuron.i_decay != DECAY_ONE:
        raise UnsupportedLayer(f"{where} needs a current without memory (i_decay 4096) in this layer")
    weight = 2 * (neuron.v_th_mant // 2 + 1)
    if weight > RELAY_WEIGHT_MAX:
        raise NotRepresentable(
            f"{where} needs a weight above the threshold {neuron.v_th_mant}, at most {RELAY_WEIGHT_MAX}; quantize the "
            f"layer with a threshold below {RELAY_WEIGHT_MAX}"
        )
    return weight


def _with_silent_bias(population: Population, neuron: Cuba, shape: tuple[int, ...]) -> Cuba:
    """The layer's bias with zeros for the channels added to it."""
    bias = neuron.bias_mant
    if bias.ndim == 0:
        bias = np.full(population.shape[0], bias)
    silent = np.zeros((shape[0] - population.shape[0], *bias.shape[1:]), bias.dtype)
    return replace(neuron, bias_mant=np.concatenate([bias, silent]))


def _without_groups(connection: Conv) -> np.ndarray:
    """The weight over all input channels, zero across groups: int64 (out, in, kH, kW)."""
    weight = connection.weight.astype(np.int64)
    out, per_group = weight.shape[:2]
    full = np.zeros((out, per_group * connection.groups, *weight.shape[2:]), np.int64)
    for group in range(connection.groups):
        rows = slice(group * out // connection.groups, (group + 1) * out // connection.groups)
        full[rows, group * per_group : (group + 1) * per_group] = weight[rows]
    return full


def _own(population: Population) -> _Block:
    return _Block(name=population.name, channels=population.shape[0], stride=(1, 1))


def _times(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] * b[0], a[1] * b[1]

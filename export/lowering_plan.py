"""What each layer of the chain must hold: in which order the populations come, and what is carried past them.

A layer of the chain is one population of the graph and, behind its own channels, what later layers still need of
earlier ones. A convolution of stride s passes on every s-th position, so what it carries is sampled: a `View` is a
population at the positions `stride * index + phase`. A later layer that reads all positions asks for several phases.

The plan is made in two passes: forwards, how far each carried population is sampled; backwards, which phases and how
many copies of it are asked for (`lowering_drive`), and which taps the layers' kernels need for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..hw import Chip, Connection, Conv, Cuba, Dense, Network, Population, Source, UnsupportedLayer
from .lowering_drive import Drive, relay_drive
from .lowering_geometry import Geometry, Hop, Pair, joint_geometry

OUT = "run the graph without a file, with export.lava_graph or in the simulator"


@dataclass(frozen=True, kw_only=True)
class Block:
    """What a layer holds of one population: `copies` times its channels at each of `phases`.

    stride: positions of the population per position of the layer. A block of a vector layer has no positions: it is the
    whole population, flattened.
    """

    name: str
    stride: Pair = (1, 1)
    phases: tuple[Pair, ...] = ()
    copies: int = 1


@dataclass(kw_only=True)
class LayerPlan:
    """One layer. blocks: what it holds, its own population first. drive: of its relays, if it hosts any.

    geometry: of its kernel, None in a vector layer. landings: where a position that is read lies in the layer before.
    """

    population: Population
    blocks: dict[str, Block]
    drive: Drive | None = None
    geometry: Geometry | None = None
    landings: dict[tuple[str, Pair], tuple[Pair, Pair] | None] = field(default_factory=dict)

    @property
    def carried(self) -> list[Block]:
        """The blocks of other populations."""
        return [block for name, block in self.blocks.items() if name != self.population.name]


def forward(network: Network, name: str) -> tuple[Connection, ...]:
    """The connections into a population from others."""
    return tuple(c for c in network.incoming(name) if c.source != name)


def make_plan(network: Network, chip: Chip) -> list[LayerPlan]:
    """The layers of the chain, the source first. Identities must have been written as stored weights.

    Raises UnsupportedLayer and NotRepresentable for what no layer of a chain can hold or carry.
    """
    order = chain_order(network)
    last_use = {
        p.name: max((order.index(network[c.target]) for c in network.outgoing(p.name)), default=-1) for p in order
    }
    layers = [LayerPlan(population=order[0], blocks=_own(order[0].name))]
    for index, population in enumerate(order[1:], start=1):
        before = layers[-1].blocks
        carried = [name for name in before if last_use[name] > index]
        layers.append(_sampled(network, population, before, carried))
        if carried:
            layers[-1].drive = _drive(network, population, carried, chip)
    for index in range(len(layers) - 1, 0, -1):
        _ask(network, layers[index], layers[index - 1], chip)
    return layers


def chain_order(network: Network) -> list[Population]:
    """A topological order in which positions only get fewer: images first, vectors after.

    Among what is possible next, the smaller product of strides from the source comes first; then what others read, the
    read-out last; then the graph's own order.
    """
    if len(network.sources) != 1:
        names = ", ".join(p.name for p in network.sources) or "none"
        raise UnsupportedLayer(f"chain: the network has {len(network.sources)} sources ({names}), a chain has 1; {OUT}")
    strides: dict[str, int] = {}
    for population in network.populations:
        steps = [
            strides[c.source] * (math.prod(c.stride) if isinstance(c, Conv) else 1)
            for c in forward(network, population.name)
        ]
        strides[population.name] = max(steps, default=1)

    def rank(population: Population) -> tuple[bool, int, bool, bool]:
        flat = len(population.shape) == 1
        unread = not any(c.target != population.name for c in network.outgoing(population.name))
        return flat, 0 if flat else strides[population.name], unread, population.name == network.readout.population

    waiting = list(network.populations)
    order: list[Population] = []
    while waiting:
        placed = {p.name for p in order}
        ready = [p for p in waiting if all(c.source in placed for c in forward(network, p.name))]
        order.append(min(ready, key=rank))  # the first of equals
        waiting.remove(order[-1])
    return order


def _sampled(network: Network, population: Population, before: Mapping[str, Block], carried: list[str]) -> LayerPlan:
    """A layer with what it carries, sampled by its stride; phases and copies are still those of one reader."""
    name = population.name
    own = _own(name)
    if len(population.shape) == 1:
        return LayerPlan(population=population, blocks=own | {n: Block(name=n) for n in carried})
    if network.recurrent(name):
        raise UnsupportedLayer(f"{name}: is recurrent and has positions; a netx file has recurrent vectors only; {OUT}")
    step = _stride(network, population, before)
    blocks = {n: Block(name=n, stride=(before[n].stride[0] * step[0], before[n].stride[1] * step[1])) for n in carried}
    layer = LayerPlan(population=population, blocks=own | blocks)
    layer.geometry = Geometry(stride=step)
    return layer


def _own(name: str) -> dict[str, Block]:
    return {name: Block(name=name, phases=((0, 0),))}


def _stride(network: Network, population: Population, before: Mapping[str, Block]) -> Pair:
    """The stride of a layer's kernel over the layer before, on which all its connections must agree."""
    found: dict[Pair, str] = {}
    for connection in forward(network, population.name):
        assert isinstance(connection, Conv)  # only a convolution leads to a population with positions
        sampled = before[connection.source].stride
        steps = [divmod(connection.stride[axis], sampled[axis]) for axis in range(2)]
        if any(rest for _, rest in steps):
            raise UnsupportedLayer(
                f"{connection.source} -> {population.name}: its stride {connection.stride} is no multiple of the "
                f"{sampled} that the layers in between sample {connection.source} by; {OUT}"
            )
        found[steps[0][0], steps[1][0]] = connection.source
    if len(found) > 1:
        each = ", ".join(f"{step} from {source}" for step, source in found.items())
        raise UnsupportedLayer(
            f"{population.name}: its connections need different strides over the layer before ({each}); a shortcut's "
            f"stride must be the product of the strides it passes; {OUT}"
        )
    return next(iter(found))


def _drive(network: Network, population: Population, carried: list[str], chip: Chip) -> Drive:
    neuron = population.neuron
    assert isinstance(neuron, Cuba)  # the only source is the first layer
    for name in carried:
        source = network[name].neuron
        if isinstance(source, Source) and source.payload_bits:
            raise UnsupportedLayer(
                f"{population.name}: a relay of {name} would lose its payload of {source.payload_bits} bits; let the "
                f"first layer be the start of the skip, or {OUT}"
            )
    delayed = any(isinstance(c, Dense) and c.max_delay for c in network.incoming(population.name))
    if delayed and network.recurrent(population.name):
        raise UnsupportedLayer(
            f"{population.name}: is recurrent and has delays, which netx gives to all of a layer's synapses; relays of "
            f"{', '.join(carried)} would be late; let the skip end before it, or {OUT}"
        )
    return relay_drive(population.name, ", ".join(carried), neuron, network.n_steps, chip)


def _ask(network: Network, layer: LayerPlan, before: LayerPlan, chip: Chip) -> None:
    """Ask the layer before for every view and copy this layer reads, and choose this layer's kernel for them."""
    name = layer.population.name
    inputs = layer.drive.inputs if layer.drive else 1
    if layer.geometry is None:
        for source in {*(b.name for b in layer.carried), *(c.source for c in forward(network, name))}:
            copies = inputs if source in layer.blocks else 1
            _add(before, source, _all_phases(network, before, source), copies)
        return
    for connection in forward(network, name):
        assert isinstance(connection, Conv)
        for offset in offsets(connection):
            _land(network, layer, before, connection.source, offset, connection.stride, 1)
    for block in layer.carried:
        for phase in block.phases:
            _land(network, layer, before, block.name, phase, block.stride, inputs)
    shifts = [landing[1] for landing in layer.landings.values() if landing is not None]
    own = [c for c in forward(network, name) if isinstance(c, Conv)]
    own.sort(key=lambda c: c.source != before.population.name)
    layer.geometry = joint_geometry(
        name, layer.geometry.stride, shifts, before.population.shape, layer.population.shape, own, chip.kernel_max
    )


def offsets(connection: Conv) -> list[Pair]:
    """Where each tap of a kernel reads, relative to the position its stride lands on, in the kernel's order."""
    rows, columns = (
        [k * connection.dilation[axis] - connection.padding[axis] for k in range(connection.weight.shape[2 + axis])]
        for axis in range(2)
    )
    return [(row, column) for row in rows for column in columns]


def _land(
    network: Network, layer: LayerPlan, before: LayerPlan, name: str, offset: Pair, stride: Pair, copies: int
) -> None:
    """Find where the position `index * stride + offset` of a population is held by the layer before, and ask for it."""
    block, size = before.blocks[name], network[name].shape
    assert layer.geometry is not None
    places = []
    for axis in range(2):
        hop = Hop(
            size=size[1 + axis],
            stride=block.stride[axis],
            held=before.population.shape[1 + axis],
            step=layer.geometry.stride[axis],
            outputs=layer.population.shape[1 + axis],
        )
        assert stride[axis] == hop.stride * hop.step
        try:
            places.append(hop.landing(offset[axis]))
        except ValueError:
            raise UnsupportedLayer(
                f"{layer.population.name}: {before.population.name} {before.population.shape} before it has too few "
                f"positions to carry {name} {size}; list {before.population.name} after {layer.population.name}, "
                f"or {OUT}"
            ) from None
    if places[0] is None or places[1] is None:  # only padding is read there
        layer.landings[name, offset] = None
        return
    (row, row_shift), (column, column_shift) = places
    layer.landings[name, offset] = (row, column), (row_shift, column_shift)
    _add(before, name, ((row, column),), copies)


def _all_phases(network: Network, before: LayerPlan, name: str) -> tuple[Pair, ...]:
    """The phases that together hold every position of a population."""
    shape, held, stride = network[name].shape, before.population.shape, before.blocks[name].stride
    if before.geometry is None or len(shape) == 1 or name == before.population.name:
        return ((0, 0),)
    axes = []
    for axis in range(2):
        reach = stride[axis] * held[1 + axis]
        axes.append([p for start in range(stride[axis]) for p in range(start, max(shape[1 + axis], start + 1), reach)])
    return tuple((row, column) for row in axes[0] for column in axes[1])


def _add(layer: LayerPlan, name: str, phases: tuple[Pair, ...], copies: int) -> None:
    block = layer.blocks[name]
    layer.blocks[name] = replace(
        block, phases=tuple(sorted({*block.phases, *phases})), copies=max(block.copies, copies)
    )

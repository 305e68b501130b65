"""From the trained integer network to what the chip runs: the same numbers, as `hw.Network`.

A linear map of a spatial mean becomes a dense connection that repeats each weight over the positions (the division is
in the scale already). An identity shortcut becomes a 1 x 1 convolution over as many groups as the chip allows.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..export.lowering_pool import or_population
from ..export.netx_chain import GROUPS_MAX
from ..hw import NEVER_FIRES, Connection, Conv, Cuba, Dense, Network, Population, Readout, Shape, Source
from ..models import INPUT, ConvWire, GraphNet, LinearWire
from ..models.integer import IntegerNode, IntegerPopulation, IntegerSynapses


def to_network(net: GraphNet, payload_bits: int) -> Network:
    """The `hw.Network` that computes exactly what an integer `GraphNet` computes."""
    shapes = net.architecture.shapes()
    populations = [Population(name=INPUT, shape=shapes[INPUT], neuron=Source(payload_bits=payload_bits))]
    connections: list[Connection] = []
    for node in net.walk():
        name = node.unit.name
        if node.unit.pool is not None:
            pool = node.unit.pool.window
            source = next(p for p in populations if p.name == node.unit.pool.source)
            population, connection = or_population(
                name, source, kernel=pool.kernel, stride=pool.stride, padding=pool.padding
            )
            populations.append(population)
            connections.append(connection)
            continue
        assert isinstance(node, IntegerNode)
        spiking = node.neuron if isinstance(node.neuron, IntegerPopulation) else None
        neuron = Cuba(
            v_th_mant=spiking.scale if spiking else NEVER_FIRES,
            v_decay=spiking.profile.v_decay if spiking else 0,
            bias_mant=_integers(node.grid_bias).astype(np.int32),
        )
        populations.append(Population(name=name, shape=shapes[name], neuron=neuron))
        connections += [_connection(wire, name, shapes[wire.wire.source]) for wire in node.wires]
    return Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=Readout(population=net.architecture.units[-1].name, kind="membrane"),
        n_steps=net.n_steps,
    )


def _connection(synapses: IntegerSynapses, target: str, source: Shape) -> Connection:
    wire, weight = synapses.wire, _integers(synapses.grid_weight)
    if isinstance(wire, ConvWire):
        _, stride, padding, dilation = wire.window
        return Conv(
            source=wire.source,
            target=target,
            weight=weight,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=wire.groups,
        )
    if isinstance(wire, LinearWire):
        if wire.mean:
            weight = np.repeat(weight, source[1] * source[2], axis=1)
        return Dense(source=wire.source, target=target, weight=weight)
    if len(source) == 1:
        return Dense(source=wire.source, target=target, weight=np.eye(source[0], dtype=np.int64) * int(weight))
    kernel = _diagonal(source[0], int(weight))
    return Conv(source=wire.source, target=target, weight=kernel, groups=source[0] // kernel.shape[1])


def _diagonal(channels: int, weight: int) -> np.ndarray:
    """A 1 x 1 kernel from each channel to the same channel, over as many groups as the chip allows."""
    groups = max(g for g in range(1, min(channels, GROUPS_MAX) + 1) if channels % g == 0)
    return np.tile(np.eye(channels // groups, dtype=np.int64), (groups, 1))[:, :, None, None] * weight


def _integers(values: Tensor) -> np.ndarray:
    """Float tensor of integers as int64."""
    return values.detach().cpu().numpy().astype(np.int64)

"""The simulator again, one synapse and one neuron at a time, in Python integers. Slow, and plain enough to trust.

It shares no arithmetic with the package: the equations are written out here from the description of Lava's fixed-point
CUBA LIF neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from spikeport import hw

Synapse = tuple[int, int, int]
"""(index of the source neuron, index of the target neuron, weight), indices counting in C, H, W order."""


@dataclass
class Twin:
    """spikes, u, v: by population, int64 (T, B, *shape). largest_sum: the largest |synaptic sum| that occurred."""

    spikes: dict[str, np.ndarray]
    u: dict[str, np.ndarray]
    v: dict[str, np.ndarray]
    largest_sum: int


def synapses(connection: hw.Connection, source: hw.Shape) -> list[Synapse]:
    """Every synapse of a connection, found from its target's side."""
    if isinstance(connection, hw.Dense):
        return [(i, o, int(w)) for o, row in enumerate(connection.weight) for i, w in enumerate(row)]
    target = connection.out_shape(source)
    in_per_group = connection.weight.shape[1]
    out_per_group = target[0] // connection.groups
    found = []
    for o, y, x in np.ndindex(*target):
        for i, ky, kx in np.ndindex(*connection.weight.shape[1:]):
            channel = (o // out_per_group) * in_per_group + i
            row = y * connection.stride[0] - connection.padding[0] + ky * connection.dilation[0]
            column = x * connection.stride[1] - connection.padding[1] + kx * connection.dilation[1]
            if 0 <= row < source[1] and 0 <= column < source[2]:
                start = (channel * source[1] + row) * source[2] + column
                end = (o * target[1] + y) * target[2] + x
                found.append((start, end, int(connection.weight[o, i, ky, kx])))
    return found


def simulate(network: hw.Network, inputs: np.ndarray) -> Twin:
    """inputs: (T, B, *shape of the source)."""
    steps, batch = inputs.shape[:2]
    spikes = {p.name: np.zeros((steps, batch, p.size), np.int64) for p in network.populations}
    u = {p.name: np.zeros((steps, batch, p.size), np.int64) for p, _ in network.neurons}
    v = {p.name: np.zeros((steps, batch, p.size), np.int64) for p, _ in network.neurons}
    largest = 0
    for population in network.populations:
        name = population.name
        if isinstance(population.neuron, hw.Source):
            spikes[name] = inputs.reshape(steps, batch, -1).astype(np.int64)
            continue
        sums = np.zeros((steps, batch, population.size), np.int64)
        for connection in network.incoming(name):
            for start, end, weight in synapses(connection, network[connection.source].shape):
                sums[:, :, end] += weight * spikes[connection.source][:, :, start]
        largest = max(largest, int(np.abs(sums).max()))
        bias = population.neuron.bias_over(population.shape).reshape(-1)
        for b in range(batch):
            for n in range(population.size):
                _neuron(population.neuron, int(bias[n]), sums[:, b, n], u[name][:, b, n], v[name][:, b, n],
                        spikes[name][:, b, n])  # fmt: skip

    def shaped(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values.reshape(steps, batch, *network[name].shape) for name, values in table.items()}

    return Twin(shaped(spikes), shaped(u), shaped(v), largest)


def count(network: hw.Network, spikes: dict[str, np.ndarray], *, effective: bool) -> dict[tuple[str, str], np.ndarray]:
    """Synapses reached, (T, B) for each (source, target), by walking over every synapse for every spike."""
    totals: dict[tuple[str, str], np.ndarray] = {}
    for connection in network.connections:
        events = spikes[connection.source].reshape(*spikes[connection.source].shape[:2], -1)
        here = np.zeros(events.shape[:2], np.int64)
        for start, _, weight in synapses(connection, network[connection.source].shape):
            if weight or not effective:
                here += events[:, :, start] != 0
        pair = (connection.source, connection.target)
        totals[pair] = totals.get(pair, np.zeros_like(here)) + here
    return totals


def _neuron(
    neuron: hw.Cuba, bias: int, sums: np.ndarray, all_u: np.ndarray, all_v: np.ndarray, all_z: np.ndarray
) -> None:
    u = v = 0
    for t, a in enumerate(sums.tolist()):
        u = _decay(u, neuron.i_decay) + a * 64
        if u > 2**23:
            u -= 2**24
        elif u <= -(2**23):
            u += 2**24
        v = _decay(v, neuron.v_decay) + u + bias * 64
        v = min(max(v, -(2**23) + 1), 2**23 - 1)
        fired = v > neuron.v_th_mant * 64
        if fired:
            v = 0
        all_u[t], all_v[t], all_z[t] = u, v, fired


def _decay(x: int, constant: int) -> int:
    magnitude = abs(x) * (4096 - constant) // 4096
    return magnitude if x >= 0 else -magnitude

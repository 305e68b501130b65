"""The simulator again, one synapse and one neuron at a time, in Python integers. Slow, and plain enough to trust.

It shares no arithmetic with the package: the equations are written out here from the description of Lava's fixed-point
CUBA LIF neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from spikeport import hw

Synapse = tuple[int, int, int, int]
"""(source neuron, target neuron, weight, timesteps on the way), neurons counted in C, H, W order."""


@dataclass
class Twin:
    """spikes, u, v: by population, int64 (T, B, *shape). sums: the synaptic sums, likewise."""

    spikes: dict[str, np.ndarray]
    u: dict[str, np.ndarray]
    v: dict[str, np.ndarray]
    sums: dict[str, np.ndarray]

    @property
    def largest_sum(self) -> int:
        """The largest |synaptic sum| that occurred."""
        return max(int(np.abs(sums).max()) for sums in self.sums.values())


def synapses(connection: hw.Connection, source: hw.Shape) -> list[Synapse]:
    """Every synapse of a connection, found from its target's side."""
    if isinstance(connection, hw.OneToOne):
        return [(i, i, int(connection.weight), 0) for i in range(int(np.prod(source)))]
    if isinstance(connection, hw.Dense):
        own = 1 if connection.source == connection.target else 0
        delay = np.broadcast_to(connection.delay, connection.weight.shape)
        return [
            (i, o, int(w), int(delay[o, i]) + own) for o, row in enumerate(connection.weight) for i, w in enumerate(row)
        ]
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
                found.append((start, end, int(connection.weight[o, i, ky, kx]), 0))
    return found


def simulate(network: hw.Network, inputs: np.ndarray) -> Twin:
    """inputs: (T, B, *shape of the source)."""
    steps, batch = inputs.shape[:2]
    tables: list[dict[str, np.ndarray]] = [
        {p.name: np.zeros((steps, batch, p.size), np.int64) for p in network.populations} for _ in range(4)
    ]
    spikes, u, v, sums = tables
    for population in network.populations:
        name = population.name
        if isinstance(population.neuron, hw.Source):
            spikes[name] += inputs.reshape(steps, batch, -1)
            continue
        own: list[Synapse] = []
        for connection in network.incoming(name):
            every = synapses(connection, network[connection.source].shape)
            if connection.source == name:
                own += every
                continue
            for start, end, weight, delay in every:
                sums[name][delay:, :, end] += weight * spikes[connection.source][: max(0, steps - delay), :, start]
        bias = population.neuron.bias_over(population.shape).reshape(-1).tolist()
        for t in range(steps):
            for start, end, weight, delay in own:
                if delay <= t:
                    sums[name][t, :, end] += weight * spikes[name][t - delay, :, start]
            for b, n in np.ndindex(batch, population.size):
                before = (int(u[name][t - 1, b, n]), int(v[name][t - 1, b, n])) if t else (0, 0)
                after = _neuron(population.neuron, *before, int(sums[name][t, b, n]), bias[n])
                u[name][t, b, n], v[name][t, b, n], spikes[name][t, b, n] = after

    def shaped(table: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        return {name: table[name].reshape(steps, batch, *network[name].shape) for name in names}

    computing = [p.name for p, _ in network.neurons]
    everyone = [p.name for p in network.populations]
    return Twin(shaped(spikes, everyone), *(shaped(table, computing) for table in (u, v, sums)))


def count(network: hw.Network, spikes: dict[str, np.ndarray], *, effective: bool) -> dict[tuple[str, str], np.ndarray]:
    """Synapses reached, (T, B) for each (source, target), by walking over every synapse for every spike."""
    totals: dict[tuple[str, str], np.ndarray] = {}
    for connection in network.connections:
        events = spikes[connection.source].reshape(*spikes[connection.source].shape[:2], -1)
        here = np.zeros(events.shape[:2], np.int64)
        for start, _, weight, _ in synapses(connection, network[connection.source].shape):
            if weight or not effective:
                here += events[:, :, start] != 0
        pair = (connection.source, connection.target)
        totals[pair] = totals.get(pair, np.zeros_like(here)) + here
    return totals


def _neuron(neuron: hw.Cuba, u: int, v: int, a: int, bias: int) -> tuple[int, int, bool]:
    u = _decay(u, neuron.i_decay) + a * 64
    if u > 2**23:
        u -= 2**24
    elif u <= -(2**23):
        u += 2**24
    v = _decay(v, neuron.v_decay) + u + bias * 2**neuron.bias_exp
    v = min(max(v, -(2**23) + 1), 2**23 - 1)
    fired = v > neuron.v_th_mant * 64
    return u, 0 if fired else v, fired


def _decay(x: int, constant: int) -> int:
    magnitude = abs(x) * (4096 - constant) // 4096
    return magnitude if x >= 0 else -magnitude

"""The integer network a second time, in numpy alone, from the description of the chip and not from the simulator.

One population after the other, one timestep after the other, all sums in 64-bit integers. It shares nothing with `sim`
but the `Network` it runs: the neuron is written out from Lava's fixed-point CUBA LIF, a convolution is the sum over its
kernel's places, and a synaptic operation is counted where it arrives, while `sim` counts it where it is sent. It is
slow, needs no torch, and has no settings. Two programs that were written apart and agree are better evidence than one
that was run twice.
"""

from __future__ import annotations

import numpy as np

from ...hw import Connection, Conv, Cuba, Dense, Network, NotRepresentable, OneToOne, Population
from .golden import Golden, Row, count_rows, readouts_of

SUM_LIMIT = 1 << 18
"""Beyond it a current leaves the 24-bit register by more than Lava wraps (lava/proc/lif/models.py)."""


def run(network: Network, inputs: np.ndarray) -> Golden:
    """Run samples from zero state.

    inputs: integers (B, *S), the same at every timestep, or (T, B, *S). Raises NotRepresentable for a synaptic sum of
    2^18 or more, where the chip's arithmetic is not defined.
    """
    source = network.sources[0]
    held = inputs.ndim == len(source.shape) + 1
    sent = {source.name: np.broadcast_to(inputs, (network.n_steps, *inputs.shape)) if held else inputs}
    potentials: dict[str, np.ndarray] = {}
    for population, neuron in network.neurons:
        sent[population.name], potentials[population.name] = _population(network, population, neuron, sent)
    answers = network.readout.population
    return Golden(
        spikes={population.name: sent[population.name] for population, _ in network.neurons},
        readouts=readouts_of(network, sent[answers], potentials[answers]),
        counts=_counts(network, sent),
    )


def _population(
    network: Network, population: Population, neuron: Cuba, sent: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(spikes uint8, v int64) of one population, both (T, B, *shape). sent: the spikes of all earlier ones."""
    samples = next(iter(sent.values())).shape[1]
    shape = (network.n_steps, samples, *population.shape)
    sums, spikes, potentials = np.zeros(shape, np.int64), np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
    loops = network.recurrent(population.name)
    for connection in network.incoming(population.name):
        if connection.source != population.name:
            for delay, weight in _by_delay(connection):
                arrived = through(connection, weight, sent[connection.source])
                sums[delay:] += arrived[: max(0, network.n_steps - delay)]
    bias = neuron.bias_over(population.shape).astype(np.int64) << neuron.bias_exp
    u = v = np.zeros(shape[1:], np.int64)
    for t in range(network.n_steps):
        for loop in loops:
            for delay, weight in _by_delay(loop):
                if t > delay:  # a neuron hears itself one step later
                    sums[t] += through(loop, weight, spikes[t - 1 - delay : t - delay])[0].reshape(shape[1:])
        largest = int(np.abs(sums[t]).max())
        if largest >= SUM_LIMIT:
            raise NotRepresentable(
                f"{population.name}: a synaptic sum reached {largest}, and beyond {SUM_LIMIT - 1} the chip's 24-bit "
                "current is not defined; scale the layer down"
            )
        u = _shrunk(u, neuron.i_decay) + 64 * sums[t]
        u = (u + 2**23 - 1) % 2**24 - 2**23 + 1  # a register of 24 bits, -2^23 shown as 2^23
        v = np.clip(_shrunk(v, neuron.v_decay) + u + bias, 1 - 2**23, 2**23 - 1)
        fired = v > 64 * neuron.v_th_mant
        v = np.where(fired, 0, v)
        spikes[t], potentials[t] = fired, v
    return spikes, potentials


def through(connection: Connection, weight: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """The sums some spikes make behind a connection, without its delays: int64 (T, B, *shape of the target).

    weight: in the place of the connection's own. spikes: (T, B, *shape of the source).
    """
    spikes, weight = spikes.astype(np.int64), weight.astype(np.int64)
    if isinstance(connection, OneToOne):
        return weight * spikes
    if isinstance(connection, Dense):
        return spikes.reshape(*spikes.shape[:2], -1) @ weight.T
    return _convolved(connection, weight, spikes)


def _convolved(conv: Conv, weight: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """Target (y, x) gets tap (i, j) of source (y * stride - padding + i * dilation, likewise x)."""
    _, height, width = conv.out_shape(spikes.shape[2:])
    (above, left), (down, right), (rows, columns) = conv.padding, conv.stride, conv.dilation
    framed = np.pad(spikes, ((0, 0), (0, 0), (0, 0), (above, above), (left, left)))
    reads, writes = weight.shape[1], weight.shape[0] // conv.groups
    total = np.zeros((*spikes.shape[:2], weight.shape[0], height, width), np.int64)
    for i, j in np.ndindex(*weight.shape[2:]):
        y, x = i * rows, j * columns
        seen = framed[:, :, :, y : y + down * (height - 1) + 1 : down, x : x + right * (width - 1) + 1 : right]
        flat = seen.reshape(*seen.shape[:3], -1)
        for group in range(conv.groups):
            into = slice(group * writes, (group + 1) * writes)
            product = weight[into, :, i, j] @ flat[:, :, group * reads : (group + 1) * reads]
            total[:, :, into] += product.reshape(*spikes.shape[:2], writes, height, width)
    return total


def _by_delay(connection: Connection) -> list[tuple[int, np.ndarray]]:
    """(timesteps on the way, the weights of the synapses that take so long)."""
    if not isinstance(connection, Dense):
        return [(0, connection.weight)]
    delays = np.broadcast_to(connection.delay, connection.weight.shape)
    return [(int(d), np.where(delays == d, connection.weight, 0)) for d in np.unique(delays)]


def _counts(network: Network, sent: dict[str, np.ndarray]) -> dict[Row, np.ndarray]:
    """Spikes and the synapses they reach, int64 (T, B) each, at the timestep a spike is sent."""
    steps, samples = next(iter(sent.values())).shape[:2]
    events = {name: (spikes != 0).astype(np.int64) for name, spikes in sent.items()}
    counts = {row: np.zeros((steps, samples), np.int64) for row in count_rows(network)}
    for name, happened in events.items():
        counts["spikes", name] = happened.reshape(steps, samples, -1).sum(axis=2)
    for connection in network.connections:
        pair = (connection.source, connection.target)
        present = connection.weight != 0
        for kind, synapses in (("synops", np.ones_like(present)), ("synops_effective", present)):
            reached = through(connection, synapses, events[connection.source])
            counts[kind, *pair] = counts[kind, *pair] + reached.reshape(steps, samples, -1).sum(axis=2)
    return counts


def _shrunk(x: np.ndarray, constant: int) -> np.ndarray:
    """x times (4096 - constant) / 4096, rounded towards zero."""
    return np.sign(x) * (np.abs(x) * (4096 - constant) // 4096)

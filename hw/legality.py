"""The one check every network passes before it is written, simulated as a chip, or reported on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .arithmetic import DECAY_ONE, STATE_LIMIT, STATE_SHIFT
from .chip import Chip
from .errors import NotRepresentable
from .network import Connection, Conv, Network, Population, Source
from .neurons import Cuba


def check(network: Network, chip: Chip) -> None:
    """Raise NotRepresentable with every number of the network that the chip cannot hold, one line each."""
    lines = list(violations(network, chip))
    if lines:
        raise NotRepresentable("\n".join(lines))


def violations(network: Network, chip: Chip) -> Iterator[str]:
    """One line per number the chip cannot hold: who, value, limit, way out."""
    for population in network.populations:
        if isinstance(population.neuron, Source):
            yield from _source(population, population.neuron, chip)
        else:
            yield from _neuron(population, population.neuron, chip)
            yield from _sums(network, population, population.neuron, chip)
    for connection in network.connections:
        yield from _weights(connection, chip)
    yield from _readout(network)


def worst_sum(network: Network, connection: Connection) -> np.ndarray:
    """Largest magnitude one synaptic sum can reach for any input, per output channel or neuron. int64 (out,).

    With spikes in [0, m] the sum lies between m * (sum of negative weights) and m * (sum of positive weights).
    """
    source = network[connection.source].neuron
    payload = source.max_payload if isinstance(source, Source) else 1
    rows = connection.weight.reshape(connection.weight.shape[0], -1).astype(np.int64)
    positive = np.where(rows > 0, rows, 0).sum(axis=1)
    negative = np.where(rows < 0, -rows, 0).sum(axis=1)
    return np.maximum(positive, negative) * payload


def _source(population: Population, source: Source, chip: Chip) -> Iterator[str]:
    if not 0 <= source.payload_bits <= chip.payload_bits_max:
        way = "use a chip with graded spikes" if chip.payload_bits_max == 0 else "lower payload_bits"
        yield (
            f"{population.name}: payload of {source.payload_bits} bits, {chip.name} carries at most "
            f"{chip.payload_bits_max}; {way}"
        )


def _neuron(population: Population, neuron: Cuba, chip: Chip) -> Iterator[str]:
    name = population.name
    for field in ("i_decay", "v_decay"):
        value = getattr(neuron, field)
        if not 0 <= value <= DECAY_ONE:
            yield f"{name}: {field} is {value}, the chip takes 0..{DECAY_ONE}; choose a decay in that range"
    if not 1 <= neuron.v_th_mant <= chip.v_th_max:
        yield (
            f"{name}: threshold mantissa {neuron.v_th_mant} is outside {chip.name}'s 1..{chip.v_th_max}; "
            "scale the layer's weights, bias and threshold together"
        )
    low, high = int(neuron.bias_mant.min(initial=0)), int(neuron.bias_mant.max(initial=0))
    if low < chip.bias_min or high > chip.bias_max:
        worst = low if low < chip.bias_min else high
        yield (
            f"{name}: bias mantissa {worst} is outside {chip.name}'s {chip.bias_min}..{chip.bias_max}; "
            "scale the layer's weights, bias and threshold together"
        )


def _sums(network: Network, population: Population, neuron: Cuba, chip: Chip) -> Iterator[str]:
    totals = np.zeros(1, np.int64)  # per output, over all connections
    for connection in network.incoming(population.name):
        limit = chip.conv_sum_max if isinstance(connection, Conv) else chip.dense_sum_max
        worst = worst_sum(network, connection)
        totals = totals + worst
        if worst.max() > limit:
            yield (
                f"{connection.source} -> {population.name}: the synaptic sum can reach {worst.max()} at output "
                f"{worst.argmax()}, {chip.name}'s accumulator holds {limit}; scale the layer down or lower payload_bits"
            )
    total, gain = int(totals.max()), _memory(neuron.i_decay, network.n_steps)
    if total * gain * (1 << STATE_SHIFT) >= STATE_LIMIT:
        yield (
            f"{population.name}: the current can reach {total * gain:.0f} << 6, beyond its 24 bits; "
            "scale the layer down, or let the current decay faster"
        )


def _memory(decay: int, n_steps: int) -> float:
    """How many times its largest input a decaying register can hold: the geometric series of `1 - decay / 4096`."""
    return n_steps if decay == 0 else min(n_steps, DECAY_ONE / decay)


def _weights(connection: Connection, chip: Chip) -> Iterator[str]:
    where = f"{connection.source} -> {connection.target}"
    weight = connection.weight
    low, high = int(weight.min()), int(weight.max())
    if low == high == 0:
        yield f"{where}: all weights are zero, which the chip's synapse format cannot hold; remove the connection"
    elif low < 0 < high:
        if low < chip.weight_min or high > chip.weight_max:
            worst = low if low < chip.weight_min else high
            yield f"{where}: weight {worst} is outside {chip.weight_min}..{chip.weight_max}; scale the layer down"
        elif np.any(weight % chip.weight_step):
            yield f"{where}: mixed-sign weights must be multiples of {chip.weight_step}; round them to that grid"
    elif max(-low, high) > chip.one_sided_max:
        yield f"{where}: weight {low or high} exceeds {chip.one_sided_max} for one sign; scale the layer down"
    if isinstance(connection, Conv):
        if connection.groups > chip.groups_max:
            yield f"{where}: {connection.groups} groups, at most {chip.groups_max}; merge groups with zero weights"
        reach = max(*weight.shape[2:], *connection.stride, *connection.padding, *connection.dilation)
        if reach > chip.kernel_max:
            yield f"{where}: kernel, stride, padding or dilation {reach} exceeds {chip.kernel_max}"


def _readout(network: Network) -> Iterator[str]:
    if network.readout.kind != "membrane":
        return
    population = network[network.readout.population]
    neuron = population.neuron
    if not isinstance(neuron, Cuba):
        yield f"{population.name}: a source cannot be the read-out; name a population that computes"
        return
    # Per neuron, the current holds at most (worst sum x its memory), and the membrane adds that and the bias up.
    reach = np.abs(neuron.bias_over(population.shape).astype(np.int64)).reshape(population.shape[0], -1).max(axis=1)
    for connection in network.incoming(population.name):
        reach = reach + worst_sum(network, connection) * _memory(neuron.i_decay, network.n_steps)
    worst = float(reach.max()) * _memory(neuron.v_decay, network.n_steps)
    if worst > neuron.v_th_mant:
        yield (
            f"{population.name}: the read-out membrane can reach {worst:.0f}, above its threshold {neuron.v_th_mant}, "
            "and would fire and reset; scale the layer down or use fewer timesteps"
        )

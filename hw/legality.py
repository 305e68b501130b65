"""The one check every network passes before it is written, simulated as a chip, or reported on.

Synaptic sums are bounded from the weights alone, for any input. Where that bound exceeds the accumulator, a network may
still be legal by calibration: `observed` holds the largest sum seen on data, and whoever runs the network then counts
the sums that leave the range (`sim.Counts.overflows`), which must be none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .arithmetic import DECAY_ONE, STATE_LIMIT, STATE_SHIFT
from .chip import Chip
from .connections import Connection, Conv, Dense
from .errors import NotRepresentable
from .network import Network, Population, Source
from .neurons import Cuba

Observed = Mapping[str, int]
"""Largest magnitude of the synaptic sum `a` seen in each population on calibration data."""


def check(network: Network, chip: Chip, observed: Observed | None = None) -> None:
    """Raise NotRepresentable with every number of the network that the chip cannot hold, one line each.

    observed: largest synaptic sums on calibration data; without it every sum must be bounded by the weights.
    """
    lines = list(violations(network, chip, observed))
    if lines:
        raise NotRepresentable("\n".join(lines))


def violations(network: Network, chip: Chip, observed: Observed | None = None) -> Iterator[str]:
    """One line per number the chip cannot hold: who, value, limit, way out."""
    for population in network.populations:
        if isinstance(population.neuron, Source):
            yield from _source(population, population.neuron, chip)
        else:
            yield from _neuron(population, population.neuron, chip)
            yield from _sums(network, population, population.neuron, chip, observed)
    for connection in network.connections:
        yield from _weights(connection, chip)
    yield from _readout(network, observed)


def rests_on_calibration(network: Network, chip: Chip) -> tuple[str, ...]:
    """Populations whose sums the weights alone do not keep inside the chip's accumulators; their runs are watched."""
    return tuple(p.name for p, neuron in network.neurons if list(_sums(network, p, neuron, chip, None)))


def sum_limit(network: Network, name: str, chip: Chip) -> int:
    """Largest magnitude of the synaptic sum `a` a population may ever see: its accumulator, and `u` within 24 bits."""
    neuron = network[name].neuron
    assert isinstance(neuron, Cuba)
    accumulator = min(_accumulator(connection, chip) for connection in network.incoming(name))
    register = ((STATE_LIMIT - 1) >> STATE_SHIFT) / _memory(neuron.i_decay, network.n_steps)
    return min(accumulator, int(register))


def worst_sum(network: Network, connection: Connection) -> np.ndarray:
    """Largest magnitude one synaptic sum can reach for any input, per output channel or neuron. int64 (out,).

    With spikes in [l, m], l <= 0 <= m, a sum is largest where every positive weight meets m and every negative one l.
    """
    source = network[connection.source].neuron
    low, high = (source.min_payload, source.max_payload) if isinstance(source, Source) else (0, 1)
    weight = connection.weight.astype(np.int64)
    rows = weight.reshape(weight.shape[0] if weight.ndim else 1, -1)
    positive = np.where(rows > 0, rows, 0).sum(axis=1)
    negative = np.where(rows < 0, -rows, 0).sum(axis=1)
    return np.maximum(positive * high - negative * low, negative * high - positive * low)


def _accumulator(connection: Connection, chip: Chip) -> int:
    return chip.dense_sum_max if isinstance(connection, Dense) else chip.conv_sum_max


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
    if neuron.bias_exp > chip.bias_exp_max:
        yield f"{name}: bias exponent {neuron.bias_exp} exceeds {chip.name}'s {chip.bias_exp_max}; scale the mantissa"
    low, high = int(neuron.bias_mant.min(initial=0)), int(neuron.bias_mant.max(initial=0))
    if low < chip.bias_min or high > chip.bias_max:
        worst = low if low < chip.bias_min else high
        yield (
            f"{name}: bias mantissa {worst} is outside {chip.name}'s {chip.bias_min}..{chip.bias_max}; "
            "scale the layer's weights, bias and threshold together"
        )


def _sums(
    network: Network, population: Population, neuron: Cuba, chip: Chip, observed: Observed | None
) -> Iterator[str]:
    if observed is not None and population.name in observed:
        seen, limit = observed[population.name], sum_limit(network, population.name, chip)
        if seen > limit:
            yield (
                f"{population.name}: a synaptic sum reached {seen} on the calibration data, {chip.name} holds {limit}; "
                "scale the layer down or lower payload_bits"
            )
        return
    totals = np.zeros(1, np.int64)  # per output, over all connections
    for connection in network.incoming(population.name):
        limit = _accumulator(connection, chip)
        worst = worst_sum(network, connection)
        totals = totals + worst
        if worst.max() > limit:
            yield (
                f"{connection.source} -> {population.name}: the synaptic sum can reach {worst.max()} at output "
                f"{worst.argmax()}, {chip.name}'s accumulator holds {limit}; scale the layer down, "
                "lower payload_bits, or calibrate it on data"
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
    if isinstance(connection, Dense) and connection.max_delay > chip.delay_max:
        yield f"{where}: a delay of {connection.max_delay} timesteps, {chip.name} holds a spike for {chip.delay_max}"
    if isinstance(connection, Conv):
        if connection.groups > chip.groups_max:
            yield f"{where}: {connection.groups} groups, at most {chip.groups_max}; merge groups with zero weights"
        reach = max(*weight.shape[2:], *connection.stride, *connection.padding, *connection.dilation)
        if reach > chip.kernel_max:
            yield f"{where}: kernel, stride, padding or dilation {reach} exceeds {chip.kernel_max}"


def _readout(network: Network, observed: Observed | None) -> Iterator[str]:
    if network.readout.kind != "membrane":
        return
    population = network[network.readout.population]
    neuron = population.neuron
    if not isinstance(neuron, Cuba):
        yield f"{population.name}: a source cannot be the read-out; name a population that computes"
        return
    # Per neuron, the current holds at most (worst sum x its memory), and the membrane adds that and the bias up.
    bias = np.abs(neuron.bias_over(population.shape).astype(np.int64)) << neuron.bias_exp
    reach = bias.reshape(population.shape[0], -1).max(axis=1) / (1 << STATE_SHIFT)
    memory = _memory(neuron.i_decay, network.n_steps)
    if observed is not None and population.name in observed:
        reach = reach + observed[population.name] * memory
    else:
        reach = reach + sum(worst_sum(network, connection) for connection in network.incoming(population.name)) * memory
    worst = float(reach.max()) * _memory(neuron.v_decay, network.n_steps)
    if worst > neuron.v_th_mant:
        yield (
            f"{population.name}: the read-out membrane can reach {worst:.0f}, above its threshold {neuron.v_th_mant}, "
            "and would fire and reset; scale the layer down or use fewer timesteps"
        )

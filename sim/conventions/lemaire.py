"""Lemaire et al. 2022: operations, addressing and memory accesses of a layer, int32 at Horowitz's energies.

    E_layer = E_operations + E_addressing + E_memory

Every count is a formula of the paper in the spikes that entered and left a layer (here exact, per timestep), with k the
kernel, S its stride, N the neurons, and the equations' numbers in brackets. Conv: F = C_out / groups, P = k^2 F;
dense: F = P = N_out; one to one: F = P = 1.

    spiking  ACC    theta_in ceil(k/S)^2 F (dense: theta_in N_out) + N per timestep where biased + theta_out  (1.4, 2.4)
             MAC    N per timestep where the voltage leaks (1.3, 2.3)
             read   input theta_in (5)   weights theta_in P (7, 8)   biases N per timestep (7, 8)
             potential read and write    theta_in P + N per timestep (9, 10, 14, 15)
             write  output theta_out (13)
             addr   conv: MAC 2 theta_in, ACC theta_in P (16.2, 16.3);   dense: ACC theta_in N_out (17.2)
    formal   MAC    one per product (1.1, 2.1)   ACC  N where biased (1.2, 2.2)
             read   input: conv one per product, dense N_in (3, 4)   weights one per product   biases N   (6)
             write  N (11, 12)
             addr   conv: ACC N_in + N + C_out k^2 (16.1);   dense: ACC N_in + N_out

Equation 2.4 is printed with a further factor N_in and without the reset; `errata="printed"` counts it so. A graded
input multiplies: its synaptic ACC become MAC. Where several connections lead to a layer, what belongs to a
spike is charged per connection, what belongs to a neuron once. The cost of an access depends on the size of the memory,
and three variants are in use:

    a   straight lines through Horowitz's caches, per 32-bit word
    b   the regression of the authors' laboratory (Qualia)
    c   Qualia's `new`: 10 pJ per 64 bits, whatever the size

Horowitz's cache energies are per 64 bits; a and b charge them per 32-bit word and so about twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from ...hw import Connection, Conv, Cuba, Dense, OneToOne, Population
from ..constants import HOROWITZ, INT32_ADD, INT32_MULTIPLY, multiply_add
from ..convention import CONVENTIONS, AccessCost, Convention, Cost, LinearAccessCost, Term
from ..counts import Pair, dense_macs, is_graded
from ..workload import Counted, Workload, countable

FIFO_WORDS = 1000
"""Capacity of the queue of spikes before and after a layer in the paper's experiments."""

_PAPER = "Lemaire et al., ICONIP 2022, arXiv 2210.13107"
_ACCESS = "one access to a 32-bit word; reading and writing cost the same"

MEMORY_A = AccessCost(
    points=((0, 0.0), (8 << 10, 10.0), (32 << 10, 20.0), (1 << 20, 100.0)),
    bytes_per_word=4,
    source=f"{_PAPER}: interpolated between the SRAM energies of {HOROWITZ}",
    kind="derived",
    scope=_ACCESS,
    voltage=0.9,
    node=45,
)
MEMORY_B = LinearAccessCost(
    base_pj=13.2,
    pj_per_bit=1.09e-5,
    bits_per_word=32,
    source="Qualia plugin for SNNs at 15165fe, its default regression",
    kind="derived",
    scope=_ACCESS,
    voltage=0.9,
    node=45,
)
MEMORY_C = LinearAccessCost(
    base_pj=5.0,
    pj_per_bit=0.0,
    bits_per_word=32,
    source=f"Qualia plugin for SNNs at 15165fe, its `new` cost: 10 pJ per 64 bits of {HOROWITZ}",
    kind="derived",
    scope=_ACCESS,
    voltage=0.9,
    node=45,
)


@countable("lemaire_accs", "ACC", "errata")
def _accumulations(work: Workload) -> Iterator[Counted]:
    for pair, connections in _binary(work):
        for connection in connections:
            yield _per_spike(work, pair, _synaptic(work, connection))
    for population, neuron in work.network.neurons:
        if _biased(neuron):
            yield _own(population, work.each_step(population.size))
        yield _own(population, work.counts.spikes[population.name] * _resets(work, population))


@countable("lemaire_macs", "MAC")
def _multiply_accumulations(work: Workload) -> Iterator[Counted]:
    for pair in work.pairs:
        if is_graded(work.network, pair[0]):
            for connection in work.joining(pair):
                yield _per_spike(work, pair, _targets(connection))
    for population, neuron in work.network.neurons:
        if neuron.v_decay:
            yield _own(population, work.each_step(population.size))


@countable("lemaire_address_accs", "addressing ACC")
def _address_accumulations(work: Workload) -> Iterator[Counted]:
    yield from _each_connection(work, _weights_per_spike)


@countable("lemaire_address_macs", "addressing MAC")
def _address_multiplications(work: Workload) -> Iterator[Counted]:
    yield from _each_connection(work, lambda connection: 2 if isinstance(connection, Conv) else 0)


@countable("lemaire_input_reads", "input read")
def _input_reads(work: Workload) -> Iterator[Counted]:
    yield from _each_connection(work, lambda connection: 1, lambda connection: FIFO_WORDS)


@countable("lemaire_weight_reads", "weight read")
def _weight_reads(work: Workload) -> Iterator[Counted]:
    yield from _each_connection(work, _weights_per_spike, lambda connection: connection.weight.size)


@countable("lemaire_bias_reads", "bias read")
def _bias_reads(work: Workload) -> Iterator[Counted]:
    for population, neuron in work.network.neurons:
        if _biased(neuron):
            yield _own(population, work.each_step(population.size), neuron.bias_mant.size)


@countable("lemaire_potential_accesses", "potential read or write")
def _potential_accesses(work: Workload) -> Iterator[Counted]:
    for counted in _each_connection(work, _weights_per_spike):
        words = work.network[counted.population].size
        yield Counted(population=counted.population, source=counted.source, events=2 * counted.events, words=words)
    for population in work.populations:
        yield _own(population, work.each_step(2 * population.size), population.size)


@countable("lemaire_output_writes", "output write")
def _output_writes(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        yield _own(population, work.counts.spikes[population.name], FIFO_WORDS)


@countable("lemaire_ann_macs", "MAC of the ANN")
def _ann_macs(work: Workload) -> Iterator[Counted]:
    yield from _each_formal(work, _products)


@countable("lemaire_ann_accs", "ACC of the ANN")
def _ann_accs(work: Workload) -> Iterator[Counted]:
    for population, neuron in work.network.neurons:
        if _biased(neuron):
            yield _own(population, work.each_sample(population.size))


@countable("lemaire_ann_address_accs", "addressing ACC of the ANN")
def _ann_address_accs(work: Workload) -> Iterator[Counted]:
    yield from _each_formal(work, _addresses)


@countable("lemaire_ann_input_reads", "input read of the ANN")
def _ann_input_reads(work: Workload) -> Iterator[Counted]:
    def reads(work: Workload, connection: Connection) -> int:
        return _products(work, connection) if isinstance(connection, Conv) else work.network[connection.source].size

    yield from _each_formal(work, reads, lambda connection: work.network[connection.source].size)


@countable("lemaire_ann_weight_reads", "weight read of the ANN")
def _ann_weight_reads(work: Workload) -> Iterator[Counted]:
    yield from _each_formal(work, _products, lambda connection: connection.weight.size)


@countable("lemaire_ann_bias_reads", "bias read of the ANN")
def _ann_bias_reads(work: Workload) -> Iterator[Counted]:
    for population, neuron in work.network.neurons:
        if _biased(neuron):
            yield _own(population, work.each_sample(population.size), neuron.bias_mant.size)


@countable("lemaire_ann_output_writes", "output write of the ANN")
def _ann_output_writes(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        yield _own(population, work.each_sample(population.size), population.size)


def _synaptic(work: Workload, connection: Connection) -> int:
    """Accumulations per incoming spike; a matrix counts them N_in times where equation 2.4 is taken as printed."""
    printed = isinstance(connection, Dense) and work.choices.errata == "printed"
    return _targets(connection) * (connection.weight.shape[1] if printed else 1)


def _resets(work: Workload, population: Population) -> int:
    """Accumulations per outgoing spike: one, to reset; none where a matrix leads in and 2.4 is taken as printed."""
    dense = any(isinstance(connection, Dense) for connection in work.network.incoming(population.name))
    return 0 if dense and work.choices.errata == "printed" else 1


def _targets(connection: Connection) -> int:
    """Neurons one spike reaches: ceil(k / S)^2 C_out / groups, or N_out."""
    if not isinstance(connection, Conv):
        return _weights_per_spike(connection)
    taps = math.prod(-(-k // s) for k, s in zip(connection.weight.shape[2:], connection.stride, strict=True))
    return taps * connection.weight.shape[0] // connection.groups


def _weights_per_spike(connection: Connection) -> int:
    """Weights read for one spike: k^2 C_out / groups, or N_out."""
    if isinstance(connection, OneToOne):
        return 1
    if isinstance(connection, Dense):
        return connection.weight.shape[0]
    return connection.weight[:, 0].size // connection.groups


def _products(work: Workload, connection: Connection) -> int:
    return dense_macs(work.network, connection, "formula")


def _addresses(work: Workload, connection: Connection) -> int:
    ends = work.network[connection.source].size + work.network[connection.target].size
    return ends + (connection.weight[:, 0].size if isinstance(connection, Conv) else 0)


def _biased(neuron: Cuba) -> bool:
    return bool(neuron.bias_mant.any())


def _binary(work: Workload) -> Iterator[tuple[Pair, tuple[Connection, ...]]]:
    return ((pair, work.joining(pair)) for pair in work.pairs if not is_graded(work.network, pair[0]))


def _each_connection(
    work: Workload, per_spike: Callable[[Connection], int], words: Callable[[Connection], int] = lambda connection: 0
) -> Iterator[Counted]:
    for pair in work.pairs:
        for connection in work.joining(pair):
            yield _per_spike(work, pair, per_spike(connection), words(connection))


def _each_formal(
    work: Workload,
    count: Callable[[Workload, Connection], int],
    words: Callable[[Connection], int] = lambda connection: 0,
) -> Iterator[Counted]:
    for source, target in work.pairs:
        for connection in work.joining((source, target)):
            events = work.each_sample(count(work, connection))
            yield Counted(population=target, source=source, events=events, words=words(connection))


def _per_spike(work: Workload, pair: Pair, amount: int, words: int = 0) -> Counted:
    return Counted(population=pair[1], source=pair[0], events=work.counts.spikes[pair[0]] * amount, words=words)


def _own(population: Population, events: torch.Tensor, words: int = 0) -> Counted:
    return Counted(population=population.name, source=None, events=events, words=words)


_MAC = multiply_add(INT32_ADD, INT32_MULTIPLY)


def _lemaire(name: str, title: str, memory: Cost) -> Convention:
    return Convention(
        name=name,
        title=title,
        about="operations, addressing and memory accesses by the published formulas",
        excluded="control, routing of spikes between layers, static power, input and output; a second decaying state",
        snn=(
            Term(count="lemaire_accs", cost=INT32_ADD),
            Term(count="lemaire_macs", cost=_MAC),
            Term(count="lemaire_address_accs", cost=INT32_ADD),
            Term(count="lemaire_address_macs", cost=_MAC),
            Term(count="lemaire_input_reads", cost=memory),
            Term(count="lemaire_weight_reads", cost=memory),
            Term(count="lemaire_bias_reads", cost=memory),
            Term(count="lemaire_potential_accesses", cost=memory),
            Term(count="lemaire_output_writes", cost=memory),
        ),
        ann=(
            Term(count="lemaire_ann_macs", cost=_MAC),
            Term(count="lemaire_ann_accs", cost=INT32_ADD),
            Term(count="lemaire_ann_address_accs", cost=INT32_ADD),
            Term(count="lemaire_ann_input_reads", cost=memory),
            Term(count="lemaire_ann_weight_reads", cost=memory),
            Term(count="lemaire_ann_bias_reads", cost=memory),
            Term(count="lemaire_ann_output_writes", cost=memory),
        ),
    )


for _letter, _memory, _how in (
    ("a", MEMORY_A, "memory by straight lines between cache sizes"),
    ("b", MEMORY_B, "memory by Qualia's regression"),
    ("c", MEMORY_C, "memory at 5 pJ per word"),
):
    CONVENTIONS.register(
        f"lemaire_int32_{_letter}",
        _lemaire(f"lemaire_int32_{_letter}", f"Lemaire et al. 2022 at int32, {_how}", _memory),
    )

"""The rules of a netx chain that writing and reading share: one path of layers, and numbers Lava keeps as they are."""

from __future__ import annotations

import numpy as np

from ..hw import (
    Connection,
    Conv,
    Cuba,
    Dense,
    Network,
    NotRepresentable,
    OneToOne,
    Population,
    Source,
    UnsupportedLayer,
)
from ..hw.arithmetic import DECAY_ONE, STATE_SHIFT
from .netx_weights import check_dense_weight, check_recurrent_weights

BIAS_LIMITS = (-(1 << 15), (1 << 15) - 1)  # Lava stores the bias mantissa as int16 and wraps what is beyond
V_TH_LIMITS = (0, (1 << 25) - 1)  # shifted left by 6 it must stay within int32; below 0 a neuron always fires
DECAY_LIMITS = (0, DECAY_ONE)
GROUPS_MAX = 127  # Lava keeps the number of groups as int8; 128 becomes -128 and the layer outputs zero
GEOMETRY_MAX = 127  # kernel, stride, padding and dilation are int8 as well

Chain = list[tuple[Connection, Population]]


def as_chain(network: Network) -> Chain:
    """The network's layers in order, each forward connection with the population it leads to.

    A recurrent connection belongs to its population (`Network.recurrent`) and is not listed. Raises UnsupportedLayer
    where the graph has a second source, a population with two forward connections on one side, or two to itself.
    """
    sources = network.sources
    if len(sources) != 1:
        names = ", ".join(p.name for p in sources) or "none"
        raise UnsupportedLayer(f"netx: the network has {len(sources)} sources ({names}), a netx file has exactly 1")
    if len(sources[0].shape) not in (1, 3):
        raise UnsupportedLayer(f"netx: {sources[0].name} has shape {sources[0].shape}; give (C, H, W) or (F,)")
    for population in network.populations:
        _check_degree(network, population)
    chain: Chain = []
    here = _forward(network, sources[0].name)
    while here:
        chain.append((here[0], network[here[0].target]))
        here = _forward(network, here[0].target)
    if not chain:
        raise UnsupportedLayer(f"netx: {sources[0].name} leads nowhere; a netx file needs at least one layer")
    return chain


def _forward(network: Network, name: str) -> list[Connection]:
    return [c for c in network.outgoing(name) if c.target != name]


def _check_degree(network: Network, population: Population) -> None:
    name = population.name
    for side, ends in (
        ("incoming", [c.source for c in network.incoming(name) if c.source != name]),
        ("outgoing", [c.target for c in _forward(network, name)]),
    ):
        if len(ends) > 1:
            raise UnsupportedLayer(
                f"netx: {name} has {len(ends)} {side} connections ({', '.join(ends)}); a netx file holds one chain of "
                "layers; carry the other branch as relay channels of the main path, or run the graph in the simulator"
            )
    if len(network.recurrent(name)) > 1:
        raise UnsupportedLayer(
            f"netx: {name} has {len(network.recurrent(name))} recurrent connections, a dense_rec layer has 1; "
            "add their matrices up"
        )


def neuron_of(population: Population) -> Cuba:
    """The neuron parameters of a population that computes."""
    if not isinstance(population.neuron, Cuba):
        raise UnsupportedLayer(f"{population.name}: netx has no rule for {type(population.neuron).__name__} here")
    return population.neuron


def file_bias(population: Population) -> np.ndarray:
    """The bias mantissas a netx file holds, whose exponent is always 6. int64, (), (C,) or the population's shape.

    Raises NotRepresentable if another exponent of ours cannot be folded into them exactly.
    """
    neuron = neuron_of(population)
    scaled = neuron.bias_mant.astype(np.int64) << neuron.bias_exp
    if np.any(scaled % (1 << STATE_SHIFT)):
        raise NotRepresentable(
            f"{population.name}: a bias with exponent {neuron.bias_exp} is no multiple of 2^{STATE_SHIFT}, and a netx "
            f"file always shifts by {STATE_SHIFT}; round the bias to that grid"
        )
    return scaled >> STATE_SHIFT


def check_numbers(connection: Connection, population: Population, recurrent: Dense | None = None) -> None:
    """Raise NotRepresentable for what Lava's CPU simulation would silently change, whatever the chip.

    recurrent: the population's connection to itself, which netx fits together with `connection`. Raises
    UnsupportedLayer for a recurrent connection elsewhere than in a dense layer.
    """
    where = f"{connection.source} -> {connection.target}"
    if recurrent is not None and not isinstance(connection, Dense):
        raise UnsupportedLayer(
            f"{population.name} -> {population.name}: netx has recurrent connections in dense layers only, and "
            f"{where} is a {type(connection).__name__}; write it as a dense matrix"
        )
    if isinstance(connection, Conv):
        _check_conv(where, connection)
    elif isinstance(connection, Dense):
        if recurrent is None:
            check_dense_weight(where, connection.weight)
        else:
            _check_recurrent(where, connection, recurrent)
    neuron, name, bias = neuron_of(population), population.name, file_bias(population)
    for field, value, (least, most) in (
        ("i_decay", neuron.i_decay, DECAY_LIMITS),
        ("v_decay", neuron.v_decay, DECAY_LIMITS),
        ("threshold mantissa", neuron.v_th_mant, V_TH_LIMITS),
        ("bias mantissa", int(bias.min(initial=0)), BIAS_LIMITS),
        ("bias mantissa", int(bias.max(initial=0)), BIAS_LIMITS),
    ):
        if not least <= value <= most:
            raise NotRepresentable(
                f"{name}: {field} {value} is outside Lava's {least}..{most}; "
                "scale the layer's weights, bias and threshold together, and choose decays of 4096"
            )


def _check_conv(where: str, connection: Conv) -> None:
    if connection.groups > GROUPS_MAX:
        raise NotRepresentable(
            f"{where}: {connection.groups} groups exceed {GROUPS_MAX}, beyond which Lava outputs zero; "
            "merge groups with zero cross weights"
        )
    reach = max(*connection.weight.shape[2:], *connection.stride, *connection.padding, *connection.dilation)
    if reach > GEOMETRY_MAX:
        raise NotRepresentable(
            f"{where}: kernel, stride, padding or dilation {reach} exceeds {GEOMETRY_MAX}, the largest int8 "
            "Lava keeps it in; use a smaller one"
        )


def _check_recurrent(where: str, connection: Dense, recurrent: Dense) -> None:
    """netx gives a dense_rec layer one `delay`, applied to both matrices, which must then be of one shape."""
    delayed = connection.max_delay > 0 or recurrent.max_delay > 0
    if delayed and not np.array_equal(connection.delay, recurrent.delay):
        raise NotRepresentable(
            f"{where}: its delays differ from the recurrent ones of {recurrent.target}, and netx has one delay for "
            "both; give both connections the same array of delays"
        )
    if delayed and connection.weight.shape != recurrent.weight.shape:
        raise NotRepresentable(
            f"{where}: a dense_rec layer with delays and a weight of shape {connection.weight.shape} fails in Lava, "
            "which lays the delays over both matrices; make the layer as large as its source, or leave the delays out"
        )
    check_recurrent_weights(where, connection.weight, recurrent.weight, delayed=delayed)


def check_input_layer(connection: OneToOne, population: Population, source: Population) -> None:
    """Raise NotRepresentable where an input layer with neurons would compute something else than the population.

    netx drives such neurons through their bias, set to `weight * x + bias` at every step (int16, as Lava keeps it);
    the current is left out.
    """
    neuron, bias, where = neuron_of(population), file_bias(population), f"{connection.source} -> {connection.target}"
    way_out = "or let export.lowering.to_chain turn the connection into a convolution"
    if neuron.i_decay != DECAY_ONE:
        raise NotRepresentable(
            f"{where}: i_decay is {neuron.i_decay}, but netx drives the neurons of an input layer through their bias, "
            f"past the current; use {DECAY_ONE}, {way_out}"
        )
    if bias.size and bias.min() != bias.max():
        raise NotRepresentable(
            f"{where}: the biases of {population.name} differ, a netx input layer has one; make them equal, {way_out}"
        )
    assert isinstance(source.neuron, Source)
    weight, payloads = int(connection.weight), (source.neuron.min_payload, source.neuron.max_payload)
    reach = [weight * payload + int(bias.flat[0]) for payload in payloads]
    for value in reach:
        if not BIAS_LIMITS[0] <= value <= BIAS_LIMITS[1]:
            raise NotRepresentable(
                f"{where}: weight * payload + bias can reach {value}, outside the {BIAS_LIMITS[0]}..{BIAS_LIMITS[1]} "
                f"of Lava's bias mantissa; lower payload_bits or the weight, {way_out}"
            )

"""The rules of a netx chain that writing and reading share: one path of layers, and numbers Lava keeps as they are."""

from __future__ import annotations

from ..hw import Connection, Conv, Cuba, Network, NotRepresentable, Population, UnsupportedLayer
from .netx_weights import check_dense_weight

BIAS_LIMITS = (-(1 << 15), (1 << 15) - 1)  # Lava stores the bias mantissa as int16 and wraps what is beyond
V_TH_LIMITS = (0, (1 << 25) - 1)  # shifted left by 6 it must stay within int32; below 0 a neuron always fires
DECAY_LIMITS = (0, 4096)
GROUPS_MAX = 127  # Lava keeps the number of groups as int8; 128 becomes -128 and the layer outputs zero
GEOMETRY_MAX = 127  # kernel, stride, padding and dilation are int8 as well


def as_chain(network: Network) -> list[tuple[Connection, Population]]:
    """The network's layers in order, each connection with the population it leads to.

    Raises UnsupportedLayer where the graph has a second source or a population with two connections on one side.
    """
    way_out = (
        "a netx file holds one chain of layers; carry the other branch as relay channels of the main path, "
        "or run the graph in the simulator"
    )
    sources = network.sources
    if len(sources) != 1:
        names = ", ".join(p.name for p in sources) or "none"
        raise UnsupportedLayer(f"netx: the network has {len(sources)} sources ({names}), a netx file has exactly 1")
    if len(sources[0].shape) not in (1, 3):
        raise UnsupportedLayer(f"netx: {sources[0].name} has shape {sources[0].shape}; give (C, H, W) or (F,)")
    for population in network.populations:
        for side, ends in (
            ("incoming", [c.source for c in network.incoming(population.name)]),
            ("outgoing", [c.target for c in network.outgoing(population.name)]),
        ):
            if len(ends) > 1:
                raise UnsupportedLayer(
                    f"netx: {population.name} has {len(ends)} {side} connections ({', '.join(ends)}); {way_out}"
                )
    chain: list[tuple[Connection, Population]] = []
    here = network.outgoing(sources[0].name)
    while here:
        chain.append((here[0], network[here[0].target]))
        here = network.outgoing(here[0].target)
    if not chain:
        raise UnsupportedLayer(f"netx: {sources[0].name} leads nowhere; a netx file needs at least one layer")
    return chain


def neuron_of(population: Population) -> Cuba:
    """The neuron parameters of a population that computes."""
    if not isinstance(population.neuron, Cuba):
        raise UnsupportedLayer(f"{population.name}: netx has no rule for {type(population.neuron).__name__} here")
    return population.neuron


def check_numbers(connection: Connection, population: Population) -> None:
    """Raise NotRepresentable for what Lava's CPU simulation would silently change, whatever the chip."""
    where = f"{connection.source} -> {connection.target}"
    if isinstance(connection, Conv):
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
    else:
        check_dense_weight(where, connection.weight)
    neuron, name = neuron_of(population), population.name
    for field, value, (least, most) in (
        ("i_decay", neuron.i_decay, DECAY_LIMITS),
        ("v_decay", neuron.v_decay, DECAY_LIMITS),
        ("threshold mantissa", neuron.v_th_mant, V_TH_LIMITS),
        ("bias mantissa", int(neuron.bias_mant.min(initial=0)), BIAS_LIMITS),
        ("bias mantissa", int(neuron.bias_mant.max(initial=0)), BIAS_LIMITS),
    ):
        if not least <= value <= most:
            raise NotRepresentable(
                f"{name}: {field} {value} is outside Lava's {least}..{most}; "
                "scale the layer's weights, bias and threshold together, and choose decays of 4096"
            )

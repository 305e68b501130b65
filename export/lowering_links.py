"""Connections in the forms a netx file has: identities as convolutions or matrices, groups within their limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..hw import Chip, Connection, Conv, Dense, Network, NotRepresentable, OneToOne, Shape
from .lowering_rewrite import Rewrite, synapses_of
from .netx_chain import check_input_layer


def identity(connection: OneToOne, shape: Shape, groups_max: int) -> Conv | Dense:
    """One-to-one synapses between populations of `shape` as stored weights.

    (C, H, W): a 1 x 1 convolution over the most groups, at most `groups_max`, that divide C. (F,): a diagonal matrix.
    """
    source, target, weight = connection.source, connection.target, int(connection.weight)
    if len(shape) == 1:
        return Dense(source=source, target=target, weight=np.eye(shape[0], dtype=np.int64) * weight)
    channels = shape[0]
    groups = most_groups(channels, groups_max)
    per_group = channels // groups
    kernel = np.tile(np.eye(per_group, dtype=np.int64), (groups, 1))[:, :, None, None] * weight
    return Conv(source=source, target=target, weight=kernel, groups=groups)


def most_groups(groups: int, groups_max: int) -> int:
    """The largest divisor of `groups` that is at most `groups_max`."""
    return max(g for g in range(1, min(groups, groups_max) + 1) if groups % g == 0)


def with_groups(connection: Conv, groups: int) -> Conv:
    """The same convolution over fewer groups, zero across the old ones. groups divides the connection's."""
    weight = connection.weight
    out, per_group = weight.shape[:2]
    merged = connection.groups // groups
    wide = np.zeros((out, per_group * merged, *weight.shape[2:]), weight.dtype)
    rows = out // connection.groups
    for group in range(connection.groups):
        at = (group % merged) * per_group
        wide[group * rows : (group + 1) * rows, at : at + per_group] = weight[group * rows : (group + 1) * rows]
    return replace(connection, weight=wide, groups=groups)


def write_identities(network: Network, chip: Chip, keep_input_layer: bool) -> tuple[Network, tuple[Rewrite, ...]]:
    """One-to-one connections as convolutions or matrices.

    keep_input_layer: leave one that a netx input layer with neurons expresses: right behind the source, its only
    outgoing connection.
    """
    rewrites = []
    connections: list[Connection] = []
    for connection in network.connections:
        if not isinstance(connection, OneToOne) or (keep_input_layer and _is_input_layer(network, connection)):
            connections.append(connection)
            continue
        shape = network[connection.target].shape
        link = identity(connection, shape, chip.groups_max)
        form = f"a 1 x 1 convolution of {link.groups} groups" if isinstance(link, Conv) else "a diagonal matrix"
        rewrites.append(
            Rewrite(
                step="identities",
                layer=connection.target,
                what=f"the one-to-one synapses from {connection.source} became {form}",
                why="a netx file has one-to-one synapses right behind the source only",
                synapses=synapses_of(link, shape) - synapses_of(connection, shape),
            )
        )
        connections.append(link)
    return (replace(network, connections=tuple(connections)) if rewrites else network), tuple(rewrites)


def _is_input_layer(network: Network, connection: OneToOne) -> bool:
    source, target = network[connection.source], network[connection.target]
    if source not in network.sources or len(network.outgoing(source.name)) != 1:
        return False
    if len(network.incoming(target.name)) != 1:
        return False
    try:
        check_input_layer(connection, target, source)
    except NotRepresentable:
        return False
    return True


def merge_groups(network: Network, chip: Chip) -> tuple[Network, tuple[Rewrite, ...]]:
    """Convolutions of more groups than the chip takes, over fewer groups, with zero weights across."""
    rewrites = []
    connections: list[Connection] = []
    for connection in network.connections:
        if not isinstance(connection, Conv) or connection.groups <= chip.groups_max:
            connections.append(connection)
            continue
        shape = network[connection.target].shape
        merged = with_groups(connection, most_groups(connection.groups, chip.groups_max))
        rewrites.append(
            Rewrite(
                step="groups",
                layer=connection.target,
                what=f"{connection.groups} groups became {merged.groups}, with zero weights across",
                why=f"{chip.name} takes {chip.groups_max} groups at most",
                synapses=synapses_of(merged, shape) - synapses_of(connection, shape),
            )
        )
        connections.append(merged)
    return (replace(network, connections=tuple(connections)) if rewrites else network), tuple(rewrites)

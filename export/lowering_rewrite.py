"""What a lowering pass did to a network, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hw import Connection, Conv, Network


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """One change to one layer.

    step: the pass that made it, one of `lowering.PASSES`. layer: the population it concerns. what, why: for the report.
    neurons, synapses: what it adds; a synapse is a stored weight times the positions it is applied at
    (`stored_synapses`). Over all rewrites they sum up to the difference between the chain and the graph.
    """

    step: str
    layer: str
    what: str
    why: str
    neurons: int = 0
    synapses: int = 0


@dataclass(frozen=True, kw_only=True)
class RelayRewrite(Rewrite):
    """Relay channels, or rows of a dense layer, that repeat the population `carries`.

    weight: of each relay synapse. bias: of each relay. inputs: synapses, from as many copies, that drive one relay.
    lasting: whether a silent relay stays silent for any number of timesteps; if not, for those of a sample.
    """

    carries: str
    weight: int
    bias: int
    inputs: int
    lasting: bool


def stored_synapses(network: Network) -> int:
    """Stored weights of a network, each counted once per position it is applied at."""
    return sum(synapses_of(c, network[c.target].shape) for c in network.connections)


def synapses_of(connection: Connection, target: tuple[int, ...]) -> int:
    """Stored weights of one connection, each counted once per position. target: the target's shape."""
    if connection.weight.ndim == 0:
        return int(np.prod(target))
    positions = int(np.prod(target[1:])) if isinstance(connection, Conv) else 1
    return connection.weight.size * positions

"""An integer graph as the chain of layers a netx file can hold: the same spikes, every rewrite listed with its cost.

The passes, in order (`PASSES`):

    identities   one-to-one synapses become a convolution or a matrix, except where an input layer has neurons
    groups       convolutions of more groups than the chip takes get fewer, with zero weights across
    source       a population behind a binary source that repeats it, where copies of the source itself are needed
    order        populations in an order in which a chain can carry everything (`lowering_plan`)
    relays       relay channels carry skips through the layers in between (`relays`, `lowering_drive`)
    copies       populations repeated in the layer that emits them, for relays that one weight cannot drive
    joint        several connections into a layer become one

Residual networks, spikes added after the neuron, parallel branches and skips of any length are all skips here. Whoever
relies on a chain simulates both networks (`pipeline.deploy.proven_chain`).
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from ..hw import CHIPS, Chip, Connection, Cuba, Network, OneToOne, Population, UnsupportedLayer
from .lowering_links import identity, merge_groups, write_identities
from .lowering_plan import LayerPlan, make_plan
from .lowering_rewrite import Rewrite
from .relays import is_plain, joined_layer

PASSES = ("identities", "groups", "source", "order", "relays", "copies", "joint")
"""The steps a `Rewrite` can be of."""

REPEAT_WEIGHT, REPEAT_THRESHOLD = 2, 1


def to_chain(network: Network, *, chip: Chip = CHIPS["loihi2"]) -> tuple[Network, tuple[Rewrite, ...]]:
    """The network as a chain that computes the same spikes, and what was changed; a chain comes back as it is.

    Every population keeps its name, its integers and its first channels. chip: its weight grid, groups and biases bound
    what is added; whether the chain fits it is `hw.check`'s to say.

    Raises UnsupportedLayer for a graph no chain can carry (a second source; a skip of graded spikes; recurrence with
    positions, or with delays in a layer that a skip passes; a shortcut whose stride is not the product of the strides
    it passes; a current with too long a memory in a layer that a skip passes; a read-out that a skip passes) and
    NotRepresentable for numbers no file can hold (a threshold beyond `lowering_drive.COPIES_MAX` copies, a matrix that
    Lava would change) and DoesNotFit for a joint matrix too large for a file.
    """
    shortest, kept_rewrites = write_identities(network, chip, keep_input_layer=True)
    shortest, merged = merge_groups(shortest, chip)
    if _chained(shortest):
        return shortest, (*kept_rewrites, *merged)
    given, rewrites = write_identities(network, chip, keep_input_layer=False)
    given, merged = merge_groups(given, chip)
    plan = make_plan(given, chip)
    repeated: tuple[Rewrite, ...] = ()
    if plan[0].blocks[plan[0].population.name].copies > 1:
        given, repeated = _repeat_source(given, chip)
        plan = make_plan(given, chip)
    elif is_plain(given, plan[1], plan[0]):  # an input layer with neurons is of use after all
        given, rewrites = shortest, kept_rewrites
    _check_readout(given, plan)
    chain, added = _built(given, plan)
    return chain, (*rewrites, *merged, *repeated, *_reordered(given, plan), *added)


def _check_readout(network: Network, plan: list[LayerPlan]) -> None:
    """Refuse a read-out that would have to carry something: its answer would count relays and copies too."""
    name = network.readout.population
    layer = next(layer for layer in plan if layer.population.name == name)
    after = [other.population.name for other in plan[plan.index(layer) + 1 :]]
    if layer.carried or layer.blocks[name].copies > 1:
        load = ", ".join(block.name for block in layer.carried) or "copies of itself"
        raise UnsupportedLayer(
            f"{name}: the read-out would have to carry {load} for {', '.join(after)}, and its answer would count them; "
            "leave out what comes after the read-out, which cannot change the answer"
        )


def _chained(network: Network) -> bool:
    """Whether every population has at most one connection on each side, besides one to itself, and all are one path."""
    if len(network.sources) != 1:
        return False
    for name in (p.name for p in network.populations):
        ahead = [c for c in network.outgoing(name) if c.target != name]
        behind = [c for c in network.incoming(name) if c.source != name]
        if len(ahead) > 1 or len(behind) > 1:
            return False
    return True


def _repeat_source(network: Network, chip: Chip) -> tuple[Network, tuple[Rewrite, ...]]:
    """Put a population behind the binary source that fires when it does, and let it speak in the source's place.

    The source is what the user feeds and cannot be copied; this population can.
    """
    source = network.sources[0]
    name = f"{source.name}.repeated"
    while any(p.name == name for p in network.populations):
        name += "_"
    repeat = Population(name=name, shape=source.shape, neuron=Cuba(v_th_mant=REPEAT_THRESHOLD))
    link = identity(
        OneToOne(source=source.name, target=name, weight=np.array(REPEAT_WEIGHT)), source.shape, chip.groups_max
    )
    moved: list[Connection] = [replace(c, source=name) if c.source == source.name else c for c in network.connections]
    populations = [p for p in network.populations if p.name != source.name]
    again = replace(network, populations=(source, repeat, *populations), connections=(link, *moved))
    positions = source.size // source.shape[0] if len(source.shape) == 3 else 1
    rewrite = Rewrite(
        step="source",
        layer=name,
        what=f"a population added that repeats {source.name}, one timestep later",
        why=f"relays need copies of {source.name}, and what is fed from outside cannot be copied",
        neurons=source.size,
        synapses=link.weight.size * positions,
    )
    return again, (rewrite,)


def _reordered(network: Network, plan: list[LayerPlan]) -> tuple[Rewrite, ...]:
    """A rewrite for each population that stands elsewhere in the chain than in the graph's list."""
    listed, chained = [p.name for p in network.populations], [layer.population.name for layer in plan]
    return tuple(
        Rewrite(
            step="order",
            layer=name,
            what=f"comes after {chained[position - 1]}",
            why="in a chain positions only get fewer: images first, vectors after, the read-out last",
        )
        for position, name in enumerate(chained)
        if position and listed[listed.index(name) - 1] != chained[position - 1]
    )


def _built(network: Network, plan: list[LayerPlan]) -> tuple[Network, tuple[Rewrite, ...]]:
    populations = [plan[0].population]
    connections: list[Connection] = []
    rewrites: list[Rewrite] = []
    for before, layer in itertools.pairwise(plan):
        if is_plain(network, layer, before):
            populations.append(layer.population)
            connections += network.incoming(layer.population.name)
            continue
        population, links, added = joined_layer(network, layer, before)
        populations.append(population)
        connections += links
        rewrites += added
    chain = replace(network, populations=tuple(populations), connections=tuple(connections))
    return chain, tuple(rewrites)

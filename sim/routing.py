"""Messages and hops of a run on a chip, exact: what each neuron's spike sends is tallied while its spikes are counted.

A placement says for every neuron to how many cores one spike of it goes, how many of those are on other chips, and how
many steps its messages take on the mesh (`hw.placement.traffic`). Given to a run as tallies they come back as sums over
the spikes that were really sent, for every timestep of every sample:

    counts = sim.run(network, inputs, tallies=tallies_of(placement)).counts
    sim.price(network, counts, "loihi1_davies2018", traffic=traffic(counts, placement))

A tally is named by its chip and what it adds up: `loihi1.messages`, `loihi1.off_chip`, `loihi1.hops_ew`,
`loihi1.hops_ns`. Where a chip's mesh is not published there are no hops: not zero, but none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..hw import BadInput, same
from ..hw.placement import Placement
from ..hw.placement import traffic as of_one_spike
from .counts import Counts
from .workload import Traffic


@dataclass(frozen=True, kw_only=True)
class Messages:
    """What a mean sample sends between cores.

    messages: one for each spike and core it goes to, those from outside the network included. off_chip: of them, from
    one chip to another. hops_ew, hops_ns: steps between tiles, of the messages that stay on their chip; None where the
    mesh is not published.
    """

    messages: float
    off_chip: float
    hops_ew: float | None
    hops_ns: float | None


def tallies_of(*placements: Placement) -> dict[str, dict[str, np.ndarray]]:
    """What a spike of every neuron sends, over all of a population's connections, recurrent ones included.

    By population that sends, then by tally, int64 of the population's shape. Spikes from outside the network have
    messages; their other tallies are zero. Raises BadInput for two placements on one chip, whose names would be equal,
    and for placements of different networks.
    """
    names = [placement.chip.name for placement in placements]
    if len(set(names)) < len(names):
        raise BadInput(f"placements: several are on one chip ({', '.join(names)}); tally them in runs of their own")
    tallies: dict[str, dict[str, np.ndarray]] = {}
    for placement in placements:
        if not same(placement.network, placements[0].network):
            raise BadInput(f"placements: {names[0]} and {placement.chip.name} hold different networks; use one")
        for connection in placement.network.connections:
            sent = of_one_spike(placement, connection)
            found = {
                "messages": sent.messages,
                "off_chip": sent.off_chip,
                "hops_ew": sent.east_west,
                "hops_ns": sent.north_south,
            }
            table = tallies.setdefault(connection.source, {})
            for kind, values in found.items():
                if values is not None:
                    name = _name(placement, kind)
                    table[name] = table[name] + values if name in table else values
    return tallies


def traffic(counts: Counts, placement: Placement) -> Traffic:
    """The messages and hops of a run, by population that sends, to be priced.

    counts: of a run with the tallies of this placement. hops_ew and hops_ns are empty where the mesh is not published,
    and a bill then says that hops are left out. Raises BadInput for counts without these tallies.
    """
    known = placement.chip.cores.mesh is not None
    return Traffic(
        messages=_tallied(counts, placement, "messages"),
        hops_ew=_tallied(counts, placement, "hops_ew") if known else {},
        hops_ns=_tallied(counts, placement, "hops_ns") if known else {},
        off_chip=_tallied(counts, placement, "off_chip"),
    )


def messages(counts: Counts, placement: Placement) -> Messages:
    """The messages and hops of a mean sample. counts: of a run with the tallies of this placement. Raises BadInput."""

    def mean(kind: str) -> float:
        return sum(int(events.sum()) for events in _tallied(counts, placement, kind).values()) / counts.n_samples

    known = placement.chip.cores.mesh is not None
    return Messages(
        messages=mean("messages"),
        off_chip=mean("off_chip"),
        hops_ew=mean("hops_ew") if known else None,
        hops_ns=mean("hops_ns") if known else None,
    )


def _tallied(counts: Counts, placement: Placement, kind: str) -> dict[str, torch.Tensor]:
    name = _name(placement, kind)
    if name not in counts.tallies:
        raise BadInput(
            f"counts: {name} was not tallied (they hold {sorted(counts.tallies) or 'no tallies'}); run the network "
            "with tallies=tallies_of(placement)"
        )
    return counts.tallies[name]


def _name(placement: Placement, kind: str) -> str:
    return f"{placement.chip.name}.{kind}"

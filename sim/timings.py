"""Published times of single events on a chip as data: each with its source, kind, scope, voltage and node.

One `Timings` per source that gives a time for what a core does: Davies et al. (2018) from simulation before silicon,
and SANA-FE's constants fitted to runs on a Nahuku board. For Loihi 2 no published time of a single event is known here.

Times for which a message is under way (2.1 ns within a tile, 4.1 and 6.5 ns per hop) are left out: they pass while
cores work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from .constants import Constant
from .conventions import loihi1_davies2018, loihi1_nahuku


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Times of one source, in ns, each as short as the source gives it.

    title: whose. chip: in `hw.CHIPS`. conventions: energies that rest on the same source. dense_synop: of a spike
    through a synapse stored on its own; shared_synop: through one that shares its weight. message_in: of a spike that
    arrives, whatever its synapses. update: of each neuron at each timestep. spike: of a neuron that fires, besides.
    message_out: of a spike that leaves for one core. None where the source has no such time. barrier: by number of
    tiles that take part; between two numbers that of the smaller one holds, at least.
    """

    title: str
    chip: str
    conventions: tuple[str, ...]
    dense_synop: Constant
    shared_synop: Constant
    message_in: Constant | None
    update: Constant
    spike: Constant | None
    message_out: Constant | None
    barrier: Mapping[int, Constant]

    def barrier_ns(self, tiles: int) -> float:
        """Of so many tiles, 1 or more: that of the largest published number not above it."""
        return self.barrier[max(known for known in self.barrier if known <= tiles)].value

    def rows(self) -> Iterator[tuple[str, Constant]]:
        """(event, time) of all that is published."""
        named = {
            "operation of a dense synapse": self.dense_synop,
            "operation of a shared synapse": self.shared_synop,
            "message received": self.message_in,
            "neuron update": self.update,
            "spike sent by a neuron": self.spike,
            "message sent": self.message_out,
        }
        yield from ((event, time) for event, time in named.items() if time is not None)
        for tiles, time in self.barrier.items():
            yield f"barrier of {tiles} tile{'s' * (tiles > 1)}", time


def _davies(ns: float, scope: str) -> Constant:
    return replace(loihi1_davies2018.SYNOP, value=ns, unit="ns", scope=scope)


def _nahuku(ns: float, scope: str) -> Constant:
    return replace(loihi1_nahuku.ACCESS, value=ns, unit="ns", scope=scope)


_DAVIES_SYNOP = _davies(3.5, "one spike through one synapse, the maximum")

TIMINGS = (
    Timings(
        title="Davies et al. 2018",
        chip="loihi1",
        conventions=("loihi1_davies2018", "keras_spiking_loihi"),
        dense_synop=_DAVIES_SYNOP,
        shared_synop=_DAVIES_SYNOP,
        message_in=None,
        update=_davies(5.3, "one update of an inactive neuron; 8.4 ns of an active one, which is not defined there"),
        spike=None,
        message_out=None,
        barrier={
            1: _davies(113.0, "barrier over the mesh, 1 tile; between 1 and 32 tiles nothing is published"),
            32: _davies(465.0, "barrier over the mesh, 32 tiles"),
        },
    ),
    Timings(
        title="SANA-FE, fit to a Nahuku board",
        chip="loihi1",
        conventions=("loihi1_nahuku",),
        dense_synop=_nahuku(3.8, "one spike through one synapse stored densely"),
        shared_synop=_nahuku(3.1, "one spike through one synapse of a shared kernel"),
        message_in=_nahuku(16.0, "one message received by a core, besides its synapses"),
        update=_nahuku(6.0, "one access to a neuron, at every timestep"),
        spike=_nahuku(33.7, "one write of a neuron's state that fires, 3.7 ns, and the spike it sends, 30 ns"),
        message_out=_nahuku(5.1, "one message of an output axon"),
        barrier={
            tiles: _nahuku(ns, f"end of a timestep with {tiles} tile{'s' * (tiles > 1)} in use, or more")
            for tiles, ns in ((1, 600.0), (2, 1000.0), (4, 1400.0), (29, 1800.0))
        },
    ),
)
"""Every source. Stated error of the fit to silicon: up to 24.3 % of a run's time."""

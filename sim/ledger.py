"""What happened in a run, in numbers alone: every kind of event, per layer and timestep, before any has a price.

The ledger counts nothing by itself. It is a list of countables (`sim.workload.COUNTABLES`), each under the choices that
make it one definite number, so it says the same whatever a price was asked for: synaptic operations appear with and
without zero weights, the products of the ANN with and without padding.

Neuron updates: all of them; those of neurons that fire in that timestep, which is as much of *active* as events can
tell, for no published definition of the word exists; and the rest. Memory accesses follow Lemaire et al. 2022 (see
`conventions/lemaire.py`), who write potentials as often as they read them. Messages and hops are there where the
workload has the traffic of a placement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from . import conventions as _registered
from .bill import Side
from .choices import Choices
from .workload import COUNTABLES, Counted, Workload

del _registered  # imported for the countables it registers


@dataclass(frozen=True, kw_only=True)
class Events:
    """Events of one kind in one layer, means per sample: in total, and sent or done at each timestep.

    what: the key of the kind. per: one event in words. population: the layer. source: of a connection, None for the
    neurons' own events. by_step: T numbers, or one for a pass of the ANN; they add up to total.
    """

    side: Side
    what: str
    per: str
    population: str
    source: str | None
    total: float
    by_step: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of event: the countable that counts it, under which choices, and what one event is called.

    one_in: of how many counted events one is of this kind.
    """

    what: str
    per: str
    countable: str
    choices: Choices
    side: Side
    one_in: int


def _kind(
    countable: str,
    side: Side = "snn",
    *,
    what: str = "",
    per: str = "",
    choices: Choices | None = None,
    one_in: int = 1,
) -> Kind:
    """A countable by its name; its own key, words and the default choices unless others are given."""
    return Kind(
        what=what or countable,
        per=per or COUNTABLES[countable].per,
        countable=countable,
        choices=choices or Choices(),
        side=side,
        one_in=one_in,
    )


KINDS = (
    _kind("spikes"),
    _kind("synops", what="synops_stored", per="synaptic operation, zero weights included"),
    _kind(
        "synops",
        what="synops_effective",
        per="synaptic operation of a weight that is not zero",
        choices=Choices(synops="effective"),
    ),
    _kind("acs", per="synaptic operation of a binary spike (AC)"),
    _kind("graded_macs", per="synaptic operation of a graded spike (MAC)"),
    _kind("updates"),
    _kind("active_updates", what="updates_fired", per="update of a neuron that fires", choices=Choices(active="fired")),
    _kind(
        "inactive_updates",
        what="updates_silent",
        per="update of a neuron that does not fire",
        choices=Choices(active="fired"),
    ),
    _kind("messages"),
    _kind("hops_ew"),
    _kind("hops_ns"),
    _kind("lemaire_input_reads"),
    _kind("lemaire_weight_reads"),
    _kind("lemaire_bias_reads"),
    _kind("lemaire_potential_accesses", what="lemaire_potential_reads", per="potential read", one_in=2),
    _kind("lemaire_potential_accesses", what="lemaire_potential_writes", per="potential write", one_in=2),
    _kind("lemaire_output_writes"),
    _kind("ann_macs", "ann", what="ann_macs_edge_exact", per="MAC of the ANN, padding left out"),
    _kind(
        "ann_macs",
        "ann",
        what="ann_macs_formula",
        per="MAC of the ANN, padding included",
        choices=Choices(ann_macs="formula"),
    ),
    _kind("ann_neurons", "ann"),
    _kind("lemaire_ann_input_reads", "ann"),
    _kind("lemaire_ann_weight_reads", "ann"),
    _kind("lemaire_ann_bias_reads", "ann"),
    _kind("lemaire_ann_output_writes", "ann"),
)
"""The lines of the ledger in their order. ACs and graded MACs are the stored synaptic operations, sorted by source."""


def ledger(work: Workload) -> tuple[Events, ...]:
    """All events of a run, kind by kind, in each the layers as they are counted. The choices of `work` change nothing.

    A kind that a layer cannot have (bias reads without a bias, messages without a placement) has no line; one that
    merely did not happen has a line of zeros. Connections that join the same two populations share a line.
    """
    lines = [*_lines("input_spikes", "spike from outside", "snn", _input_spikes(work))]
    for kind in KINDS:
        counted = COUNTABLES[kind.countable].count(replace(work, choices=kind.choices))
        lines += _lines(kind.what, kind.per, kind.side, counted, kind.one_in)
    lines += _lines("off_chip", "message to another chip", "snn", _off_chip(work))
    return tuple(lines)


def _off_chip(work: Workload) -> Iterator[Counted]:
    """No convention prices the way to another chip: none is published, so no countable counts it."""
    for name, events in work.traffic.off_chip.items() if work.traffic else ():
        yield Counted(population=name, source=None, events=events)


def _input_spikes(work: Workload) -> Iterator[Counted]:
    """No convention prices what a source sends, so no countable counts it."""
    for population in work.network.sources:
        yield Counted(population=population.name, source=None, events=work.counts.spikes[population.name])


def _lines(what: str, per: str, side: Side, counted: Iterable[Counted], one_in: int = 1) -> Iterator[Events]:
    layers: dict[tuple[str, str | None], torch.Tensor] = {}
    for part in counted:
        layer = (part.population, part.source)
        layers[layer] = layers[layer] + part.events if layer in layers else part.events
    for (population, source), events in layers.items():
        by_step = events.sum(dim=1) // one_in
        samples = events.shape[1]
        yield Events(
            side=side,
            what=what,
            per=per,
            population=population,
            source=source,
            total=int(by_step.sum()) / samples,
            by_step=tuple(n / samples for n in by_step.tolist()),
        )

"""Price counted events: counts first, picojoules second, under a named convention.

    energy = sum over the convention's terms of (events counted) * (constant)

with exact integer events where papers multiply a mean firing rate by a dense count. What is counted: `sim.workload`;
which constants: `sim.conventions`; the choices that change the result: `sim.choices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..hw import Network
from .bill import Bill, Item, Side, bill
from .choices import Active, Choices, Errata, FirstLayer, FirstMacs, Synops
from .convention import CONVENTIONS, Convention
from .counts import Counts, DenseMacs, Pair, dense_macs, is_graded, n_synapses, neuron_updates
from .workload import COUNTABLES, Traffic, Workload


@dataclass(frozen=True, kw_only=True)
class ConnectionRow:
    """One connection over all samples: exact counts, and the energy of one mean sample in pJ.

    operation: MAC for a graded source, AC otherwise. operations: summed over samples and timesteps, counted as the
    choices say. n_synapses: stored synapses. dense_macs: of one pass of the ANN, counted as `ann_macs` says. ann_pj:
    None where the convention defines no ANN.
    """

    source: str
    target: str
    operation: Literal["AC", "MAC"]
    operations: int
    operations_per_sample: float
    n_synapses: int
    dense_macs: int
    snn_pj: float
    ann_pj: float | None


@dataclass(frozen=True, kw_only=True)
class PopulationRow:
    """One population over all samples. spikes: total. spikes_per_neuron: of a mean sample, over all its timesteps.

    neuron_updates: per sample. snn_pj: the neurons' own events in pJ per mean sample, 0 where the convention prices
    connections alone.
    """

    name: str
    neurons: int
    spikes: int
    spikes_per_neuron: float
    neuron_updates: int
    snn_pj: float


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """One line of the bill as plain numbers: what, in which layer, how many, at which cost, how much.

    events: over all samples. unit_pj: of one event. pj: of one mean sample.
    """

    side: Side
    what: str
    population: str
    source: str | None
    events: int
    unit_pj: float
    pj: float


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """What a network costs under one convention, per sample in pJ, beside the ANN of the same graph.

    choices: those the convention reads; the others stand at their defaults. items: every line; they add up to snn_pj
    and ann_pj. ann_pj: None where the convention defines no ANN. ratio: E_ANN / E_SNN, None without an ANN or where no
    operation was counted. spikes_per_synapse: synaptic operations / (synapses * samples), the number by which the
    literature compares SNNs; with `synops="effective"` both count non-zero weights. scope: what the figures leave out,
    to be printed with them.
    """

    convention: Convention
    choices: Choices
    n_samples: int
    n_steps: int
    connections: tuple[ConnectionRow, ...]
    populations: tuple[PopulationRow, ...]
    items: tuple[ItemRow, ...]
    macs_per_sample: float
    acs_per_sample: float
    dense_macs: int
    snn_pj: float
    ann_pj: float | None
    ratio: float | None
    spikes_per_synapse: float
    scope: str


def price(
    network: Network,
    counts: Counts,
    convention: str | Convention = "op_count_fp32",
    *,
    first_layer: FirstLayer = "per_step",
    first_macs: FirstMacs = "events",
    synops: Synops = "stored",
    ann_macs: DenseMacs = "edge_exact",
    active: Active = "every",
    errata: Errata = "corrected",
    traffic: Traffic | None = None,
) -> EnergyReport:
    """Price the counts of a run of `network`.

    convention: a name in CONVENTIONS, or one of your own. The flags are explained in `sim.choices`; one that the
    convention does not read changes nothing. traffic: messages and hops of a placement on cores, for the conventions
    that price them.

    Raises BadInput for unknown names, for counts of another network, and for `first_layer="once"` with an input that
    changes over time.
    """
    prices = CONVENTIONS[convention] if isinstance(convention, str) else convention
    choices = Choices(
        first_layer=first_layer,
        first_macs=first_macs,
        synops=synops,
        ann_macs=ann_macs,
        active=active,
        errata=errata,
    )
    return _price(network, counts, prices, choices, traffic)


def price_all(
    network: Network, counts: Counts, choices: Choices | None = None, traffic: Mapping[str, Traffic] | None = None
) -> dict[str, EnergyReport]:
    """The same counts under every convention side by side, by name. choices: of all of them, as far as each reads them.

    traffic: of a placement on each chip, by the chip's name; a convention takes that of its own. Raises what `price`
    does.
    """
    wanted, routed = choices or Choices(), traffic or {}
    return {
        name: _price(network, counts, prices, wanted, routed.get(prices.chip) if prices.chip else None)
        for name, prices in CONVENTIONS.items()
    }


def _price(
    network: Network, counts: Counts, prices: Convention, choices: Choices, traffic: Traffic | None
) -> EnergyReport:
    work = Workload(network=network, counts=counts, choices=choices.only(prices.reads), traffic=traffic)
    return _report(work, bill(work, prices))


def _report(work: Workload, found: Bill) -> EnergyReport:
    network, counts = work.network, work.counts
    rows = tuple(_connection_row(work, found, pair) for pair in work.pairs)
    per_sample = {kind: sum(r.operations_per_sample for r in rows if r.operation == kind) for kind in ("MAC", "AC")}
    snn_pj = found.total_pj()
    ann_pj = found.total_pj("ann") if found.convention.ann else None
    synapses = sum(n_synapses(network, effective=work.choices.synops == "effective").values())
    reached = sum(int(work.reached(pair).sum()) for pair in work.pairs)
    return EnergyReport(
        convention=found.convention,
        choices=work.choices,
        n_samples=counts.n_samples,
        n_steps=counts.n_steps,
        connections=rows,
        populations=_population_rows(work, found),
        items=tuple(_item_row(item) for item in found.items),
        macs_per_sample=per_sample["MAC"],
        acs_per_sample=per_sample["AC"],
        dense_macs=sum(row.dense_macs for row in rows),
        snn_pj=snn_pj,
        ann_pj=ann_pj,
        ratio=ann_pj / snn_pj if snn_pj and ann_pj is not None else None,
        spikes_per_synapse=reached / (synapses * counts.n_samples) if synapses else 0.0,
        scope=found.scope,
    )


def _connection_row(work: Workload, found: Bill, pair: Pair) -> ConnectionRow:
    source, target = pair
    graded = is_graded(work.network, source)
    operations = int((work.graded_macs(pair) if graded else work.reached(pair)).sum())

    def total(side: Side) -> float:
        return sum(item.pj for item in found.side(side) if (item.source, item.population) == pair)

    return ConnectionRow(
        source=source,
        target=target,
        operation="MAC" if graded else "AC",
        operations=operations,
        operations_per_sample=operations / work.counts.n_samples,
        n_synapses=sum(dense_macs(work.network, connection) for connection in work.joining(pair)),
        dense_macs=work.ann_macs(pair),
        snn_pj=total("snn"),
        ann_pj=total("ann") if found.convention.ann else None,
    )


def _population_rows(work: Workload, found: Bill) -> tuple[PopulationRow, ...]:
    updates = neuron_updates(work.network)
    rows = []
    for population in work.network.populations:
        spikes = int(work.counts.spikes[population.name].sum())
        own = [item.pj for item in found.side() if item.source is None and item.population == population.name]
        rows.append(
            PopulationRow(
                name=population.name,
                neurons=population.size,
                spikes=spikes,
                spikes_per_neuron=spikes / (population.size * work.counts.n_samples),
                neuron_updates=updates.get(population.name, 0),
                snn_pj=sum(own),
            )
        )
    return tuple(rows)


def _item_row(item: Item) -> ItemRow:
    return ItemRow(
        side=item.side,
        what=COUNTABLES[item.count].per,
        population=item.population,
        source=item.source,
        events=item.total,
        unit_pj=item.constant.value,
        pj=item.pj,
    )

"""The itemised bill of a run under one convention: what, times how many, times which constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from .constants import Constant
from .convention import Convention, Term
from .counts import is_graded
from .workload import COUNTABLES, Workload

Side = Literal["snn", "ann"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One line: events of one kind in one layer, int64 (T, B) or, of an ANN, (1, B), and what one of them costs.

    count: the countable's name. population: the layer. source: of a connection, None for the neurons' own events.
    """

    side: Side
    count: str
    population: str
    source: str | None
    events: torch.Tensor
    constant: Constant

    @property
    def total(self) -> int:
        """Events over all samples and timesteps."""
        return int(self.events.sum())

    @property
    def pj(self) -> float:
        """Energy of one mean sample, in pJ."""
        return self.total / self.events.shape[1] * self.constant.value


@dataclass(frozen=True, kw_only=True, eq=False)
class Bill:
    """All lines of one run. scope: what the sums leave out, to be printed with them.

    Sums over layers, over timesteps and over samples are sums of the same lines, so they agree with the total.
    """

    convention: Convention
    items: tuple[Item, ...]
    scope: str

    def side(self, side: Side = "snn") -> tuple[Item, ...]:
        """The lines of one of the two networks."""
        return tuple(item for item in self.items if item.side == side)

    def total_pj(self, side: Side = "snn") -> float:
        """Energy of one mean sample."""
        return sum(item.pj for item in self.side(side))

    def by_layer_pj(self, side: Side = "snn") -> dict[str, float]:
        """Energy of one mean sample by population."""
        layers: dict[str, float] = {}
        for item in self.side(side):
            layers[item.population] = layers.get(item.population, 0.0) + item.pj
        return layers

    def by_step_and_sample_pj(self, side: Side = "snn") -> torch.Tensor:
        """Energy of every timestep of every sample: float64 (T, B), or (1, B) of an ANN. The mean sample is its mean
        over B of the sums over T."""
        total = torch.zeros(1, 1, dtype=torch.float64)
        for item in self.side(side):  # line by line: the same bits wherever a sample stands
            total = total + item.events * item.constant.value
        return total


def bill(work: Workload, convention: Convention) -> Bill:
    """Every line of `work` under a convention. Raises BadInput where the choices do not suit the input."""
    snn = [*convention.snn, *(convention.routing if work.traffic is not None else ())]
    items = [*_items(work, snn, "snn"), *_items(work, convention.ann, "ann")]
    return Bill(convention=convention, items=tuple(items), scope=scope(work, convention))


def _items(work: Workload, terms: list[Term] | tuple[Term, ...], side: Side) -> Iterator[Item]:
    for term in terms:
        for counted in COUNTABLES[term.count].count(work):
            yield Item(
                side=side,
                count=term.count,
                population=counted.population,
                source=counted.source,
                events=counted.events,
                constant=term.cost if isinstance(term.cost, Constant) else term.cost.at(counted.words),
            )


def scope(work: Workload, convention: Convention) -> str:
    """What a convention prices here and how, and what it leaves out, in two sentences and the choices between them."""
    excluded = convention.excluded
    routed = [term for term in convention.routing if list(COUNTABLES[term.count].count(work))]
    uncounted = [COUNTABLES[term.count].per for term in convention.routing if term not in routed]
    if uncounted:
        lacking = "a placement on cores" if work.traffic is None else "a published mesh of cores"
        excluded = f"{excluded}; for want of {lacking}: {', '.join(uncounted)}"
    priced = f"{convention.name}: {convention.about}, {_prices([*convention.snn, *routed])}."
    return f"{priced} {_chosen(work, convention)}Excluded: {excluded}."


def _prices(terms: Sequence[Term]) -> str:
    """The constants of some terms in words, with their process where they share one."""
    constants = {t.count: t.cost for t in terms if isinstance(t.cost, Constant)}
    each = [f"{cost.value:.6g} pJ per {COUNTABLES[count].per}" for count, cost in constants.items()]
    processes = {cost.process for cost in constants.values()}
    where = f" ({processes.pop()})" if len(processes) == 1 else ""
    parts = [", ".join([*each[:-2], " and ".join(each[-2:])]) + where] if each else []
    if len(constants) < len(terms):
        parts.append("memory accesses by the size of the memory")
    return ", ".join(parts) or "nothing"


def _chosen(work: Workload, convention: Convention) -> str:
    """The choices that this convention reads, as one sentence; empty if it reads none."""
    choices, reads = work.choices, convention.reads
    parts = []
    if "first_layer" in reads:
        first = "at every timestep" if choices.first_layer == "per_step" else "once per sample"
        pixels = "zero payloads free" if choices.first_macs == "events" else "zero payloads charged"
        graded = any(is_graded(work.network, source.name) for source in work.network.sources)
        binary = "Binary input: its spikes are accumulated as all others"
        parts.append(f"Graded input as MAC {first}, {pixels}" if graded else binary)
    if "synops" in reads:
        parts.append("zero weights included" if choices.synops == "stored" else "zero weights left out")
    if "active" in reads:
        which = {"every": "every neuron at every timestep", "fired": "neurons that fire", "never": "none"}
        parts.append(f"active updates: {which[choices.active]} (no published definition)")
    if "errata" in reads:
        parts.append(f"equation 2.4 {'as printed' if choices.errata == 'printed' else 'corrected'}")
    if "ann_macs" in reads:
        padding = "padding left out" if choices.ann_macs == "edge_exact" else "padding included"
        parts.append(f"ANN: one MAC per synapse of the same graph, {padding}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}. " if text else ""

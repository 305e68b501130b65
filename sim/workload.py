"""What may be counted in a run, by name: the left-hand factors of every energy convention.

A **countable** turns a network and its exact event counts into events per layer, timestep and sample. A convention
names countables and gives each a constant; it never counts for itself. SNN countables have one row per timestep; those
of the ANN have one row, one pass over each sample.

Neuron updates: every neuron of a population that computes is updated at every timestep, spike or no spike. Some sources
price *active* and *inactive* updates; no published definition of the two exists, so `Choices.active` bounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from ..hw import BadInput, Connection, Dense, Network, Population, Registry
from .choices import Choices
from .counts import Counts, Pair, dense_macs, is_graded, n_synapses

Reads = frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Traffic:
    """What a placement on cores adds to the counts: by population that sends, int64 (T, B).

    messages: one per spike and destination core. hops_ew, hops_ns: tile borders crossed along either axis of the mesh;
    empty where it is not published. off_chip: those of the messages that go to another chip; empty where not counted.
    """

    messages: Mapping[str, torch.Tensor]
    hops_ew: Mapping[str, torch.Tensor]
    hops_ns: Mapping[str, torch.Tensor]
    off_chip: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A network, the counts of a run of it, and how to count. traffic: of a placement, where there is one.

    Raises BadInput for counts of another network, of no samples, and for traffic of other populations or shapes.
    """

    network: Network
    counts: Counts
    choices: Choices = field(default_factory=Choices)
    traffic: Traffic | None = None

    def __post_init__(self) -> None:
        _check_counts(self.network, self.counts)
        if self.traffic is not None:
            _check_traffic(self.network, self.counts, self.traffic)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every (source, target), in the network's order."""
        return tuple(dict.fromkeys((c.source, c.target) for c in self.network.connections))

    @property
    def populations(self) -> tuple[Population, ...]:
        """The populations that compute."""
        return tuple(population for population, _ in self.network.neurons)

    def joining(self, pair: Pair) -> tuple[Connection, ...]:
        """The connections that join a pair."""
        return tuple(c for c in self.network.connections if (c.source, c.target) == pair)

    def reached(self, pair: Pair) -> torch.Tensor:
        """Synapses reached, stored or effective as chosen. int64 (T, B)."""
        table = self.counts.synops_effective if self.choices.synops == "effective" else self.counts.synops
        return table[pair]

    def graded_macs(self, pair: Pair) -> torch.Tensor:
        """Multiply-accumulates of a graded connection, as `first_layer` and `first_macs` say. int64 (T, B).

        Raises BadInput for `first_layer="once"` with an input that changes over time.
        """
        events = self.reached(pair)
        if self.choices.first_macs == "dense":
            events = torch.full_like(events, self._dense_pass(pair))
        if self.choices.first_layer == "per_step":
            return events
        for table in (self.counts.synops[pair], self.counts.synops_effective[pair]):
            if bool((table != table[:1]).any()):
                raise BadInput(
                    f"{pair[0]} -> {pair[1]}: first_layer='once' is for an input that never changes, and this one "
                    "sends different spikes at different timesteps; use first_layer='per_step'"
                )
        return torch.cat([events[:1], torch.zeros_like(events[1:])])

    def ann_macs(self, pair: Pair) -> int:
        """Multiply-accumulates of one pass through a pair, counted as `ann_macs` says."""
        return sum(dense_macs(self.network, connection, self.choices.ann_macs) for connection in self.joining(pair))

    def each_step(self, amount: int) -> torch.Tensor:
        """The same amount at every timestep of every sample. int64 (T, B)."""
        return torch.full((self.counts.n_steps, self.counts.n_samples), amount, dtype=torch.int64)

    def each_sample(self, amount: int) -> torch.Tensor:
        """The same amount once for every sample: one pass of the ANN. int64 (1, B)."""
        return torch.full((1, self.counts.n_samples), amount, dtype=torch.int64)

    def _dense_pass(self, pair: Pair) -> int:
        if self.choices.synops == "effective":
            return n_synapses(self.network, effective=True)[pair]
        return self.ann_macs(pair)


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """Events of one kind in one layer, int64 (T, B), or (1, B) of an ANN.

    population: the layer they are charged to. source: of the connection they belong to, None for the neurons' own.
    words: capacity of the memory that is accessed, where the cost of an access depends on it.
    """

    population: str
    source: str | None
    events: torch.Tensor
    words: int = 0


@dataclass(frozen=True, kw_only=True)
class Countable:
    """A kind of event. per: one of them, in words. reads: the choices that change the number."""

    per: str
    count: Callable[[Workload], Iterable[Counted]]
    reads: Reads = frozenset()


COUNTABLES: Registry[Countable] = Registry("countable")


def countable(
    name: str, per: str, *reads: str
) -> Callable[[Callable[[Workload], Iterable[Counted]]], Callable[[Workload], Iterable[Counted]]]:
    """Register the decorated function of a workload as a countable."""

    def register(count: Callable[[Workload], Iterable[Counted]]) -> Callable[[Workload], Iterable[Counted]]:
        COUNTABLES.register(name, Countable(per=per, count=count, reads=frozenset(reads)))
        return count

    return register


@countable("acs", "AC", "synops")
def _acs(work: Workload) -> Iterator[Counted]:
    for pair in work.pairs:
        if not is_graded(work.network, pair[0]):
            yield Counted(population=pair[1], source=pair[0], events=work.reached(pair))


@countable("graded_macs", "MAC", "first_layer", "first_macs", "synops", "ann_macs")
def _graded_macs(work: Workload) -> Iterator[Counted]:
    for pair in work.pairs:
        if is_graded(work.network, pair[0]):
            yield Counted(population=pair[1], source=pair[0], events=work.graded_macs(pair))


@countable("synops", "synaptic operation", "synops")
def _synops(work: Workload) -> Iterator[Counted]:
    for source, target in work.pairs:
        yield Counted(population=target, source=source, events=work.reached((source, target)))


@countable("dense_synops", "operation of a dense synapse", "synops")
def _dense_synops(work: Workload) -> Iterator[Counted]:
    yield from _synops_of(work, dense=True)


@countable("conv_synops", "operation of a shared synapse", "synops")
def _conv_synops(work: Workload) -> Iterator[Counted]:
    yield from _synops_of(work, dense=False)


@countable("updates", "neuron update")
def _updates(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        yield Counted(population=population.name, source=None, events=work.each_step(population.size))


@countable("active_updates", "active neuron update", "active")
def _active_updates(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        yield Counted(population=population.name, source=None, events=_active(work, population))


@countable("inactive_updates", "inactive neuron update", "active")
def _inactive_updates(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        idle = work.each_step(population.size) - _active(work, population)
        yield Counted(population=population.name, source=None, events=idle)


@countable("touched_updates", "neuron whose state is written", "active")
def _touched_updates(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        fired = work.counts.spikes[population.name]
        yield Counted(population=population.name, source=None, events=torch.maximum(_active(work, population), fired))


@countable("spikes", "spike sent by a neuron")
def _spikes(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        yield Counted(population=population.name, source=None, events=work.counts.spikes[population.name])


@countable("messages", "message to a core")
def _messages(work: Workload) -> Iterator[Counted]:
    yield from _routed(work, lambda traffic: traffic.messages)


@countable("hops_ew", "hop east or west")
def _hops_ew(work: Workload) -> Iterator[Counted]:
    yield from _routed(work, lambda traffic: traffic.hops_ew)


@countable("hops_ns", "hop north or south")
def _hops_ns(work: Workload) -> Iterator[Counted]:
    yield from _routed(work, lambda traffic: traffic.hops_ns)


@countable("ann_macs", "MAC of the ANN", "ann_macs")
def _ann_macs(work: Workload) -> Iterator[Counted]:
    for source, target in work.pairs:
        events = work.each_sample(work.ann_macs((source, target)))
        yield Counted(population=target, source=source, events=events)


@countable("ann_neurons", "neuron of the ANN")
def _ann_neurons(work: Workload) -> Iterator[Counted]:
    for population in work.populations:
        yield Counted(population=population.name, source=None, events=work.each_sample(population.size))


def _synops_of(work: Workload, *, dense: bool) -> Iterator[Counted]:
    """Pairs joined by a matrix, or those whose weights are all shared: convolutions and one-to-one synapses."""
    for pair in work.pairs:
        if any(isinstance(connection, Dense) for connection in work.joining(pair)) == dense:
            yield Counted(population=pair[1], source=pair[0], events=work.reached(pair))


def _active(work: Workload, population: Population) -> torch.Tensor:
    if work.choices.active == "fired":
        return work.counts.spikes[population.name]
    return work.each_step(population.size if work.choices.active == "every" else 0)


def _routed(work: Workload, table: Callable[[Traffic], Mapping[str, torch.Tensor]]) -> Iterator[Counted]:
    if work.traffic is not None:
        for name, events in table(work.traffic).items():
            yield Counted(population=name, source=None, events=events)


def _check_counts(network: Network, counts: Counts) -> None:
    populations = {p.name for p in network.populations}
    pairs = {(c.source, c.target) for c in network.connections}
    if counts.spikes.keys() != populations or counts.synops.keys() != pairs or counts.synops_effective.keys() != pairs:
        raise BadInput(
            f"counts: they are of populations {sorted(counts.spikes)}, the network has {sorted(populations)}; "
            "price the counts of a run of this network"
        )
    if counts.n_steps != network.n_steps:
        raise BadInput(
            f"counts: they cover {counts.n_steps} timesteps, the network's sample lasts {network.n_steps}; "
            "price the counts of a run of this network"
        )
    if counts.n_samples == 0:
        raise BadInput("counts: they hold no samples; run at least one")


def _check_traffic(network: Network, counts: Counts, traffic: Traffic) -> None:
    names = {p.name for p in network.populations}
    for table in (traffic.messages, traffic.hops_ew, traffic.hops_ns, traffic.off_chip):
        for name, events in table.items():
            if name not in names:
                raise BadInput(f"traffic: {name!r} is none of the network's populations {sorted(names)}")
            if events.shape != (counts.n_steps, counts.n_samples):
                raise BadInput(
                    f"traffic: {name} has shape {tuple(events.shape)}, the counts have "
                    f"{(counts.n_steps, counts.n_samples)}, timesteps and samples; place the run that was counted"
                )

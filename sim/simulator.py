"""A network prepared to run: what each population needs, the ways its sums are made, when its spikes may be dropped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import torch

from .. import hw
from ..hw import Network, Population, Source
from .arguments import Tallies, check_inputs, check_network, check_run, check_tallies, device_of, only_source
from .counter import EventCounter
from .counts import Counts, Pair
from .exact import exact_sums
from .kernels.plain import States
from .layer import Layer, Spikes
from .layout import enter, leave
from .plan import Backend, Plan
from .trace import Trace
from .workspace import Workspace


class Simulator:
    """Runs one network as often as wanted; what `sim.run` does once.

    Plans are made on the first spikes that are worth a trial and kept from then on, and so is the memory of one batch.
    device, backend, chip, tallies: as for `sim.run`. Not safe to be run by several threads at once.

    Raises BadInput for arguments without a meaning, UnsupportedLayer for a network of several sources, NotRepresentable
    for parameters beyond the arithmetic itself.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | torch.device = "cpu",
        backend: Backend = "auto",
        chip: hw.Chip | None = None,
        tallies: Tallies | None = None,
    ) -> None:
        self.network = network
        self.source = only_source(network)
        self.device = device_of(device)
        check_network(network)
        asked = {} if tallies is None else tallies
        check_tallies(network, asked)
        self._plan = Plan(backend, self.device)
        self._workspace = Workspace(self.device)
        self._layers = {p.name: Layer(network, p, neuron, self._plan) for p, neuron in network.neurons}
        self._counters = {
            p.name: EventCounter(network, p, self.device, asked.get(p.name, {})) for p in network.populations
        }
        watched = () if chip is None else hw.rests_on_calibration(network, chip)
        self._limits = {name: hw.sum_limit(network, name, chip) for name in watched if chip is not None}
        index = {p.name: i for i, p in enumerate(network.populations)}
        self._last_use = {
            p.name: max((index[c.target] for c in network.outgoing(p.name)), default=index[p.name])
            for p in network.populations
        }

    @property
    def plan(self) -> Mapping[Pair, tuple[str, ...]]:
        """How each (source, target) is summed at present, a name for every bundle of equal delays (see `sim/plan.py`).

        Recurrent connections are always summed step by step in floating point and are not listed.
        """
        chosen: dict[Pair, tuple[str, ...]] = {}
        for layer in self._layers.values():
            for chooser in layer.choosers:
                pair = (chooser.bundle.connection.source, chooser.bundle.connection.target)
                chosen[pair] = (*chosen.get(pair, ()), chooser.chosen)
        return chosen

    def run(
        self,
        inputs: torch.Tensor,
        *,
        batch_size: int = 64,
        record: Collection[str] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Trace:
        """As `sim.run`, on the network this was made for."""
        parts: list[Trace] = []
        for batch in self._batches(inputs, batch_size, record):
            parts.append(_Batch(self, batch, frozenset(record)).run())
            if progress is not None:
                progress(parts[-1].n_samples)
        return _side_by_side(parts)

    def largest_sums(
        self, inputs: torch.Tensor, *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> dict[str, int]:
        """As `sim.largest_sums`, on the network this was made for."""
        largest: dict[str, int] = {p.name: 0 for p, _ in self.network.neurons}
        for batch in self._batches(inputs, batch_size, ()):
            done = _Batch(self, batch, frozenset(), largest).run()
            if progress is not None:
                progress(done.n_samples)
        return largest

    def _batches(self, inputs: torch.Tensor, batch_size: int, record: Collection[str]) -> list[torch.Tensor]:
        check_run(batch_size, record)
        n_samples = check_inputs(self.network, self.source, inputs)
        axis = inputs.ndim - len(self.source.shape) - 1
        starts = range(0, n_samples, batch_size)
        return [inputs.narrow(axis, start, min(batch_size, n_samples - start)) for start in starts]


class _Batch:
    """One batch on its way through the network. inputs: (B, *S) or (T, B, *S).

    largest: where given, the largest magnitude of a synaptic sum so far, by population; it is raised in place.
    """

    def __init__(
        self, simulator: Simulator, inputs: torch.Tensor, record: frozenset[str], largest: dict[str, int] | None = None
    ) -> None:
        self.simulator = simulator
        self.inputs = inputs
        self.record = record
        self.largest = largest
        self.steps = simulator.network.n_steps
        self.samples = inputs.shape[-len(simulator.source.shape) - 1]
        self.counts = Counts(spikes={}, synops={}, synops_effective={})
        self.kept: dict[str, dict[str, torch.Tensor]] = {"spikes": {}, "u": {}, "v": {}, "activity": {}}

    def run(self) -> Trace:
        network, workspace = self.simulator.network, self.simulator._workspace
        workspace.reclaim()  # what a run that was refused half-way still held
        alive: dict[str, torch.Tensor] = {}
        readout: torch.Tensor | None = None
        self.readouts: torch.Tensor | None = None
        with exact_sums(self.simulator.device):
            for index, population in enumerate(network.populations):
                name = population.name
                if isinstance(population.neuron, Source):
                    alive[name] = self._enter(population)
                else:
                    alive[name], v_end = self._through(population, alive)
                    if name == network.readout.population:
                        readout = self._readout(population, alive[name], v_end)
                if "spikes" in self.record:
                    spikes = leave(alive[name], population.shape).expand(self.steps, self.samples, *population.shape)
                    self.kept["spikes"][name] = spikes.cpu().clone(memory_format=torch.contiguous_format)
                if "activity" in self.record:
                    events = leave(self.simulator._counters[name].activity(alive[name])[None], population.shape)[:, 0]
                    self.kept["activity"][name] = events.expand(self.steps, *population.shape).cpu().contiguous()
                for done in [n for n in alive if self.simulator._last_use[n] <= index]:
                    workspace.give(alive.pop(done))
        assert readout is not None  # check_network refuses a source as read-out
        return Trace(readout=readout, readouts=self.readouts, counts=self.counts, **self.kept)

    def _enter(self, population: Population) -> torch.Tensor:
        """The source's spikes on the device, in the inner order, as uint8 where that holds every payload."""
        source = population.neuron
        assert isinstance(source, Source)
        small = source.min_payload == 0 and source.max_payload <= 255
        given = self.inputs if self.inputs.ndim == len(population.shape) + 2 else self.inputs[None]
        spikes = enter(given.to(self.simulator.device, torch.uint8 if small else torch.int32), population.shape)
        counter = self.simulator._counters[population.name]
        loops = self.simulator._plan.loops(self.samples * self.steps * population.size)
        self._count(counter, population.name, counter.count(spikes, loops))
        return spikes

    def _through(self, population: Population, alive: Spikes) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one population a few samples at a time.

        Returns its spikes, (B, T, *inner shape), and its last v, int32 (B, N) if it is the read-out, else (0, N).
        """
        layer, counter = self.simulator._layers[population.name], self.simulator._counters[population.name]
        device, size, pictures = self.simulator.device, population.size, self.samples * self.steps
        shape = (self.samples, self.steps, size)
        spikes = self.simulator._workspace.take(shape, torch.uint8)
        answers = population.name == self.simulator.network.readout.population
        each_step = answers and "readout" in self.record
        kept = [k for k in ("u", "v") if k in self.record]
        wanted = {*kept, "v"} if each_step else kept
        states = {k: torch.empty(shape, dtype=torch.int32, device=device) for k in wanted}
        senders = {c.source for c in self.simulator.network.incoming(population.name)} - {population.name}
        arriving = {name: alive[name] for name in senders}
        loops = self.simulator._plan.loops(pictures * size)
        rows = layer.samples_at_once(arriving)
        v_end = torch.empty((self.samples if answers else 0, size), dtype=torch.int32, device=device)
        events, watch = [], _Watch(self.simulator._limits.get(population.name), self.steps)
        watching = watch if watch.limit is not None or self.largest is not None else None
        for start in range(0, self.samples, rows):
            part = slice(start, min(start + rows, self.samples))
            all_u, all_v = (states[k][part] if k in states else None for k in ("u", "v"))
            out = States(spikes[part], all_u, all_v, v=v_end[part] if answers else None)
            layer.run({name: sent[part] for name, sent in arriving.items()}, pictures, out, watching)
            events.append(counter.count(spikes[part], loops))
        self._count(counter, population.name, torch.cat(events))
        for key in kept:
            self.kept[key][population.name] = leave(states[key], population.shape).cpu().contiguous()
        if each_step:
            self.readouts = self._readouts(population, spikes, states["v"])
        if watch.limit is not None:
            self.counts.overflows[population.name] = torch.cat(watch.beyond).T.contiguous()
        if self.largest is not None:
            self.largest[population.name] = max(self.largest[population.name], watch.largest)
        return spikes.reshape(self.samples, self.steps, *layer.inner_shape), v_end

    def _count(self, counter: EventCounter, name: str, events: torch.Tensor) -> None:
        """Add a population's events, (B, T or 1, K), to the counts; what never changes was counted once."""
        columns = events.cpu().permute(2, 1, 0).expand(-1, self.steps, -1).contiguous()
        self.counts.spikes[name] = columns[0]
        for i, pair in enumerate(counter.pairs):
            tables = (self.counts.synops, self.counts.synops_effective)
            for table, column in zip(tables, columns[1 + 2 * i : 3 + 2 * i], strict=True):
                table[pair] = table[pair] + column if pair in table else column
        for tally, column in zip(counter.tallies, columns[1 + 2 * len(counter.pairs) :], strict=True):
            self.counts.tallies.setdefault(tally, {})[name] = column

    def _readout(self, population: Population, spikes: torch.Tensor, v_end: torch.Tensor) -> torch.Tensor:
        """int64 (B, K) on the CPU, in C, H, W order."""
        membrane = self.simulator.network.readout.kind == "membrane"
        answer = v_end[:, None] if membrane else spikes.sum(dim=1, keepdim=True)
        return leave(answer, population.shape)[0].flatten(1).to("cpu", torch.int64)

    def _readouts(self, population: Population, spikes: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """What `_readout` would be after each timestep: int64 (T, B, K) on the CPU, in C, H, W order."""
        membrane = self.simulator.network.readout.kind == "membrane"
        answers = v if membrane else spikes.cumsum(dim=1, dtype=torch.int64)
        return leave(answers, population.shape).flatten(2).to("cpu", torch.int64)


class _Watch:
    """Looks at the synaptic sums of one population, a few samples at a time. limit: largest magnitude allowed."""

    def __init__(self, limit: int | None, steps: int) -> None:
        self.limit = limit
        self.steps = steps
        self.largest = 0
        self.beyond: list[torch.Tensor] = []

    def __call__(self, sums: torch.Tensor) -> None:
        """sums: integers in a floating type, (B, T or 1, neurons)."""
        self.largest = max(self.largest, *(abs(int(end)) for end in sums.aminmax()))
        if self.limit is not None:
            self.beyond.append((sums.abs() > self.limit).sum(dim=2).expand(-1, self.steps).cpu())


def _side_by_side(parts: list[Trace]) -> Trace:
    """The traces of consecutive batches as one."""
    if len(parts) == 1:
        return parts[0]

    answers = [part.readouts for part in parts]

    def joined(field: str) -> dict[str, torch.Tensor]:
        return {name: torch.cat([getattr(p, field)[name] for p in parts], dim=1) for name in getattr(parts[0], field)}

    return replace(
        parts[0],
        readout=torch.cat([part.readout for part in parts]),
        readouts=None if None in answers else torch.cat([a for a in answers if a is not None], dim=1),
        counts=Counts.merge([part.counts for part in parts]),
        spikes=joined("spikes"),
        u=joined("u"),
        v=joined("v"),
        activity={name: torch.stack([p.activity[name] for p in parts]).sum(dim=0) for name in parts[0].activity},
    )

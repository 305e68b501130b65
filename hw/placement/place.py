"""Every neuron of a network on a core of a chip, within all published limits.

Each population is cut into about equal boxes, of channels, rows and columns, one per core; a core holds neurons of one
population. Of all ways to cut, the one with the fewest cores is taken; among those the one whose cores together use the
smallest shares of their axons and memory, which also spares the populations that feed it; then the one that cuts rows
before columns before channels. Populations are cut from the last to the first,
because what a core sends depends on how its targets are cut, and laid on the chips in their own order, chip by chip.
An axon to another chip takes more room than one on the same chip (NxTF): if a core no longer fits once the chips are
known, everything is cut again as if all targets were far away.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from ..chip import Chip
from ..connections import Connection
from ..errors import BadInput, DoesNotFit, did_you_mean
from ..network import Network, Population
from .parts import Grid, Part, grids
from .reach import Fan, dense_fan, fan, reached
from .rules import RULES, OffChip, Rule
from .usage import HARDWARE, RESOURCES, Usage, fullest
from .weights import BitsOf, weight_bits

NO_BITS: BitsOf = MappingProxyType({})
COSTS = ("input_axons", "output_axons", "synapse_words")


@dataclass(frozen=True, kw_only=True)
class Core:
    """One core: its number over all chips, its chip, the part of which population it holds, and what that takes."""

    index: int
    chip: int
    population: str
    part: Part
    usage: Usage


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where every neuron that computes lies. Sources are fed from outside and take no core.

    rule: of `RULES`, by which memory and axons are counted. grids: how each population is cut.
    """

    network: Network
    chip: Chip
    rule: str
    cores: tuple[Core, ...]
    grids: Mapping[str, Grid]

    @property
    def n_chips(self) -> int:
        """Chips the cores fill, one after the other."""
        return math.ceil(len(self.cores) / self.chip.cores.per_chip)

    def of(self, population: str) -> tuple[Core, ...]:
        """The cores of a population, in the order of its parts."""
        return tuple(core for core in self.cores if core.population == population)

    def shares(self, population: str | None = None) -> dict[str, float]:
        """The largest share of each resource any core uses, of one population or of all; unknown limits left out."""
        largest: dict[str, float] = {}
        for core in self.cores if population is None else self.of(population):
            for field, share in core.usage.shares(self.chip.cores).items():
                largest[field] = max(largest.get(field, 0.0), share)
        return largest

    def bottleneck(self, population: str | None = None) -> str:
        """The resource of which the largest share is used, a key of `RESOURCES`."""
        return fullest(self.shares(population))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Resources of a core whose limit is not published."""
        return tuple(field for field in HARDWARE if getattr(self.chip.cores, field) is None)

    def listens(self, core: Core, connection: Connection) -> np.ndarray:
        """bool (source shape): the neurons whose spikes a core receives over a connection to its population."""
        if connection.target != core.population:
            raise BadInput(f"core {core.index} holds {core.population}, the connection leads to {connection.target}")
        return reached(connection, self.network[connection.source].shape, core.part)

    def destinations(self, connection: Connection) -> np.ndarray:
        """int64 (source shape): to how many cores each neuron sends over a connection; messages of one spike."""
        source = self.network[connection.source]
        counts = np.zeros(source.shape, np.int64)
        for core in self.of(connection.target):
            counts += self.listens(core, connection)
        return counts


def place(
    network: Network, chip: Chip, *, rule: str | None = None, chips: int | None = None, bits: BitsOf = NO_BITS
) -> Placement:
    """Lay a network out on as few cores as the limits of a chip allow.

    rule: how memory and axons are counted, one of `chip.cores.rules`; the first unless given. chips: how many there
    are; None for as many as it takes. bits: weight bits by connection, where not its own weights are to decide.
    Raises DoesNotFit naming the resource, the amount and the limit; BadInput for a rule the chip has
    not and for a network of sources alone.
    """
    name = rule or chip.cores.rules[0]
    if name not in chip.cores.rules:
        raise BadInput(f"{chip.name}: unknown layout rule {name!r}: {did_you_mean(name, chip.cores.rules)}")
    if not any(network.neurons):
        raise BadInput("network: no population computes, there is nothing to place; give one with neurons")
    if chips is not None and chips < 1:
        raise BadInput(f"{chip.name}: {chips} chips hold nothing; give 1 or more")
    placer = _Placer(network, chip, RULES[name], bits, far=False)
    cores = placer.cores()
    if any(placer.over(core.usage) for core in cores):
        placer = _Placer(network, chip, RULES[name], bits, far=True)
        cores = placer.cores()
    if chips is not None and len(cores) > chips * chip.cores.per_chip:
        have = f"{chips * chip.cores.per_chip} of {chips} {chip.name} chip{'s' * (chips > 1)}"
        raise DoesNotFit(f"network: {len(cores)} cores exceed the {have}")
    return Placement(network=network, chip=chip, rule=name, cores=cores, grids=placer.grids)


class _Placer:
    """The state of one layout: the grids chosen so far and what their cores listen to."""

    def __init__(self, network: Network, chip: Chip, rule: Rule, bits: BitsOf, *, far: bool) -> None:
        self.network, self.chip, self.rule, self.far = network, chip, rule, far
        self.bits = {connection: weight_bits(connection, bits) for connection in network.connections}
        self.grids: dict[str, Grid] = {}
        self._fans: dict[str, list[Fan]] = defaultdict(list)
        for population, _ in reversed(list(network.neurons)):
            self._choose(population)

    @cached_property
    def limits(self) -> Mapping[str, int]:
        """The published limits, less what the rule leaves empty."""
        known = {field: getattr(self.chip.cores, field) for field in RESOURCES}
        limits = {field: limit for field, limit in known.items() if limit is not None}
        if "synapse_words" in limits:
            limits["synapse_words"] -= self.rule.spare_words
        return limits

    def over(self, usage: Usage) -> str | None:
        """The resource that exceeds its limit by the largest factor, None if all fit."""
        shares = {field: n / self.limits[field] for field, n in usage.amounts() if field in self.limits}
        worst = fullest(shares)
        return worst if shares[worst] > 1 else None

    def cores(self) -> tuple[Core, ...]:
        """The cores in the order of the populations, with what they send now that the chips are known."""
        laid: list[Core] = []
        for population, _ in self.network.neurons:
            for part in self.grids[population.name].parts():
                usage = self._load(population, self.grids[population.name], part)
                laid.append(
                    Core(
                        index=len(laid),
                        chip=len(laid) // self.chip.cores.per_chip,
                        population=population.name,
                        part=part,
                        usage=usage,
                    )
                )
        if self.rule.sent is None:
            return tuple(laid)
        sent = np.zeros(len(laid), np.int64)
        for connection in self.network.connections:
            if connection.source in self.grids:
                self._send(connection, laid, sent)
        return tuple(
            dataclasses.replace(core, usage=core.usage.sending(int(n))) for core, n in zip(laid, sent, strict=True)
        )

    def _send(self, connection: Connection, laid: list[Core], sent: np.ndarray) -> None:
        """Add the entries of one connection to what each core of its source sends."""
        assert self.rule.sent is not None
        source = self.network[connection.source].shape
        targets = [core for core in laid if core.population == connection.target]
        masks = [reached(connection, source, core.part) for core in targets]
        spread = fan(connection, source, masks)
        far: dict[int, OffChip] = {}
        for core in laid:
            if core.population != connection.source:
                continue
            if core.chip not in far:
                off = np.array([target.chip != core.chip for target in targets])
                far[core.chip] = OffChip(spread.off_chip(masks, off), off)
            sent[core.index] += self.rule.sent(spread, core.part, far[core.chip])

    def _choose(self, population: Population) -> None:
        """The best grid of a population whose targets are cut already."""
        needed = math.ceil(population.size / self.limits.get("compartments", population.size))
        best: tuple[float, int] | None = None
        found: Grid | None = None
        failed: tuple[str, Usage] | None = None
        for rank, grid in enumerate(grids(population.shape)):
            if grid.n_parts < needed:
                continue
            if found is not None and grid.n_parts > found.n_parts:
                break
            verdict = self._cost(population, grid)
            if isinstance(verdict, Usage):
                failed = (self.over(verdict) or "", verdict)
            elif best is None or (verdict, rank) < best:
                best, found = (verdict, rank), grid
        if found is None:
            assert failed is not None
            raise self._refusal(population, *failed)  # the last grid has one neuron per core
        self.grids[population.name] = found
        for connection in self.network.incoming(population.name):
            source = self.network[connection.source]
            if connection.source != population.name:
                masks = [reached(connection, source.shape, part) for part in found.parts()]
                self._fans[connection.source].append(fan(connection, source.shape, masks))

    def _cost(self, population: Population, grid: Grid) -> float | Usage:
        """Shares of axons and memory, summed over the cores of a grid, or what a core takes that does not fit.

        The same terms, besides the number of cores, as in NxTF's cost of a layer.
        """
        middle = self._usage(population, grid, grid.middle())
        if self.over(middle):
            return middle
        total = 0.0
        for part in grid.parts():
            usage = self._usage(population, grid, part)
            if self.over(usage):
                return usage
            shares = usage.shares(self.chip.cores)
            total += sum(shares.get(field, 0.0) for field in COSTS)
        return total

    def _usage(self, population: Population, grid: Grid, part: Part) -> Usage:
        """What a part takes and sends while the chips are not known."""
        return self._load(population, grid, part).sending(self._sent(population, grid, part))

    def _load(self, population: Population, grid: Grid, part: Part) -> Usage:
        """What a part takes, summed over the connections that lead to it."""
        total: Usage | None = None
        for connection in self.network.incoming(population.name):
            source = self.network[connection.source].shape
            usage = self.rule.load(connection, source, grid, part, self.bits[connection])
            total = usage if total is None else total.joined(usage)
        assert total is not None  # a population that computes has an input
        return total

    def _sent(self, population: Population, grid: Grid, part: Part) -> int | None:
        """Entries for what a part sends while the chips are not known: all targets near, or all far."""
        if self.rule.sent is None:
            return None
        fans = [*self._fans[population.name]]
        fans += [dense_fan(population.shape, grid.n_parts) for _ in self.network.recurrent(population.name)]
        entries = 0
        for spread in fans:
            everything = spread.count if self.far else np.zeros_like(spread.count)
            owners = np.full(int(spread.owner.max(initial=-1)) + 1, self.far)
            entries += self.rule.sent(spread, part, OffChip(everything, owners))
        return entries

    def _refusal(self, population: Population, resource: str, usage: Usage) -> DoesNotFit:
        """What is too much even for one neuron."""
        amount, limit = getattr(usage, resource), self.limits[resource]
        far = ", its targets on other chips" if self.far and resource == "output_axons" else ""
        return DoesNotFit(
            f"{population.name}: {amount} {RESOURCES[resource]} exceed {self.chip.name}'s {limit} per core even with "
            f"one neuron per core{far}"
        )

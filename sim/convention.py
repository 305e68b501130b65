"""What an energy convention is: which events, times which constants, and what it leaves out.

A convention is data. Its terms name countables (`sim.workload.COUNTABLES`) and give each a cost: one `Constant`, or an
`AccessCost` where an access costs more in a larger memory. One file in `sim/conventions/` adds one convention.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..hw import BadInput, Registry
from .constants import Constant, Kind
from .workload import COUNTABLES, Reads


@dataclass(frozen=True, kw_only=True)
class AccessCost:
    """Cost of one access to a memory, by its capacity: straight lines between points, level beyond the last one.

    points: (capacity in bytes, pJ), capacities rising from 0. bytes_per_word: width of one access. The other fields
    are those of a Constant.
    """

    points: tuple[tuple[int, float], ...]
    bytes_per_word: int
    source: str
    kind: Kind
    scope: str
    voltage: float | None
    node: int | None

    def at(self, words: int) -> Constant:
        """The cost of an access to a memory of so many words."""
        size = words * self.bytes_per_word
        value = self.points[-1][1]
        for (low, below), (high, above) in pairwise(self.points):
            if low <= size < high:
                value = below + (above - below) * (size - low) / (high - low)
        return Constant(
            value=value,
            unit="pJ",
            source=self.source,
            kind=self.kind,
            scope=self.scope,
            voltage=self.voltage,
            node=self.node,
        )


@dataclass(frozen=True, kw_only=True)
class LinearAccessCost:
    """Cost of one access to a memory that grows by its bits: base_pj + pj_per_bit * capacity."""

    base_pj: float
    pj_per_bit: float
    bits_per_word: int
    source: str
    kind: Kind
    scope: str
    voltage: float | None
    node: int | None

    def at(self, words: int) -> Constant:
        """The cost of an access to a memory of so many words."""
        return Constant(
            value=self.base_pj + self.pj_per_bit * self.bits_per_word * words,
            unit="pJ",
            source=self.source,
            kind=self.kind,
            scope=self.scope,
            voltage=self.voltage,
            node=self.node,
        )


Cost = Constant | AccessCost | LinearAccessCost


def in_words(cost: Cost) -> str:
    """The number and its unit; of a cost that depends on the memory's size, how."""
    if isinstance(cost, AccessCost):
        points = ", ".join(f"{pj:g} at {size >> 10} KiB" for size, pj in cost.points)
        return f"{points}; pJ"
    if isinstance(cost, LinearAccessCost):
        growth = f" + {cost.pj_per_bit:g} per bit of capacity;" if cost.pj_per_bit else ""
        return f"{cost.base_pj:g}{growth} pJ"
    return f"{cost.value:.6g} {cost.unit}"


@dataclass(frozen=True, kw_only=True)
class Term:
    """One line of a convention: a countable's name, and what one event costs."""

    count: str
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How counts become picojoules.

    about: what it prices, in a few words. excluded: what it leaves out. snn: the spiking network's terms. ann: those of
    the ANN of the same graph; empty where the source defines none. routing: terms of the spiking network that need a
    placement on cores of `chip`, left out and said to be left out without one. chip: in `hw.CHIPS`, where it prices
    events of one.

    Raises BadInput for a constant in another unit than pJ, and for a countable that does not exist.
    """

    name: str
    title: str
    about: str
    excluded: str
    snn: tuple[Term, ...]
    ann: tuple[Term, ...] = ()
    routing: tuple[Term, ...] = ()
    chip: str | None = None

    def __post_init__(self) -> None:
        for term in self.terms():
            _ = COUNTABLES[term.count]  # raises with the nearest known name
            if isinstance(term.cost, Constant) and term.cost.unit != "pJ":
                raise BadInput(f"{self.name}: constants of a convention are in pJ, got {term.cost.unit!r}; convert it")

    def terms(self) -> Iterator[Term]:
        """All of them: the network's, those of its routing, the ANN's."""
        yield from (*self.snn, *self.routing, *self.ann)

    def constant(self, count: str) -> Constant | None:
        """The constant of a countable; None if it is not priced, or by the size of a memory."""
        costs = (term.cost for term in self.terms() if term.count == count)
        return next((cost for cost in costs if isinstance(cost, Constant)), None)

    @property
    def reads(self) -> Reads:
        """The choices that change this convention's prices."""
        return frozenset().union(*(COUNTABLES[term.count].reads for term in self.terms()))


CONVENTIONS: Registry[Convention] = Registry("energy convention")


def operation_counts(name: str, title: str, ac: Constant, mac: Constant) -> Convention:
    """The operation-count model of the SNN literature with these two prices.

    E_SNN = E_MAC * (operations of graded connections) + E_AC * (of all others);  E_ANN = E_MAC * (dense MACs).
    """
    return Convention(
        name=name,
        title=title,
        about="arithmetic of synaptic operations only",
        excluded="neuron updates and biases, memory access, spike routing, input and output, static power",
        snn=(Term(count="acs", cost=ac), Term(count="graded_macs", cost=mac)),
        ann=(Term(count="ann_macs", cost=mac),),
    )

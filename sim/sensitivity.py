"""What moves an energy, one thing at a time: the bars of a tornado.

A bar per price of the spiking network: from one end of its published range to the other (`RANGES`), or halved and
doubled where one number is all that is published. What the ANN pays too moves with it, so that the ratio compares two
networks at the same prices; a cost of memory scales as a whole. A bar per choice (`sim.choices`) that the convention
reads: the cheapest and the dearest of its settings, all else as it is; a setting that does not suit the input is none.

The bars are no error bars and do not add up: prices of one technology move together, and no range is a probability.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args, get_type_hints

from ..hw import BadInput, Network
from .bill import bill
from .choices import Choices
from .constants import Constant
from .convention import CONVENTIONS, AccessCost, Convention, Cost, LinearAccessCost, Term
from .conventions import keras_spiking, loihi1_davies2018, loihi1_nahuku
from .counts import Counts
from .workload import COUNTABLES, Traffic, Workload


@dataclass(frozen=True, kw_only=True)
class Swing:
    """One bar: the SNN's energy per mean sample, and ANN / SNN, with one setting low and high.

    low, high: the two settings in words; low is the cheaper one. ratio: None without an ANN, or where nothing is spent.
    """

    what: str
    kind: Literal["constant", "choice"]
    low: str
    high: str
    low_pj: float
    high_pj: float
    low_ratio: float | None
    high_ratio: float | None

    @property
    def width_pj(self) -> float:
        """How far it moves the energy."""
        return abs(self.high_pj - self.low_pj)

    @property
    def width_ratio(self) -> float:
        """How far it moves the ratio; 0 where there is none."""
        return abs((self.high_ratio or 0.0) - (self.low_ratio or 0.0))


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What moves the energy under one convention, the largest swing first. snn_pj, ratio: with nothing moved.

    swings: of equal width in energy, that first which moves the ratio more; one that moves only the ratio (the ANN's
    padding) is among them, one that moves neither is not.
    """

    convention: str
    snn_pj: float
    ratio: float | None
    swings: tuple[Swing, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Two published figures of one quantity, the lower and the higher, and in a few words what each of them is."""

    low: Constant
    high: Constant
    low_is: str
    high_is: str


def _with_a_mean_hop(constant: Constant) -> Constant:
    """As KerasSpiking composes its Loihi: one synaptic operation and a mean hop of 3.5 pJ."""
    return replace(
        constant,
        value=constant.value + 3.5,
        source=f"{constant.source}: {constant.value} pJ and a mean hop of 3.5",
        kind="derived",
    )


_SYNOP = {"low_is": "simulated, the minimum", "high_is": "fitted to silicon, stored densely"}
_LOIHI1_SYNOP = Range(low=loihi1_davies2018.SYNOP, high=loihi1_nahuku.DENSE_SYNOP, **_SYNOP)

RANGES = {
    loihi1_davies2018.SYNOP: _LOIHI1_SYNOP,
    loihi1_nahuku.DENSE_SYNOP: _LOIHI1_SYNOP,
    loihi1_nahuku.CONV_SYNOP: _LOIHI1_SYNOP,
    keras_spiking.DEVICES["loihi"].synop: Range(
        low=_with_a_mean_hop(loihi1_davies2018.SYNOP), high=_with_a_mean_hop(loihi1_nahuku.DENSE_SYNOP), **_SYNOP
    ),
    keras_spiking.DEVICES["loihi"].neuron: Range(
        low=loihi1_davies2018.INACTIVE, high=loihi1_davies2018.ACTIVE, low_is="inactive", high_is="active"
    ),
}
"""The published range of a constant, where more than one figure of the same quantity is published.

A synaptic operation of Loihi 1: before silicon one figure for all, of silicon one for each way to store a synapse; as a
compiler may store a kernel unrolled, the range of a shared synapse is the same. Figures of another scope are no range:
SpiNNaker's 45 pJ beside 13.3 nJ, a spike within a tile beside a message of an axon.
"""


def sensitivity(
    network: Network,
    counts: Counts,
    convention: str | Convention = "op_count_fp32",
    choices: Choices | None = None,
    traffic: Traffic | None = None,
) -> Sensitivity:
    """Price a run again and again, each time with one constant or one choice moved.

    convention: a name in CONVENTIONS, or one of your own. choices: those that all bars but their own keep. traffic: of
    a placement, for the conventions that price it. Raises what `price` does.
    """
    prices = CONVENTIONS[convention] if isinstance(convention, str) else convention
    chosen = (choices or Choices()).only(prices.reads)
    work = Workload(network=network, counts=counts, choices=chosen, traffic=traffic)
    unmoved = _spent(work, prices, "")
    swings = [*_by_constant(work, prices), *_by_choice(work, prices)]
    moving = [swing for swing in swings if swing.width_pj or swing.width_ratio]
    return Sensitivity(
        convention=prices.name,
        snn_pj=unmoved.pj,
        ratio=unmoved.ratio,
        swings=tuple(sorted(moving, key=lambda swing: (swing.width_pj, swing.width_ratio), reverse=True)),
    )


@dataclass(frozen=True, kw_only=True)
class _Spent:
    """What one setting leads to."""

    setting: str
    pj: float
    ratio: float | None


def _spent(work: Workload, prices: Convention, setting: str) -> _Spent:
    found = bill(work, prices)
    pj = found.total_pj()
    return _Spent(setting=setting, pj=pj, ratio=found.total_pj("ann") / pj if prices.ann and pj else None)


def _swing(what: str, kind: Literal["constant", "choice"], low: _Spent, high: _Spent) -> Swing:
    return Swing(
        what=what,
        kind=kind,
        low=low.setting,
        high=high.setting,
        low_pj=low.pj,
        high_pj=high.pj,
        low_ratio=low.ratio,
        high_ratio=high.ratio,
    )


def _by_constant(work: Workload, prices: Convention) -> Iterator[Swing]:
    paid = [*prices.snn, *prices.routing]
    for cost in dict.fromkeys(term.cost for term in paid):
        low, high = (_spent(work, _replaced(prices, cost, other), text) for other, text in _ends(cost))
        yield _swing(_name(prices, paid, cost), "constant", low, high)


def _by_choice(work: Workload, prices: Convention) -> Iterator[Swing]:
    kinds = get_type_hints(Choices)
    for name in (field.name for field in fields(Choices) if field.name in prices.reads):
        settings = _settings(work, prices, name, get_args(kinds[name]))
        rising = sorted(settings, key=lambda spent: spent.pj)
        yield _swing(name.replace("_", " "), "choice", rising[0], rising[-1])


def _settings(work: Workload, prices: Convention, name: str, settings: tuple[str, ...]) -> Iterator[_Spent]:
    for setting in settings:
        try:
            yield _spent(replace(work, choices=replace(work.choices, **{name: setting})), prices, setting)
        except BadInput:  # the setting does not suit the input: the work itself was priced before
            continue


def _ends(cost: Cost) -> tuple[tuple[Cost, str], tuple[Cost, str]]:
    """A cost at its lowest and at its highest, each in words."""
    if not isinstance(cost, Constant):
        return (_scaled(cost, 0.5), "half"), (_scaled(cost, 2.0), "twice")
    if cost not in RANGES:
        half, twice = replace(cost, value=cost.value / 2), replace(cost, value=cost.value * 2)
        return (half, f"{half.value:.6g} pJ (half)"), (twice, f"{twice.value:.6g} pJ (twice)")
    found = RANGES[cost]
    low, high = replace(cost, value=found.low.value), replace(cost, value=found.high.value)
    return (low, f"{low.value:.6g} pJ ({found.low_is})"), (high, f"{high.value:.6g} pJ ({found.high_is})")


def _scaled(cost: AccessCost | LinearAccessCost, factor: float) -> Cost:
    if isinstance(cost, LinearAccessCost):
        return replace(cost, base_pj=factor * cost.base_pj, pj_per_bit=factor * cost.pj_per_bit)
    return replace(cost, points=tuple((size, factor * pj) for size, pj in cost.points))


def _replaced(prices: Convention, old: Cost, new: Cost) -> Convention:
    """The convention with one cost replaced wherever it stands, the ANN included."""

    def terms(before: tuple[Term, ...]) -> tuple[Term, ...]:
        return tuple(replace(term, cost=new) if term.cost == old else term for term in before)

    return replace(prices, snn=terms(prices.snn), routing=terms(prices.routing), ann=terms(prices.ann))


def _name(prices: Convention, paid: list[Term], cost: Cost) -> str:
    """What the cost is paid for, and whether the ANN pays it too."""
    events = ", ".join(COUNTABLES[term.count].per for term in paid if term.cost == cost)
    too = " (the ANN's too)" if any(term.cost == cost for term in prices.ann) else ""
    return (events if isinstance(cost, Constant) else "memory accesses") + too

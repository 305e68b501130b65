"""What a report says of a placement: cores, shares, traffic, a time bound, and energies with the static part apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..hw.placement import RESOURCES, RULES, Core, Placement
from .chip_time import TimeBound, TotalEnergy, time_bounds, total_energies
from .core_events import Activity
from .routing import Messages


@dataclass(frozen=True, kw_only=True)
class PopulationOnChip:
    """How one population is cut. bottleneck: a resource in words. share: of it, on the fullest of its cores."""

    name: str
    neurons: int
    cores: int
    cut: str
    bottleneck: str
    share: float


@dataclass(frozen=True, kw_only=True)
class CoreSquare:
    """One core of the map. share: of its own fullest known resource."""

    chip: int
    population: str
    share: float


@dataclass(frozen=True, kw_only=True)
class OnChip:
    """A placement on one chip, field for field what `sim.report.OnChip` holds. Resources are named in words.

    shares: the largest use of each resource whose limit is known. unknown: those whose limit is not published.
    """

    chip: str
    rule: str
    cores: int
    cores_per_chip: int
    chips: int
    bottleneck: str
    shares: dict[str, float]
    unknown: tuple[str, ...]
    populations: tuple[PopulationOnChip, ...]
    layout: tuple[CoreSquare, ...]
    traffic: Messages
    times: tuple[TimeBound, ...]
    energies: tuple[TotalEnergy, ...]
    advice: tuple[str, ...]


def on_chip(
    placement: Placement,
    activity: Activity,
    n_samples: int,
    messages: Messages,
    dynamic_pj: Mapping[str, float],
    advice: Sequence[str] = (),
) -> OnChip:
    """Gather it all. activity and n_samples: see `time_bounds`. messages: means per sample. dynamic_pj: per sample, by
    convention; those that price no events of this chip are left out of `energies`. advice: of `hw.placement.advice`.

    Raises BadInput for an activity that is not the network's, for no samples and for an unknown convention.
    """
    times = time_bounds(placement, activity, n_samples)
    return OnChip(
        chip=placement.chip.name,
        rule=RULES[placement.rule].title,
        cores=len(placement.cores),
        cores_per_chip=placement.chip.cores.per_chip,
        chips=placement.n_chips,
        bottleneck=RESOURCES[placement.bottleneck()],
        shares={RESOURCES[field]: share for field, share in placement.shares().items()},
        unknown=tuple(RESOURCES[field] for field in placement.unknown),
        populations=tuple(_population(placement, population.name) for population, _ in placement.network.neurons),
        layout=tuple(_square(placement, core) for core in placement.cores),
        traffic=messages,
        times=times,
        energies=total_energies(placement, times, dynamic_pj),
        advice=tuple(advice),
    )


def _population(placement: Placement, name: str) -> PopulationOnChip:
    shares = placement.shares(name)
    bottleneck = placement.bottleneck(name)
    return PopulationOnChip(
        name=name,
        neurons=placement.network[name].size,
        cores=len(placement.of(name)),
        cut=str(placement.grids[name]),
        bottleneck=RESOURCES[bottleneck],
        share=shares[bottleneck],
    )


def _square(placement: Placement, core: Core) -> CoreSquare:
    return CoreSquare(
        chip=core.chip, population=core.population, share=max(core.usage.shares(placement.chip.cores).values())
    )

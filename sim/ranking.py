"""Where two conventions disagree on which of two models costs less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from ..hw import BadInput
from .energy import EnergyReport


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one convention says of two models, in pJ per sample."""

    convention: str
    first_pj: float
    second_pj: float


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Two models that conventions order differently. below: those under which `first` costs less; above: more."""

    first: str
    second: str
    below: tuple[Verdict, ...]
    above: tuple[Verdict, ...]

    def __str__(self) -> str:
        below, above = (", ".join(verdict.convention for verdict in side) for side in (self.below, self.above))
        return f"{self.first} costs less than {self.second} under {below}, and more under {above}"


def ranking_conflicts(reports: Mapping[str, Iterable[EnergyReport]]) -> tuple[Conflict, ...]:
    """Every two models that conventions order differently. reports: those of each model, by its name.

    Equal energies are no order and contradict nothing. Raises BadInput if the models were not priced under the same
    conventions, or one of them twice under one.
    """
    energies: dict[str, dict[str, float]] = {}
    for model, priced in reports.items():
        energies[model] = {}
        for report in priced:
            if report.convention.name in energies[model]:
                raise BadInput(
                    f"ranking: {model} is priced twice under {report.convention.name}; give one report of each"
                )
            energies[model][report.convention.name] = report.snn_pj
    return _conflicts(energies)


def twin_conflicts(reports: Iterable[EnergyReport]) -> tuple[Conflict, ...]:
    """Whether conventions disagree on the spiking network and the ANN of its graph: one conflict, or none.

    Conventions that define no ANN are left out.
    """
    both = [(r.convention.name, r.snn_pj, r.ann_pj) for r in reports if r.ann_pj is not None]
    return _conflicts({"the SNN": {n: snn for n, snn, _ in both}, "the ANN": {n: ann for n, _, ann in both}})


def _conflicts(energies: Mapping[str, Mapping[str, float]]) -> tuple[Conflict, ...]:
    found = []
    for (a, of_a), (b, of_b) in combinations(energies.items(), 2):
        if of_a.keys() != of_b.keys():
            raise BadInput(
                f"ranking: {a} is priced under {sorted(of_a)}, {b} under {sorted(of_b)}; price both under the same"
            )
        verdicts = [Verdict(convention=name, first_pj=of_a[name], second_pj=of_b[name]) for name in of_a]
        below = tuple(verdict for verdict in verdicts if verdict.first_pj < verdict.second_pj)
        above = tuple(verdict for verdict in verdicts if verdict.first_pj > verdict.second_pj)
        if below and above:
            found.append(Conflict(first=a, second=b, below=below, above=above))
    return tuple(found)

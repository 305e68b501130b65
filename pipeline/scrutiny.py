"""What is asked of a run's energies beside the prices: every count, spread, sensitivity, margins, and the chips.

Each answer is in plain values, field for field what `sim.report` holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from .. import sim
from ..hw import DoesNotFit, Network
from ..hw.placement import Placement, advice
from ..sim import routing
from .placing import placements


@dataclass(frozen=True, kw_only=True, eq=False)
class CountedRun:
    """A network, what was counted in a run of it, and where it lies on every chip that holds it.

    activity: spikes of each neuron at each timestep over all samples, int64 (T, *S) by population. placed, refused: by
    chip; the counts hold the tallies of the placements.
    """

    network: Network
    counts: sim.Counts
    activity: Mapping[str, Tensor]
    placed: Mapping[str, Placement]
    refused: Mapping[str, DoesNotFit]

    @staticmethod
    def on_chips(network: Network, counts: sim.Counts, activity: Mapping[str, Tensor]) -> CountedRun:
        """The run on every registered chip."""
        placed, refused = placements(network)
        return CountedRun(network=network, counts=counts, activity=activity, placed=placed, refused=refused)

    @cached_property
    def traffic(self) -> dict[str, sim.Traffic]:
        """Messages and hops of each placement, by chip."""
        return {chip: routing.traffic(self.counts, placement) for chip, placement in self.placed.items()}

    def workload(self, choices: sim.Choices, chip: str | None) -> sim.Workload:
        """The run, with the messages of its placement on a chip where there is one."""
        traffic = self.traffic.get(chip) if chip else None
        return sim.Workload(network=self.network, counts=self.counts, choices=choices, traffic=traffic)


def findings(run: CountedRun, prices: Sequence[sim.EnergyReport], choices: sim.Choices, chip: str) -> dict[str, Any]:
    """Everything by its key in the report; of the baselines only their energies, `baseline_energies`.

    prices: one of each convention, under the choices. chip: the one whose messages the counts show.
    """
    energies = sim.baseline_energies(run.network)
    return {
        "events": _plain(sim.ledger(run.workload(choices, chip))),
        "spread": _plain(_spreads(run, prices)),
        "sensitivity": _plain(_sensitivities(run, prices)),
        "baseline_energies": energies,
        "break_even": dataclasses.asdict(sim.break_even(run.network, run.counts, energies, choices)),
        "on_chip": _plain(_on_chips(run, prices)),
        "refusals": [{"chip": chip, "why": str(error)} for chip, error in run.refused.items()],
    }


def _spreads(run: CountedRun, prices: Sequence[sim.EnergyReport]) -> Iterator[sim.Spread]:
    """Of every convention that counts something in this network."""
    for price in prices:
        found = sim.bill(run.workload(price.choices, price.convention.chip), price.convention)
        if found.side():
            yield sim.spread(found)


def _sensitivities(run: CountedRun, prices: Sequence[sim.EnergyReport]) -> Iterator[sim.Sensitivity]:
    for price in prices:
        traffic = run.traffic.get(price.convention.chip or "")
        yield sim.sensitivity(run.network, run.counts, price.convention, price.choices, traffic)


def _on_chips(run: CountedRun, prices: Sequence[sim.EnergyReport]) -> Iterator[sim.OnChip]:
    dynamic = {price.convention.name: price.snn_pj for price in prices}
    for placement in run.placed.values():
        messages = routing.messages(run.counts, placement)
        yield sim.on_chip(placement, run.activity, run.counts.n_samples, messages, dynamic, advice(placement))


def _plain(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(value) for value in values]

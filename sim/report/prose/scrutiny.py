"""How far the energies can be trusted, in words: spread, sensitivity, baselines, break-even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .. import units
from ..schema import Report
from ..scrutiny import Sensitivity, Spread
from ..tables import detailed_first, limit, side
from .sentence import sentence

C = TypeVar("C", Spread, Sensitivity)


def spread(report: Report) -> list[str]:
    """What a single sample costs, under the conventions shown in detail; under the first if none of them is."""
    return [
        f"{s.convention}: {units.joules(s.mean_pj)} on average ({units.joules(s.ci95_pj[0])} to "
        f"{units.joules(s.ci95_pj[1])}, n = {s.samples:,}); one sample in twenty costs more than "
        f"{units.joules(s.p95_pj)}, the worst {units.joules(s.worst_pj)}."
        for s in _detailed(report, report.spread)
    ]


def sensitivity(report: Report) -> list[str]:
    """The setting that moves the energy most, and where a setting turns the comparison with the ANN around."""
    lines = []
    for s in _detailed(report, report.sensitivity):
        if not s.swings:
            continue
        most = s.swings[0]
        lines.append(
            f"{s.convention}: {most.what} moves it most, {units.joules(most.low_pj)} at {most.low} and "
            f"{units.joules(most.high_pj)} at {most.high}; {units.joules(s.snn_pj)} as published."
        )
        turned = [swing.what for swing in s.swings if _turns(swing.low_ratio, swing.high_ratio)]
        if turned:
            lines.append(f"{s.convention}: which network costs less depends on {', '.join(turned)}.")
    return lines


def break_even(report: Report) -> list[str]:
    """Measured activity, the bits of the fair twin, and each measured value beside its limit."""
    b = report.break_even
    if b is None:
        return []
    steps = report.network.n_steps
    fine = f"An ANN as fine as T = {steps} timesteps has {b.matched_bits}-bit activations."
    busy = (
        f"A synapse carries {b.spikes_per_synapse:.3g} spikes per inference; a neuron that sends does so "
        f"{b.spikes_per_step:.3g} times per timestep."
    )
    dense = (
        f"Where moving data is all that costs, {steps} timesteps cost {b.dense_ratio:.3g} times as much as "
        f"{b.matched_bits} bits."
    )
    return [
        fine,
        busy,
        dense,
        *(
            sentence(
                f"{t.what[:1].upper()}{t.what[1:]}: {t.measured:.3g} is {side(t)} {limit(t)} {t.unit} ({t.source})"
            )
            for t in b.thresholds
        ),
    ]


def _turns(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low < 1) != (high < 1)


def _detailed(report: Report, values: Sequence[C]) -> list[C]:
    """Those under the conventions shown in detail, or the first of all."""
    shown = {e.convention for e in report.energy}
    ordered = detailed_first(report, values)
    return [value for value in ordered if value.convention in shown] or list(ordered[:1])

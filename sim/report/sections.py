"""The sections of a report in the order of its page: Markdown and HTML have the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .schema import Report


@dataclass(frozen=True)
class Section:
    """A heading. key: its anchor in a page. holds: whether a report has anything to say under it."""

    key: str
    title: str
    holds: Callable[[Report], object] = lambda report: True


SECTIONS = (
    Section("accuracy", "Accuracy waterfall"),
    Section("timesteps", "Accuracy against timesteps", lambda r: r.timesteps or r.anytime),
    Section("drift", "Drift and refinement", lambda r: r.drift),
    Section("activity", "Spikes and synaptic operations"),
    Section("portrait", "Spiking network beside ANN", lambda r: r.portrait),
    Section("energy", "Energy"),
    Section("scrutiny", "How far the energies can be trusted", lambda r: r.spread or r.sensitivity),
    Section("baselines", "ANNs of the same graph", lambda r: r.baselines or r.break_even),
    Section("chip", "On the chip", lambda r: r.on_chip or r.refusals),
    Section("notices", "Notices"),
    Section("network", "Network"),
    Section("reproduce", "Reproduce"),
)


def present(report: Report) -> tuple[Section, ...]:
    """The sections that this report fills."""
    return tuple(section for section in SECTIONS if section.holds(report))

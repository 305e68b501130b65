"""The spiking network beside ANNs of the same graph, and the limits at which spiking stops to pay."""

from __future__ import annotations

from .. import units
from ..schema import Report
from ..scrutiny import Threshold
from ..values import Score
from .table import NONE, STEP_TITLES, Table


def deployed(report: Report) -> tuple[str, Score | None]:
    """The spiking network's name, with the latest step that was scored in full, and that score."""
    for name in ("netx", "integer", "refined", "converted_hard"):
        if step := report.step(name):
            return f"SNN ({STEP_TITLES[name]})", step
    return "SNN", None


def snn_energies(report: Report) -> dict[str, float]:
    """The spiking network's energy under every convention of the report, in pJ per sample."""
    return {c.convention: c.snn_pj for c in (*report.energy, *report.conventions)}


def priced_baselines(report: Report) -> list[str]:
    """The conventions that price at least one baseline, those shown in detail first."""
    shown = [e.convention for e in report.energy]
    named = dict.fromkeys(name for b in report.baselines for name in b.energy_pj)
    return sorted(named, key=lambda name: shown.index(name) if name in shown else len(shown))


def baselines(report: Report) -> Table:
    """Bits, accuracy and energy of each network, the energy under the conventions shown in detail."""
    shown = {e.convention for e in report.energy}
    conventions = [name for name in priced_baselines(report) if name in shown]
    name, score = deployed(report)
    energies = snn_energies(report)
    rows = [(name, NONE, NONE, *_scored(score), *(units.joules(energies[c]) for c in conventions), NONE)]
    rows += [
        (
            b.title,
            "float32" if b.weight_bits is None else f"{b.weight_bits} bits",
            "float32" if b.activation_bits is None else f"{b.activation_bits} bits",
            *_scored(b.score),
            *(units.joules(b.energy_pj[c]) if c in b.energy_pj else NONE for c in conventions),
            b.how,
        )
        for b in report.baselines
    ]
    return Table(
        "baselines",
        "The spiking network and ANNs of the same graph: accuracy with 95 % Wilson interval, and energy per sample.",
        ("Network", "Weights", "Activations", "Accuracy", "95 % interval", "n", *conventions, "How"),
        "lllrrr" + "r" * len(conventions) + "p",
        tuple(rows) if report.baselines else (),
    )


def baseline_energies(report: Report) -> Table:
    """Energy of the spiking network and of each baseline under every convention that prices them."""
    energies = snn_energies(report)
    rows = tuple(
        (
            convention,
            units.joules(energies[convention]) if convention in energies else NONE,
            *(units.joules(b.energy_pj[convention]) if convention in b.energy_pj else NONE for b in report.baselines),
        )
        for convention in priced_baselines(report)
    )
    return Table(
        "baseline_energies",
        "Energy per sample of the spiking network and of each ANN under every convention that prices them.",
        ("Convention", "SNN", *(b.title for b in report.baselines)),
        "lr" + "r" * len(report.baselines),
        rows,
    )


def thresholds(report: Report) -> Table:
    """Published or derived limits beside what was measured."""
    limits = report.break_even.thresholds if report.break_even else ()
    rows = tuple((t.what, f"{t.measured:.3g}", limit(t), t.unit, side(t), t.source) for t in limits)
    return Table(
        "thresholds",
        "Where spiking stops to pay: published or derived limits beside what was measured.",
        ("What", "Measured", "Limit", "Unit", "Measured is", "Source"),
        "prrllp",
        rows,
    )


def margins(report: Report) -> Table:
    """By which factor all spikes may grow until the SNN costs as much as each baseline."""
    titles = {b.key: b.title for b in report.baselines}
    rows = tuple(
        (
            m.convention,
            titles.get(m.baseline, m.baseline),
            units.ratio(m.factor),
            NONE if m.spikes_per_synapse is None else f"{m.spikes_per_synapse:.3g}",
            _verdict(m.factor),
        )
        for m in (report.break_even.margins if report.break_even else ())
    )
    return Table(
        "margins",
        "By which factor all spikes may grow until the spiking network costs as much as an ANN, and the synaptic "
        "operations per synapse and inference at that point.",
        ("Convention", "Against", "Factor", "Spikes per synapse", "Today"),
        "llrrl",
        rows,
    )


def limit(threshold: Threshold) -> str:
    """A limit as text: one number, or a range."""
    high = f"{threshold.high:.3g}"
    return high if threshold.low is None else f"{threshold.low:.3g} to {high}"


def side(threshold: Threshold) -> str:
    """On which side of the limit the measured value lies."""
    low = threshold.high if threshold.low is None else threshold.low
    if threshold.measured > threshold.high:
        return "above"
    if threshold.measured < low:
        return "below"
    return "within" if low < threshold.high else "at"


def _scored(score: Score | None) -> tuple[str, str, str]:
    if score is None:
        return NONE, NONE, NONE
    return units.percent(score.accuracy), units.interval(score.ci95), f"{score.n:,}"


def _verdict(factor: float | None) -> str:
    if factor is None:
        return "costs more even without spikes"
    return "costs less" if factor > 1 else "costs more" if factor < 1 else "costs the same"

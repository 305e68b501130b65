"""What the checklist asks of an energy figure: which events are charged, and how often."""

from __future__ import annotations

from collections.abc import Callable

from ...sim.report import Report, units
from .question import Answer, Item

MEMORY = ("read", "write", "access")
UPDATES = ("update", "neuron whose state is written")
ROUTING = ("message", "hop")
"""Words that tell an event of memory, of neurons or of routing in a convention's bill."""


def _counted_network(report: Report) -> Item:
    n = report.network
    return Item(
        "Are the events counted in the network that is deployed?",
        Answer.yes,
        f"In the integers of the .net file for {n.chip} ({n.fingerprint[:12]}), one by one; not firing rate times "
        "dense operations.",
        ("methods.tex", "csv/layers.csv"),
    )


def _first_layer(report: Report) -> Item:
    question = "Is the first layer charged at every timestep (MAC x T)?"
    where = ("csv/energy.csv", "csv/audit.csv")
    if not report.network.payload_bits:
        found = "The input is binary: its spikes accumulate as all others, at every timestep."
        return Item(question, Answer.does_not_apply, found, where)
    per_step = report.energy[0].first_layer == "per_step"
    found = "as the deployed network computes it" if per_step else "its products are made once and reused"
    answer = Answer.yes if per_step else Answer.no
    return Item(question, answer, f"T = {report.network.n_steps}; {found}.", where)


def _graded(report: Report) -> Item:
    rows = [row.name for row in report.layers if row.is_mac]
    question = "Are non-binary inputs charged as MACs?"
    if not rows:
        return Item(question, Answer.does_not_apply, "No layer reads graded spikes.", ("csv/layers.csv",))
    return Item(question, Answer.yes, f"Layers that read graded spikes: {', '.join(rows)}.", ("csv/layers.csv",))


def _folded(report: Report) -> Item:
    rows = [notice.layer for notice in report.notices if "batch norm" in notice.what and "folded" in notice.what]
    question = "Is batch norm folded into the weights?"
    where = ("csv/notices.csv", "csv/audit.csv")
    if not rows:
        return Item(question, Answer.does_not_apply, "No batch norm was reported.", where)
    return Item(question, Answer.yes, f"In {', '.join(rows)}; what is left of it are biases.", where)


def _biases(report: Report) -> Item:
    return _audited(report, "Are biases charged?", "biases")


def _pooling(report: Report) -> Item:
    return _audited(report, "Is pooling charged?", "pooling")


def _residual(report: Report) -> Item:
    return _audited(report, "Are residual additions charged?", "residual additions")


def _audited(report: Report, question: str, step: str) -> Item:
    """What the audit found of one step that the usual table leaves out; pools and shortcuts are synapses here."""
    where = ("tables/audit.tex", "csv/audit.csv")
    first = report.energy[0].convention
    audit = next((a for a in report.audits if a.convention == first), None)
    pj = None if audit is None else next((s.pj for s in audit.steps if s.what.startswith(step)), None)
    if pj is None:
        return Item(question, Answer.not_measured, "The audit has no such step.", where)
    if pj == 0:
        return Item(
            question,
            Answer.does_not_apply,
            "The deployed network has none of its own; what was folded into a layer counts there.",
            where,
        )
    if step == "biases":
        return Item(question, Answer.not_priced, f"{units.joules(pj)} per sample in the audit.", where)
    return Item(question, Answer.yes, f"They are synapses: {units.joules(pj)} per sample.", where)


def _updates(report: Report) -> Item:
    return _priced(report, "Are neuron updates charged?", UPDATES)


def _memory(report: Report) -> Item:
    return _priced(report, "Are memory accesses charged?", MEMORY)


def _routing(report: Report) -> Item:
    return _priced(report, "Are messages between cores charged?", ROUTING)


def _priced(report: Report, question: str, words: tuple[str, ...]) -> Item:
    """Whether the first convention's bill has an event that these words name, and which others have."""
    names = [
        c.convention
        for c in report.conventions
        if any(i.side == "snn" and any(word in i.what for word in words) for i in c.items)
    ]
    where = ("tables/bills.tex", "csv/bills.csv")
    if not report.conventions:
        return Item(question, Answer.not_measured, "The report holds no bills.", where)
    answer = Answer.yes if report.energy[0].convention in names else Answer.not_priced
    found = f"Charged under {', '.join(names)}." if names else "Under no convention."
    return Item(question, answer, found, where)


def _static(report: Report) -> Item:
    question = "Is static energy given?"
    where = ("tables/chip_energies.tex", "csv/on_chip_energy.csv")
    rows = [(o.chip, e) for o in report.on_chip for e in o.energies]
    known = sorted({chip for chip, e in rows if e.static_pj is not None})
    if not known:
        found = "No static power is published for these chips." if rows else "No placement with a time bound."
        return Item(question, Answer.not_measured, found, where)
    found = f"Apart from the dynamic energy, over a lower bound of the time, on {', '.join(known)}."
    return Item(question, Answer.yes, found, where)


def _outside(report: Report) -> Item:
    scopes = [c.scope for c in report.conventions] or [report.scope]
    priced = [c.convention for c in report.conventions if "input and output" not in c.scope]
    excluded = any("input and output" in scope for scope in scopes)
    question, where = "Are input, output and the host charged?", ("csv/conventions.csv",)
    if not excluded:
        return Item(question, Answer.not_measured, "The scopes do not say.", where)
    found = f"Left out; the scope of {', '.join(priced)} does not say so." if priced else "Left out."
    return Item(question, Answer.not_priced, found, where)


def _zero_weights(report: Report) -> Item:
    stored = sum(row.synops for row in report.layers)
    effective = sum(row.synops_effective for row in report.layers)
    answer = Answer.yes if report.energy[0].synops == "stored" else Answer.no
    found = f"{units.count(stored)} synaptic operations per sample, {units.count(effective)} without zero weights."
    return Item("Are zero weights charged?", answer, found, ("csv/layers.csv",))


def _padding(report: Report) -> Item:
    first = next((c for c in report.conventions if c.convention == report.energy[0].convention), None)
    scope = report.scope if first is None else first.scope
    question, where = "Does the ANN pay for products with padding?", ("csv/conventions.csv",)
    if "padding left out" in scope:
        return Item(question, Answer.no, "One MAC per synapse that exists.", where)
    if "padding included" in scope:
        return Item(question, Answer.yes, "The formula's products, padding included.", where)
    return Item(question, Answer.not_measured, "The scope does not say.", where)


QUESTIONS: tuple[Callable[[Report], Item], ...] = (
    _counted_network,
    _first_layer,
    _graded,
    _folded,
    _biases,
    _pooling,
    _residual,
    _updates,
    _memory,
    _routing,
    _static,
    _outside,
    _zero_weights,
    _padding,
)
"""In the order of the list."""

"""The sentences of a report: what happened, said in words and with the same numbers as the tables."""

from __future__ import annotations

from collections.abc import Sequence

from . import units
from .schema import Energy, NeuroBench, Report, Score
from .tables import STEP_TITLES, operations


def title(report: Report) -> str:
    """The heading."""
    return f"Spikeport report: {report.recipe}"


def about(report: Report) -> str:
    """Recipe, data, network and chip in one paragraph."""
    d, n = report.data, report.network
    payload = f"{n.payload_bits}-bit graded spikes" if n.payload_bits else "binary spikes"
    return (
        f"Data: {d.name} ({d.train:,} training, {d.validation:,} validation and {d.test:,} test images; licence: "
        f"{d.licence}). Network: {sum(p.neurons for p in n.populations):,} neurons in {len(n.populations)} "
        f"populations, {n.synapses:,} synapses, T = {n.n_steps} timesteps, input as {payload}, for {n.chip}. "
        f"Seed {report.seed}. Made {report.created:%Y-%m-%d %H:%M %Z}."
    )


def accuracy(report: Report) -> list[str]:
    """The waterfall in words: the loss from ANN to chip integers, and the gap between training and file."""
    lines = []
    ann, integer, netx = report.step("ann"), report.step("integer"), report.step("netx")
    if ann and ann.elsewhere:
        lines.append(f"The ANN is a teacher of {ann.elsewhere} and scores {_score(ann)} on its test images.")
    elif ann and integer:
        lines.append(f"ANN {_score(ann)}, on the chip's integers {_score(integer)}: {_gap(ann, integer)}.")
    hard, refined = report.step("converted_hard"), report.step("refined")
    if hard and refined:
        lines.append(f"Refinement moved the hard-reset network from {_score(hard)} to {_score(refined)}.")
    if integer and netx:
        lines.append(f"The .net read back from disk scores {_score(netx)}: {_gap(integer, netx)} from training.")
    return lines


def lava(report: Report) -> str:
    """What Lava said, or that it was not asked and why."""
    check = report.lava
    if check is None:
        return f"Lava was not run: {_sentence(report.skipped['lava'])} The file has not been checked against Lava here."
    head = (
        f"Lava ran {check.samples:,} samples: {check.layers_written:,} layers written, {check.layers_built:,} built, "
        f"{check.values:,} integers compared, {check.mismatches:,} mismatches."
    )
    if check.agrees:
        return f"{head} The file does in Lava what the simulator says, spike for spike."
    first = f" First: {_sentence(check.first_mismatch)}" if check.first_mismatch else ""
    if check.mismatches:
        return f"{head}{first} The file and Lava do not agree."
    return f"{head}{first} This does not show that the file and Lava agree."


def skipped(report: Report) -> list[str]:
    """Each step that was not run, with its reason; Lava has its own sentence."""
    return [f"{STEP_TITLES[s]} was not run: {_sentence(why)}" for s, why in report.skipped.items() if s != "lava"]


def energy(report: Report, conventions: Sequence[Energy] | None = None) -> list[str]:
    """One sentence for each of the given conventions, by default for all: counts, then joules."""
    dense = sum(row.dense_macs for row in report.layers)
    lines = []
    for e in conventions or report.energy:
        macs, acs = operations(report, e)
        times = f" ANN / SNN = {units.ratio(e.ratio)}." if e.ratio is not None else ""
        lines.append(
            f"{e.convention}: {units.count(macs)} MACs and {units.count(acs)} ACs per sample are "
            f"{units.joules(e.snn_pj)}; the ANN's {units.count(dense)} MACs are {units.joules(e.ann_pj)}.{times}"
        )
    return lines


def conventions(report: Report) -> list[str]:
    """Whether conventions disagree on which of the two networks costs less, NeuroBench's metrics, and every scope."""
    if not report.conventions:
        return []
    lines = [f"Conventions do not agree: {conflict}." for conflict in report.conflicts]
    if not lines and any(c.ann_pj is not None for c in report.conventions):
        lines.append("All conventions that define an ANN agree on which of the two networks costs less.")
    if report.neurobench is not None:
        lines.append(neurobench(report.neurobench))
    return lines + [_sentence(c.scope) for c in report.conventions]


def neurobench(n: NeuroBench) -> str:
    """NeuroBench's metrics in one sentence."""
    return (
        f"NeuroBench's metrics, per sample: {units.count(n.effective_macs)} effective MACs, "
        f"{units.count(n.effective_acs)} effective ACs, {units.count(n.dense)} dense operations; footprint "
        f"{n.footprint_bytes:,} bytes; connection sparsity {units.percent(n.connection_sparsity)}, activation sparsity "
        f"{units.percent(n.activation_sparsity)}."
    )


def audit(report: Report) -> list[str]:
    """How far the audited energy is from the one usually reported."""
    return [
        f"{a.convention}: {units.joules(a.usual_pj)} as usually reported, {units.joules(a.audited_pj)} audited; "
        f"the ANN as usually reported {units.joules(a.ann_usual_pj)}."
        for a in report.audits
    ]


def scope(report: Report) -> str:
    """What the energies leave out. Never missing."""
    return f"Scope: {_sentence(report.scope)}"


def activity(report: Report) -> str:
    """Spikes and operations of a whole sample."""
    neurons = sum(row.neurons for row in report.layers)
    spikes = sum(row.spikes for row in report.layers)
    synops = sum(row.synops for row in report.layers)
    rate = spikes / neurons if neurons else 0.0
    return (
        f"A sample takes {units.count(spikes)} spikes ({units.rate(rate)} per neuron, "
        f"{units.rate(rate / report.network.n_steps)} per neuron and timestep) and {units.count(synops)} synaptic "
        f"operations (means over n = {report.counted_samples:,})."
    )


NO_NOTICES = "Nothing was folded, approximated, clipped or refused."


def _score(score: Score) -> str:
    return f"{units.percent(score.accuracy)} (n = {score.n:,})"


def _gap(before: Score, after: Score) -> str:
    """The change in points; the numbers of images are named where they differ."""
    text = f"{units.points(after.accuracy - before.accuracy)} points"
    return text if before.n == after.n else f"{text} (on different numbers of images)"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."

"""What was run and on what, how often it is right, and what Lava said."""

from __future__ import annotations

from .. import units
from ..schema import Report, Score
from ..tables import STEP_TITLES
from .sentence import sentence

NO_NOTICES = "Nothing was folded, approximated, clipped or refused."


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
        return f"Lava was not run: {sentence(report.skipped['lava'])} The file has not been checked against Lava here."
    head = (
        f"Lava ran {check.samples:,} samples: {check.layers_written:,} layers written, {check.layers_built:,} built, "
        f"{check.values:,} integers compared, {check.mismatches:,} mismatches."
    )
    if check.agrees:
        return f"{head} The file does in Lava what the simulator says, spike for spike."
    first = f" First: {sentence(check.first_mismatch)}" if check.first_mismatch else ""
    if check.mismatches:
        return f"{head}{first} The file and Lava do not agree."
    return f"{head}{first} This does not show that the file and Lava agree."


def skipped(report: Report) -> list[str]:
    """Each step that was not run, with its reason; Lava has its own sentence."""
    return [f"{STEP_TITLES[s]} was not run: {sentence(why)}" for s, why in report.skipped.items() if s != "lava"]


def _score(score: Score) -> str:
    return f"{units.percent(score.accuracy)} (n = {score.n:,})"


def _gap(before: Score, after: Score) -> str:
    """The change in points; the numbers of images are named where they differ."""
    text = f"{units.points(after.accuracy - before.accuracy)} points"
    return text if before.n == after.n else f"{text} (on different numbers of images)"

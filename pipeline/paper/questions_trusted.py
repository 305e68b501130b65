"""What the checklist asks of the evidence: fair baselines, samples, the test set, constants, and who checked."""

from __future__ import annotations

from collections.abc import Callable

from ...sim import CONVENTIONS
from ...sim.constants import Constant
from ...sim.report import Report, units
from .question import Answer, Item


def _same_width(report: Report) -> Item:
    question = "Is there an ANN of the same bit width beside the fp32 one?"
    where = ("tables/baselines.tex", "csv/baselines.csv", "csv/energy.csv")
    eight = next((b for b in report.baselines if b.weight_bits == 8 and b.activation_bits == 8), None)
    if eight is not None:
        score = "accuracy not measured" if eight.score is None else f"{units.percent(eight.score.accuracy)}"
        return Item(question, Answer.yes, f"{eight.title}: {score}, {eight.how}.", where)
    int8 = any(e.convention == "op_count_int8" for e in report.energy)
    found = "Its energy alone (op_count_int8); its accuracy was not measured." if int8 else "None."
    return Item(question, Answer.not_measured, found, where)


def _matched(report: Report) -> Item:
    question = "Is there an ANN of matched bits, ceil(log2(T + 1))?"
    where = ("tables/baselines.tex", "csv/baselines.csv")
    bits = None if report.break_even is None else report.break_even.matched_bits
    matched = [b for b in report.baselines if bits is not None and b.activation_bits == bits]
    if not matched:
        return Item(question, Answer.not_measured, "No such ANN was made.", where)
    found = matched[-1]  # of two, the one made for it
    score = "accuracy not measured" if found.score is None else f"{units.percent(found.score.accuracy)}"
    return Item(question, Answer.yes, f"{found.title} ({bits} bits): {score}, {found.how}.", where)


def _samples(report: Report) -> Item:
    first = next((s for s in report.spread if s.convention == report.energy[0].convention), None)
    counted = f"Means over {report.counted_samples:,} of {report.data.test:,} test samples"
    question, where = (
        "Is the spread over samples given, with n and an interval?",
        ("tables/spread.tex", "csv/spread.csv"),
    )
    if first is None:
        return Item(question, Answer.not_measured, f"{counted}.", where)
    ends = " to ".join(map(units.joules, first.ci95_pj))
    return Item(question, Answer.yes, f"{counted}; mean {units.joules(first.mean_pj)}, 95 % interval {ends}.", where)


def _sensitivity(report: Report) -> Item:
    question, where = "Is it shown how far constants and choices move the result?", ("csv/sensitivity.csv",)
    if not report.sensitivity:
        return Item(question, Answer.not_measured, "Only one value of each was used.", where)
    n = len(report.sensitivity)
    return Item(question, Answer.yes, f"One at a time, under {n} convention{'s' * (n > 1)}.", where)


def _test_set(report: Report) -> Item:
    question, where = "Was the test set used for choices?", ("csv/timesteps.csv", "csv/waterfall.csv")
    splits = {t.split for t in report.timesteps}
    if "test" in splits:
        return Item(question, Answer.yes, "Accuracy against T was measured on the test samples.", where)
    if None in splits:
        return Item(question, Answer.not_measured, "It is not said where accuracy against T was measured.", where)
    return Item(
        question,
        Answer.no,
        "Epochs, and T where a budget picks it, are chosen on validation samples; each network saw the test samples "
        "once. What was changed between runs, no run can know.",
        where,
    )


def _trainings(report: Report) -> Item:
    found = f"One run, seed {report.seed}; intervals are over samples, not over trainings."
    return Item("Is the spread over trainings given?", Answer.not_measured, found, ("provenance.json",))


def _agree(report: Report) -> Item:
    question, where = (
        "Do all conventions agree on which network costs less?",
        ("tables/conventions.tex", "csv/conventions.csv"),
    )
    if not any(c.ann_pj is not None for c in report.conventions):
        return Item(question, Answer.not_measured, "No convention with an ANN was compared.", where)
    if report.conflicts:
        found = "; ".join(report.conflicts)
        return Item(question, Answer.no, f"{found[:1].upper()}{found[1:]}.", where)
    return Item(question, Answer.yes, "All that define an ANN.", where)


def _kinds(report: Report) -> Item:
    question, where = "Are the constants measured on silicon?", ("tables/constants.tex", "csv/constants.csv")
    first = report.energy[0].convention
    by_kind: dict[str, list[str]] = {}
    for name in [first, *(c.convention for c in report.conventions if c.convention != first)]:
        if name in CONVENTIONS:
            kinds = sorted({term.cost.kind for term in CONVENTIONS[name].snn})
            by_kind.setdefault(" and ".join(kinds), []).append(name)
    if not by_kind or first not in CONVENTIONS:
        return Item(question, Answer.not_measured, f"The constants of {first} are not among those known here.", where)
    measured = {term.cost.kind for term in CONVENTIONS[first].snn} == {"measured"}
    found = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_kind.items())
    return Item(question, Answer.yes if measured else Answer.no, f"{found[:1].upper()}{found[1:]}.", where)


def _process(report: Report) -> Item:
    question, where = "Do the constants share one process and voltage?", ("tables/constants.tex", "csv/constants.csv")
    first = report.energy[0].convention
    known = {
        name: _processes(name) for name in (first, *(c.convention for c in report.conventions)) if name in CONVENTIONS
    }
    if first not in known:
        return Item(question, Answer.not_measured, f"The constants of {first} are not among those known here.", where)
    own = ", ".join(sorted(known[first]))
    others = sorted({process for processes in known.values() for process in processes} - known[first])
    found = f"{first}: {own}." + (f" Others: {'; '.join(others)}." if others else "")
    return Item(question, Answer.yes if len(known[first]) == 1 else Answer.no, found, where)


def _processes(name: str) -> set[str]:
    return {
        (c.process if isinstance(c, Constant) else c.at(0).process) for c in (t.cost for t in CONVENTIONS[name].snn)
    }


def _chip(report: Report) -> Item:
    return Item(
        "Was the energy measured on a chip?",
        Answer.no,
        "Every figure is a count times a published constant.",
        ("tables/conventions.tex",),
    )


def _lava(report: Report) -> Item:
    question, where = "Was the deployed file checked against Lava?", ("methods.tex", "provenance.json")
    check = report.lava
    if check is None:
        return Item(question, Answer.not_measured, f"{report.skipped['lava'].rstrip('.')}.", where)
    found = (
        f"{check.values:,} integers of {check.samples:,} samples compared, {check.mismatches:,} mismatches; "
        f"{check.layers_built} of {check.layers_written} layers built."
    )
    return Item(question, Answer.yes if check.agrees else Answer.no, found, where)


QUESTIONS: tuple[Callable[[Report], Item], ...] = (
    _same_width,
    _matched,
    _samples,
    _sensitivity,
    _test_set,
    _trainings,
    _agree,
    _kinds,
    _process,
    _chip,
    _lava,
)
"""In the order of the list."""

"""A comparison as tables: the same cells printed and in `compare.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = tuple[str, ...]
Document = Mapping[str, Any]

COLUMNS = (
    "method", "T", "validation", "test", "spikes/neuron", "synops/image", "seconds", "difference", "95 % interval",
    "wins/losses", "p (Holm)",
)  # fmt: skip
NONE = "-"
CONTINUED, BESIDE = "*", "+"


def rows(document: Document) -> list[Row]:
    """The teacher, the conversions without refinement, then every method, T by T, as text in `COLUMNS`' order."""
    empty = (NONE,) * 7
    teacher, comparison = document["teacher"], document["comparison"]
    name = "teacher" if teacher_was_tested_alike(document) else f"teacher, on {teacher['data']}"
    made: list[Row] = [(name, NONE, percent(teacher["validation"]), _scored(teacher["test"]), *empty)]
    for n_steps in comparison["T"]:
        for converted in (c for c in document["converted"] if c["T"] == n_steps):
            for reset in ("soft", "hard"):
                name = f"converted, {reset} reset"
                made.append((name, str(n_steps), NONE, _scored(converted[reset]), *empty))
        made += [_method(row) for row in document["rows"] if row["T"] == n_steps]
    return made


def teacher_was_tested_alike(document: Document) -> bool:
    """Whether the teacher's accuracy is one on the students' test set; a teacher of still images has another."""
    return document["teacher"]["data"] == document["comparison"]["base"]["data"]["name"]


def seeds(document: Document) -> tuple[Row, list[Row]]:
    """(columns, rows): each cell's accuracies, and its difference to the reference with the same seed."""
    made = []
    for cell in document["cells"]:
        (row,) = [r for r in document["rows"] if (r["label"], r["T"]) == (cell["label"], cell["T"])]
        against = row["against"] or {"seeds": [], "by_seed": []}
        differences = dict(zip(against["seeds"], against["by_seed"], strict=True))
        made.append(
            (
                cell["label"],
                str(cell["T"]),
                str(cell["seed"]),
                percent(cell["validation"]["best"]),
                f"{cell['validation']['best_epoch']} of {cell['validation']['epochs']}",
                _scored(cell["test"]),
                points(differences[cell["seed"]]) if cell["seed"] in differences else NONE,
            )
        )
    return ("method", "T", "seed", "validation", "best epoch", "test (95 %)", "difference"), made


def deployments(document: Document) -> tuple[Row, list[Row]]:
    """(columns, rows): what the best cells reach on the chip."""
    made = []
    for each in document["deployed"]:
        n = each["deployed"]["n"]
        made.append(
            (
                each["label"],
                str(each["T"]),
                str(each["seed"]),
                percent(each["refined"]["accuracy"]),
                percent(each["quantized"]["accuracy"]),
                _scored(each["deployed"]),
                f"{each['equal_images']} of {n}",
                lava(each["lava"]),
            )
        )
    columns = ("method", "T", "seed", "refined", "in integers", "deployed (95 %)", "images equal", "Lava")
    return columns, made


def lava(verdict: Mapping[str, Any]) -> str:
    """What Lava said of a file, in few words."""
    if verdict.get("skipped"):
        return "not run"
    return f"{verdict['mismatches']} mismatches in {verdict['values']} values, {verdict['samples']} samples"


def notes(document: Document) -> list[str]:
    """What a reader must know of the numbers."""
    comparison = document["comparison"]
    counts = sorted({row["test"]["images"] for row in document["rows"]})
    test = f"Test: {', '.join(map(str, counts))} images. " if counts else ""
    meaning = (
        f"Means over seeds; ± is the standard deviation over seeds. {test}Difference: accuracy minus that of "
        f"{comparison['reference']} at the same T, in points, over the same images and seeds; its interval, wins, "
        "losses and p are over images, so they do not say what other seeds would give."
    )
    said = [meaning]
    timed = [row["train_seconds"] for row in document["rows"]]
    if any(t["continued"] for t in timed):
        said.append(f"{CONTINUED} Some cells were continued: only the seconds of their last part are known.")
    if any(t["beside_others"] for t in timed):
        said.append(f"{BESIDE} Cells ran side by side, which makes their seconds longer.")
    said += [f"Not counted: {text}" for text in sorted({c["not_counted"] for c in document["cells"]} - {None})]
    if document["missing"]:
        said.append(f"Not finished: {', '.join(document['missing'])}.")
    return said


def markdown(document: Document) -> str:
    """`compare.md`: tables and notes."""
    parts = [f"# {document['comparison']['name']}", _drawn(COLUMNS, rows(document)), "\n\n".join(notes(document))]
    parts += ["![accuracy against T, synaptic operations and training time](compare.svg)"]
    parts += ["## Each seed", _drawn(*seeds(document))]
    if document["deployed"]:
        parts += ["## On the chip", _drawn(*deployments(document))]
    return "\n\n".join(parts) + "\n"


def percent(fraction: float) -> str:
    """0.8123 as `81.23 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """0.0123 as `+1.23`: points of a hundred."""
    return f"{100 * difference:+.2f}"


def _method(row: Mapping[str, Any]) -> Row:
    against = row["against"]
    comparison: Row = (NONE,) * 4
    if against is not None:
        low, high = against["ci95"]
        comparison = (
            points(against["mean"]),
            f"{points(low)} to {points(high)}",
            f"{against['wins']}/{against['losses']}",
            _probability(against["p_holm"]),
        )
    seconds = row["train_seconds"]
    flags = (CONTINUED if seconds["continued"] else "") + (BESIDE if seconds["beside_others"] else "")
    spikes, synops = row["spikes_per_neuron"], row["synops_per_image"]
    return (
        row["label"],
        str(row["T"]),
        _spread(row["validation"]),
        _spread(row["test"]),
        f"{spikes['mean']:.3f}" if spikes else NONE,
        count(synops["mean"]) if synops else NONE,
        f"{seconds['mean']:.0f}{flags}",
        *comparison,
    )


def count(number: float) -> str:
    """A count in three digits: 1.23 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _spread(values: Mapping[str, Any]) -> str:
    spread = f" ± {100 * values['std']:.2f}" if values["std"] is not None else ""
    return f"{100 * values['mean']:.2f}{spread} % ({values['n']})"


def _scored(score: Mapping[str, Any]) -> str:
    low, high = score["ci95"]
    return f"{percent(score['accuracy'])} ({100 * low:.2f} to {100 * high:.2f})"


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def _drawn(columns: Row, made: Sequence[Row]) -> str:
    lines = [columns, ("---",) * len(columns), *made]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

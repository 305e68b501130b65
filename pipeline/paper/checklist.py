"""The assumption checklist: what a reviewer asks of an energy table, answered from the run.

Each answer is yes, no, "not priced" (the convention shown first leaves it out), "not measured", or "does not apply",
with what was found and the files of the pack that hold the numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...sim.report import Report
from ...sim.report.latex import escape
from . import questions_priced, questions_trusted
from .question import Item
from .tabular import breakable


def checklist(report: Report, files: Collection[str]) -> tuple[Item, ...]:
    """Every question with its answer. files: those of the pack; where to look names no other."""
    items = (ask(report) for ask in (*questions_priced.QUESTIONS, *questions_trusted.QUESTIONS))
    return tuple(replace(item, where=tuple(name for name in item.where if name in files)) for item in items)


def markdown(report: Report, files: Collection[str]) -> str:
    """The text of checklist.md."""
    head = _about(report)
    rows = [
        f"| {_cell(item.question)} | {item.answer} | {_cell(item.found)} | {', '.join(f'`{w}`' for w in item.where)} |"
        for item in checklist(report, files)
    ]
    lines = ["# Assumptions", "", head, "", "| question | answer | found | where |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def latex(report: Report, files: Collection[str]) -> str:
    """The text of checklist.tex, a `longtable`."""
    columns = "".join(f"p{{{width}\\linewidth}}" for width in (0.23, 0.1, 0.37, 0.23))
    head = ["\\toprule", "Question & Answer & Found & Where \\tabularnewline", "\\midrule"]
    rows = [
        _line(
            [escape(item.question), escape(item.answer), breakable(item.found), ", ".join(map(breakable, item.where))]
        )
        for item in checklist(report, files)
    ]
    lines = [
        escape(_about(report)),
        "{\\small\\setlength{\\tabcolsep}{4pt}",
        f"\\begin{{longtable}}{{{columns}}}",
        *head,
        "\\endfirsthead",
        *head,
        "\\endhead",
        "\\bottomrule",
        "\\endlastfoot",
        "\n\\addlinespace\n".join(rows),
        "\\end{longtable}}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    joined = " & ".join(f"\\raggedright {cell}" for cell in cells)
    return f"{joined} \\tabularnewline"


def _about(report: Report) -> str:
    first = report.energy[0].convention
    return (
        f"Answers are of the run of {report.recipe}. Where conventions differ, the answer is that of {first}, the one "
        "shown first, and the others are named. Not priced: it happens, and the figure leaves it out."
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

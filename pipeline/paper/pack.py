"""All files of a pack, and the folder they are written to: whole, or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...hw import BadInput
from ...sim import report as reports
from ...sim.report import Report, figures
from .. import chain
from ..capsule import archive
from ..capsule.finished import Finished, finished_run
from ..files import sync_folder, write_bytes
from ..recipe import load
from ..runs import MANIFEST, folder_of
from ..sections import Recipe
from . import bibtex, checklist, constants, document, provenance, sheets_energy, sheets_network, statement, tables
from .methods import methods
from .sheet import text
from .typeset import typeset

REPORT = "report.json"
PROVENANCE = "provenance.json"
BIBLIOGRAPHY = "references.bib"
PDF = f"{document.NAME}.pdf"


@dataclass(frozen=True)
class Found:
    """A finished run and its report."""

    run: Finished
    report: Report


def found(source: Path, changes: list[str], root: Path) -> Found:
    """The finished run in a folder, or the one under `root` of a recipe, with its report. Nothing is computed.

    changes: settings of the recipe. Raises BadInput, naming the command, for a run that lacks a stage, such as its
    report, or has one of an older form; and as `finished_run` and `sim.report.load` do.
    """
    _require_stages(source, changes, root)
    run = finished_run(source, changes, root)
    for stage in chain.stages():
        version = run.manifests[stage.name]["version"]
        if version != stage.version:
            raise BadInput(
                f"{run.folder}: {stage.name} is of form {version}, this Spikeport makes form {stage.version}; bring "
                "the run up to date with `spikeport run RECIPE`"
            )
    return Found(run=run, report=reports.load(run.folder / "report" / REPORT))


def pack(found: Found, *, pdf: bool = False) -> dict[str, bytes]:
    """Every file of the pack by its name, `SHA256SUMS` last; the same run gives the same files on the same machine.

    pdf: compile the paper too. Raises BadInput for a report that was priced with other constants than are known here,
    and as `typeset` does.
    """
    facts = provenance.provenance(found.run, found.report)
    members = parts(found.report, found.run.recipe)
    members["reproduce.md"] = provenance.reproduce(facts).encode()
    members[PROVENANCE] = (json.dumps(facts, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    members[REPORT] = (found.run.folder / "report" / REPORT).read_bytes()
    if pdf:
        members[PDF] = typeset(members, found.report.created).pdf
    return archive.sealed(members)


def parts(report: Report, recipe: Recipe) -> dict[str, bytes]:
    """The files that follow from a report and its recipe alone. Raises BadInput as `pack` does."""
    constants.check(report)
    results, details = tables.results(report), tables.details(report)
    drawn, printed = figures.draw(report, form="svg"), figures.draw(report, form="pdf")
    sheets = {**sheets_network.sheets(report), **sheets_energy.sheets(report)}
    paragraphs = statement.latex(methods(report, recipe))
    files = {
        **{f"tables/{key}.tex": content for key, content in {**results, **details}.items()},
        **{f"csv/{name}.csv": text(sheet) for name, sheet in sheets.items() if sheet.rows},
        **{f"figures/{_plain(key)}.svg": drawing.svg for key, drawing in drawn.items()},
        **{f"figures/{_plain(key)}.pdf": drawing.pdf for key, drawing in printed.items()},
        "methods.tex": paragraphs,
        provenance.RECIPE: provenance.recipe_text(recipe),
    }
    every = {*files, PROVENANCE}
    files["checklist.md"] = checklist.markdown(report, every)
    files["checklist.tex"] = checklist.latex(report, every)
    cited = bibtex.cited([paragraphs, *results.values(), *details.values()])
    if cited:
        files[BIBLIOGRAPHY] = bibtex.bibliography(cited)
    files[f"{document.NAME}.tex"] = document.article(
        report,
        results=results,
        details=details,
        figures={_plain(key): drawing.caption for key, drawing in printed.items()},
        sources=bool(cited),
    )
    return {
        name: content if isinstance(content, bytes) else content.encode() for name, content in sorted(files.items())
    }


def write(members: Mapping[str, bytes], folder: Path, *, replace: bool = False) -> None:
    """Write a pack's files into a new folder, which appears under its name complete or not at all.

    replace: put it in the place of an earlier pack. Raises BadInput as `check_place` does, and for a place that cannot
    be written.
    """
    check_place(folder, replace=replace)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            whole, old = Path(name) / "whole", Path(name) / "old"
            for member, content in members.items():
                path = whole / member
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, content)
            if folder.exists():
                os.replace(folder, old)
            try:
                os.replace(whole, folder)
            except OSError:
                if old.exists():
                    os.replace(old, folder)
                raise
            sync_folder(folder.parent)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be written ({error.strerror}); give a place that can") from None


def check_place(folder: Path, *, replace: bool) -> None:
    """Raise BadInput unless a pack may be written to `folder`: it is new, empty, or an earlier pack alone."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    sums = folder / archive.SUMS
    if not sums.is_file() or not (folder / PROVENANCE).is_file():
        raise BadInput(f"--out {folder}: exists and is no earlier pack; give a new folder")
    if not replace:
        raise BadInput(f"--out {folder}: holds a pack; give --force to replace it, or another folder")
    lines = sums.read_text(encoding="utf-8").splitlines()
    known = {archive.SUMS, *(line.split("  ", 1)[-1] for line in lines)}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(there - known)
    if foreign:
        raise BadInput(
            f"--out {folder}: holds {foreign[0]}, which is no part of the pack; move it, or give a new folder"
        )


def _require_stages(source: Path, changes: list[str], root: Path) -> None:
    """Raise BadInput, with the command that makes it, for a run that lacks a stage."""
    folder = source if source.is_dir() else folder_of(load(source, changes), root)
    if not folder.is_dir():
        return  # there is no run at all, which `finished_run` says
    for stage in chain.stages():
        if not (folder / stage.name / MANIFEST).is_file():
            recipe = "RECIPE" if source.is_dir() else str(source)
            raise BadInput(f"{folder}: has no finished {stage.name}; make it with `spikeport run {recipe}`")


def _plain(key: str) -> str:
    """A figure's key as a file name that LaTeX takes."""
    return re.sub(r"[^A-Za-z0-9-]", "-", key)

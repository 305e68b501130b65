"""`paper`: the pack that goes into a paper, from one finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cli_common import Settings, say, told


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(paper)


def paper(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER|RECIPE", help="A finished run's folder, or the recipe of one.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder of the pack, which is made.")],
    settings: Settings = None,
    runs: Annotated[Path, typer.Option("--runs", help="The folder that holds the run folders, for a recipe.")] = Path(
        "runs"
    ),
    pdf: Annotated[bool, typer.Option("--pdf", help="Compile the paper too; needs pdflatex and bibtex.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier pack.")] = False,
) -> None:
    """Tables, figures, CSV, methods, sources, checklist and hashes of a finished run, ready for LaTeX."""
    with told():
        from .paper import pack, typeset

        pack.check_place(out, replace=force)
        if pdf:
            typeset.require()
        found = pack.found(source, settings or [], runs)
        members = pack.pack(found, pdf=pdf)
        pack.write(members, out, replace=force)
        say(f"{out}: {len(members)} files of {found.run.folder}")
        say(str(out / pack.PDF) if pdf else "compile: pdflatex paper; bibtex paper; pdflatex paper; pdflatex paper")

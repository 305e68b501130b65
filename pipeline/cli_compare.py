"""`spikeport compare`: refinement methods side by side, under one teacher and one budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_common import Out, Quiet, say, table, told

if TYPE_CHECKING:
    from .compare.bakeoff import Deploy, Result

CONTINUE = "; give the same command again to continue"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(compare)


def compare(
    file: Annotated[Path, typer.Argument(metavar="COMPARE.yaml", help="E.g. recipes/compare-digits.yaml.")],
    out: Out = Path("runs"),
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells at a time.")] = 1,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="LABEL", help="Compute this method only.")] = None,
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Take each method's best cell (by validation) on to the chip and to Lava.")
    ] = False,
    deploy_per_t: Annotated[
        bool, typer.Option("--deploy-per-t", help="The same with each method's best cell of every T.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compare refinement methods x T x seeds; finished cells are reused, half-finished ones continued."""
    with told(CONTINUE):
        from .compare.bakeoff import run
        from .compare.spec import load
        from .progress import Progress

        chosen: Deploy | None = "per_t" if deploy_per_t else "best" if deploy else None
        result = run(load(file), out, Progress(quiet=quiet), jobs=jobs, only=only or (), deploy=chosen)
        _show(result)
    if result.failures:
        raise typer.Exit(2)
    if not result.lava_agrees:
        raise typer.Exit(1)


def _show(result: Result) -> None:
    """The tables, what must be known of them, where the files are, and what failed."""
    from .compare import table as tables

    name = result.document["comparison"]["name"]
    table(f"{name}: methods under one teacher and one budget", tables.COLUMNS, tables.rows(result.document))
    if result.document["deployed"]:
        table(f"{name}: on the chip", *tables.deployments(result.document))
    for note in tables.notes(result.document):
        say(note)
    for cell, why in result.document["not_deployable"].items():
        say(f"not for the chip: {cell}: {why}")
    for failure in result.failures:
        say(f"failed: {failure.cell.name}: its output is in {failure.cell.root / 'log.txt'}")
    say(f"result: {result.folder / 'compare.md'}")

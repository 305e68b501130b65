"""Commands by which others can check a run: `capsule` packs a finished one, `replay` confirms it, every integer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hw import BadInput
from .cli_common import Settings, say, table, told

if TYPE_CHECKING:
    from .capsule.content import Capsule
    from .capsule.golden import Comparison
    from .capsule.replay import By

SUFFIX = ".zip"

SAMPLES = 8
"""Golden samples unless others are asked for: every layer fires on so many, and few data are passed on."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (capsule, replay):
        app.command()(command)


def capsule(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER|RECIPE", help="A finished run's folder, or the recipe of one.")
    ],
    settings: Settings = None,
    runs: Annotated[Path, typer.Option("--runs", help="The folder that holds the run folders, for a recipe.")] = Path(
        "runs"
    ),
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Golden samples, from the first test sample.")
    ] = SAMPLES,
    no_inputs: Annotated[
        bool, typer.Option("--no-inputs", help="Leave the samples out and keep their hash; replay then needs the data.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The capsule, a .zip file; RUN.capsule.zip if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Pack a finished run for others to replay: the .net file, recipe, hashes, and golden spikes."""
    with told():
        from .capsule.archive import identity, pack
        from .capsule.finished import finished_run
        from .capsule.make import make
        from .files import write_bytes

        run = finished_run(source, settings or [], runs)
        out = out or Path(f"{run.folder.resolve().name}.capsule{SUFFIX}")
        if out.suffix != SUFFIX or out.is_dir():
            raise BadInput(f"--out {out}: a capsule is a zip file; give a name that ends in {SUFFIX}")
        if out.exists() and not force:
            raise BadInput(f"{out}: the file exists; give --force to replace it, or another name")
        members = make(run, samples=samples, inputs=not no_inputs)
        content = pack(members)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out, content)
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be written ({error.strerror}); give a place that can") from None
        held = "without their inputs" if no_inputs else "with their inputs"
        say(f"{out}: {len(content)} bytes, {samples} golden samples {held}")
        say(f"content {identity(members)}")


def replay(
    file: Annotated[Path, typer.Argument(metavar="CAPSULE", help="A .zip file of `spikeport capsule`.")],
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="So many samples, from the first.")] = None,
    independent: Annotated[
        bool, typer.Option("--independent", help="By the second implementation, in numpy; torch is not imported.")
    ] = False,
    lava: Annotated[bool, typer.Option("--lava", help="By real Lava.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the data set's files are, for a capsule without inputs.")
    ] = None,
) -> None:
    """Run a capsule's samples again and compare every spike, read-out and count. Exit 1 if one differs.

    By the simulator, which uses torch on the CPU; or by those that --independent and --lava name.
    """
    with told():
        from .capsule import content
        from .capsule.replay import By, replay

        chosen = [by for by, wanted in ((By.independent, independent), (By.lava, lava)) if wanted] or [By.simulator]
        held = content.read(file)
        _show(held)
        verdicts = []
        for by in chosen:
            verdicts.append(replay(held, by, samples=samples, root=data))
            _show_verdict(by, verdicts[-1])
        if any(verdict.mismatches for verdict in verdicts):
            raise typer.Exit(1)


def _show(held: Capsule) -> None:
    """What the capsule is, and what its run measured."""
    document = held.document
    say(f"{held.where}: {document.recipe}, made by spikeport {document.made_by}, of {document.data.name}")
    say(f"network {document.network.fingerprint}")
    say(f"content {held.identity}: every member has its SHA-256, every stage the inputs it names")
    rows = [
        (step.step, f"{step.accuracy:.2%}", f"{step.correct} of {step.n}", step.note) for step in document.waterfall
    ]
    table("recorded by the run, not computed again", ("step", "accuracy", "correct", ""), rows)


def _show_verdict(by: By, verdict: Comparison) -> None:
    """What was compared, and where it first differs."""
    from .capsule.replay import WHAT

    what = f"{WHAT[by]}: {verdict.samples} samples, {verdict.integers} integers compared"
    if verdict.first is None:
        say(f"{what}, all equal")
        return
    say(f"{what}, {verdict.mismatches} differ; first: {verdict.first}")

"""The command line. Every command reads a recipe or a file, says what it does, and fails with one clear message.

Exit codes: 0 done; 1 two things that should be equal differ; 2 the input or the request is wrong; 130 interrupted.
Progress goes to stderr, results to stdout. Torch is imported only by the commands that compute. The commands on files
are in `cli_tools`, those on other people's networks in `cli_deploy` and `cli_preflight`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import cli_capsule, cli_compare, cli_deploy, cli_events, cli_fit, cli_maps, cli_paper, cli_preflight, cli_tools
from .allocator import keep_pages
from .cli_common import More, Out, Quiet, RecipeFile, Settings, say, table, told
from .cli_run import CONTINUE, finish, show_anytime

app = typer.Typer(
    name="spikeport",
    help="From a trained network to a Loihi-class chip: convert, refine, train in integers, export, verify, price.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class StageName(StrEnum):
    """The stages, in order (`chain.MODULES`; a test holds the two together)."""

    train = "train"
    convert = "convert"
    refine = "refine"
    quantize = "quantize"
    export = "export"
    simulate = "simulate"
    verify = "verify"
    baselines = "baselines"
    portrait = "portrait"
    energy = "energy"
    report = "report"


def main() -> None:
    """The `spikeport` program."""
    keep_pages()
    app()


@app.command()
def run(
    recipe: RecipeFile,
    more: More = None,
    settings: Settings = None,
    out: Out = Path("runs"),
    quiet: Quiet = False,
    until: Annotated[StageName, typer.Option("--until", help="Stop after this stage.")] = StageName.report,
) -> None:
    """Run every stage of a recipe; stages whose inputs did not change are not run again."""
    names = [stage.value for stage in StageName]
    with told(CONTINUE):
        finish(recipe, [*(settings or []), *(more or [])], out, quiet, names[: names.index(until.value) + 1])


def _stage_command(stage: StageName, summary: str) -> None:
    """Add the command that runs one stage from finished inputs."""

    def command(
        recipe: RecipeFile,
        more: More = None,
        settings: Settings = None,
        out: Out = Path("runs"),
        quiet: Quiet = False,
    ) -> None:
        with told(CONTINUE):
            finish(recipe, [*(settings or []), *(more or [])], out, quiet, [stage.value])

    app.command(stage.value, help=f"{summary} The stages it needs must be finished.")(command)


_stage_command(StageName.train, "Train the ANN.")
_stage_command(StageName.refine, "Repair what the conversion broke.")
_stage_command(StageName.quantize, "Train in the chip's integers.")


@app.command()
def export(
    recipe: RecipeFile,
    more: More = None,
    settings: Settings = None,
    out: Out = Path("runs"),
    quiet: Quiet = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="LIMIT=VALUE",
            help="Pick the timesteps on validation images: accuracy_drop=0.01, accuracy=0.97, synops=200000 or "
            "energy_pj=5000; may be given several times.",
        ),
    ] = None,
) -> None:
    """Write the .net file and read it back; with a budget, for the number of timesteps that meets it."""
    limits = [f"export.budget.{limit}" for limit in budget or []]
    with told(CONTINUE):
        done = finish(recipe, [*(settings or []), *(more or []), *limits], out, quiet, [StageName.export.value])
        show_anytime(done[StageName.export.value])


_stage_command(StageName.simulate, "Run the file bit-accurately on the test set.")
_stage_command(StageName.baselines, "Quantize the ANN to 8 bits, and to as many as match the timesteps.")
_stage_command(StageName.portrait, "Draw what the networks do: spikes of a sample, likeness to the ANN.")
_stage_command(StageName.energy, "Price the counted events.")
_stage_command(StageName.report, "Write report.json, .md, .tex and .html.")


@app.command()
def methods() -> None:
    """List the refinement methods."""
    import dataclasses

    with told():
        from ..models import ENGINES
        from .refine import METHODS

        rows = [
            (
                name,
                method.summary,
                method.source,
                ", ".join(engine for engine in ENGINES if ENGINES[engine].steps or not method.steps),
                ", ".join(field.name for field in dataclasses.fields(method.config)) or "none",
            )
            for name, method in METHODS.items()
        ]
        table("refinement methods", ("method", "what it does", "source", "refine.engine", "refine.options"), rows)


@app.command()
def chips() -> None:
    """List the chips."""
    from ..hw import CHIPS

    rows = [
        (
            name,
            f"{chip.weight_min}..{chip.weight_max} step {chip.weight_step}",
            f"1..{chip.v_th_max}",
            f"{chip.bias_min}..{chip.bias_max}",
            str(chip.payload_bits_max) if chip.payload_bits_max else "binary spikes",
        )
        for name, chip in CHIPS.items()
    ]
    table("chips", ("chip", "weights", "threshold mantissa", "bias mantissa", "payload bits"), rows)


@app.command()
def datasets() -> None:
    """List the data sets and what each needs."""
    with told():
        from ..models.datasets import DATASETS

        rows = [
            (
                name,
                "images" if d.recordings is None else "events",
                "x".join(map(str, d.shape)),
                str(d.n_classes),
                f"{d.n_train} / {d.n_test}",
                d.licence,
            )
            for name, d in DATASETS.items()
        ]
        table("data sets", ("data set", "of", "shape", "classes", "train / test", "licence"), rows)
        for name, dataset in DATASETS.items():
            if dataset.files:
                say(f"{name}: put {' or '.join(dataset.files)} into data.root")


@app.command()
def models() -> None:
    """List the architectures."""
    with told():
        from ..models import ARCHITECTURES

        rows = []
        for name, make in ARCHITECTURES.items():
            shape = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
            shapes = make(shape, 10).shapes()
            widths = [f"{n[0]}@{n[1]}x{n[2]}" if len(n) == 3 else str(n[0]) for n in shapes.values()]
            rows.append((name, str(len(shapes) - 1), " ".join(dict.fromkeys(widths))))
        table("architectures", ("architecture", "layers", "channels@size, in order"), rows)


cli_tools.register(app)
cli_deploy.register(app)
cli_preflight.register(app)
cli_maps.register(app)
cli_events.register(app)
cli_compare.register(app)
cli_fit.register(app)
cli_capsule.register(app)
cli_paper.register(app)

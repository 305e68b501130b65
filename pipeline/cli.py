"""The command line. Every command reads a recipe or a file, says what it does, and fails with one clear message.

Exit codes: 0 done; 1 real Lava disagrees with the file; 2 the input or the request is wrong; 130 interrupted.
Progress goes to stderr, results to stdout. Torch is imported only by the commands that compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..hw import BadInput, SpikeportError
from .allocator import keep_pages

if TYPE_CHECKING:
    from .recipe import Recipe
    from .runs import Outcome

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
    energy = "energy"
    report = "report"


RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, e.g. recipes/digits.yaml.")]
More = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as with --set.", show_default=False)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. --set refine.T=2.")
]
Out = Annotated[Path, typer.Option("--out", help="The folder that holds the run folders.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Only one line per stage.")]


def main() -> None:
    """The `spikeport` program."""
    keep_pages()
    app()


@contextmanager
def _told(how_to_continue: str = "") -> Iterator[None]:
    """Turn our errors into one message on stderr and an exit code."""
    console = Console(stderr=True, highlight=False)
    try:
        yield
    except SpikeportError as error:
        console.print(f"spikeport: {escape(str(error))}", soft_wrap=True, style="red")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print(f"spikeport: interrupted{how_to_continue}", soft_wrap=True)
        raise typer.Exit(130) from None


_CONTINUE = "; give the same command again to continue from the last finished epoch"


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
    with _told(_CONTINUE):
        _finish(recipe, [*(settings or []), *(more or [])], out, quiet, names[: names.index(until.value) + 1])


def _stage_command(stage: StageName, summary: str) -> None:
    """Add the command that runs one stage from finished inputs."""

    def command(
        recipe: RecipeFile,
        more: More = None,
        settings: Settings = None,
        out: Out = Path("runs"),
        quiet: Quiet = False,
    ) -> None:
        with _told(_CONTINUE):
            _finish(recipe, [*(settings or []), *(more or [])], out, quiet, [stage.value])

    app.command(stage.value, help=f"{summary} The stages it needs must be finished.")(command)


_stage_command(StageName.train, "Train the ANN.")
_stage_command(StageName.convert, "Turn the ANN into a spiking network.")
_stage_command(StageName.refine, "Repair what the conversion broke.")
_stage_command(StageName.quantize, "Train in the chip's integers.")
_stage_command(StageName.export, "Write the .net file and read it back.")
_stage_command(StageName.simulate, "Run the file bit-accurately on the test set.")
_stage_command(StageName.energy, "Price the counted events.")
_stage_command(StageName.report, "Write report.json, .md, .tex and .html.")


@app.command()
def verify(
    target: Annotated[Path, typer.Argument(metavar="FILE.net|RECIPE", help="A .net file, or a recipe.")],
    more: More = None,
    settings: Settings = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Test images, from the first.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Data set, for a file outside a run folder.")] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Where that data set's files are.")] = None,
    out: Out = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Compare a file with real Lava: spikes, u and v of every layer at every timestep."""
    changes = [*(settings or []), *(more or [])]
    with _told(_CONTINUE):
        if target.suffix == ".net":
            if changes:
                raise BadInput(f"verify: --set {changes[0]} changes a recipe, but {target} is a file; give the recipe")
            verdict = _verify_file(target, samples, data, root, quiet)
        else:
            if data is not None or root is not None:
                raise BadInput("verify: --data and --root belong to a .net file; a recipe names its own data")
            changes += [] if samples is None else [f"verify.samples={samples}"]
            verdict = _finish(target, changes, out, quiet, ["verify"])["verify"].manifest["metrics"]
        Console(highlight=False).print(escape(_verdict_text(verdict)), soft_wrap=True)
        _exit_unless_agreed(verdict)


@app.command()
def methods() -> None:
    """List the refinement methods."""
    import dataclasses

    with _told():
        from .refine import METHODS

        rows = [
            (name, method.summary, ", ".join(field.name for field in dataclasses.fields(method.config)) or "none")
            for name, method in METHODS.items()
        ]
        _table("refinement methods", ("method", "what it does", "refine.options"), rows)


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
    _table("chips", ("chip", "weights", "threshold mantissa", "bias mantissa", "payload bits"), rows)


@app.command()
def datasets() -> None:
    """List the data sets and what each needs."""
    with _told():
        from ..models.datasets import DATASETS

        rows = [
            (name, "x".join(map(str, d.shape)), str(d.n_classes), f"{d.n_train} / {d.n_test}", d.licence)
            for name, d in DATASETS.items()
        ]
        _table("data sets", ("data set", "image", "classes", "train / test", "licence"), rows)
        console = Console(highlight=False)
        for name, dataset in DATASETS.items():
            if dataset.files:
                console.print(escape(f"{name}: put {' or '.join(dataset.files)} into data.root"), soft_wrap=True)


@app.command()
def models() -> None:
    """List the architectures."""
    with _told():
        from ..models import ARCHITECTURES

        rows = []
        for name, make in ARCHITECTURES.items():
            shape = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
            shapes = make(shape, 10).shapes()
            widths = [f"{n[0]}@{n[1]}x{n[2]}" if len(n) == 3 else str(n[0]) for n in shapes.values()]
            rows.append((name, str(len(shapes) - 1), " ".join(dict.fromkeys(widths))))
        _table("architectures", ("architecture", "layers", "channels@size, in order"), rows)


def _finish(path: Path, changes: list[str], out: Path, quiet: bool, names: list[str]) -> dict[str, Outcome]:
    """Finish the named stages of a recipe, in order, and print what came out."""
    from . import chain
    from .progress import Progress
    from .recipe import load

    recipe = load(path, changes)
    progress = Progress(quiet=quiet)
    with chain.opened(recipe, out, progress) as opened:
        progress.stage(f"{recipe.name}: {opened.folder}")
        outcomes = {name: opened.finish(name) for name in names}
    if "report" in outcomes:
        _show_report(recipe, outcomes["report"])
    if len(names) > 1 and "verify" in outcomes:
        _exit_unless_agreed(outcomes["verify"].manifest["metrics"])
    return outcomes


def _show_report(recipe: Recipe, outcome: Outcome) -> None:
    """The accuracy waterfall, what Lava said, and where the report is."""
    from .files import read_json

    report = read_json(outcome.folder / "report.json", "make it again with `spikeport report`")
    rows = []
    for step in report["waterfall"]:
        low, high = step["ci95"]
        rows.append((step["step"], f"{step['accuracy']:.2%}", f"{low:.2%} to {high:.2%}", str(step["n"])))
    rows += [(step, "not run", reason, "") for step, reason in report["skipped"].items()]
    _table(f"{recipe.name}: accuracy on the test set", ("step", "accuracy", "95 % interval", "n"), rows)
    console = Console(highlight=False)
    if report["lava"]:
        console.print(escape(_verdict_text(report["lava"])), soft_wrap=True)
    console.print(escape(f"report: {outcome.folder / 'report.html'}"), soft_wrap=True)


def _verify_file(path: Path, samples: int | None, data: str | None, root: Path | None, quiet: bool) -> dict[str, Any]:
    """Verify a file with the data of the run it lies in, or the data named."""
    from .progress import Progress
    from .recipe import Data, Verify, parse
    from .runs import read_recipe
    from .verify import verify_file

    if not path.is_file():
        raise BadInput(f"verify: there is no file {path}; `spikeport run RECIPE` writes one into its run folder")
    given: Data | None = None
    settings = Verify()
    if data is not None:
        given = Data(name=data, root=root)
    elif (path.parent.parent / "run.json").is_file():
        whole = parse(read_recipe(path.parent.parent), f"recipe of {path.parent.parent}")
        settings = whole.verify
        given = whole.data if root is None else whole.data.model_copy(update={"root": root})
    if given is None:
        raise BadInput(
            f"verify: {path} lies in no run folder; name its data with --data digits (see `spikeport datasets`)"
        )
    if samples is not None:
        settings = settings.model_copy(update={"samples": samples})
    return verify_file(path, given, settings, Progress(quiet=quiet))


def _verdict_text(verdict: dict[str, Any]) -> str:
    if verdict.get("skipped"):
        return f"lava: not run: {verdict['skipped']}"
    text = (
        f"lava: {verdict['samples']} samples, {verdict['layers_built']} of {verdict['layers_written']} layers built, "
        f"{verdict['mismatches']} mismatches in {verdict['values']} values"
    )
    return text + (f"; first: {verdict['first_mismatch']}" if verdict.get("first_mismatch") else "")


def _exit_unless_agreed(verdict: dict[str, Any]) -> None:
    """Exit with 1 if Lava ran and differed."""
    if not verdict.get("skipped") and (verdict["mismatches"] or verdict["layers_built"] != verdict["layers_written"]):
        raise typer.Exit(1)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(highlight=False).print(table)

"""What the commands share: errors as one message and an exit code, tables, JSON.

Exit codes: 0 done, or equal; 1 two things that should be equal differ; 2 the input or the request is wrong; 130
interrupted. Progress and errors go to stderr, results to stdout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..hw import SpikeportError

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, e.g. recipes/digits.yaml.")]
More = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as with --set.", show_default=False)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. --set refine.T=2.")
]
Out = Annotated[Path, typer.Option("--out", help="The folder that holds the run folders.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Only one line per stage.")]
Steps = Annotated[
    int | None,
    typer.Option("--steps", min=1, help="Timesteps of a sample (n_steps), for a .net file that does not say."),
]
PayloadBits = Annotated[
    int | None, typer.Option("--payload-bits", min=0, max=24, help="Bits of a graded input; 0 for binary spikes.")
]
Layers = Annotated[
    int | None, typer.Option("--layers", min=1, help="Read only so many layers of a .net file, as netx's num_layers.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ChipName = Annotated[str, typer.Option("--chip", help="The chip whose limits count; see `spikeport chips`.")]


@contextmanager
def told(how_to_continue: str = "") -> Iterator[None]:
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


def say(text: str = "") -> None:
    """A line of the result."""
    Console(highlight=False).print(escape(text), soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: drawn on a terminal, aligned plain text with whole lines elsewhere."""
    console = Console(highlight=False)
    if not console.is_terminal:
        widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (columns, *rows)
        ]
        say("\n".join([title, *(line.rstrip() for line in lines)]))
        return
    drawn = Table(title=escape(title), title_justify="left")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    console.print(drawn)


def say_json(value: dict[str, Any]) -> None:
    """A result for programs: one JSON object, indented, keys in the schema's order."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))

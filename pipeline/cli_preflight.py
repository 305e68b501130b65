"""`spikeport preflight`: what of a network will not survive conversion, netx or a core, before anything is trained."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..hw import BadInput, Shape
from .cli_common import ChipName, Json, say, say_json, told

if TYPE_CHECKING:
    from torch import nn

    from .adopt.findings import Finding

SCHEMA = "spikeport.preflight/1"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(preflight)


def preflight(
    network: Annotated[
        str,
        typer.Argument(metavar="FILE.onnx|FILE.nir|FILE.py:NAME", help="A file, or a torch module's class or maker."),
    ],
    chip: ChipName = "loihi2",
    shape: Annotated[
        str | None, typer.Option("--shape", help="Input shape, e.g. 3,32,32; a torch module needs it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every operation that will be refused, approximated or rewritten, with its line and a fix. Exit 1 if refused.

    FILE.py is run to get NAME, which is called without arguments.
    """
    with told():
        from ..hw import CHIPS
        from .adopt.preflight import preflight as look
        from .adopt.preflight import render

        module = _module(network)
        findings = look(module or network, CHIPS[chip], input_shape=_shape(shape))
        if as_json:
            say_json(_document(network, chip, findings))
        else:
            for line in render(findings):
                say(line)
            refused = sum(found.severity == "refused" for found in findings)
            say(
                f"{network}: {len(findings)} findings, {refused} refused"
                if findings
                else f"{network}: nothing to change"
            )
    if any(found.severity == "refused" for found in findings):
        raise typer.Exit(1)


def _document(network: str, chip: str, findings: list[Finding]) -> dict[str, Any]:
    fields = ("node", "where", "severity", "stage", "what", "fix")
    rows = [{name: getattr(found, name) for name in fields} for found in findings]
    return {"schema": SCHEMA, "network": network, "chip": chip, "findings": rows}


def _shape(text: str | None) -> Shape | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise BadInput(
            f"preflight: --shape {text!r} is not a shape; give channels,height,width or a number of features"
        )
    return shape


def _module(network: str) -> nn.Module | None:
    """The torch module that FILE.py:NAME makes; None for anything else."""
    place, _, name = network.rpartition(":")
    path = Path(place)
    if path.suffix != ".py":
        return None
    if not path.is_file():
        raise BadInput(f"preflight: there is no file {path}")
    from torch import nn

    maker = _maker(path, name)
    module = maker()
    if not isinstance(module, nn.Module):
        raise BadInput(f"preflight: {name} of {path} makes a {type(module).__name__}; it must make a torch.nn.Module")
    return module


def _maker(path: Path, name: str) -> Callable[[], Any]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # the suffix is .py
    assert spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = source
    spec.loader.exec_module(source)
    maker = getattr(source, name, None)
    if not callable(maker):
        known = sorted(key for key, value in vars(source).items() if callable(value) and not key.startswith("_"))
        raise BadInput(f"preflight: {path} has no {name!r} to call; it has {', '.join(known) or 'nothing'}")
    return maker

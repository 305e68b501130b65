"""Stages of a recipe from the command line, and what is shown of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .cli_common import say, table

if TYPE_CHECKING:
    from .runs import Outcome
    from .sections import Recipe

CONTINUE = "; give the same command again to continue from the last finished epoch"


def finish(path: Path, changes: list[str], out: Path, quiet: bool, names: list[str]) -> dict[str, Outcome]:
    """Finish the named stages of a recipe, in order, and print what came out."""
    from . import chain
    from .progress import Progress
    from .recipe import load

    recipe = load(path, changes)
    if "quantize" in names:
        chain.check_deployable(recipe)
    progress = Progress(quiet=quiet)
    with chain.opened(recipe, out, progress) as opened:
        progress.stage(f"{recipe.name}: {opened.folder}")
        outcomes = {name: opened.finish(name) for name in names}
    if "report" in outcomes:
        _show_report(recipe, outcomes["report"])
    if len(names) > 1 and "verify" in outcomes:
        exit_unless_agreed(outcomes["verify"].manifest["metrics"])
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
    table(f"{recipe.name}: accuracy on the test set", ("step", "accuracy", "95 % interval", "n"), rows)
    if report["lava"]:
        say(lava_verdict(report["lava"]))
    say(f"report: {outcome.folder / 'report.html'}")


def lava_verdict(verdict: dict[str, Any]) -> str:
    """What Lava said, in words."""
    if verdict.get("skipped"):
        return f"lava: not run: {verdict['skipped']}"
    text = (
        f"lava: {verdict['samples']} samples, {verdict['layers_built']} of {verdict['layers_written']} layers built, "
        f"{verdict['mismatches']} mismatches in {verdict['values']} values"
    )
    text += f"; first: {verdict['first_mismatch']}" if verdict.get("first_mismatch") else ""
    return text + (f"\n{verdict['likely_cause']}" if verdict.get("likely_cause") else "")


def exit_unless_agreed(verdict: dict[str, Any]) -> None:
    """Exit with 1 if Lava ran and differed."""
    if not verdict.get("skipped") and (verdict["mismatches"] or verdict["layers_built"] != verdict["layers_written"]):
        raise typer.Exit(1)


def show_anytime(outcome: Outcome) -> None:
    """What samples of every length would answer and cost, and which the file has."""
    metrics = outcome.manifest["metrics"]
    conventions = list(metrics["anytime"][0]["energy_pj"])
    rows = [
        (
            f"{row['T']}{' *' if row['T'] == metrics['n_steps'] else ''}",
            f"{row['score']['accuracy']:.2%}",
            f"{row['synops']:,.0f}",
            *(f"{row['energy_pj'][name]:,.0f}" for name in conventions),
        )
        for row in metrics["anytime"]
    ]
    heads = ("T", "accuracy", "synaptic operations", *(f"pJ, {name}" for name in conventions))
    table(f"validation images, any T; * in {metrics['file']}", heads, rows)

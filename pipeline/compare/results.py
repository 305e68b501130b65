"""What came out of a comparison: `compare.json`, from the manifests of its cells. The format is in docs/compare.md."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..artefacts import WEIGHTS
from ..data import load_splits
from ..files import read_tensors
from ..refine.stage import PREDICTIONS
from ..runs import Outcome, versions
from .cells import Cell, Identity
from .spec import Comparison
from .statistics import compare, holm, pareto_front, summary

FORMAT = 1
COSTS = ("T", "synops_per_image", "train_seconds")
"""What the test accuracy of a method is weighed against."""

DEPLOYMENT = ("refine", "quantize", "export", "simulate", "verify")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished cell: its refine stage, what was counted of it, its right answers bool (N,) and what it deployed."""

    cell: Cell
    refined: Outcome
    activity: Mapping[str, Any]
    right: np.ndarray
    deployed: Mapping[str, Outcome] | None

    @property
    def validation(self) -> float:
        """Validation accuracy of the epoch that was kept."""
        return float(self.refined.manifest["metrics"]["validation"]["best"])

    @property
    def interval(self) -> tuple[float, float]:
        """When the refine stage (its last part, if it was continued) ran, in seconds since 1970."""
        start = datetime.datetime.fromisoformat(self.refined.manifest["started"]).timestamp()
        return start, start + self.refined.manifest["seconds"]


def finished_cells(comparison: Comparison, cells: Sequence[Cell], identity: Identity) -> list[Finished]:
    """The cells that are refined and counted, in order."""
    labels = load_splits(comparison.base).test.y
    found = []
    for cell in cells:
        outcomes = cell.finished(identity, "train", "convert", "refine")
        activity = cell.activity(outcomes["refine"]) if outcomes else None
        if outcomes and activity:
            refined = outcomes["refine"]
            right = (_predictions(refined) == labels).numpy()
            deployed = cell.finished(identity, *DEPLOYMENT)
            found.append(Finished(cell=cell, refined=refined, activity=activity, right=right, deployed=deployed))
    return found


def document(
    comparison: Comparison,
    converted: Mapping[int, Mapping[str, Outcome]],
    cells: Sequence[Cell],
    finished: Sequence[Finished],
    deployed: Sequence[Finished],
    refused: Mapping[str, str],
) -> dict[str, Any]:
    """`compare.json`. converted: the train and convert stages by T. deployed: finished cells taken on to the chip.

    refused: by name, why a cell cannot be on the chip.
    """
    done = {each.cell.name for each in finished}
    train = next(iter(converted.values()))["train"].manifest
    rows = _rows(comparison, finished)
    return {
        "format": FORMAT,
        "comparison": comparison.values(),
        "versions": versions(),
        "teacher": {
            "data": (comparison.base.data.stills or comparison.base.data).name,
            "test": train["metrics"]["test"],
            "validation": train["metrics"]["validation"]["best"],
            "parameters": train["metrics"]["parameters"],
            "train_seconds": train["seconds"],
        },
        "converted": [
            {"T": n_steps, **{reset: stages["convert"].manifest["metrics"][reset] for reset in ("hard", "soft")}}
            for n_steps, stages in converted.items()
            if "skipped" not in stages["convert"].manifest["metrics"]
        ],
        "rows": rows,
        "cells": [_cell(each, finished) for each in finished],
        "missing": [cell.name for cell in cells if cell.name not in done],
        "deployed": [_deployment(each) for each in deployed],
        "not_deployable": dict(refused),
    }


def _cell(each: Finished, among: Sequence[Finished]) -> dict[str, Any]:
    """One cell's numbers and hashes."""
    manifest = each.refined.manifest
    return {
        "name": each.cell.name,
        "label": each.cell.label,
        "T": each.cell.n_steps,
        "seed": each.cell.seed,
        "run": str(Path(each.cell.root.name) / each.cell.folder.name),
        "validation": manifest["metrics"]["validation"],
        "test": manifest["metrics"]["test"],
        **{name: value for name, value in each.activity.items() if name != "refine"},
        "train_seconds": manifest["seconds"],
        "continued": manifest["continued"],
        "beside_others": _beside_others(each, among),
        "weights": manifest["outputs"][WEIGHTS],
        "predictions": manifest["outputs"][PREDICTIONS],
    }


def _beside_others(each: Finished, among: Sequence[Finished]) -> bool:
    """Whether another cell was trained on this machine at the same time, which makes the seconds of both larger."""
    start, end = each.interval
    intervals = [other.interval for other in among if other is not each]
    return any(low < end and start < high for low, high in intervals)


def _rows(comparison: Comparison, finished: Sequence[Finished]) -> list[dict[str, Any]]:
    """One row per T and label, over the seeds that are finished."""
    rows = []
    for n_steps in comparison.T:
        here = {
            entry.label: [f for f in finished if f.cell.label == entry.label and f.cell.n_steps == n_steps]
            for entry in comparison.methods
        }
        made = [_row(label, n_steps, group, finished) for label, group in here.items() if group]
        reference = {f.cell.seed: f for f in here[comparison.reference]}
        _compare_rows(made, here, reference, comparison.reference)
        rows += made
    for cost in COSTS:
        known = [row for row in rows if _cost(row, cost) is not None]
        on_front = pareto_front([_cost(row, cost) for row in known], [row["test"]["mean"] for row in known])
        for row in rows:
            row["front"][cost] = any(on and row is other for other, on in zip(known, on_front, strict=True))
    return rows


def _row(label: str, n_steps: int, group: Sequence[Finished], among: Sequence[Finished]) -> dict[str, Any]:
    """Means and spreads over the seeds of one label at one T."""
    manifests = [f.refined.manifest for f in group]
    tests = [m["metrics"]["test"]["accuracy"] for m in manifests]

    def counted(name: str) -> dict[str, Any] | None:
        values = [f.activity[name] for f in group]
        return None if None in values else asdict(summary(values))

    return {
        "label": label,
        "T": n_steps,
        "seeds": [f.cell.seed for f in group],
        "validation": asdict(summary([f.validation for f in group])),
        "test": {**asdict(summary(tests)), "by_seed": tests, "images": len(group[0].right)},
        "spikes_per_neuron": counted("spikes_per_neuron"),
        "synops_per_image": counted("synops_per_image"),
        "train_seconds": {
            **asdict(summary([m["seconds"] for m in manifests])),
            "continued": sum(m["continued"] for m in manifests),
            "beside_others": sum(_beside_others(f, among) for f in group),
        },
        "against": None,
        "front": {},
    }


def _compare_rows(
    rows: Sequence[dict[str, Any]],
    groups: Mapping[str, Sequence[Finished]],
    reference: Mapping[int, Finished],
    name: str,
) -> None:
    """Fill in `against` of the rows of one T: each method against the reference, over the seeds that both have."""
    compared = []
    for row in rows:
        pairs = [(f, reference[f.cell.seed]) for f in groups[row["label"]] if f.cell.seed in reference]
        if row["label"] != name and pairs:
            found = compare(np.stack([a.right for a, _ in pairs]), np.stack([b.right for _, b in pairs]))
            lists = {"ci95": list(found.ci95), "by_seed": list(found.by_seed)}
            row["against"] = {"reference": name, "seeds": [a.cell.seed for a, _ in pairs], **asdict(found), **lists}
            compared.append(row["against"])
    for against, p_holm in zip(compared, holm([against["p"] for against in compared]), strict=True):
        against["p_holm"] = p_holm


def _cost(row: Mapping[str, Any], name: str) -> Any:
    value = row[name]
    return value["mean"] if isinstance(value, Mapping) else value


def _deployment(each: Finished) -> dict[str, Any]:
    """What became of a cell on the chip: the file's accuracy, and how many images its two simulations agree on."""
    assert each.deployed is not None
    metrics = {stage: outcome.manifest["metrics"] for stage, outcome in each.deployed.items()}
    n_steps = metrics["export"]["n_steps"]  # a budget may have picked fewer than the cell's T
    trained, simulated = _predictions(each.deployed["quantize"])[n_steps - 1], _predictions(each.deployed["simulate"])
    return {
        "name": each.cell.name,
        "label": each.cell.label,
        "T": each.cell.n_steps,
        "seed": each.cell.seed,
        "file_T": n_steps,
        "refined": metrics["refine"]["test"],
        "quantized": metrics["quantize"]["test"],
        "deployed": metrics["simulate"]["test"],
        "equal_images": int((trained == simulated).sum()),
        "file": str(Path(each.cell.root.name) / each.cell.folder.name / "export" / metrics["export"]["file"]),
        "fingerprint": metrics["export"]["fingerprint"],
        "lava": metrics["verify"],
    }


def _predictions(outcome: Outcome) -> Tensor:
    return read_tensors(outcome.folder / PREDICTIONS)["test"]

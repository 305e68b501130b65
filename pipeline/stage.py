"""One step of the chain: a function of a recipe and of finished folders, which fills one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..hw import BadInput
from .checkpoint import Checkpoint
from .progress import Progress
from .sections import Recipe

LOG = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What a stage's `run` is given. name: the stage's.

    folder: its working folder, empty but for what a continued run kept; whatever it writes there is its output.
    inputs: finished folder of each stage it needs. results: their metrics. checkpoint: where its loop continues.
    """

    name: str
    recipe: Recipe
    folder: Path
    inputs: Mapping[str, Path]
    results: Mapping[str, Mapping[str, Any]]
    progress: Progress
    checkpoint: Checkpoint

    @property
    def device(self) -> torch.device:
        """Where to compute. Raises BadInput if the recipe asks for CUDA and there is none."""
        chosen = self.recipe.device
        if chosen == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if chosen == "cuda" and not torch.cuda.is_available():
            raise BadInput("device is 'cuda', but torch sees no CUDA device; write device: cpu, or device: auto")
        return torch.device(chosen)

    def log(self, line: Mapping[str, Any]) -> None:
        """Append one line of measurements to metrics.jsonl. Log an epoch before saving its checkpoint."""
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line), sort_keys=True, allow_nan=False) + "\n")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage as data.

    needs: stages whose folders it reads. reads: top-level recipe keys that decide its result (`seed`, `data`, ...);
    a stage that reads `data` is also re-run when the data themselves change. version: raised when the same inputs
    give another result than before. outside: what else decides the result (say, which Lava is installed).
    run: fills the folder and returns the metrics (JSON values).
    """

    name: str
    needs: tuple[str, ...]
    reads: tuple[str, ...]
    version: int
    run: Callable[[StageContext], dict[str, Any]]
    outside: Callable[[Recipe], Any] | None = None

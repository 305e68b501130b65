"""Run folders: what was computed, from what, and whether it must be computed again.

    runs/<recipe name>-<hash8>/
        run.json                    format, and the recipe of the last command that wrote here
        <stage>/manifest.json       key, recipe sections, seed, versions, hashes of inputs and outputs, metrics
        <stage>/metrics.jsonl       the stage's log, one line per epoch
        <stage>/*                   outputs: safetensors, .net, JSON
        <stage>.partial/            a stage that is being computed, with its checkpoint

hash8 is taken over what the trained ANN depends on (name, seed, data, model, train), so that changing a later section
reuses the training: the later stages are computed again in place. A stage's key is SHA-256 over its name and version,
the recipe sections it reads, the identity of the data, and the outputs of the stages it needs; a finished stage of the
same key whose files still have their hashes is not run again. `device`, `threads` and `data.root` say where things are
computed or kept, so they are not in the key; a half-finished stage is only continued on the same device and threads,
because bits may differ between them.

A folder is built as `<stage>.partial`, its manifest written last, and then renamed. A kill at any moment leaves the
old folder or the new one; `Run` completes an interrupted rename when it is opened.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..hw import BadInput
from .checkpoint import Checkpoint
from .files import read_json, sha256, sync_folder, write_json
from .progress import Progress
from .sections import Recipe, digest
from .stage import LOG, Stage, StageContext

FORMAT = 1
MANIFEST = "manifest.json"
_OLD, _PARTIAL = ".old", ".partial"
_FIELDS = ("format", "stage", "version", "key", "recipe", "seed", "versions", "inputs", "outputs", "metrics")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one stage: its finished folder, its manifest, and whether it was already there."""

    folder: Path
    manifest: Mapping[str, Any]
    reused: bool

    @property
    def hash(self) -> str:
        """SHA-256 over the stage's output files and metrics: what a later stage depends on."""
        return digest({"outputs": self.manifest["outputs"], "metrics": self.manifest["metrics"]})


def folder_of(recipe: Recipe, root: Path) -> Path:
    """Where the run of a recipe lives: `<root>/<name>-<first 8 digits of the recipe's identity>`."""
    return root / f"{recipe.name}-{recipe.identity()[:8]}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished stage's folder.

    Raises BadInput if it is missing, damaged, incomplete, or of another format version.
    """
    path = folder / MANIFEST
    way_out = f"delete {folder} to compute the stage again"
    if not path.is_file():
        raise BadInput(f"{folder}: holds no {MANIFEST}, so no finished stage; {way_out}")
    manifest = read_json(path, way_out)
    _check_format(path, manifest, folder.parent)
    missing = [field for field in _FIELDS if field not in manifest]
    if missing:
        raise BadInput(f"{path}: lacks {', '.join(missing)}; {way_out}")
    return manifest


def read_recipe(folder: Path) -> dict[str, Any]:
    """The recipe (plain values) a run folder was last computed with. Raises BadInput."""
    path = folder / "run.json"
    run = read_json(path, "give the recipe's file instead")
    _check_format(path, run, folder)
    if not isinstance(run.get("recipe"), dict):
        raise BadInput(f"{path}: lacks recipe; give the recipe's file instead")
    return run["recipe"]


class Run:
    """One run folder, open for writing by this process alone. Use `open_run`."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        stages: Sequence[Stage],
        progress: Progress,
        data_identity: Callable[[Recipe], str],
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.stages = {stage.name: stage for stage in stages}
        self.progress = progress
        self._data_identity = data_identity
        self._data: str | None = None
        self._done: dict[str, Outcome] = {}

    def finish(self, name: str) -> Outcome:
        """The finished stage: reused if nothing changed, else computed from its finished inputs.

        Raises BadInput if a stage it needs is not finished.
        """
        stage = self.stages[name]
        found = self.finished(name)
        if found is not None:
            self.progress.stage(f"{name}: nothing changed, reused")
            return found
        inputs = {need: self._needed(name, need) for need in stage.needs}
        outcome = self._compute(stage, self._key(stage, inputs), inputs)
        self._done[name] = outcome
        return outcome

    def finished(self, name: str) -> Outcome | None:
        """The stage if it is finished and up to date with recipe, data and inputs, else None."""
        if name in self._done:
            return self._done[name]
        stage, folder = self.stages[name], self.folder / name
        if not folder.is_dir():
            return None
        manifest = read_manifest(folder)
        inputs = {need: self.finished(need) for need in stage.needs}
        ready = {need: outcome for need, outcome in inputs.items() if outcome is not None}
        if len(ready) < len(inputs) or manifest["key"] != self._key(stage, ready) or not _intact(folder, manifest):
            return None
        self._done[name] = Outcome(folder=folder, manifest=manifest, reused=True)
        return self._done[name]

    def _needed(self, name: str, need: str) -> Outcome:
        outcome = self.finished(need)
        if outcome is None:
            state = "out of date" if (self.folder / need).is_dir() else "missing"
            raise BadInput(
                f"{name}: its input {need} is {state} in {self.folder}; make it with `spikeport {need} RECIPE`, or "
                f"everything up to here with `spikeport run RECIPE --until {name}`"
            )
        return outcome

    def _key(self, stage: Stage, inputs: Mapping[str, Outcome]) -> str:
        if "data" in stage.reads and self._data is None:
            self._data = self._data_identity(self.recipe)
        return digest(
            {
                "stage": stage.name,
                "version": stage.version,
                "recipe": self.recipe.sections(stage.reads),
                "data": self._data if "data" in stage.reads else None,
                "inputs": {name: outcome.hash for name, outcome in inputs.items()},
                "outside": stage.outside(self.recipe) if stage.outside else None,
            }
        )

    def _compute(self, stage: Stage, key: str, inputs: Mapping[str, Outcome]) -> Outcome:
        partial = self.folder / (stage.name + _PARTIAL)
        loop_key = digest([key, self.recipe.device, self.recipe.threads])
        continued = _prepare(partial, loop_key)
        self.progress.stage(f"{stage.name}: {'continued' if continued else 'started'}")
        started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
        context = StageContext(
            name=stage.name,
            recipe=self.recipe,
            folder=partial,
            inputs={name: outcome.folder for name, outcome in inputs.items()},
            results={name: outcome.manifest["metrics"] for name, outcome in inputs.items()},
            progress=self.progress,
            checkpoint=Checkpoint(partial / "checkpoint", loop_key, partial / LOG),
        )
        if not continued:
            (partial / LOG).unlink(missing_ok=True)
        metrics = stage.run(context)
        shutil.rmtree(partial / "checkpoint", ignore_errors=True)
        (partial / "partial.json").unlink()
        manifest = {
            "format": FORMAT,
            "stage": stage.name,
            "version": stage.version,
            "key": key,
            "recipe": self.recipe.sections(stage.reads),
            "seed": self.recipe.seed,
            "device": self.recipe.device,
            "threads": self.recipe.threads,
            "data": self._data if "data" in stage.reads else None,
            "versions": versions(),
            "inputs": {name: outcome.hash for name, outcome in inputs.items()},
            "outputs": _outputs(partial),
            "metrics": metrics,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 3),
            "continued": continued,
        }
        write_json(partial / MANIFEST, manifest)
        _swap(self.folder, stage.name)
        self.progress.stage(f"{stage.name}: done in {manifest['seconds']:.1f} s")
        return Outcome(folder=self.folder / stage.name, manifest=manifest, reused=False)


@contextmanager
def open_run(
    recipe: Recipe,
    root: Path,
    stages: Sequence[Stage],
    *,
    progress: Progress,
    data_identity: Callable[[Recipe], str],
) -> Iterator[Run]:
    """The run folder of a recipe, made if it is not there, locked against other processes while open.

    data_identity: a hash of the data a recipe names. Raises BadInput if another process holds the folder or another
    format version wrote it.
    """
    folder = folder_of(recipe, root)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file where the run's folder belongs; move it, or choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        about = folder / "run.json"
        if about.exists():
            _check_format(about, read_json(about, f"delete {folder} to start over"), folder)
        _complete_renames(folder, [stage.name for stage in stages])
        write_json(about, {"format": FORMAT, "recipe": recipe.model_dump(mode="json"), "versions": versions()})
        yield Run(recipe, folder, stages, progress, data_identity)


def versions() -> dict[str, str]:
    """Versions a result may depend on."""
    return {
        "spikeport": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BadInput(
                f"{folder}: process {file.read().strip() or '?'} is writing here; wait for it, or choose another --out"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _check_format(path: Path, value: Mapping[str, Any], folder: Path) -> None:
    if value.get("format") == FORMAT:
        return
    written = value.get("versions")
    by = written.get("spikeport", "unknown") if isinstance(written, dict) else "unknown"
    raise BadInput(
        f"{path}: run folder format {value.get('format')!r}, written by spikeport {by}; this version reads format "
        f"{FORMAT}; use that version, or delete {folder} to compute the run again"
    )


def _prepare(partial: Path, key: str) -> bool:
    """Make the working folder ready. True if it holds a checkpoint of the same key, which is then all it holds."""
    marker = partial / "partial.json"
    same = marker.is_file() and read_json(marker, f"delete {partial}").get("key") == key
    if same and (partial / "checkpoint" / "checkpoint.json").is_file():
        for entry in partial.iterdir():
            if entry.name not in ("partial.json", "checkpoint", LOG):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return True
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    write_json(marker, {"format": FORMAT, "key": key})
    return False


def _outputs(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files if path.name not in (LOG, MANIFEST)}


def _intact(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether every output is there with its hash; files that appeared beside them do not matter."""
    outputs: Mapping[str, str] = manifest["outputs"]
    return all((folder / name).is_file() and sha256(folder / name) == value for name, value in outputs.items())


def _swap(folder: Path, name: str) -> None:
    """Put `<name>.partial`, which has its manifest, in the place of `<name>`."""
    final, partial, old = folder / name, folder / (name + _PARTIAL), folder / (name + _OLD)
    if final.exists():
        os.replace(final, old)
    os.replace(partial, final)
    sync_folder(folder)
    shutil.rmtree(old, ignore_errors=True)


def _complete_renames(folder: Path, names: Sequence[str]) -> None:
    """Finish what a kill inside `_swap` left: a partial folder with a manifest is complete."""
    for name in names:
        final, partial, old = folder / name, folder / (name + _PARTIAL), folder / (name + _OLD)
        if (partial / MANIFEST).is_file():
            if final.exists() and old.exists():
                shutil.rmtree(old)
            _swap(folder, name)
        elif old.exists():
            if final.exists():
                shutil.rmtree(old)
            else:
                os.replace(old, final)

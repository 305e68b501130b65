"""Where a training loop continues after a kill, with the bits an unbroken one would have had.

A loop saves once per epoch and draws its randomness from (seed, epoch), so no generator state is kept. It logs an
epoch before it saves it: loading cuts the log back to the saved epoch, so a continued log has each line once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..hw import BadInput
from .files import read_json, read_tensors, sha256, sync_folder, write_json, write_tensors

FORMAT = 1


class Checkpoint:
    """The last saved state of one stage, under `folder`.

    key: what the state belongs to; a checkpoint of another key is not loaded. log: a file of lines that grows beside
    it; loading cuts it back to what it was when the state was saved.
    """

    def __init__(self, folder: Path, key: str, log: Path | None = None) -> None:
        self.folder = folder
        self.key = key
        self._log = log

    @property
    def _pointer(self) -> Path:
        return self.folder / "checkpoint.json"

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the saved state, whole or not at all: the tensors get a new file, then one pointer is renamed to it.

        state: JSON values. Raises TypeError or ValueError for a state that JSON cannot hold exactly.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{step}.safetensors"
        before = read_json(self._pointer, self._way_out)["tensors"] if self._pointer.exists() else None
        if name == before:  # the pointed-to file is never overwritten
            name = f"step-{step}-again.safetensors"
        write_tensors(self.folder / name, tensors)
        pointer = {
            "format": FORMAT,
            "key": self.key,
            "step": step,
            "tensors": name,
            "sha256": sha256(self.folder / name),
            "log_bytes": self._log.stat().st_size if self._log and self._log.exists() else 0,
            "state": dict(state),
        }
        write_json(self._pointer, pointer)
        for stale in self.folder.glob("step-*"):
            if stale.name != name:
                stale.unlink()

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """The saved (step, tensors, state), or None if nothing was saved under this key.

        Raises BadInput if the files are damaged, which a kill cannot do.
        """
        if not self._pointer.exists():
            self._cut_log(0)
            return None
        pointer = read_json(self._pointer, self._way_out)
        if pointer.get("format") != FORMAT or pointer.get("key") != self.key:
            self._cut_log(0)
            return None
        try:
            step, name, expected, state = (pointer[field] for field in ("step", "tensors", "sha256", "state"))
            kept = pointer["log_bytes"]
        except KeyError as missing:
            raise BadInput(f"{self._pointer}: lacks {missing}; {self._way_out}") from None
        path = self.folder / name
        if not path.is_file() or sha256(path) != expected:
            raise BadInput(f"{path}: is missing or not the file that was saved; {self._way_out}")
        self._cut_log(kept)
        return step, read_tensors(path), state

    @property
    def _way_out(self) -> str:
        return f"delete {self.folder.parent} to start the stage again"

    def _cut_log(self, size: int) -> None:
        if self._log is not None and self._log.exists() and self._log.stat().st_size > size:
            os.truncate(self._log, size)
            sync_folder(self._log.parent)


def module_state(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """A module's state dict as flat tensors. Raises TypeError if a module keeps state that is not a tensor."""
    flat = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{type(module).__name__}.{name} is a {type(value).__name__}; only tensors are kept")
        flat[prefix + name] = value
    return flat


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
    """Load a module's state from flat tensors, in place. Raises BadInput if a name or shape differs."""
    try:
        module.load_state_dict(_under(prefix, tensors), strict=True)
    except RuntimeError as error:
        raise BadInput(f"the saved weights do not fit {type(module).__name__}: {error}") from None


def optimizer_state(optimizer: torch.optim.Optimizer, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as flat tensors (`<prefix><parameter>.<name>`) and JSON values for all else."""
    whole = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in whole["state"].items():
        scalars[str(index)] = {}
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}{index}.{name}"] = value
            else:
                scalars[str(index)][name] = value
    return tensors, {"scalars": scalars, "groups": whole["param_groups"]}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], state: Mapping[str, Any], prefix: str = ""
) -> None:
    """Load an optimizer's state, in place. The optimizer must have been built as the saved one was.

    Raises BadInput if its parameter groups have other sizes.
    """
    entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in state["scalars"].items()}
    for key, tensor in _under(prefix, tensors).items():
        index, _, name = key.partition(".")
        entries.setdefault(int(index), {})[name] = tensor
    fresh = optimizer.state_dict()["param_groups"]
    groups = [  # JSON has no tuples: a value the fresh optimizer holds as a tuple is one again
        {k: tuple(v) if i < len(fresh) and isinstance(fresh[i].get(k), tuple) else v for k, v in saved.items()}
        for i, saved in enumerate(state["groups"])
    ]
    try:
        optimizer.load_state_dict({"state": entries, "param_groups": groups})
    except ValueError as error:
        raise BadInput(f"the saved state does not fit {type(optimizer).__name__}: {error}") from None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

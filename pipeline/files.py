"""Files that are either the old one or the new one, never half of one; and what they hold, without pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors

from ..hw import BadInput


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole: to a temporary name beside it, to the disk, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole, keys sorted, indented. Raises ValueError for NaN and infinity, TypeError for a foreign type."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path, way_out: str) -> dict[str, Any]:
    """The JSON object in a file. way_out: what the user can do if it is damaged. Raises BadInput."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as JSON ({error}); {way_out}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: holds a {type(value).__name__}, not a JSON object; {way_out}")
    return value


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write named tensors as safetensors, whole. Names that share storage are written one copy each."""
    flat = {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    write_bytes(path, bytes_from_tensors(flat))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a safetensors file, on the CPU, names sorted (the library gives them in arbitrary order).

    Raises BadInput if the file is missing, cut short or of another kind.
    """
    try:
        tensors = tensors_from_bytes(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; run the stage that writes it again") from None
    except (OSError, SafetensorError) as error:
        raise BadInput(
            f"{path}: is not a whole safetensors file ({error}); run the stage that writes it again"
        ) from None
    return {name: tensors[name] for name in sorted(tensors)}


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Frames of a set of recordings, kept on disk once they were made."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict
from math import prod
from pathlib import Path

import numpy as np
import torch

from ...hw import BadInput
from ..datasets.files import read_npz
from ..datasets.images import Clips
from .frames import Frames, to_frames
from .recording import Recordings

CACHE_VARIABLE = "SPIKEPORT_CACHE"
"""The environment variable that names the folder of kept frames; without it, `~/.cache/spikeport`."""
FORMAT = 1
"""Part of every key. It is raised when other frames are made of the same recordings, or another file of the frames."""


def clips(recordings: Recordings, frames: Frames) -> Clips:
    """The frames of all recordings, from the cache or made now and kept there.

    The file is a `.npz` whose name and content have the SHA-256 of everything the frames depend on: the recordings'
    key and name, the settings and FORMAT. Binary frames take a bit per pixel. A file that is damaged (its checksums do
    not match) or of other frames is made anew. It appears under its name only when it is whole, after every recording
    was read, so several programs may make it at once. All frames are in memory, as bytes; recordings are read one at a
    time.

    Raises BadInput for a damaged recording, and then nothing is kept; for cameras of several sizes, unless
    `frames.size` is given; and for a cache folder that cannot be written to.
    """
    key = _key(recordings, frames)
    path = _folder() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', recordings.name)}-{key.hex()[:16]}.npz"
    x = _kept(path, key, len(recordings), frames)
    if x is None:
        _make_folder(path.parent)
        x = _made(recordings, frames)
        _keep(path, key, x, frames)
    labels = torch.from_numpy(recordings.labels.astype(np.int64))
    return Clips(x=torch.from_numpy(x), y=labels, levels=frames.levels, ids=recordings.ids)


def _key(recordings: Recordings, frames: Frames) -> bytes:
    """SHA-256, 32 bytes."""
    parts = {"format": FORMAT, "recordings": recordings.key, "name": recordings.name, "frames": asdict(frames)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _folder() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "spikeport"


def _make_folder(folder: Path) -> None:
    """Make the folder, or raise BadInput before hours are spent on frames that cannot be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise _unwritable(folder, str(error)) from error
    if not writable:
        raise _unwritable(folder, "permission denied")


def _unwritable(folder: Path, why: str) -> BadInput:
    return BadInput(
        f"frames cannot be kept in {folder} ({why}); name a folder with room in the environment variable "
        f"{CACHE_VARIABLE}"
    )


def _made(recordings: Recordings, frames: Frames) -> np.ndarray:
    """uint8 (N, T, 2, H, W)."""
    if not len(recordings):
        raise BadInput(f"{recordings.name}: holds no recordings to make frames of")
    first = to_frames(recordings.read(0), frames)
    x = np.empty((len(recordings), *first.shape), np.uint8)
    x[0] = first
    for index in range(1, len(recordings)):
        recording = recordings.read(index)
        made = to_frames(recording, frames)
        if made.shape != first.shape:
            raise BadInput(
                f"{recording.where}: frames of {made.shape[2:]} pixels, but those before it have {first.shape[2:]}; "
                "give frames.size, so that all have one"
            )
        x[index] = made
    return x


def _keep(path: Path, key: bytes, x: np.ndarray, frames: Frames) -> None:
    flat = x.reshape(len(x), -1)
    stored = np.packbits(flat, axis=1) if frames.levels == 1 else flat
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".part", delete=False) as file:
            part = Path(file.name)
            np.savez(file, key=np.frombuffer(key, np.uint8), shape=np.array(x.shape, np.int64), x=stored)
        os.replace(part, path)
    except OSError as error:
        raise _unwritable(path.parent, str(error)) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _kept(path: Path, key: bytes, n: int, frames: Frames) -> np.ndarray | None:
    """The frames in a file; None if there is none, or it is damaged or of other frames."""
    try:
        head = read_npz(path, {"key": (len(key),), "shape": (5,)})
        shape = tuple(int(length) for length in head["shape"])
        if head["key"].tobytes() != key or shape[:3] != (n, frames.T, 2) or min(shape) < 1:
            return None
        values = prod(shape[1:])
        stored = read_npz(path, {"x": (n, -(-values // 8) if frames.levels == 1 else values)})["x"]
    except (BadInput, OSError):
        return None
    flat = np.unpackbits(stored, axis=1, count=values) if frames.levels == 1 else stored.copy()
    return flat.reshape(shape)

"""Folders of event files: which are there, in which order, and a key that changes when one of them does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ...hw import BadInput
from .recording import Recording, Recordings


def first_folder(root: Path, places: Iterable[str]) -> Path | None:
    """The first of the places in `root` that is a folder, None if none is."""
    return next((root / place for place in places if (root / place).is_dir()), None)


def class_folders(folder: Path, classes: Sequence[str]) -> list[Path]:
    """The folder of every class. Raises BadInput for one that is missing, and for one more that is not hidden."""
    found = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    missing = [name for name in classes if name not in found]
    unknown = sorted(found.difference(classes))
    if missing or unknown:
        problem = f"no folder {missing[0]}/" if missing else f"an unknown folder {unknown[0]}/"
        raise BadInput(
            f"{folder}: {problem} among those of its {len(classes)} classes ({classes[0]} to {classes[-1]}); unpack it "
            "again"
        )
    return [folder / name for name in classes]


def numbered(folder: Path, pattern: str) -> dict[int, Path]:
    """The files in a folder whose whole name matches `pattern`, ascending by the number that is its one group.

    The order is of numbers, not of names: 10 comes after 9. Other files are left alone.
    """
    matches = ((re.fullmatch(pattern, path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def check_complete(folder: Path, found: Iterable[int], first: int, n: int) -> None:
    """Raise BadInput unless the numbers found are `first` and the n - 1 after it, each once, in any order."""
    numbers = list(found)
    wanted = range(first, first + n)
    if sorted(numbers) == list(wanted):
        return
    seen: set[int] = set()
    double = {number for number in numbers if number in seen or seen.add(number)}
    missing = sorted(set(wanted).difference(numbers))
    odd = sorted(double | set(numbers).difference(wanted))
    problem = f"number {missing[0]} is missing" if missing else f"number {odd[0]} is there twice or beyond them"
    raise BadInput(
        f"{folder}: holds {len(numbers)} recordings, expected {n}, numbered {first} to {wanted[-1]}; {problem}, unpack "
        "it again"
    )


def read_bytes(path: Path) -> bytes:
    """What a file holds. Raises BadInput for one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error}); put it there, or fetch it again") from error


def key_of(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 over the files' places in `root`, sizes and times of change, in their order; contents are not read."""
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        digest.update(f"{path.relative_to(root).as_posix()}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def of_files(
    name: str,
    root: Path,
    files: Sequence[Path],
    labels: Sequence[int],
    read: Callable[[Path], Recording],
    ids: np.ndarray | None = None,
) -> Recordings:
    """A set with one file per recording, each read by `read`."""
    return Recordings(
        name=name,
        labels=np.array(labels, np.int64),
        ids=ids,
        key=key_of(root, files),
        read=lambda index: read(files[index]),
    )

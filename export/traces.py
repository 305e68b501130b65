"""Recorded traces as files: what every neuron did, with the inputs that made it do so.

Two layouts, the same content:

    trace.npz   one array per name:   inputs, <population>.u, <population>.v, <population>.spikes
    trace.h5    one group per layer:  /inputs, /<population>/u, /<population>/v, /<population>/spikes

`inputs` is (B, *S), held for every timestep, or (T, B, *S), S the shape (C, H, W) or (F,) of the network's source; a
trace may leave it out. `u`, `v` (after the reset) and `spikes` are (T, B, *shape) of their population. Any populations
and any of the three quantities may be there. All are integers. Timestep t of a layer is its own t-th step of the
sample, whatever the pipeline it was recorded from did meanwhile.
"""

from __future__ import annotations

import os
import secrets
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hw import BadInput
from .hdf5_fields import Fields, opened
from .lava_compare import QUANTITIES, Quantity

INPUTS = "inputs"
MAX_BYTES = 1 << 32
"""Largest trace read, all arrays together; stops a forged shape before anything is allocated."""

NPY_ERRORS = (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError, OverflowError, MemoryError)
"""What numpy raises for a damaged `.npy`, depending on which part of its header is hit."""

ZIP_ERRORS = (*NPY_ERRORS, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)

Values = Mapping[str, Mapping[Quantity, np.ndarray]]
"""By population, then by quantity: integers (T, B, *shape)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """What some populations did. where: the file or run it is from, for messages.

    inputs: integers (B, *S) or (T, B, *S), or None if they were not recorded. values: (T, B, *shape) each.
    """

    where: str
    inputs: np.ndarray | None
    values: Values

    @property
    def n_samples(self) -> int:
        """Samples recorded: the second axis of every value."""
        return next(iter(next(iter(self.values.values())).values())).shape[1]


def write(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Write a recording as `.npz`; the file appears whole or not at all. Raises BadInput for another suffix."""
    path = Path(path)
    if path.suffix != ".npz":
        raise BadInput(f"{path}: a trace is written as .npz; give the file that suffix")
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} does not exist; create it first")
    arrays = {} if recording.inputs is None else {INPUTS: recording.inputs}
    for population, quantities in recording.values.items():
        arrays |= {f"{population}.{quantity}": values for quantity, values in quantities.items()}
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> Recording:
    """A recorded trace, `.npz` or `.h5`.

    Raises BadInput for a file of another kind, a damaged one, a name that is not of the layout, values that are no
    integers, and arrays whose timesteps or samples disagree.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; `spikeport record FILE --out trace.npz` writes one")
    if path.suffix == ".npz":
        arrays = _npz(path)
    elif path.suffix in (".h5", ".hdf5"):
        arrays = _hdf5(path)
    else:
        raise BadInput(f"{path}: a trace is a .npz or .h5 file, found the suffix {path.suffix or '(none)'!r}")
    values: dict[str, dict[Quantity, np.ndarray]] = {}
    for name, array in arrays.items():
        population, _, quantity = name.rpartition(".")
        if name == INPUTS:
            continue
        if not population or quantity not in QUANTITIES:
            raise BadInput(
                f"{path}: {name!r} is not of a trace's layout; expected inputs, and <population>.u, .v or .spikes"
            )
        values.setdefault(population, {})[quantity] = array
    recording = Recording(where=str(path), inputs=arrays.get(INPUTS), values=values)
    _check_sizes(recording)
    return recording


def _check_sizes(recording: Recording) -> None:
    """Raise BadInput unless all values have the same timesteps and samples."""
    sizes = {
        f"{population}.{quantity}": array.shape[:2]
        for population, quantities in recording.values.items()
        for quantity, array in quantities.items()
    }
    if not sizes:
        raise BadInput(f"{recording.where}: no population was recorded; record u, v or spikes of at least one")
    first = next(iter(sizes))
    for name, size in sizes.items():
        if len(size) < 2 or 0 in size:
            raise BadInput(f"{recording.where}: {name} has no (T, B) axes with a timestep and a sample in them")
        if size != sizes[first]:
            raise BadInput(
                f"{recording.where}: {name} has (timesteps, samples) {size}, but {first} has {sizes[first]}; "
                "record all of them in one run"
            )


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # headers in the manner of Python 2 are read all the same
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > MAX_BYTES:
                raise BadInput(f"{path}: its arrays take {total} bytes, at most {MAX_BYTES} are read; record less")
            return {
                member.filename.removesuffix(".npy"): _npy(path, member, lambda m=member: archive.open(m))
                for member in members
            }
    except ZIP_ERRORS as error:
        raise BadInput(f"{path}: not a readable .npz file (wrong kind, or damaged): {error}") from error


def _npy(path: Path, member: zipfile.ZipInfo, reopen: Callable) -> np.ndarray:
    """One array of an archive. Its declared shape must be what the archive really holds."""
    where = f"{path}: {member.filename}"
    with reopen() as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        room = member.file_size - stream.tell()
    if dtype.kind not in "biu":
        raise BadInput(f"{where}: dtype {dtype}, expected integers; a trace holds the chip's integers")
    size = dtype.itemsize
    for n in shape:
        size *= int(n)
    if size != room:
        raise BadInput(f"{where}: shape {shape} needs {size} bytes, the file holds {room}; it is damaged")
    with reopen() as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    with opened(path, "record one with `spikeport record`") as file:
        root = Fields(str(path), file)
        arrays: dict[str, np.ndarray] = {}
        for name in root.names():
            if name == INPUTS:
                arrays[name] = root.integers(name)
                continue
            layer = root.group(name)
            arrays |= {f"{name}.{quantity}": layer.integers(quantity) for quantity in layer.names()}
        return arrays

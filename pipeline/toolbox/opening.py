"""A network from a file, whoever wrote it, and back: chosen by the file's suffix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...export import netx, nir_write
from ...hw import BadInput, Chip, Network, SpikeportError, same

SUFFIXES = (".net", ".nir")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What other people's `.net` files do not say; each overrides what a file of ours says.

    n_steps: timesteps of a sample. payload_bits: of a graded input. num_layers: read only so many layers of the file,
    as netx's argument of that name, for files whose last layers netx cannot build.
    """

    n_steps: int | None = None
    payload_bits: int | None = None
    num_layers: int | None = None


AS_STORED = Reading()


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A file written from another, and read back as the very network of the old one."""

    source: str
    target: str
    fingerprint: str
    bytes: int


def open_network(path: Path, reading: Reading = AS_STORED) -> Network:
    """The network in a `.net` or `.nir` file.

    A `.nir` file must be one of ours (it then holds the integers; a float network is deployed first). Raises BadInput
    for a file that is missing, damaged or of another kind, UnsupportedLayer and NotRepresentable as the readers do.
    """
    suffix = _suffix(path)
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; give a .net or .nir file")
    if suffix == ".net":
        return netx.read(
            path, n_steps=reading.n_steps, payload_bits=reading.payload_bits, num_layers=reading.num_layers
        )
    if reading != AS_STORED:
        raise BadInput(f"{path}: a .nir file of ours says all itself; leave --steps, --payload-bits and --layers out")
    return nir_write.read_network(path)


def convert(
    source: Path,
    target: Path,
    *,
    chip: Chip | None,
    reading: Reading = AS_STORED,
    force: bool = False,
) -> Conversion:
    """Write the network of one file as another, `.net` or `.nir`, and read it back to see that it is the same.

    chip: a `.net` file must be legal on it; None asks only for what Lava's simulation needs. force: whether an existing
    target is replaced. Raises BadInput where it is not, and what reading and writing raise.
    """
    _suffix(target)
    if target.exists():
        if target.samefile(source):
            raise BadInput(f"{target}: a file is not converted onto itself; give another name")
        if not force:
            raise BadInput(f"{target}: the file exists; give --force to replace it, or another name")
    network = open_network(source, reading)
    save_network(network, target, chip=chip)
    if not same(open_network(target), network):
        raise SpikeportError(f"{target}: reads back as another network than {source}; this is a bug, please report it")
    return Conversion(
        source=str(source), target=str(target), fingerprint=network.fingerprint(), bytes=target.stat().st_size
    )


def save_network(network: Network, path: Path, *, chip: Chip | None) -> None:
    """Write a network to a `.net` file, legal on `chip`, or to a `.nir` file."""
    if _suffix(path) == ".net":
        netx.write(network, path, chip=chip)
        return
    nir_write.write(network, path)


def _suffix(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise BadInput(f"{path}: found the suffix {path.suffix or '(none)'!r}, expected {' or '.join(SUFFIXES)}")
    return path.suffix

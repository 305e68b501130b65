"""A capsule as a value: to members and back, with every statement in it held against every other one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...export import netx
from ...hw import BadInput, Network, Source
from ..toolbox.inputs import checked_inputs, only_source
from . import archive, arrays
from .golden import Golden, count_rows
from .manifests import check_chain
from .schema import Document, dump, json_object, parse

DOCUMENT = "capsule.json"
README = "README.txt"
RECIPE = "recipe.yaml"
NET = "network.net"
INPUTS = "inputs.npy"
READOUTS = "golden/readouts.npy"
COUNTS = "golden/counts.npy"
MANIFEST = "manifests/{}.json"
SPIKES = "golden/spikes/{:04d}.npy"

READOUT_TYPE = np.dtype("<i8")


@dataclass(frozen=True, kw_only=True, eq=False)
class Capsule:
    """What a capsule holds. where: its file, for messages.

    recipe: YAML text. manifests: JSON text by stage. net: the `.net` file, network: what it holds. inputs: int32
    (B, *S) or (T, B, *S), None where they were left out. identity: SHA-256 that stands for all members.
    """

    where: str
    document: Document
    readme: str
    recipe: bytes
    manifests: Mapping[str, bytes]
    net: bytes
    network: Network
    inputs: np.ndarray | None
    golden: Golden
    identity: str


def members_of(
    document: Document,
    readme: str,
    recipe: bytes,
    manifests: Mapping[str, bytes],
    net: bytes,
    source: Source,
    inputs: np.ndarray,
    golden: Golden,
) -> dict[str, bytes]:
    """The members of a capsule in their order. inputs: left out if the document names no file for them."""
    assert golden.counts is not None  # the simulator counts
    members = {README: readme.encode(), DOCUMENT: dump(document), RECIPE: recipe, NET: net}
    members |= {MANIFEST.format(stage): manifests[stage] for stage in sorted(manifests)}
    if document.inputs.file is not None:
        members[document.inputs.file] = arrays.payload_to_npy(inputs, source)
    for entry in document.populations:
        members[entry.file] = arrays.to_bits(golden.spikes[entry.name])
    members[READOUTS] = arrays.to_npy(golden.readouts.astype(READOUT_TYPE))
    members[COUNTS] = arrays.to_npy(np.stack(list(golden.counts.values())).astype(READOUT_TYPE))
    return members


def read(path: Path) -> Capsule:
    """The capsule in a file.

    Raises BadInput for a file that is no whole, unchanged capsule, one of another format version, and one whose parts
    contradict each other; what `netx.read` raises for its network.
    """
    members = archive.unpack(path)
    document = parse(_member(members, DOCUMENT, path), f"{path}: {DOCUMENT}")
    net = _member(members, NET, path)
    if archive.sha256(net) != document.network.sha256:
        raise _contradiction(path, f"{NET} has another SHA-256 than {DOCUMENT} says")
    with as_file(net) as file:
        network = netx.read(file)
    if network.fingerprint() != document.network.fingerprint or network.n_steps != document.network.n_steps:
        raise _contradiction(path, f"{NET} holds another network than {DOCUMENT} says")
    manifests = {stage: _member(members, MANIFEST.format(stage), path) for stage in sorted(document.versions)}
    _check_manifests(path, manifests, document)
    readme = _member(members, README, path).decode("utf-8", "replace")
    return Capsule(
        where=str(path),
        document=document,
        readme=readme,
        recipe=_member(members, RECIPE, path),
        manifests=manifests,
        net=net,
        network=network,
        inputs=_inputs(path, members, document, network),
        golden=_golden(path, members, document, network),
        identity=archive.identity(members),
    )


@contextmanager
def as_file(net: bytes) -> Iterator[Path]:
    """A `.net` file's content as a file, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="spikeport-capsule-") as folder:
        path = Path(folder) / NET
        path.write_bytes(net)
        yield path


def check_inputs(values: np.ndarray, document: Document, network: Network, where: str) -> np.ndarray:
    """The golden inputs as int32, once they are those the capsule was made with. Raises BadInput."""
    found = arrays.of_payload(values)
    if found != document.inputs.sha256:
        raise BadInput(
            f"{where}: the golden inputs have SHA-256 {found[:12]}..., the capsule's have "
            f"{document.inputs.sha256[:12]}...; give the data of the run: {document.data.name}"
        )
    return checked_inputs(values, network, where)


def _inputs(path: Path, members: Mapping[str, bytes], document: Document, network: Network) -> np.ndarray | None:
    stated = document.inputs
    source, neuron = only_source(network)
    axis = len(stated.shape) - len(source.shape) - 1
    if axis not in (0, 1) or stated.shape[axis] != document.samples:
        raise _contradiction(path, f"inputs of shape {stated.shape} are not {document.samples} samples")
    if stated.file is None:
        return None
    where = f"{path}: {stated.file}"
    values = arrays.payload_from_npy(_member(members, stated.file, path), stated.shape, neuron, where)
    return check_inputs(values, document, network, where)


def _golden(path: Path, members: Mapping[str, bytes], document: Document, network: Network) -> Golden:
    steps, samples = network.n_steps, document.samples
    computing = [(p.name, list(p.shape)) for p, _ in network.neurons]
    if [(entry.name, entry.shape) for entry in document.populations] != computing:
        raise _contradiction(path, f"{DOCUMENT} lists other populations than the network has")
    spikes: dict[str, np.ndarray] = {}
    for entry in document.populations:
        where = f"{path}: {entry.file}"
        values = arrays.from_bits(_member(members, entry.file, path), (steps, samples, *entry.shape), where)
        if arrays.of_spikes(values) != entry.sha256 or int(values.sum()) != entry.spikes:
            raise _contradiction(path, f"the spikes of {entry.name} have another SHA-256 or number than it says")
        spikes[entry.name] = values
    classes = network[network.readout.population].size
    readouts = arrays.from_npy(
        _member(members, READOUTS, path), (steps, samples, classes), READOUT_TYPE, f"{path}: {READOUTS}"
    )
    rows = count_rows(network)
    if [(row.kind, *row.populations) for row in document.counts] != list(rows):
        raise _contradiction(path, f"{DOCUMENT} counts other things than the network has")
    table = arrays.from_npy(
        _member(members, COUNTS, path), (len(rows), steps, samples), READOUT_TYPE, f"{path}: {COUNTS}"
    )
    golden = Golden(spikes=spikes, readouts=readouts, counts=dict(zip(rows, table, strict=True)))
    if golden.predictions.tolist() != document.predictions:
        raise _contradiction(path, "the predictions are not those of the read-outs")
    if [int(events.sum()) for events in table] != [row.golden for row in document.counts]:
        raise _contradiction(path, "the totals of the counts are not those of the counts")
    return golden


def _check_manifests(path: Path, manifests: Mapping[str, bytes], document: Document) -> None:
    parsed = {stage: json_object(text, f"{path}: {MANIFEST.format(stage)}") for stage, text in manifests.items()}
    check_chain(parsed, str(path))
    written = parsed.get("export", {}).get("outputs", {})
    if document.network.sha256 not in written.values():
        raise _contradiction(path, f"{NET} is not the file that the manifest of export lists")


def _member(members: Mapping[str, bytes], name: str, path: Path) -> bytes:
    if name not in members:
        raise _contradiction(path, f"it has no member {name}")
    return members[name]


def _contradiction(path: Path, what: str) -> BadInput:
    return BadInput(f"{path}: {what}; the capsule contradicts itself, make it again from its run")

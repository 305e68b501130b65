"""What a model file says, as a hash: its bytes, and those of the files in which it keeps its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ...hw import BadInput


def content_hash(path: Path) -> str:
    """SHA-256 of a model file with its external data, in hex; equal wherever the files lie.

    An .onnx file may keep its weights in other files of its folder, so its own bytes do not tell two trainings apart.
    Raises BadInput if the file cannot be read, is no ONNX model, or lacks a data file. What lies outside its folder is
    never opened.
    """
    digest = hashlib.sha256()
    try:
        for part in (path, *_data_files(path)):
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise BadInput(
            f"model.file {path}: cannot be read ({error.strerror}: {error.filename}); give an ONNX file with its data, "
            "relative to the current folder"
        ) from None
    return digest.hexdigest()


def _data_files(path: Path) -> Iterator[Path]:
    """The files an ONNX model keeps tensors in, in order of their names."""
    if path.suffix != ".onnx":
        raise BadInput(f"model.file {path}: is no .onnx file; a network that spikes already goes to `spikeport deploy`")
    from ...export.onnx_file import load  # onnx is slow to import, and few recipes name a file

    graph = load(path).graph
    inline = (attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t"))
    entries = [entry for tensor in (*graph.initializer, *inline) for entry in tensor.external_data]
    folder = path.parent.resolve()
    for location in sorted({entry.value for entry in entries if entry.key == "location"}):
        data = (folder / location).resolve()
        if not data.is_relative_to(folder):
            raise BadInput(f"model.file {path}: its data file {location!r} lies outside its folder; put it beside it")
        yield data

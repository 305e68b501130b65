"""ONNX files opened with care: sizes are checked before anything is allocated, and no path leaves the file's folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from ..hw import BadInput
from .reading import CONSTANT_MAX

FILE_MAX = 1 << 30
"""Largest .onnx file, 1 GiB; protobuf stops at 2. Weights beyond that belong in external data."""

NODES_MAX = 10_000
"""Most nodes of a graph; the largest published classifiers have about 3000."""

_DTYPES: dict[int, tuple[str, str]] = {
    onnx.TensorProto.FLOAT: ("<f4", "float_data"),
    onnx.TensorProto.DOUBLE: ("<f8", "double_data"),
    onnx.TensorProto.FLOAT16: ("<f2", "int32_data"),
    onnx.TensorProto.BFLOAT16: ("<u2", "int32_data"),
    onnx.TensorProto.INT64: ("<i8", "int64_data"),
    onnx.TensorProto.INT32: ("<i4", "int32_data"),
    onnx.TensorProto.BOOL: ("?", "int32_data"),
}
"""Types that weights and shapes come in: how they lie in a file, and the field of a tensor without raw bytes."""


def load(path: Path) -> onnx.ModelProto:
    """The model in a file, without its external data. Raises BadInput for anything that is no ONNX model."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file; give the path of an .onnx file")
    if path.stat().st_size > FILE_MAX:
        raise BadInput(
            f"{path}: {path.stat().st_size} bytes, at most {FILE_MAX} are read; save the weights as external data"
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise BadInput(f"{path}: not an ONNX model, or a damaged one ({error}); export it again") from None
    if not model.graph.node:
        raise BadInput(f"{path}: holds no graph; export it again")
    if len(model.graph.node) > NODES_MAX:
        raise BadInput(f"{path}: {len(model.graph.node)} nodes, at most {NODES_MAX} are read; simplify the graph")
    if any(isinstance(text, bytes) for text in _texts(model)):  # what protobuf gives for text that is not UTF-8
        raise BadInput(f"{path}: a name in it is no text; the file is damaged")
    return model


def _texts(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every piece of text that is read."""
    graph = model.graph
    yield from (entry.domain for entry in model.opset_import)
    yield from (function.name for function in model.functions)
    yield from (info.name for infos in (graph.input, graph.output) for info in infos)
    tensors = [*graph.initializer]
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (text for entry in node.metadata_props for text in (entry.key, entry.value))
        yield from (attribute.name for attribute in node.attribute)
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
    for tensor in tensors:
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))


def array(tensor: onnx.TensorProto, folder: Path, where: str) -> np.ndarray:
    """A tensor's values. folder: the model's own; external data must lie in it.

    Raises BadInput for a type that holds no weights, for sizes that do not agree with the data and for a path that
    leaves the folder.
    """
    where = f"{where}: tensor {tensor.name!r}"
    if tensor.HasField("segment"):
        raise BadInput(f"{where} is stored in segments; save it in one piece")
    if tensor.data_type not in _DTYPES:
        raise BadInput(f"{where} has the ONNX type {tensor.data_type}; export float weights and int64 shapes")
    dtype, typed_field = _DTYPES[tensor.data_type]
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0 or math.prod(shape) > CONSTANT_MAX:
        raise BadInput(f"{where} has shape {shape}; sizes are 0 or more and at most {CONSTANT_MAX} values together")
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raw = _external(tensor, folder, wanted, where)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        return _typed(tensor, dtype, typed_field, where)
    if len(raw) != wanted:
        raise BadInput(f"{where} of shape {shape} needs {wanted} bytes and has {len(raw)}; the file is damaged")
    return _widened(np.frombuffer(raw, dtype), tensor.data_type).reshape(shape)


def _typed(tensor: onnx.TensorProto, dtype: str, typed_field: str, where: str) -> np.ndarray:
    values = getattr(tensor, typed_field)
    shape = tuple(tensor.dims)
    if len(values) != math.prod(shape):
        raise BadInput(
            f"{where} of shape {shape} needs {math.prod(shape)} values and has {len(values)}; the file is damaged"
        )
    if typed_field == "int32_data" and dtype != "<i4":  # 16-bit patterns and booleans, one in each integer
        bits = np.array(values, np.int32).astype("<u2")
        return _widened(bits.view(dtype) if dtype != "?" else bits.astype(bool), tensor.data_type).reshape(shape)
    return np.array(values, dtype).reshape(shape)


def _widened(values: np.ndarray, data_type: int) -> np.ndarray:
    """bfloat16 is the upper half of a float32; everything else stays."""
    if data_type == onnx.TensorProto.BFLOAT16:
        return (values.astype("<u4") << 16).view("<f4")
    return values


def _external(tensor: onnx.TensorProto, folder: Path, wanted: int, where: str) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = _inside(folder, location, where)
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", str(wanted)))
    except ValueError:
        raise BadInput(f"{where}: offset and length of its external data are no integers; export it again") from None
    size = path.stat().st_size
    if offset < 0 or length != wanted or offset + length > size:
        raise BadInput(
            f"{where} reads {length} bytes from {offset} of {location!r}, which has {size}, and needs {wanted}; the "
            "files do not belong together"
        )
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _inside(folder: Path, location: str, where: str) -> Path:
    """The file a location names. Raises BadInput unless it lies in the folder, links followed."""
    parts = Path(location).parts
    escapes = not location or "\0" in location or "\\" in location or Path(location).is_absolute() or ".." in parts
    if not escapes:
        path = (folder / location).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            return path
        escapes = not path.is_relative_to(folder.resolve())
    if escapes:
        raise BadInput(
            f"{where} lies outside the model's folder ({location!r}); put its data file beside the .onnx file"
        )
    raise BadInput(f"{where}: its data file {location!r} is missing; put it beside the .onnx file")

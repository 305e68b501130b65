"""Damage for files: bytes changed at random, and HDF5 or ONNX structures forged so that they still parse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx

Rng = np.random.Generator
HUGE = (0, 1, 2, 7, 63, 128, 255, 4097, 2**16, 2**31 - 1, 2**31, 2**40, 2**62)


def flip_bytes(content: bytes, rng: Rng) -> bytes:
    """One to sixteen bytes changed, in one bit or altogether."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 17))):
        place = int(rng.integers(len(data)))
        data[place] = data[place] ^ (1 << int(rng.integers(8))) if rng.random() < 0.5 else int(rng.integers(256))
    return bytes(data)


def cut(content: bytes, rng: Rng) -> bytes:
    """The file's end is missing."""
    return content[: int(rng.integers(len(content)))]


def move_bytes(content: bytes, rng: Rng) -> bytes:
    """A stretch is removed, repeated, overwritten by another, or filled with one byte."""
    start, end = sorted(int(n) for n in rng.integers(len(content), size=2))
    end = min(end, start + 512)
    piece = content[start:end]
    place = int(rng.integers(len(content)))
    fill = bytes([int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))]) * len(piece)
    return [
        content[:start] + content[end:],
        content[:place] + piece + content[place:],
        content[:place] + piece + content[place + len(piece) :],
        content[:start] + fill + content[end:],
    ][int(rng.integers(4))]


def write_integers(content: bytes, rng: Rng) -> bytes:
    """A little-endian integer that a format may take for a size or an offset is written somewhere."""
    width = int(rng.choice([2, 4, 8]))
    value = int(rng.choice(HUGE)) % (1 << (8 * width))
    place = int(rng.integers(max(1, len(content) - width)))
    return content[:place] + value.to_bytes(width, "little") + content[place + width :]


BYTE_MUTATIONS: tuple[Callable[[bytes, Rng], bytes], ...] = (flip_bytes, cut, move_bytes, write_integers)


def mutate_bytes(path: Path, rng: Rng) -> None:
    """One of the byte mutations, in place."""
    mutation = BYTE_MUTATIONS[int(rng.integers(len(BYTE_MUTATIONS)))]
    path.write_bytes(mutation(path.read_bytes(), rng))


def forge_hdf5(path: Path, rng: Rng) -> None:
    """One object of a valid HDF5 file replaced, in place: its values, type, shape, kind, name or link."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        name = names[int(rng.integers(len(names)))]
        value = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(())
        forgery = FORGERIES[int(rng.integers(len(FORGERIES)))]
        if forgery is not forge_extra:
            del file[name]
        forgery(file, name, value, rng)


def forge_nothing(file: h5py.File, name: str, value: object, rng: Rng) -> None:
    """The object is gone."""


def forge_extra(file: h5py.File, name: str, value: object, rng: Rng) -> None:
    """Another object beside it."""
    file[f"{name}x{int(rng.integers(9))}"] = np.arange(3)


def forge_values(file: h5py.File, name: str, value: object, rng: Rng) -> None:
    """The same kind of array with other values: larger, negative, NaN, or one of the sizes that break things."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        file[name] = np.bytes_(rng.choice(["conv", "dense", "input", "average", "dense_rec", "CUBA", "SDNN", "", "é"]
                                          ).encode())  # fmt: skip
        return
    changed = array.astype(np.float64).reshape(-1)
    place = int(rng.integers(max(1, changed.size)))
    if changed.size:
        changed[place] = float(rng.choice([*HUGE, -1, -128, -257, 0.5, np.nan, np.inf]))
    kind = array.dtype if np.isfinite(changed).all() and rng.random() < 0.5 else np.float64
    with np.errstate(invalid="ignore"):
        file[name] = changed.reshape(array.shape).astype(kind)


def forge_shape(file: h5py.File, name: str, value: object, rng: Rng) -> None:
    """A dataset that claims a shape it does not fill: nothing is stored, reading it would allocate it all."""
    rank = int(rng.integers(0, 5))
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 1000, 2**20, 2**31, 2**40], size=rank))
    while np.prod([float(n) for n in shape]) > 2.0**60:
        shape = shape[:-1]
    kind = rng.choice(["i4", "f8", "u1", "i8"])
    file.create_dataset(name, shape=shape, dtype=kind, chunks=tuple(min(n, 16) for n in shape) or None)


def forge_type(file: h5py.File, name: str, value: object, rng: Rng) -> None:
    """A value of another kind: text, a group, an enumeration, references, a compound, nothing."""
    choice = int(rng.integers(6))
    if choice == 0:
        file.create_group(name)
    elif choice == 1:
        file[name] = "text"
    elif choice == 2:
        file.create_dataset(name, data=np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
    elif choice == 3:
        file.create_dataset(name, (2,), dtype=h5py.ref_dtype)
    elif choice == 4:
        file.create_dataset(name, data=h5py.Empty("i4"))
    else:
        file.create_dataset(name, data=np.zeros((2, 2), bool))


def forge_link(file: h5py.File, name: str, value: object, rng: Rng) -> None:
    """A link to another file, to nowhere, or back to the root."""
    links = [h5py.ExternalLink("/etc/passwd", "/x"), h5py.ExternalLink("other.h5", "/layer"), h5py.SoftLink("/nowhere")]
    choice = int(rng.integers(5))
    if choice < 3:
        file[name] = links[choice]
    elif choice == 3:
        file[name] = file["/"]  # a hard link: the group holds itself
    else:
        file.create_dataset(name, (4,), dtype="i4", external=[("secret.bin", 0, 16)])


FORGERIES: tuple[Callable[[h5py.File, str, object, Rng], None], ...] = (
    forge_nothing, forge_extra, forge_values, forge_values, forge_shape, forge_type, forge_link,
)  # fmt: skip


def forge_onnx(path: Path, rng: Rng) -> None:
    """One field of a valid ONNX model changed, in place."""
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    node = graph.node[int(rng.integers(len(graph.node)))]
    tensor = graph.initializer[int(rng.integers(len(graph.initializer)))] if graph.initializer else onnx.TensorProto()
    names = [name for n in graph.node for name in (*n.input, *n.output)]
    choice = int(rng.integers(9))
    if choice == 0 and node.input:
        node.input[int(rng.integers(len(node.input)))] = str(rng.choice([*names, "", "nobody"]))
    elif choice == 1 and node.output:
        node.output[0] = str(rng.choice([*names, ""]))
    elif choice == 2:
        node.op_type = str(rng.choice(["Sigmoid", "Conv", "Gemm", "Relu", "Loop", "Add", "Reshape", "NoSuchOp"]))
    elif choice == 3 and node.attribute:
        attribute = node.attribute[int(rng.integers(len(node.attribute)))]
        attribute.i = int(rng.choice(HUGE))
        if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = int(rng.choice([*HUGE, -1]))
    elif choice == 4 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = int(rng.choice([*HUGE, -1]))
    elif choice == 5:
        tensor.data_type = int(rng.integers(0, 24))
    elif choice == 6:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = str(rng.choice(["/etc/passwd", "../secret.bin", "secret.bin", ""]))
        for key, text in (("location", place), ("offset", "0"), ("length", str(rng.choice(HUGE)))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, text
    elif choice == 7 and graph.input:
        dims = graph.input[0].type.tensor_type.shape.dim
        if dims:
            dims[int(rng.integers(len(dims)))].dim_value = int(rng.choice([*HUGE, -1]))
    else:
        del graph.node[int(rng.integers(len(graph.node)))]
    path.write_bytes(model.SerializeToString())


FORGERS: dict[str, Callable[[Path, Rng], None]] = {".net": forge_hdf5, ".nir": forge_hdf5, ".onnx": forge_onnx}


def mutate(path: Path, rng: Rng) -> None:
    """Damage a file in place: half of the time its bytes, else its structure; sometimes both."""
    structure = rng.random() < 0.5
    if structure:
        FORGERS[path.suffix](path, rng)
    if not structure or rng.random() < 0.1:
        mutate_bytes(path, rng)

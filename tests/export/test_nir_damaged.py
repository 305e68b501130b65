"""NIR files that are damaged, hostile or contradictory: one clear error, nothing followed, nothing large allocated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spikeport.export.floatgraph import FloatGraph
from spikeport.export.nir_read import read
from spikeport.export.nir_write import read_network, write
from spikeport.hw import (
    BadInput,
    Cuba,
    Dense,
    Network,
    Population,
    Readout,
    Source,
    SpikeportError,
    UnsupportedLayer,
    same,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A dense layer and its neurons, as snnTorch writes them."""
    full = lambda value: np.full(2, value, np.float32)  # noqa: E731
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": nir.Affine(np.ones((2, 3), np.float32), np.zeros(2, np.float32)),
        "lif": nir.LIF(full(1e-3), full(10.0), full(0.0), full(1.0), full(0.0)),
        "output": nir.Output({"output": np.array([2])}),
    }
    made = tmp_path / "net.nir"
    nir.write(made, nir.NIRGraph(nodes=nodes, edges=[("input", "fc"), ("fc", "lif"), ("lif", "output")]))
    read(made)
    return made


def edited(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replaced(field: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[field]
        file[field] = value

    return change


EDGES = "node/edges"
FC = "node/nodes/fc"


def edges(*pairs: tuple[str, str]) -> Callable[[h5py.File], None]:
    return replaced(EDGES, np.array(pairs, dtype=h5py.string_dtype()))


WHOLE = (("input", "fc"), ("fc", "lif"), ("lif", "output"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.pop("node"), "no group `node`"),
        (lambda f: f[EDGES.rsplit("/", 1)[0]].pop("edges"), "edges is missing"),
        (edges(*WHOLE, ("lif", "nowhere")), "names 'nowhere'"),
        (edges(*WHOLE, ("fc", "lif")), "is there twice"),
        (edges(("input", "fc"), ("lif", "output")), "no path leads from input to output"),
        (lambda f: f[FC].pop("weight"), "weight is missing"),
        (replaced(f"{FC}/weight", np.full((2, 3), np.nan)), "NaN or infinity"),
        (replaced(f"{FC}/weight", np.ones((2, 4))), "4"),
        (replaced(f"{FC}/weight", "text"), "expected integers or floats"),
        (replaced(f"{FC}/bias", np.ones(3)), r"bias: found shape \(3,\)"),
        (replaced("node/nodes/lif/tau", np.full(2, -1e-3)), "found -0.001, expected a positive time constant"),
        (replaced("node/nodes/lif/v_threshold", np.ones(5)), r"shape \(5,\)"),
        (replaced("node/nodes/lif/v_threshold", np.zeros(2)), "would fire for ever"),
        (replaced("node/nodes/input/shape", np.array([0])), "positive sizes"),
        (replaced("node/nodes/input/shape", np.array([2**30, 3])), "positive sizes"),
        (replaced("node/type", "LIF"), "expected a NIRGraph"),
    ],
)
def test_a_damaged_field_is_named(path: Path, change: Callable[[h5py.File], None], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(edited(path, change), framework="snntorch")


def test_an_unknown_node_is_refused_by_name(path: Path) -> None:
    with pytest.raises(UnsupportedLayer, match="no rule for Izhikevich nodes"):
        read(edited(path, replaced("node/nodes/lif/type", "Izhikevich")), framework="snntorch")


def test_links_out_of_the_file_are_not_followed(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["weight"] = np.ones((2, 3))

    def soft(file: h5py.File) -> None:
        del file[f"{FC}/weight"]
        file[f"{FC}/weight"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/weight")

    with pytest.raises(BadInput, match="a link"):
        read(edited(path, soft))


def test_data_kept_in_another_file_are_not_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(np.ones(6).tobytes())

    def external(file: h5py.File) -> None:
        del file[f"{FC}/weight"]
        file[FC].create_dataset("weight", (2, 3), "<f8", external=[(str(tmp_path / "raw.bin"), 0, 48)])

    with pytest.raises(BadInput, match="data kept in another file"):
        read(edited(path, external))


def test_a_forged_shape_is_not_allocated(path: Path) -> None:
    def forged(file: h5py.File) -> None:
        del file[f"{FC}/weight"]
        file[FC].create_dataset("weight", (1 << 13, 1 << 13), "<f8", chunks=(64, 64))

    with pytest.raises(BadInput, match="in 0 bytes"):
        read(edited(path, forged))


def test_edges_without_end_are_not_allocated(path: Path) -> None:
    def forged(file: h5py.File) -> None:
        del file[EDGES]
        file["node"].create_dataset("edges", (1 << 40, 2), h5py.string_dtype(), chunks=(64, 2))

    with pytest.raises(BadInput, match="n at most"):
        read(edited(path, forged))


def test_graphs_within_graphs_end(path: Path) -> None:
    def nested(file: h5py.File) -> None:
        group = file["node/nodes"]
        for _ in range(12):
            group = group.create_group("g")
            group["type"] = "NIRGraph"
            group["edges"] = np.zeros((0,), dtype="S1")
            group = group.create_group("nodes")

    with pytest.raises(BadInput, match="more than 8 deep"):
        read(edited(path, nested))


def test_a_group_that_holds_itself_ends(path: Path) -> None:
    def cyclic(file: h5py.File) -> None:
        file["node/nodes/again"] = file["node"]

    with pytest.raises(BadInput, match="more than 8 deep"):
        read(edited(path, cyclic))


@pytest.mark.parametrize("content", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_other_files_are_not_nir(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.nir").write_bytes(content)
    with pytest.raises(BadInput, match="HDF5 file"):
        read(tmp_path / "x.nir")


def test_a_heap_of_strings_that_would_not_end_is_refused(path: Path) -> None:
    # The library walks a heap object by object; 16 bytes of header, then the first object's index and its length.
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL\x01")
    content[at + 24 : at + 32] = (2**64 - 24).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(BadInput, match=f"the strings at byte {at} cannot be read"):
        read(path)


def test_a_string_longer_than_the_file_is_not_allocated(path: Path) -> None:
    with h5py.File(path) as file:
        at = file["node/type"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[at : at + 4] = (2**32 - 1).to_bytes(4, "little")  # the reference begins with the length
    path.write_bytes(content)
    with pytest.raises(BadInput, match="references to no string"):
        read(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        read(tmp_path / "none.nir")


OURS = Network(
    populations=(
        Population(name="in", shape=(2,), neuron=Source()),
        Population(name="n", shape=(2,), neuron=Cuba(v_th_mant=9, v_decay=40, bias_mant=np.array([1, 2]))),
    ),
    connections=(Dense(source="in", target="n", weight=np.array([[2, -4], [6, 8]])),),
    readout=Readout(population="n", kind="spike_count"),
    n_steps=4,
)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file of ours."""
    path = tmp_path_factory.mktemp("ours") / "net.nir"
    write(OURS, path)
    return path.read_bytes()


def outcome(reader: Callable[[Path], object], path: Path) -> object:
    """What a reader gives, or its error's words."""
    try:
        return reader(path)
    except SpikeportError as error:
        return str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_end_in_a_clear_error_or_the_same_network(
    tmp_path: Path, content: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.nir"
    path.write_bytes(bytes(damaged))
    found = outcome(read_network, path)
    assert str(path) in found if isinstance(found, str) else same(found, OURS)  # pyright: ignore
    found = outcome(read, path)
    assert isinstance(found, FloatGraph) or str(path) in str(found)

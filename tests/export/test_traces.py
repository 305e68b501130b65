"""Recorded traces: what is written is read, and what is not of the layout is refused by name."""

from __future__ import annotations

import io
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.export import traces
from spikeport.export.traces import Recording
from spikeport.hw import BadInput


def recording(**changes) -> Recording:
    rng = np.random.default_rng(0)
    values = {
        "a": {"u": rng.integers(-9, 9, (4, 2, 3)), "spikes": rng.integers(0, 2, (4, 2, 3)).astype(np.uint8)},
        "b.1": {"v": rng.integers(-9, 9, (4, 2, 1, 2, 2)).astype(np.int32)},
    }
    return Recording(where="here", inputs=rng.integers(0, 8, (2, 5)), values=values | changes)


def same(a: Recording, b: Recording) -> bool:
    flat = [{f"{n}.{q}": x for n, qs in r.values.items() for q, x in qs.items()} | {"inputs": r.inputs} for r in (a, b)]
    return flat[0].keys() == flat[1].keys() and all(np.array_equal(flat[0][k], flat[1][k]) for k in flat[0])


def test_a_trace_reads_back_as_it_was_written(tmp_path):
    traces.write(recording(), tmp_path / "t.npz")
    found = traces.read(tmp_path / "t.npz")
    assert same(found, recording())
    assert found.values["a"]["spikes"].dtype == np.uint8
    assert found.n_samples == 2
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


def test_a_trace_written_by_numpy_alone_is_read(tmp_path):
    np.savez(tmp_path / "t.npz", **{"conv1.spikes": np.ones((4, 2, 3), bool)})
    found = traces.read(tmp_path / "t.npz")
    assert found.inputs is None
    assert found.values["conv1"]["spikes"].shape == (4, 2, 3)


def test_hdf5_holds_the_same_in_groups(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["inputs"] = recording().inputs
        for name, quantities in recording().values.items():
            for quantity, values in quantities.items():
                file[f"{name}/{quantity}"] = values
    assert same(traces.read(tmp_path / "t.h5"), recording())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": np.zeros((4, 2, 3), int)}, "'a' is not of a trace's layout"),
        ({"a.w": np.zeros((4, 2, 3), int)}, "'a.w' is not of a trace's layout"),
        ({"a.u": np.zeros((4, 2, 3))}, "dtype float64, expected integers"),
        ({"a.u": np.array([None])}, "dtype object, expected integers"),
        ({"a.u": np.zeros((4, 2, 3), int), "a.v": np.zeros((4, 3, 3), int)}, r"\(4, 3\), but a.u has \(4, 2\)"),
        ({"a.u": np.zeros(4, int)}, r"a.u has no \(T, B\) axes"),
        ({"a.u": np.zeros((0, 2), int)}, "with a timestep and a sample"),
        ({"inputs": np.zeros((2, 3), int)}, "no population was recorded"),
    ],
)
def test_what_is_not_of_the_layout_is_named(tmp_path, content, message):
    np.savez(tmp_path / "t.npz", **content)
    with pytest.raises(BadInput, match=message):
        traces.read(tmp_path / "t.npz")


def test_a_forged_shape_is_refused_before_anything_is_allocated(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (1 << 40, 1)})
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("a.u.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(BadInput, match="the file holds 64; it is damaged"):
        traces.read(tmp_path / "t.npz")


@pytest.mark.parametrize("header", [b"{'descr': '<i8', (", b"{'descr'", b"[" * 500, b"\xff"])
def test_a_header_that_is_no_header_is_refused(tmp_path, header):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("a.u.npy", content)
    with pytest.raises(BadInput, match=r"t\.npz: not a readable \.npz file"):
        traces.read(tmp_path / "t.npz")


def test_data_in_another_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["a/u"] = np.zeros((2, 2, 2), int)
        file["a/v"] = h5py.ExternalLink("other.h5", "/v")
    with pytest.raises(BadInput, match="found a link"):
        traces.read(tmp_path / "t.h5")


@pytest.mark.parametrize(("name", "message"), [("t.csv", "found the suffix '.csv'"), ("t", r"suffix '\(none\)'")])
def test_another_suffix_is_refused(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=message):
        traces.read(tmp_path / name)
    with pytest.raises(BadInput, match=r"written as \.npz"):
        traces.write(recording(), tmp_path / name)


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(BadInput, match="there is no such file"):
        traces.read(tmp_path / "t.npz")
    with pytest.raises(BadInput, match="does not exist; create it"):
        traces.write(recording(), tmp_path / "no" / "t.npz")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_trace_is_refused_or_read_whole(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("trace") / "t.npz"
    traces.write(recording(), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = traces.read(path)
    except BadInput:
        return
    # A flip in a part of the archive that no array depends on, or in a member's name.
    assert all(array.shape[:2] == (4, 2) for q in found.values.values() for array in q.values())

"""Damaged, forged and hostile ONNX files: a clear error or a correct result, and nothing outside the file's folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from spikeport.export import onnx_file
from spikeport.export.floatgraph_shapes import shapes
from spikeport.export.onnx_read import read
from spikeport.hw import BadInput, SpikeportError

from .onnx_nets import Vgg as Net
from .onnx_nets import exported, model, node, randomized, weights

FUZZ = settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> Path:
    return exported(randomized(Net()), tmp_path_factory.mktemp("onnx") / "net.onnx", do_constant_folding=False)


def read_or_refused(path: Path) -> bool:
    """Whether the file was read, into a graph whose every node has a shape; other errors than ours come through."""
    try:
        graph = read(path)
    except SpikeportError:
        return False
    assert all(min(shape) > 0 for shape in shapes(graph).values())
    return True


@FUZZ
@given(st.data())
def test_flipped_bytes_are_read_or_refused(intact, tmp_path, data):
    content = bytearray(intact.read_bytes())
    places = data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4))
    for place in places:
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "flipped.onnx"
    path.write_bytes(content)
    read_or_refused(path)


@FUZZ
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(intact, tmp_path, share):
    content = intact.read_bytes()
    path = tmp_path / "short.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    assert not read_or_refused(path)


NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 2**31, 2**63 - 1, -(2**63), 10**6])


@FUZZ
@given(st.data())
def test_forged_numbers_are_read_or_refused(intact, tmp_path, data):
    made = onnx.load(intact)
    holders = [a.ints for n in made.graph.node for a in n.attribute if a.ints]
    holders += [t.dims for t in made.graph.initializer if t.dims]
    holders = [holder for holder in holders if len(holder)]
    for _ in range(data.draw(st.integers(1, 3))):
        holder = data.draw(st.sampled_from(holders))
        holder[data.draw(st.integers(0, len(holder) - 1))] = data.draw(NUMBERS)
    path = tmp_path / "forged.onnx"
    path.write_bytes(made.SerializeToString())
    read_or_refused(path)


@FUZZ
@given(st.data())
def test_rewired_graphs_are_read_or_refused(intact, tmp_path, data):
    made = onnx.load(intact)
    names = [name for n in made.graph.node for name in n.output] + [t.name for t in made.graph.initializer] + [""]
    for _ in range(data.draw(st.integers(1, 3))):
        changed = data.draw(st.sampled_from([n for n in made.graph.node if n.input]))
        changed.input[data.draw(st.integers(0, len(changed.input) - 1))] = data.draw(st.sampled_from(names))
    path = tmp_path / "rewired.onnx"
    path.write_bytes(made.SerializeToString())
    read_or_refused(path)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model at all", b"\x08\x07"])
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"not an ONNX model|holds no graph"):
        read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read(tmp_path / "none.onnx")


def test_a_file_beyond_the_limit_is_not_opened(tmp_path, monkeypatch):
    path = model(tmp_path / "m.onnx", [node("Relu", "x")])
    monkeypatch.setattr(onnx_file, "FILE_MAX", 10)
    with pytest.raises(BadInput, match="at most 10 are read"):
        read(path)


def test_a_graph_of_too_many_nodes_is_refused(tmp_path):
    nodes = [node("Relu", "x" if i == 0 else f"h{i}", f"h{i + 1}") for i in range(onnx_file.NODES_MAX + 1)]
    with pytest.raises(BadInput, match="at most 10000 are read"):
        read(model(tmp_path / "m.onnx", nodes, output="h1"))


def changed(path: Path, change) -> Path:
    made = onnx.load(path, load_external_data=False)
    change(made)
    path.write_bytes(made.SerializeToString())
    return path


def convolution(tmp_path: Path) -> Path:
    return model(tmp_path / "m.onnx", [node("Conv", "x w", strides=[2, 2])], {"w": weights(3, 2, 3, 3)})


def test_a_tensor_larger_than_its_data_is_refused_without_allocating(tmp_path):
    def forge(made: onnx.ModelProto) -> None:
        made.graph.initializer[0].dims[:] = [1 << 13, 1 << 13, 1, 1]

    with pytest.raises(BadInput, match=r"needs 268435456 bytes and has 216"):
        read(changed(convolution(tmp_path), forge))


@pytest.mark.parametrize("dims", [[2**40, 2**40], [-1, 54], [2**62, 4, 1, 1]])
def test_a_tensor_of_impossible_size_is_refused(tmp_path, dims):
    def forge(made: onnx.ModelProto) -> None:
        made.graph.initializer[0].dims[:] = dims

    with pytest.raises(BadInput, match="sizes are 0 or more and at most"):
        read(changed(convolution(tmp_path), forge))


def test_a_constant_filled_beyond_the_limit_is_refused(tmp_path):
    nodes = [node("ConstantOfShape", "s", "c"), node("Add", "x c")]
    with pytest.raises(BadInput, match="makes a constant of shape"):
        read(model(tmp_path / "m.onnx", nodes, {"s": np.array([10**5, 10**5])}))


def test_a_misspelt_attribute_is_refused_instead_of_a_silent_default(tmp_path):
    def forge(made: onnx.ModelProto) -> None:
        made.graph.node[0].attribute[0].name = "stridez"

    with pytest.raises(BadInput, match=r"attribute 'stridez' is unknown.*strides"):
        read(changed(convolution(tmp_path), forge))


def test_a_kernel_shape_that_contradicts_the_weight_is_refused(tmp_path):
    nodes = [node("Conv", "x w", kernel_shape=[5, 5])]
    with pytest.raises(BadInput, match="kernel_shape contradicts"):
        read(model(tmp_path / "m.onnx", nodes, {"w": weights(3, 2, 3, 3)}))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    with pytest.raises(BadInput, match="NaN or infinity"):
        read(model(tmp_path / "m.onnx", [node("Conv", "x w")], {"w": np.full((3, 2, 1, 1), value, np.float32)}))


def test_a_graph_with_a_loop_is_refused(tmp_path):
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b")]
    with pytest.raises(BadInput, match=r"reads 'b', which nothing before it writes; the graph has a loop"):
        read(model(tmp_path / "m.onnx", nodes, output="b"))


def test_a_tensor_written_twice_is_refused(tmp_path):
    nodes = [node("Relu", "x", "h"), node("Relu", "h", "h"), node("Relu", "h")]
    with pytest.raises(BadInput, match="'h' is written twice"):
        read(model(tmp_path / "m.onnx", nodes))


def test_names_that_are_no_text_are_refused(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Relu", "x", "hidden"), node("Relu", "hidden")])
    path.write_bytes(path.read_bytes().replace(b"hidden", b"h\xff\xfe\xffen"))
    with pytest.raises(BadInput, match="a name in it is no text"):
        read(path)


def external(tmp_path: Path, location: str, *, offset: int | None = None, length: int | None = None) -> Path:
    """A model in a folder of its own whose weight lies in `location`."""
    folder = tmp_path / "model"
    folder.mkdir()

    def forge(made: onnx.ModelProto) -> None:
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            if value is not None:
                tensor.external_data.add(key=key, value=str(value))

    return changed(convolution(folder), forge)


DATA = weights(3, 2, 3, 3)


def test_external_data_beside_the_file_are_read(tmp_path):
    path = external(tmp_path, "w.bin", offset=8, length=DATA.nbytes)
    (path.parent / "w.bin").write_bytes(b"\0" * 8 + DATA.tobytes())
    np.testing.assert_array_equal(read(path)["conv"].op.weight, DATA)


@pytest.mark.parametrize("where", ["../w.bin", "sub/../../w.bin", "absolute", "link", "folder link"])
def test_external_data_outside_the_folder_are_not_followed(tmp_path, where):
    outside = tmp_path / "w.bin"
    outside.write_bytes(DATA.tobytes())
    location = {"absolute": str(outside), "link": "w.bin", "folder link": "up/w.bin"}.get(where, where)
    path = external(tmp_path, location)
    (path.parent / "sub").mkdir()
    if where == "link":
        (path.parent / "w.bin").symlink_to(outside)
    if where == "folder link":
        (path.parent / "up").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BadInput, match="lies outside the model's folder"):
        read(path)


@pytest.mark.parametrize(
    ("given_offset", "length", "message"),
    [
        (-8, None, "do not belong together"),
        (8, None, "do not belong together"),
        (0, 2**62, "do not belong together"),
        (2**63, None, "do not belong together"),
    ],
)
def test_external_data_of_another_size_are_refused(tmp_path, given_offset, length, message):
    path = external(tmp_path, "w.bin", offset=given_offset, length=length)
    (path.parent / "w.bin").write_bytes(DATA.tobytes())
    with pytest.raises(BadInput, match=message):
        read(path)


def test_a_pipe_as_external_data_does_not_block(tmp_path):
    path = external(tmp_path, "w.bin")
    os.mkfifo(path.parent / "w.bin")
    with pytest.raises(BadInput, match="is missing"):
        read(path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_type_is_read_from_both_kinds_of_fields(tmp_path, dtype):
    values = DATA.astype(dtype)
    raw = model(tmp_path / "raw.onnx", [node("Conv", "x w")], {"w": values})
    np.testing.assert_array_equal(read(raw)["conv"].op.weight, values.astype(float))

    def typed(made: onnx.ModelProto) -> None:
        kind = made.graph.initializer[0].data_type
        made.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("w", kind, values.shape, values.ravel()))

    np.testing.assert_array_equal(read(changed(raw, typed))["conv"].op.weight, values.astype(float))


def test_bfloat16_is_widened(tmp_path):
    path = convolution(tmp_path)

    def half(made: onnx.ModelProto) -> None:
        tensor = made.graph.initializer[0]
        bits = (np.asarray(numpy_helper.to_array(tensor)).view("<u4") >> 16).astype("<u2")
        tensor.data_type, tensor.raw_data = TensorProto.BFLOAT16, bits.tobytes()

    wanted = (DATA.view("<u4") >> 16 << 16).view("<f4")
    np.testing.assert_array_equal(read(changed(path, half))["conv"].op.weight, wanted)

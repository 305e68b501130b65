from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from spikeport.export.floatgraph import Affine, Conv, Flatten, GlobalAverage, Linear, Pool, Relu
from spikeport.export.onnx_read import read, survey
from spikeport.hw import BadInput, UnsupportedLayer
from spikeport.pipeline.adopt.evaluate import evaluate
from spikeport.pipeline.adopt.fold import fold

from .onnx_nets import ResNet, Vgg, exported, model, node, randomized, weights

DYNAMIC = {"input_names": ["image"], "dynamic_axes": {"image": {0: "n"}}}


def agreement(path, x: torch.Tensor) -> tuple[float, float]:
    """Largest difference of the graph from onnx's own reference, and of the folded graph from the graph."""
    given = read(path)
    reference = ReferenceEvaluator(str(path))
    wanted = reference.run(None, {reference.input_names[0]: x.numpy()})[0]
    found = evaluate(given, x)[given.output]
    folded = fold(given)
    again = evaluate(folded, x)[folded.units[-1].name]
    scale = max(float(np.abs(wanted).max()), 1e-9)
    one = np.abs(found.numpy().reshape(wanted.shape) - wanted).max() / scale
    return float(one), float((again.flatten(1) - found.flatten(1)).abs().max()) / scale


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("net", [ResNet, Vgg])
@pytest.mark.parametrize("options", [{}, DYNAMIC, {"do_constant_folding": False}], ids=["fixed", "dynamic", "unfolded"])
def test_what_torch_writes_computes_what_torch_computes(tmp_path, net, opset, options):
    module = randomized(net())
    path = exported(module, tmp_path / "net.onnx", opset_version=opset, **options)
    x = torch.randn(2, 3, 8, 8)
    given = read(path)
    with torch.no_grad():
        wanted = module(x)
    torch.testing.assert_close(evaluate(given, x)[given.output].float(), wanted, rtol=1e-4, atol=1e-5)
    reference, folded = agreement(path, x)
    assert folded < 1e-9
    if opset >= 15:  # onnx's own reference mixes the batch's statistics into batch norms of older operator sets
        assert reference < 1e-5


def test_batch_norms_that_the_exporter_left_are_read(tmp_path):
    training = torch.onnx.TrainingMode.PRESERVE
    path = exported(randomized(ResNet()), tmp_path / "net.onnx", training=training, do_constant_folding=False)
    kinds = [type(n.op) for n in read(path).nodes]
    assert kinds.count(Affine) == 6  # the stem, four in the blocks, one in the projection


@pytest.mark.slow
@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("net", [ResNet, Vgg])
def test_the_dynamo_exporters_files_are_read_with_their_source_lines(tmp_path, net, optimize):
    module = randomized(net())
    dynamic = {"x": {0: torch.export.Dim("n")}}
    path = exported(module, tmp_path / "net.onnx", dynamo=True, optimize=optimize, dynamic_shapes=dynamic)
    reference, folded = agreement(path, torch.randn(2, 3, 8, 8))
    assert reference < 1e-5
    assert folded < 1e-9
    given = read(path)
    assert given[given.output].where.endswith("(Gemm), onnx_nets.py:" + given[given.output].where.rsplit(":", 1)[1])


CASES = {
    "gemm without transB": ([node("Gemm", "x w b", alpha=0.5, beta=2.0)], {"w": weights(4, 3), "b": weights(3)}, 4),
    "gemm with a row of bias": ([node("Gemm", "x w b", transB=1)], {"w": weights(3, 4), "b": weights(1, 3)}, 4),
    "matmul and add": ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": weights(4, 3), "b": weights(3)}, 4),
    "constant first": ([node("Sub", "c x")], {"c": weights(4)}, 4),
    "scaling": ([node("Mul", "x c", "h"), node("Div", "h d")], {"c": weights(4), "d": np.float32(3)}, 4),
    "per channel": ([node("Add", "x c")], {"c": weights(2, 1, 1)}, None),
    "same upper": ([node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])], {"w": weights(3, 2, 3, 2)}, None),
    "same lower": ([node("Conv", "x w", auto_pad="SAME_LOWER")], {"w": weights(3, 2, 2, 2)}, None),
    "valid": ([node("Conv", "x w", auto_pad="VALID")], {"w": weights(3, 2, 2, 2)}, None),
    "uneven pads": ([node("Conv", "x w", pads=[0, 2, 1, 0])], {"w": weights(3, 2, 2, 3)}, None),
    "padded by a node": (
        [node("Pad", "x p", "h"), node("Conv", "h w")],
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": weights(3, 2, 3, 3)},
        None,
    ),
    "padded pool": ([node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)], {}, None),
    "ceil that fits": ([node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}, None),
    "global average": ([node("GlobalAveragePool", "x", "h"), node("Flatten", "h")], {}, None),
    "squeezed": ([node("GlobalAveragePool", "x", "h"), node("Squeeze", "h a")], {"a": np.array([2, -1])}, None),
    "convolved mean": (
        [node("ReduceMean", "x", "h", axes=[2, 3]), node("Conv", "h w")],
        {"w": weights(3, 2, 1, 1)},
        None,
    ),
    "clip": ([node("Clip", "x low high")], {"low": np.float32(0), "high": np.float32(0.5)}, None),
    "kept axes": ([node("Reshape", "x s")], {"s": np.array([0, -1])}, None),
    "sum of three": ([node("Relu", "x", "h"), node("Sum", "x h x")], {}, None),
    "half precision": ([node("Gemm", "x h"), node("Cast", "w", "h", to=1)][::-1], {"w": weights(4, 3).astype("f2")}, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_operations_equal_onnx_reference(tmp_path, name):
    nodes, constants, size = CASES[name]
    shape = ("n", 2, 6, 6) if size is None else ("n", size)
    path = model(tmp_path / "m.onnx", nodes, constants, shape=shape)
    x = torch.randn(3, *shape[1:])
    if name in ("scaling", "constant first", "per channel", "clip", "kept axes", "ceil that fits", "sum of three"):
        given = read(path)  # folding would make a linear output of it, which is another test's matter
        reference = ReferenceEvaluator(str(path)).run(None, {"x": x.numpy()})[0]
        np.testing.assert_allclose(evaluate(given, x)[given.output].numpy(), reference, rtol=1e-5, atol=1e-6)
    else:
        assert agreement(path, x)[0] < 1e-5


def test_a_shape_computed_from_the_input_flattens(tmp_path):
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n first", "n1"),
        node("Concat", "n1 rest", "t", axis=0),
        node("Reshape", "x t"),
    ]
    constants = {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1])}
    given = read(model(tmp_path / "m.onnx", nodes, constants))
    assert isinstance(given[given.output].op, Flatten)


def test_names_and_places_are_the_files(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Relu", "x", "h"), node("Flatten", "h")])
    given = read(path)
    assert [(n.name, n.where) for n in given.nodes[1:]] == [
        ("relu", "m.onnx: node 'relu' (Relu)"),
        ("flatten", "m.onnx: node 'flatten' (Flatten)"),
    ]


def test_two_nodes_of_one_name_stay_apart(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Relu", "x", "h"), node("Relu", "h")])
    assert [n.name for n in read(path).nodes] == ["x", "relu", "relu_2"]


def test_a_softmax_at_the_output_is_left_out_and_said_so(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Flatten", "x", "h"), node("Softmax", "h")])
    given = read(path)
    assert given.output == "flatten"
    assert given.assumed == (
        "m.onnx: node 'softmax' (Softmax): the Softmax at the output is left out; the largest value stays the largest",
    )


def test_weights_are_float64_in_torch_layout(tmp_path):
    w = weights(4, 3)
    op = read(model(tmp_path / "m.onnx", [node("MatMul", "x w")], {"w": w}, shape=("n", 4)))["matmul"].op
    assert isinstance(op, Linear)
    assert op.weight.dtype == np.float64
    np.testing.assert_array_equal(op.weight, w.T)


def test_nodes_the_output_does_not_need_are_not_looked_at(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Sigmoid", "x", "z"), node("Relu", "x")])
    assert [type(n.op) for n in read(path).nodes[1:]] == [Relu]


REFUSED = {
    "sigmoid": ([node("Sigmoid", "x")], "saturates along a curve.*use ReLU"),
    "softmax inside": ([node("Softmax", "x", "h"), node("Relu", "h")], "divides by a sum over all channels"),
    "gate": ([node("Relu", "x", "h"), node("Mul", "x h")], "multiplies two activations"),
    "concat": ([node("Concat", "x x", axis=1)], "joins several layers"),
    "transpose": ([node("Transpose", "x", perm=[0, 2, 3, 1])], "reorders axes.*channels first"),
    "uncounted padding": ([node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4)], "count_include_pad"),
    "ceil": ([node("MaxPool", "x", kernel_shape=[4, 4], strides=[4, 4], ceil_mode=1)], "ceil_mode"),
    "clip below zero": ([node("Clip", "x")], r"limits its input to -inf\.\.inf"),
    "mean over channels": ([node("ReduceMean", "x", axes=[1])], r"averages \(2, 6, 6\) over axes \(1,\)"),
    "reshape": ([node("Reshape", "x s")], r"reshapes \(2, 6, 6\) to \(6, 12\); only flattening"),
    "merged batch": ([node("Reshape", "x t")], "does not keep each sample by itself"),
    "padded relu": ([node("Pad", "x p", "h"), node("Relu", "h")], "reads a padded map"),
    "matrix on a map": ([node("MatMul", "x w")], r"a matrix to the last axis of \(2, 6, 6\).*flatten first"),
    "bias per position": ([node("Add", "x b")], "differs from position to position"),
    "custom": ([node("Thing", "x", domain="com.me")], "belongs to the domain 'com.me'"),
    "lstm": ([node("LSTM", "x w w", hidden_size=3)], "has a memory of its own.*NIR"),
    "unheard of": ([node("Celu2", "x")], "there is no rule for Celu2; build it from convolutions"),
}
CONSTANTS = {
    "s": np.array([-1, 6, 12]),
    "t": np.array([-1, 36]),
    "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "w": weights(6, 6),
    "b": weights(6),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_without_a_rule_is_refused_by_name_with_a_way_out(tmp_path, name):
    nodes, message = REFUSED[name]
    with pytest.raises(UnsupportedLayer, match=message) as refusal:
        read(model(tmp_path / "m.onnx", nodes, CONSTANTS))
    named = {f"m.onnx: node '{n.name}' ({n.op_type}): " for n in nodes}
    assert any(str(refusal.value).startswith(start) for start in named)


def test_all_operations_without_a_rule_are_named_at_once(tmp_path):
    nodes = [
        node("Sigmoid", "x", "a"),
        node("Relu", "a", "b"),
        node("LeakyRelu", "b", "c"),
        node("Conv", "c w", "d"),
        node("Tanh", "d"),
    ]
    path = model(tmp_path / "m.onnx", nodes, {"w": weights(3, 2, 3, 3)})
    found = survey(path)
    assert [problem.node for problem in found.problems] == ["sigmoid", "leakyrelu", "tanh"]
    assert [problem.position for problem in found.problems] == [1, 3, 5]
    assert found.graph is not None
    assert isinstance(found.graph["conv"].op, Conv)
    with pytest.raises(UnsupportedLayer) as refusal:
        read(path)
    assert len(str(refusal.value).splitlines()) == 3


def test_what_no_longer_fits_behind_an_unknown_operation_is_not_blamed(tmp_path):
    nodes = [node("Transpose", "x", "h", perm=[0, 2, 3, 1]), node("Conv", "h w")]
    found = survey(model(tmp_path / "m.onnx", nodes, {"w": weights(3, 6, 1, 1)}))
    assert [problem.node for problem in found.problems] == ["transpose"]


@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        (("n", 2, "h", 6), None, r"its shape \(2, \?, 6\) is open; give input_shape"),
        (("n", 2, 6, 6), (3, 6, 6), r"its shape is \(2, 6, 6\), not \(3, 6, 6\)"),
        (("n", 0, 6, 6), None, "every size must be 1 or more"),
        (("n", -2, 6, 6), None, "every size must be 1 or more"),
        (("n", 2, 6), None, r"give \(C, H, W\) or \(F,\)"),
        (("n", 2, 10**9, 10**9), None, "values per sample"),
    ],
)
def test_an_input_shape_that_cannot_be_is_refused(tmp_path, shape, given, message):
    with pytest.raises(BadInput, match=message):
        read(model(tmp_path / "m.onnx", [node("Relu", "x")], shape=shape), given)


def test_an_open_input_shape_is_taken_from_the_argument(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Relu", "x")], shape=("n", 2, "h", "w"))
    assert read(path, (2, 5, 7)).source.op.shape == (2, 5, 7)


def test_a_pool_over_the_whole_map_keeps_its_axes_for_a_convolution(tmp_path):
    path = model(tmp_path / "m.onnx", [node("GlobalAveragePool", "x")])
    assert read(path)["globalaveragepool"].op == Pool(kind="average", kernel=(6, 6), stride=(6, 6))
    axes = [node("ReduceMean", "x", axes=[-1, -2], keepdims=0)]
    assert read(model(tmp_path / "m.onnx", axes))["reducemean"].op == GlobalAverage()


def test_reading_needs_one_output(tmp_path):
    path = model(tmp_path / "m.onnx", [node("Relu", "x")])
    made = onnx.load(path)
    made.graph.output.append(made.graph.output[0])
    path.write_bytes(made.SerializeToString())
    with pytest.raises(BadInput, match="it has 2 outputs"):
        read(path)

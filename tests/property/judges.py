"""What came of reading a damaged file: refused with a clear error, read rightly, or what must never happen.

"Rightly" is judged by a second, naive reading of the same bytes: h5py or onnx alone, without checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from spikeport import hw
from spikeport.export import floatgraph, netx, nir_read, onnx_read
from spikeport.pipeline.adopt.evaluate import evaluate

REFUSED, SAME, OTHER, WRONG = "refused", "unchanged", "read as changed", "wrong silence"
N_STEPS = 4
DT_S = 1e-3


def judge(path: Path, intact: Any) -> str:
    """Read `path` and say what came of it. intact: what `read` gave for the undamaged file.

    Any exception but the package's own comes through: it is a crash.
    """
    try:
        found = READERS[path.suffix](path)
    except hw.SpikeportError as error:
        if not re.search(r"\w.{10,}", str(error)):
            raise AssertionError(f"an error that says nothing: {error!r}") from error
        return REFUSED
    if summary(found) == summary(intact):
        return SAME
    return OTHER if NAIVE[path.suffix](path, found) else WRONG


def read(path: Path) -> Any:
    """An undamaged file."""
    return READERS[path.suffix](path)


READERS: dict[str, Callable[[Path], Any]] = {
    ".net": lambda path: netx.read(path, n_steps=N_STEPS),
    ".nir": lambda path: nir_read.read(path, n_steps=N_STEPS, dt_s=DT_S),
    ".onnx": lambda path: onnx_read.read(path),
}


def summary(value: Any) -> Any:
    """Everything that decides what a network computes, comparable with ==."""
    if isinstance(value, hw.Network):
        return value.fingerprint()
    return [
        (node.name, type(node.op).__name__, node.inputs, [_plain(field) for field in vars(node.op).values()])
        for node in value.nodes
    ]


def _plain(value: Any) -> Any:
    return (value.shape, value.tolist()) if isinstance(value, np.ndarray) else value


def naive_net(path: Path, network: hw.Network) -> bool:
    """Whether weights, biases and neuron parameters are the file's, cut towards zero as netx does."""
    computing = [(p, n) for p, n in network.neurons if not _is_input_neuron(network, p)]
    with h5py.File(path) as file:
        layers = [file["layer"][str(i)] for i in range(len(file["layer"]))]
        layers = [layer for layer in layers if "weight" in layer and _text(layer["type"]) != "input"]
        if len(layers) != len(computing):
            return False
        return all(_same_layer(network, p, n, layer) for (p, n), layer in zip(computing, layers, strict=True))


def _is_input_neuron(network: hw.Network, population: hw.Population) -> bool:
    return isinstance(network.incoming(population.name)[0], hw.OneToOne)


def _same_layer(network: hw.Network, population: hw.Population, neuron: hw.Cuba, layer: h5py.Group) -> bool:
    forward = next(c for c in network.incoming(population.name) if c.source != population.name)
    weight = np.asarray(layer["weight"][()]).astype(np.int64)
    same = np.array_equal(weight.reshape(-1), forward.weight.reshape(-1))
    for recurrent in network.recurrent(population.name):
        same &= np.array_equal(np.asarray(layer["weight_rec"][()]).astype(np.int64), recurrent.weight)
    bias = np.zeros(population.shape, np.int64)
    if "bias" in layer:
        given = np.asarray(layer["bias"][()]).astype(np.int64)
        bias += given.reshape(-1, 1, 1) if given.ndim == 1 and bias.ndim == 3 else given.T
    same &= np.array_equal(neuron.bias_over(population.shape), bias)
    if "neuron" in layer:
        stored = [int(np.asarray(layer["neuron"][key][()]).reshape(-1)[0]) for key in ("vThMant", "iDecay", "vDecay")]
        same &= stored == [neuron.v_th_mant, neuron.i_decay, neuron.v_decay]
    return bool(same)


def _text(dataset: h5py.Dataset) -> str:
    value = np.asarray(dataset[()]).reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def naive_nir(path: Path, graph: floatgraph.FloatGraph) -> bool:
    """Whether every weight of the graph is that of the file's node of the same name."""
    weighted = [(n.name, n.op.weight) for n in graph.nodes if isinstance(n.op, floatgraph.Conv | floatgraph.Linear)]
    with h5py.File(path) as file:
        return all(_equal(weight, np.asarray(file[f"node/nodes/{name}/weight"][()])) for name, weight in weighted)


def naive_onnx(path: Path, graph: floatgraph.FloatGraph) -> bool:
    """Whether every weight of the graph is an initializer or constant of the model, perhaps transposed.

    Where one is not (uneven padding grows a kernel), whether onnx's own evaluator gives the same outputs.
    """
    model = onnx.load(path, load_external_data=False).graph
    tensors = [*model.initializer, *(a.t for node in model.node for a in node.attribute if a.name == "value")]
    stored = [numpy_helper.to_array(tensor, str(path.parent)) for tensor in tensors if tensor.dims]
    stored += [array.T for array in stored if array.ndim == 2]
    if all(any(_equal(weight, other) for other in stored) for weight in _weights(graph)):
        return True
    shape = graph.source.op.shape
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    theirs = ReferenceEvaluator(path.read_bytes()).run(None, {model.input[0].name: x})[0]
    ours = evaluate(graph, torch.from_numpy(x))[graph.output].numpy()
    return np.allclose(ours.reshape(-1), theirs.reshape(-1), rtol=1e-3, atol=1e-4)


def _weights(graph: floatgraph.FloatGraph) -> list[np.ndarray]:
    return [n.op.weight for n in graph.nodes if isinstance(n.op, floatgraph.Conv | floatgraph.Linear)]


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=False)


NAIVE: dict[str, Callable[[Path, Any], bool]] = {".net": naive_net, ".nir": naive_nir, ".onnx": naive_onnx}

"""Small valid files of every kind, to be damaged."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import nir
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from spikeport import hw
from spikeport.export import netx, nir_write


def write_seeds(folder: Path) -> None:
    """Write all of them."""
    rng = np.random.default_rng(3)
    for name, network in (("conv", conv_chain(rng)), ("recurrent", recurrent_chain(rng))):
        netx.write(network, folder / f"{name}.net")
        nir_write.write(network, folder / f"{name}.nir")
    foreign_net(folder / "foreign.net", rng)
    foreign_nir(folder / "foreign.nir", rng)
    residual_onnx(folder / "residual.onnx", rng)


def even(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of both signs on the chip's grid."""
    weight = 2 * rng.integers(-60, 60, shape)
    weight.flat[:2] = 2, -2
    return weight


def conv_chain(rng: np.random.Generator) -> hw.Network:
    """in (2, 4, 4) -> a (3, 4, 4) -> b (2,), graded input, a bias per channel."""
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2, 4, 4), neuron=hw.Source(payload_bits=4)),
            hw.Population(name="a", shape=(3, 4, 4), neuron=hw.Cuba(v_th_mant=70, bias_mant=np.array([1, 2, 3]))),
            hw.Population(name="b", shape=(2,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
        ),
        connections=(
            hw.Conv(source="in", target="a", weight=even(rng, (3, 2, 3, 3)), padding=(1, 1)),
            hw.Dense(source="a", target="b", weight=even(rng, (2, 48))),
        ),
        readout=hw.Readout(population="b"),
        n_steps=4,
    )


def recurrent_chain(rng: np.random.Generator) -> hw.Network:
    """in (5,) -> a (4,), which speaks to itself -> b (3,) with delays."""
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(5,), neuron=hw.Source()),
            hw.Population(name="a", shape=(4,), neuron=hw.Cuba(v_th_mant=30, v_decay=400, i_decay=3000)),
            hw.Population(name="b", shape=(3,), neuron=hw.Cuba(v_th_mant=20)),
        ),
        connections=(
            hw.Dense(source="in", target="a", weight=even(rng, (4, 5))),
            hw.Dense(source="a", target="a", weight=even(rng, (4, 4))),
            hw.Dense(source="a", target="b", weight=even(rng, (3, 4)), delay=rng.integers(0, 3, (3, 4))),
        ),
        readout=hw.Readout(population="b", kind="spike_count"),
        n_steps=4,
    )


def foreign_net(path: Path, rng: np.random.Generator) -> None:
    """As other tools write it: float weights, an input layer with neurons, no read-out neuron, fields netx ignores."""
    neuron = {"type": "LOIHI", "iDecay": 4096, "vDecay": 128, "vThMant": 80, "refDelay": 1, "gradedSpike": 0}
    layers = [
        {"type": "input", "shape": (1, 5, 4), "weight": 64.0, "bias": 0.0, "neuron": neuron},
        {
            "type": "conv",
            "shape": (2, 5, 4),
            "weight": even(rng, (2, 1, 3, 3)).astype(np.float32),
            "stride": (1, 1),
            "padding": (1, 1),
            "dilation": (1, 1),
            "groups": 1,
            "inChannels": 1,
            "neuron": neuron,
        },
        {"type": "flatten"},
        {
            "type": "dense",
            "shape": (3,),
            "weight": even(rng, (3, 40)).astype(np.float32),
            "bias": np.ones(3, np.float32),
        },
    ]
    with h5py.File(path, "w") as file:
        for index, layer in enumerate(layers):
            _write_group(file.create_group(f"layer/{index}"), layer)


def _write_group(group: h5py.Group, values: dict) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _write_group(group.create_group(key), value)
        else:
            group[key] = np.bytes_(value) if isinstance(value, str) else np.asarray(value)


def foreign_nir(path: Path, rng: np.random.Generator) -> None:
    """Conv2d -> IF -> SumPool2d -> Flatten -> Affine -> LIF."""

    def neurons(*shape: int) -> dict[str, np.ndarray]:
        return {"r": np.ones(shape), "v_threshold": np.ones(shape)}

    nodes = {
        "input": nir.Input({"input": np.array([1, 4, 4])}),
        "conv": nir.Conv2d((4, 4), rng.normal(size=(2, 1, 3, 3)).astype(np.float32), 1, 1, 1, 1, np.zeros(2)),
        "if": nir.IF(**neurons(2, 4, 4)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "fc": nir.Affine(rng.normal(size=(3, 8)).astype(np.float32), np.zeros(3, np.float32)),
        "lif": nir.LIF(np.full(3, 5e-3), v_leak=np.zeros(3), **neurons(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(names))))


def residual_onnx(path: Path, rng: np.random.Generator) -> None:
    """A stem, a residual block with a projection, an average pool, a Gemm."""

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    def conv(name: str, source: str, target: str, kernel: int, stride: int) -> onnx.NodeProto:
        pads = [kernel // 2] * 4
        return helper.make_node(
            "Conv", [source, name], [target], name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads
        )

    nodes = [
        conv("w0", "x", "a", 3, 1),
        helper.make_node("Relu", ["a"], ["b"], "relu0"),
        conv("w1", "b", "c", 3, 2),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["d"], "bn"),
        conv("w2", "b", "e", 1, 2),
        helper.make_node("Add", ["d", "e"], ["f"], "add"),
        helper.make_node("Relu", ["f"], ["g"], "relu1"),
        helper.make_node("AveragePool", ["g"], ["h"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["h"], ["i"], "flat"),
        helper.make_node("Gemm", ["i", "w3", "b3"], ["y"], "fc", transB=1),
    ]
    tensors = [weights("w0", 2, 1, 3, 3), weights("w1", 3, 2, 3, 3), weights("w2", 3, 2, 1, 1), weights("w3", 4, 3)]
    tensors += [weights("b3", 4), *(numpy_helper.from_array(np.ones(3, np.float32), name) for name in "stmv")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 4, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])]
    model = helper.make_model(
        helper.make_graph(nodes, "residual", inputs, outputs, tensors), opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)

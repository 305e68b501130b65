"""Small torch networks with random weights, and ONNX models written by torch or by hand. Not a test."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions with batch norm and a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.short = nn.Identity()
        if stride > 1:
            self.short = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.short(x)
        return functional.relu(y)


class ResNet(nn.Module):
    """Stem, identity block, projection block, global average, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(Block(6, 6, 1), Block(6, 8, 2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))


class Vgg(nn.Module):
    """Max pool, average pool with padding, ReLU6, a view by computed sizes, dropout, a hidden layer with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, groups=2)
        self.average, self.out = nn.AvgPool2d(2, padding=1), nn.Conv2d(8, 8, 2)
        self.fc1, self.bn, self.fc2 = nn.Linear(8 * 2 * 2, 10), nn.BatchNorm1d(10), nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 2)
        x = functional.relu6(self.out(self.average(torch.relu(self.conv2(x)))))
        x = x.view(x.size(0), -1)
        x = functional.dropout(functional.relu(self.bn(self.fc1(x))), 0.3, self.training)
        return self.fc2(x)


def randomized(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode with random weights and running statistics."""
    rng = torch.Generator().manual_seed(seed)
    for name, values in net.state_dict().items():
        if values.is_floating_point():
            noise = torch.randn(values.shape, generator=rng)
            values.copy_(noise.abs() + 0.5 if name.endswith(("running_var", "norm.weight")) else 0.3 * noise)
    return net.eval()


def exported(net: nn.Module, path: Path, shape: tuple[int, ...] = (3, 8, 8), *, batch: int = 2, **options) -> Path:
    """The file torch.onnx writes for a network. options: of `torch.onnx.export`; the old exporter unless `dynamo`."""
    given = {"dynamo": False, "opset_version": 17, **options}
    if given["dynamo"]:
        del given["opset_version"]
    with warnings.catch_warnings():  # the exporters warn about themselves
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(batch, *shape),), str(path), verbose=False, **given)
    return path


def model(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    *,
    shape: tuple[int | str, ...] = ("n", 2, 6, 6),
    output: str = "y",
    opset: int = 17,
) -> Path:
    """A model of these nodes, written to a file. Its input is `x`."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def node(kind: str, inputs: str, outputs: str = "y", **attributes) -> onnx.NodeProto:
    """A node named after its operation. inputs, outputs: names, separated by blanks; `-` for one left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), name=kind.lower(), **attributes)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

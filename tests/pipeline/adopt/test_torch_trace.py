from __future__ import annotations

import inspect
import operator

import numpy as np
import pytest
import torch
from spikeport.export.floatgraph import Affine, Flatten, GlobalAverage, Pool, Relu
from spikeport.hw import BadInput, UnsupportedLayer
from spikeport.pipeline.adopt.evaluate import evaluate
from spikeport.pipeline.adopt.fold import fold
from spikeport.pipeline.adopt.torch_trace import survey, trace
from torch import Tensor, nn
from torch.nn import functional

from ...export.onnx_nets import ResNet, Vgg, randomized


class Forward(nn.Module):
    """A module around one function, with a convolution, a norm, a linear layer and a constant to use."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(48, 4)
        self.relu = nn.ReLU(inplace=True)
        self.register_buffer("scale", torch.rand(3, 1, 1))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def difference(module: nn.Module, shape=(2, 6, 6)) -> float:
    """Of the traced and folded network from the module itself, in float64."""
    x = torch.randn(2, *shape, dtype=torch.float64)
    given = trace(module, shape)
    with torch.no_grad():
        wanted = module.double().eval()(x)
    assert torch.allclose(evaluate(given, x)[given.output], wanted, rtol=1e-9, atol=1e-9)
    folded = fold(given)
    return float((evaluate(folded, x)[folded.units[-1].name].flatten(1) - wanted.flatten(1)).abs().max())


@pytest.mark.parametrize("net", [ResNet, Vgg])
def test_a_traced_network_computes_what_the_module_computes(net):
    assert difference(randomized(net()), (3, 8, 8)) < 1e-9


FORWARDS = {
    "functional": lambda m, x: functional.linear(
        functional.relu(functional.conv2d(x, m.conv.weight, m.conv.bias)).flatten(1), m.fc.weight, m.fc.bias
    ),
    "same padding": lambda m, x: functional.conv2d(x, m.conv.weight, padding="same"),
    "norm": lambda m, x: functional.batch_norm(
        m.conv(x), m.norm.running_mean, m.norm.running_var, m.norm.weight, m.norm.bias
    ),
    "operators": lambda m, x: (2 - m.conv(x) * m.scale) / 4 + 0.5 - m.scale,
    "methods": lambda m, x: m.conv(x).relu().add(1.0).mul(m.scale).clamp(min=0).mean(dim=(-2, -1)),
    "in place": lambda m, x: operator.iadd(m.conv(x), 1.0).relu_(),
    "sizes": lambda m, x: m.fc(torch.relu(m.conv(x)).view(x.shape[0], m.conv.out_channels * 16)),
    "reshape": lambda m, x: m.fc(m.conv(x).reshape((x.size(0), -1))),
    "pools": lambda m, x: functional.adaptive_avg_pool2d(functional.avg_pool2d(m.conv(x), 2), (1, 2)),
    "maximum": lambda m, x: functional.max_pool2d(m.relu(m.conv(x)), 3, stride=1, padding=1),
    "sum of two": lambda m, x: torch.add(m.conv(x), m.norm(m.conv(x))),
    "zero padding": lambda m, x: m.conv(functional.pad(x, (1, 0, 2, 1))),
    "limits": lambda m, x: functional.hardtanh(m.conv(x), 0.0, 0.7),
    "dropout": lambda m, x: functional.dropout(torch.flatten(m.conv(x), 1), training=m.training),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_functions_methods_and_operators_have_rules(name):
    module = Forward(FORWARDS[name])
    for values in module.buffers():
        if values.is_floating_point():
            values.uniform_(0.5, 2)
    assert difference(module) < 1e-9


def test_modules_become_nodes_of_their_names():
    net = nn.Sequential(
        nn.ZeroPad2d(1), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU6(), nn.AvgPool2d(2), nn.Dropout(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Identity(), nn.Linear(3, 4), nn.LogSoftmax(1),
    )  # fmt: skip
    given = trace(net, (2, 6, 6))
    assert [n.name for n in given.nodes[1:]] == ["1", "2", "3", "4", "6", "7", "9"]
    assert given["3"].op == Relu(ceiling=6.0)
    assert given["1"].op.padding == (1, 1)
    assert given.output == "9"
    assert "softmax" in given.assumed[0].lower()


def test_a_module_used_twice_gives_two_nodes():
    given = trace(Forward(lambda m, x: m.relu(m.norm(m.relu(m.conv(x))))), (2, 6, 6))
    assert [n.name for n in given.nodes if isinstance(n.op, Relu)] == ["relu", "relu_2"]


class Marked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)  # line of the convolution
        x = torch.sigmoid(x)  # line of the sigmoid
        return x.cumsum(1)  # line of the sum


def line_of(text: str) -> int:
    lines, start = inspect.getsourcelines(Marked)
    return start + next(i for i, line in enumerate(lines) if text in line)


def test_places_are_the_users_source_lines():
    found = survey(Marked(), (2, 6, 6))
    assert found.graph is not None
    assert found.graph["conv"].where == (
        f"test_torch_trace.py:{line_of('line of the convolution')}: layer 'conv' (Conv2d)"
    )
    assert [problem.where for problem in found.problems] == [
        f"test_torch_trace.py:{line_of('line of the sigmoid')}: call 'sigmoid' (sigmoid)",
        f"test_torch_trace.py:{line_of('line of the sum')}: call 'cumsum' (cumsum)",
    ]


def test_everything_without_a_rule_is_refused_in_one_error():
    with pytest.raises(UnsupportedLayer) as refusal:
        trace(Marked(), (2, 6, 6))
    first, second = str(refusal.value).splitlines()
    assert "saturates along a curve" in first
    assert "there is no rule for cumsum" in second


REFUSED = {
    "leaky": (lambda m, x: functional.leaky_relu(m.conv(x)), "negative values for negative inputs"),
    "gate": (lambda m, x: m.conv(x) * torch.relu(m.conv(x)), "multiplies two activations"),
    "difference": (lambda m, x: m.conv(x) - m.conv(x), "subtracts one activation from another"),
    "part": (lambda m, x: m.conv(x)[:, :1], "takes a part of a layer"),
    "joined": (lambda m, x: torch.cat([m.conv(x), m.conv(x)], 1), "joins several layers"),
    "ceil": (lambda m, x: functional.max_pool2d(m.conv(x), 3, 2, ceil_mode=True), "ceil_mode"),
    "border": (lambda m, x: functional.avg_pool2d(x, 2, padding=1, count_include_pad=False), "count_include_pad"),
    "uneven": (lambda m, x: functional.adaptive_avg_pool2d(x, 4), "windows of unequal size"),
    "batch": (lambda m, x: x.view(1, -1), "does not keep each sample"),
    "axes": (lambda m, x: x.flatten(0, 1), "flattens axes 0 to 1"),
    "below zero": (lambda m, x: torch.clamp(m.conv(x), -1, 1), r"limits its input to -1\.\.1"),
    "statistics": (lambda m, x: functional.batch_norm(m.conv(x), None, None, training=True), "own statistics"),
    "argument": (lambda m, x: torch.add(m.conv(x), 1.0, out=None), "arguments there is no rule for"),
    "overwritten": (lambda m, x: _overwrite(m.conv(x)), "changes its input in place"),
    "overwritten by a layer": (lambda m, x: _add_after(m, m.conv(x)), "changes its input in place"),
}


def _overwrite(x: Tensor) -> Tensor:
    x.relu_()
    return x + 1


def _add_after(module: Forward, x: Tensor) -> Tensor:
    return module.relu(x) + x


@pytest.mark.parametrize("name", REFUSED)
def test_a_use_without_a_rule_is_refused_with_its_reason(name):
    function, message = REFUSED[name]
    with pytest.raises(UnsupportedLayer, match=rf"test_torch_trace\.py:\d+: .*{message}"):
        trace(Forward(function), (2, 6, 6))


def test_control_flow_on_data_is_refused_with_its_line():
    def forward(module, x):
        return x if x.sum() > 0 else module.conv(x)

    with pytest.raises(UnsupportedLayer, match=r"test_torch_trace\.py:\d+: Forward\.forward: its path depends on"):
        trace(Forward(forward), (2, 6, 6))


def test_control_flow_on_shapes_of_another_kind_is_refused_too():
    with pytest.raises(UnsupportedLayer, match="its path depends on the data, or it calls what cannot be traced"):
        trace(Forward(lambda m, x: sum(x[i] for i in range(len(x)))), (2, 6, 6))


def test_foreign_neurons_are_sent_through_nir():
    norse = pytest.importorskip("norse.torch")
    with pytest.raises(UnsupportedLayer, match="a neuron of norse, with a state of its own; bring the network through"):
        trace(nn.Sequential(nn.Linear(3, 3), norse.LIFCell()), (3,))


def test_padding_by_reflection_is_refused():
    with pytest.raises(UnsupportedLayer, match="pads by 'reflect'"):
        trace(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")), (2, 6, 6))


def test_the_module_stays_as_it_was():
    net = randomized(Vgg()).train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    given = trace(net, (3, 8, 8))
    assert net.training
    assert all(torch.equal(before[name], values) for name, values in net.state_dict().items())
    assert any(isinstance(n.op, Affine) for n in given.nodes)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(BadInput, match=r"layer '0' \(Conv2d\): .*reads 3 channels"):
        trace(nn.Sequential(nn.Conv2d(3, 4, 3)), (2, 6, 6))


def test_several_inputs_or_outputs_are_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    with pytest.raises(BadInput, match="forward takes several inputs"):
        trace(Two(), (3,))
    with pytest.raises(BadInput, match="forward returns several values"):
        trace(Forward(lambda m, x: (x, m.conv(x))), (2, 6, 6))


def test_means_and_adaptive_pools_are_told_apart():
    means = trace(Forward(lambda m, x: m.conv(x).mean((2, 3))), (2, 6, 6))
    assert means[means.output].op == GlobalAverage()
    pools = trace(nn.Sequential(nn.AdaptiveAvgPool2d((3, None))), (2, 6, 6))
    assert pools["0"].op == Pool(kind="average", kernel=(2, 1), stride=(2, 1))


def test_weights_are_float64_copies():
    layer = nn.Linear(3, 2)
    op = trace(nn.Sequential(nn.Flatten(), layer), (3,))["1"].op
    assert op.weight.dtype == np.float64
    with torch.no_grad():
        layer.weight.zero_()
    assert op.weight.any()
    assert not any(isinstance(n.op, Flatten) for n in trace(nn.Sequential(nn.Flatten(), layer), (3,)).nodes)

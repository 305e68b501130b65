from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
from spikeport.export.floatgraph import Add, Conv, Delay, Flatten, Input, Linear, Relu
from spikeport.hw import CHIPS, BadInput
from spikeport.pipeline.adopt.preflight import Finding, preflight, render
from torch import nn
from torch.nn import functional

from ...export.onnx_nets import Block, ResNet, Vgg, exported, model, node, randomized, weights
from . import float_graphs as nets
from .float_graphs import conv, graph, linear, pool, spike

LOIHI1, LOIHI2 = CHIPS["loihi1"], CHIPS["loihi2"]


def found(network, chip=LOIHI2, **options) -> dict[tuple[str, str], Finding]:
    """Findings by node and severity; the last one where there are several."""
    return {(row.node, row.severity): row for row in preflight(network, chip, **options)}


class Odd(nn.Module):
    """Operations that do not survive, and some that do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.LayerNorm([4, 8, 8])
        self.conv2, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        x = functional.silu(self.norm(self.conv1(x)))
        x = functional.relu6(self.bn(self.conv2(x)))
        x = functional.max_pool2d(x, 2)
        return self.fc(x.flatten(1)).sigmoid()


def test_everything_is_listed_in_the_order_of_the_source():
    rows = preflight(Odd(), LOIHI2, input_shape=(1, 8, 8))
    assert [(row.node, row.severity) for row in rows if row.severity in ("refused", "approximated")] == [
        ("norm", "refused"),
        ("silu", "refused"),
        ("relu6", "approximated"),
        ("max_pool2d", "approximated"),
        ("sigmoid", "refused"),
    ]
    assert [row.node for row in rows if row.severity == "rewritten"] == ["bn", "flatten"]
    assert all("test_preflight.py:" in row.where for row in rows)
    assert [row.position for row in rows] == sorted(row.position for row in rows)


def test_each_finding_renders_as_one_line_with_place_and_fix():
    rows = preflight(Odd(), LOIHI2, input_shape=(1, 8, 8))
    lines = render(rows)
    assert len(lines) == len(rows)
    sigmoid = next(line for line in lines if "'sigmoid'" in line)
    assert sigmoid.startswith("refused      test_preflight.py:")
    assert sigmoid.endswith("use ReLU, or ReLU6 / Clip(0, c), and train again")
    assert not any("\n" in line for line in lines)


def test_a_network_that_survives_has_only_exact_rewrites():
    severities = {row.severity for row in preflight(randomized(ResNet()), LOIHI2, input_shape=(3, 8, 8))}
    assert severities == {"rewritten"}


def test_an_onnx_file_is_read(tmp_path):
    path = exported(randomized(Vgg()), tmp_path / "net.onnx")
    rows = preflight(path, LOIHI2)
    assert {row.severity for row in rows} == {"rewritten", "approximated"}
    assert all(row.where.startswith("net.onnx: node ") for row in rows)


def test_an_unsupported_node_of_an_onnx_file_is_refused_by_name(tmp_path):
    nodes = [node("Conv", "x w", "h"), node("Softplus", "h", "s"), node("Flatten", "s", "f"), node("Gemm", "f v")]
    path = model(tmp_path / "m.onnx", nodes, {"w": weights(3, 2, 1, 1), "v": weights(108, 4)})
    row = found(path)["softplus", "refused"]
    assert row.where == "m.onnx: node 'softplus' (Softplus)"
    assert "saturates" in row.what


def test_a_nir_node_without_a_rule_is_a_finding(tmp_path):
    ends = {
        "input": nir.Input(input_type={"input": np.array([3])}),
        "output": nir.Output(output_type={"output": np.array([3])}),
    }
    nodes = ends | {"n": nir.Threshold(threshold=np.ones(3))}
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=[("input", "n"), ("n", "output")]))
    (row,) = preflight(path, LOIHI2)
    assert (row.severity, row.where) == ("refused", f"{path}: n")
    assert row.what == "no rule for Threshold nodes"


def test_a_forward_that_cannot_be_traced_is_a_finding():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    (row,) = preflight(Branch(), LOIHI2, input_shape=(3,))
    assert row.severity == "refused"
    assert "path depends on the data" in row.what


def test_a_skip_of_the_input_values_is_refused():
    net = nn.Sequential(Block(2, 2, 1), nn.Flatten(), nn.Linear(72, 2))
    row = found(randomized(net), input_shape=(2, 6, 6))["relu_1", "refused"]
    assert row.stage == "netx"
    assert "a relay cannot carry values, only spikes" in row.what


def test_a_shortcut_from_the_layer_before_needs_no_relay():
    assert [row for row in preflight(nets.residual(), LOIHI2) if row.stage == "netx"] == []


def test_a_skip_over_a_layer_names_the_layers_it_passes():
    given = graph(
        ("x", Input(shape=(2, 6, 6)), ()),
        ("first", conv(3, 2, padding=(1, 1)), ("x",)),
        ("a", Relu(), ("first",)),
        ("second", conv(3, 3, padding=(1, 1)), ("a",)),
        ("b", Relu(), ("second",)),
        ("third", conv(3, 3, padding=(1, 1)), ("b",)),
        ("sum", Add(), ("third", "a")),
        ("c", Relu(), ("sum",)),
        ("head", linear(2, 108), ("c",)),
    )
    (row,) = [r for r in preflight(given, LOIHI2) if r.stage == "netx"]
    assert (row.node, row.severity) == ("c", "rewritten")
    assert row.what == "reads 'a' past b; relay channels carry it, up to 108 neurons in each of 1 layers"


def test_paths_of_different_strides_are_refused():
    given = graph(
        ("x", Input(shape=(2, 7, 7)), ()),
        ("first", conv(3, 2, 1), ("x",)),
        ("a", Relu(), ("first",)),
        ("second", conv(3, 3, 3, stride=(2, 2)), ("a",)),
        ("b", Relu(), ("second",)),
        ("short", conv(3, 3, 5), ("a",)),
        ("sum", Add(), ("b", "short")),
        ("c", Relu(), ("sum",)),
        ("head", linear(2, 27), ("c",)),
    )
    assert "(1, 1) and (2, 2) from the input" in found(given)["c", "refused"].what


def ann(*ops, size: int = 6) -> nets.FloatGraph:
    """A convolution with a ReLU, the operations, and a linear head."""
    nodes = [("x", Input(shape=(2, size, size)), ()), ("first", conv(4, 2, 1), ("x",)), ("a", Relu(), ("first",))]
    for index, op in enumerate(ops):
        nodes.append((f"op{index}", op, (nodes[-1][0],)))
    return graph(*nodes)


@pytest.mark.parametrize(
    ("ops", "node_name", "severity", "what"),
    [
        ((conv(128, 4, 1), Relu(), conv(128, 128, groups=128), Relu(), Flatten(), linear(2, 2048)), "op2", "rewritten",
         "128 groups, and loihi2 takes 127"),
        ((Conv(weight=np.ones((1, 4, 1, 1)), stride=(128, 1)), Relu(), Flatten(), linear(2, 6)), "op0", "refused",
         "128, and loihi2 takes 127"),
        ((Conv(weight=np.zeros((4, 4, 1, 1))), Relu(), Flatten(), linear(2, 144)), "op0", "refused",
         "are zero"),
        ((Flatten(), Linear(weight=np.ones((3, 144)))), "op1", "approximated",
         "144 synapses per neuron can add up to 36576"),
        ((Flatten(), linear(3, 144), Relu()), "op2", "refused", "the output has a ReLU"),
        ((conv(4, 4, 1),), "op0", "refused", r"the output has shape (4, 6, 6)"),
        ((pool("max", 2), Flatten(), linear(3, 36)), "op0", "approximated", "an OR of spikes"),
    ],
)  # fmt: skip
def test_what_a_core_or_the_conversion_does_is_found_at_its_node(ops, node_name, severity, what):
    assert what in found(ann(*ops))[node_name, severity].what


def test_what_cannot_be_folded_is_refused_with_its_way_out():
    ops = (pool("average", 2), conv(3, 4, padding=(1, 1)), Relu(), Flatten(), linear(2, 27))
    row = found(ann(*ops, size=7))["op1", "refused"]
    assert "a padding of 1" in row.what
    assert "put a ReLU between" in row.fix


def test_a_max_pool_of_the_input_is_refused():
    given = graph(("x", Input(shape=(1, 4, 4)), ()), ("max", pool("max", 2), ("x",)), ("fc", linear(2, 4), ("max",)))
    assert "whose values have no OR" in found(given)["max", "refused"].what


def test_binary_chips_refuse_real_valued_inputs():
    row = found(nets.residual(), LOIHI1)["x", "refused"]
    assert "loihi1 carries binary ones" in row.what


def spiking(op, *, shape=(3,)) -> nets.FloatGraph:
    return graph(("x", Input(shape=shape), ()), ("n", op, ("x",)), ("out", linear(2, int(np.prod(shape))), ("n",)))


@pytest.mark.parametrize(
    ("changed", "severity", "what"),
    [
        ({"reset": "subtract"}, "refused", "resets by subtracting"),
        ({"late_reset": True, "v_reset": np.array(0.1)}, "refused", "one timestep late"),
        ({"v_reset": np.array(0.1)}, "approximated", "its reset is not 0"),
        ({"v_decay": np.array([0.1, 0.2, 0.3])}, "refused", "3 different values of v_decay"),
        ({"v_decay": np.array(0.1)}, "approximated", "v_decay 0.1 becomes 410 of 4096"),
        ({"v_decay": np.array(0.25), "strict": False}, "approximated", "v >= threshold"),
        ({"threshold": np.array([1.0, 2.0, 3.0])}, "rewritten", "each row of weights is scaled"),
        ({"assumed": ("it starts at 0",)}, "assumed", "it starts at 0"),
    ],
)
def test_neurons_the_chip_does_not_have_are_found(changed, severity, what):
    rows = [r for r in preflight(spiking(spike(**{"v_decay": np.array(0.25), **changed})), LOIHI2) if r.node == "n"]
    assert [(row.severity, what in row.what) for row in rows] == [(severity, True)]


def test_a_neuron_of_the_chip_gives_no_finding():
    assert preflight(spiking(spike(v_decay=np.array(0.25))), LOIHI2) == []


def test_thresholds_per_position_are_refused_for_maps():
    op = spike(v_decay=np.array(0.25), threshold=np.arange(1.0, 9.0).reshape(2, 2, 2))
    assert "between positions of one channel" in found(spiking(op, shape=(2, 2, 2)))["n", "refused"].what


def test_delays_on_convolutions_and_beyond_the_chip_are_refused():
    given = graph(
        ("x", Input(shape=(1, 4, 4)), ()),
        ("late", Delay(steps=np.array(63)), ("x",)),
        ("conv", conv(2, 1), ("late",)),
        ("n", spike(v_decay=np.array(0.25)), ("conv",)),
    )
    whats = [row.what for row in preflight(given, LOIHI2) if row.severity == "refused"]
    assert whats == [
        "a delay of 63 timesteps, and loihi2 holds spikes 62",
        "a delay on the way into a population with positions; only dense connections have delays",
    ]


def test_a_recurrent_map_is_refused():
    given = graph(
        ("x", Input(shape=(1, 4, 4)), ()),
        ("sum", Add(), ("x", "back")),
        ("n", spike(v_decay=np.array(0.25)), ("sum",)),
        ("back", conv(1, 1, padding=(1, 1), bias=False), ("n",)),
        output="n",
    )
    assert "only vectors can be recurrent" in found(given)["back", "refused"].what


def test_what_was_assumed_about_the_graph_is_repeated():
    given = replace(spiking(spike(v_decay=np.array(0.25))), assumed=("dt is 1 ms",))
    assert found(given)["x", "assumed"].what == "dt is 1 ms"


def test_a_module_needs_its_input_shape():
    with pytest.raises(BadInput, match="give input_shape"):
        preflight(nn.Linear(2, 2), LOIHI2)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(BadInput, match=r"a file of kind '\.pt'"):
        preflight("net.pt", LOIHI2)


def test_nothing_is_changed_by_looking():
    net = randomized(ResNet())
    before = {name: values.clone() for name, values in net.state_dict().items()}
    preflight(net, LOIHI2, input_shape=(3, 8, 8))
    assert all(torch.equal(before[name], values) for name, values in net.state_dict().items())

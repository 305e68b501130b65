from __future__ import annotations

import numpy as np
import pytest
from spikeport.export.floatgraph import (
    Add,
    Affine,
    Conv,
    Delay,
    Flatten,
    FloatGraph,
    GlobalAverage,
    Input,
    Linear,
    Node,
    Pool,
    Relu,
    Spike,
)
from spikeport.export.floatgraph_shapes import SIZE_MAX, compute_order, out_shape, shapes
from spikeport.hw import BadInput, UnsupportedLayer


def graph(*nodes) -> FloatGraph:
    built = tuple(Node(name=name, op=op, inputs=inputs, where=f"node {name!r}") for name, op, inputs in nodes)
    return FloatGraph(name="test", nodes=built, output=nodes[-1][0])


def conv(*shape: int, **geometry) -> Conv:
    return Conv(weight=np.ones(shape), **geometry)


def test_every_operation_has_the_shape_of_its_formula():
    found = shapes(
        graph(
            ("x", Input(shape=(3, 9, 8)), ()),
            ("conv", conv(4, 3, 3, 2, stride=(2, 1), padding=(1, 0), dilation=(1, 2)), ("x",)),
            ("pool", Pool(kind="max", kernel=(2, 3), stride=(2, 2), padding=(1, 0)), ("conv",)),
            ("relu", Relu(), ("pool",)),
            ("flatten", Flatten(), ("relu",)),
            ("mean", GlobalAverage(), ("relu",)),
            ("fc", Linear(weight=np.ones((7, 4))), ("mean",)),
        )
    )
    assert found["conv"] == (4, (9 + 2 - 3) // 2 + 1, 8 - 3 + 1)
    assert found["pool"] == (4, (5 + 2 - 2) // 2 + 1, (6 - 3) // 2 + 1)
    assert found["flatten"] == (4 * 3 * 2,)
    assert found["mean"] == (4,)
    assert found["fc"] == (7,)


@pytest.mark.parametrize(
    ("op", "source", "message"),
    [
        (conv(4, 3, 3, 3), (2, 8, 8), r"reads 3 channels, the input \(2, 8, 8\) has 2"),
        (conv(4, 3, 3, 3), (12,), r"a convolution reads \(C, H, W\)"),
        (conv(4, 2, 3, 3), (2, 2, 8), "a window over 3 positions does not fit 2"),
        (conv(3, 1, 3, 3, groups=2), (2, 8, 8), "groups=2 does not divide 3"),
        (conv(4, 2, 3, 3, stride=(0, 1)), (2, 8, 8), r"stride \(0, 1\)"),
        (conv(4, 2, 3, 3, padding=(-1, 1)), (2, 8, 8), r"padding \(-1, 1\)"),
        (conv(4, 2, 3, 3, padding=(10**9, 1)), (2, 8, 8), "padding"),
        (Conv(weight=np.ones((4, 2, 3, 3)), bias=np.ones(3)), (2, 8, 8), r"a bias of shape \(3,\) for 4 outputs"),
        (Conv(weight=np.ones((4, 2, 3))), (2, 8, 8), r"a weight of shape \(4, 2, 3\)"),
        (Linear(weight=np.ones((2, 5))), (6,), "reads 5 values, the input"),
        (Affine(scale=np.ones(3), shift=np.ones(3)), (2, 4, 4), "2 channels"),
        (Delay(steps=np.array(-1)), (3,), "a delay of -1 timesteps"),
        (Spike(threshold=np.ones(2), v_decay=np.zeros(())), (3,), r"threshold has shape \(2,\)"),
    ],
)
def test_what_does_not_fit_is_named(op, source, message):
    with pytest.raises(BadInput, match=f"^node 'n': .*{message}"):
        out_shape(op, [source], "node 'n'")


def test_added_shapes_must_be_equal():
    with pytest.raises(BadInput, match=r"\(2, 4, 4\), \(2,\)"):
        out_shape(Add(), [(2, 4, 4), (2,)], "n")


def test_a_forged_size_is_refused_before_anything_is_made():
    with pytest.raises(BadInput, match=f"at most {SIZE_MAX}"):
        shapes(graph(("x", Input(shape=(2**20, 2**20, 2**20)), ())))


def test_many_large_layers_are_refused_together():
    nodes = [("x", Input(shape=(1, 4096, 4096)), ())]
    nodes += [(f"r{i}", Relu(), (nodes[-1][0],)) for i in range(8)]
    nodes = [(name, op, (nodes[i - 1][0],) if i else ()) for i, (name, op, _) in enumerate(nodes)]
    with pytest.raises(BadInput, match="values per sample"):
        shapes(graph(*nodes))


def test_more_multiplications_than_anyone_waits_for_are_refused():
    wide = conv(64, 64, 33, 33, padding=(16, 16))
    nodes = [("x", Input(shape=(64, 200, 200)), ())]
    for i in range(2):
        nodes.append((f"c{i}", wide, (nodes[-1][0],)))
    with pytest.raises(BadInput, match="multiplications per sample"):
        shapes(graph(*nodes))


def test_a_loop_through_a_neuron_has_shapes():
    found = shapes(
        graph(
            ("x", Input(shape=(3,)), ()),
            ("back", Linear(weight=np.ones((3, 3))), ("n",)),
            ("sum", Add(), ("back", "x")),
            ("n", Spike(threshold=np.ones(()), v_decay=np.zeros(())), ("sum",)),
        )
    )
    assert found["n"] == (3,)


def test_a_loop_of_another_shape_is_refused():
    given = graph(
        ("x", Input(shape=(3,)), ()),
        ("sum", Add(), ("x", "back")),
        ("n", Spike(threshold=np.ones(()), v_decay=np.zeros(())), ("sum",)),
        ("back", Linear(weight=np.ones((4, 3))), ("n",)),
    )
    with pytest.raises(BadInput, match=r"it adds shapes \(3,\), \(4,\)"):
        shapes(given)


def test_the_order_puts_each_node_behind_what_it_reads():
    given = graph(
        ("x", Input(shape=(3,)), ()),
        ("late", Relu(), ("early",)),
        ("early", Linear(weight=np.ones((3, 3))), ("x",)),
    )
    assert [node.name for node in compute_order(given)] == ["x", "early", "late"]


def test_a_loop_without_a_neuron_is_named():
    given = graph(
        ("x", Input(shape=(3,)), ()),
        ("a", Add(), ("x", "b")),
        ("b", Relu(), ("a",)),
    )
    with pytest.raises(UnsupportedLayer, match="reads its own output within one timestep"):
        shapes(given)

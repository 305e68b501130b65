from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from spikeport.export.floatgraph import (
    Add,
    Affine,
    Conv,
    Delay,
    Flatten,
    GlobalAverage,
    Input,
    Integrate,
    Linear,
    Pool,
    Relu,
)
from spikeport.hw import BadInput, UnsupportedLayer
from spikeport.pipeline.adopt.evaluate import evaluate, run_spiking
from spikeport.pipeline.adopt.fold import fold, try_fold
from spikeport.pipeline.adopt.folded import Same

from . import float_graphs as nets
from .float_graphs import RNG, conv, graph, linear, norm, pool, spike


def difference(given) -> float:
    """Largest relative difference between a graph and its folded form on random inputs."""
    x = torch.from_numpy(RNG.normal(size=(3, *given.source.op.shape)))
    wanted = evaluate(given, x)[given.output]
    folded = fold(given)
    found = evaluate(folded, x)[folded.units[-1].name]
    return float((found.flatten(1) - wanted.flatten(1)).abs().max() / wanted.abs().max().clamp(min=1e-3))


@pytest.mark.parametrize("net", [nets.residual, nets.flat_head])
def test_a_folded_network_gives_what_the_graph_gives(net):
    assert difference(net()) < 1e-12


def test_a_residual_network_becomes_populations_with_several_edges():
    units = {unit.name: unit for unit in fold(nets.residual()).units}
    assert list(units) == ["relu1", "relu2", "relu3", "head"]
    assert [(e.source, type(e.op)) for e in units["relu2"].edges] == [("relu1", Conv), ("relu1", Same)]
    assert [e.op.weight.shape for e in units["relu3"].edges] == [(6, 4, 6, 6), (6, 4, 2, 2)]  # 2 + 2 (K - 1)
    assert units["head"].op is None
    assert units["head"].edges[0].op.weight.shape == (3, 6 * 4 * 4)


def test_every_rewrite_is_recorded_with_a_measured_difference():
    foldings = fold(nets.residual()).foldings
    assert [(row.node, row.into) for row in foldings] == [
        ("bn1", "relu1"), ("bn2", "relu2"), ("add1", "relu2"), ("pool", "relu3"), ("add2", "relu3"), ("mean", "head"),
    ]  # fmt: skip
    assert all(row.exact and row.checked < 1e-12 for row in foldings)


def test_members_are_the_nodes_of_a_unit_in_order():
    assert fold(nets.residual())["relu3"].members == ("pool", "conv3", "short", "add2", "relu3")


def test_a_max_pool_before_a_relu_moves_behind_it():
    folded = fold(nets.flat_head())
    assert [(unit.name, type(unit.op).__name__) for unit in folded.units] == [
        ("relu", "Relu"), ("max", "NoneType"), ("fc2", "NoneType"),
    ]  # fmt: skip
    assert isinstance(folded["max"].edges[0].op, Pool)
    assert folded.foldings[0].node == "max"


def test_linear_layers_in_a_row_become_one_matrix():
    given = graph(("x", Input(shape=(6,)), ()), ("a", linear(5, 6), ("x",)), ("b", linear(2, 5), ("a",)))
    (unit,) = fold(given).units
    a, b = given["a"].op, given["b"].op
    np.testing.assert_allclose(unit.edges[0].op.weight, b.weight @ a.weight, rtol=1e-12)
    np.testing.assert_allclose(unit.bias, b.weight @ a.bias + b.bias, rtol=1e-12)


def chain(size: int, *ops) -> nets.FloatGraph:
    """A ReLU, the operations in a row, and a ReLU."""
    nodes = [("x", Input(shape=(2, size, size)), ()), ("first", Relu(), ("x",))]
    for index, op in enumerate(ops):
        nodes.append((f"op{index}", op, (nodes[-1][0],)))
    return graph(*nodes, ("last", Relu(), (nodes[-1][0],)))


@pytest.mark.parametrize(
    ("size", "ops"),
    [
        (8, (pool("average", 2), conv(3, 2, padding=(1, 1)))),
        (9, (pool("average", 3, 2), conv(3, 2))),  # overlapping windows
        (7, (pool("average", 2), conv(3, 2))),  # one row is left over
        (9, (pool("sum", 2, padding=1), conv(3, 2, stride=(2, 2)))),
        (8, (conv(4, 2), pool("average", 2))),
        (9, (conv(4, 2, padding=(1, 1), stride=(2, 2)), pool("average", 2, 1))),
        (9, (conv(4, 2, padding=(1, 1)), conv(3, 4))),
        (9, (conv(4, 2, 1, stride=(2, 2)), conv(3, 4, padding=(1, 1)))),
        (10, (conv(4, 2, dilation=(2, 2)), conv(3, 4, dilation=(2, 2)))),
        (8, (conv(4, 2, groups=2), conv(4, 4, groups=4, bias=False))),
        (8, (conv(4, 2, groups=2), norm(4), conv(6, 4, groups=2))),
        (8, (norm(2),)),
        (8, (pool("average", 2),)),
        (8, (pool("average", 2), pool("average", 2), conv(2, 2, 1))),
        (6, (conv(4, 2), Flatten(), linear(5, 64))),
        (6, (conv(4, 2), GlobalAverage(), norm(4))),
        (6, (pool("average", 6), Flatten(), linear(3, 2))),
        (4, (Flatten(), norm(32))),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "-".join(type(op).__name__ for op in value),
)  # fmt: skip
def test_a_chain_of_linear_maps_becomes_one_edge(size, ops):
    given = chain(size, *ops)
    folded = fold(given)
    assert [unit.name for unit in folded.units][-1] == "last"
    assert len(folded["last"].edges) == 1
    assert difference(given) < 1e-12


@pytest.mark.parametrize(
    ("size", "ops"),
    [
        (9, (pool("average", 2), conv(3, 2, padding=(1, 1)))),  # (9 - 2) % 2: the last column is read by the padding
        (9, (pool("average", 3, 2), conv(3, 2, padding=(1, 1)))),  # windows overlap across the border
        (9, (conv(4, 2, padding=(1, 1)), conv(3, 4, padding=(1, 1)))),
    ],
    ids=["left over", "overlapping", "two padded convolutions"],
)
def test_padding_over_data_is_refused_with_the_node_and_a_way_out(size, ops):
    with pytest.raises(UnsupportedLayer, match=r"test: node 'op1': a padding of 1 .* put a ReLU between the two"):
        fold(chain(size, *ops))


def test_all_that_cannot_be_folded_is_named_at_once():
    given = chain(9, pool("average", 2), conv(3, 2, padding=(1, 1)))
    more = graph(
        *[(n.name, n.op, n.inputs) for n in given.nodes],
        ("bad", pool("average", 2), ("last",)),
        ("worse", conv(3, 3, padding=(1, 1)), ("bad",)),
        ("end", Relu(), ("worse",)),
    )
    folded, problems = try_fold(more)
    assert [problem.node for problem in problems] == ["op1"]  # 9 -> 4: the second pool divides
    assert folded["end"].edges
    odd = replace(more, nodes=tuple(replace(n, op=pool("average", 3)) if n.name == "bad" else n for n in more.nodes))
    assert [problem.node for problem in try_fold(odd)[1]] == ["op1", "worse"]


def test_a_padded_convolution_after_a_biased_one_gets_a_bias_per_position():
    given = chain(6, conv(4, 2, 1), conv(3, 4, padding=(1, 1)))
    assert fold(given)["last"].bias.shape == (3, 6, 6)
    unpadded = chain(6, conv(4, 2, 1), conv(3, 4))
    assert fold(unpadded)["last"].bias.shape == (3,)


def test_a_max_pool_over_sums_without_a_relu_is_refused():
    given = graph(
        ("x", Input(shape=(1, 8, 8)), ()),
        ("conv", conv(2, 1), ("x",)),
        ("max", pool("max", 2), ("conv",)),
        ("next", conv(2, 2), ("max",)),
    )
    with pytest.raises(UnsupportedLayer, match=r"node 'max': a max pool over sums.*put the activation before"):
        fold(given)


@pytest.mark.parametrize("scale", [2.0, -1.0])
def test_a_max_pool_passes_a_batch_norm_only_if_its_scale_is_positive(scale):
    given = graph(
        ("x", Input(shape=(1, 8, 8)), ()),
        ("conv", conv(2, 1), ("x",)),
        ("max", pool("max", 2), ("conv",)),
        ("bn", Affine(scale=np.array([1.0, scale]), shift=np.ones(2)), ("max",)),
        ("relu", Relu(), ("bn",)),
        ("head", linear(2, 18), ("relu",)),
    )
    if scale > 0:
        assert difference(given) < 1e-12
    else:
        with pytest.raises(UnsupportedLayer, match="max pool over sums"):
            fold(given)


def test_a_relu_on_what_is_never_negative_is_left_out():
    given = graph(
        ("x", Input(shape=(1, 8, 8)), ()),
        ("conv", conv(2, 1), ("x",)),
        ("relu", Relu(), ("conv",)),
        ("again", Relu(), ("relu",)),
        ("six", Relu(ceiling=2.0), ("again",)),
        ("head", linear(2, 72), ("six",)),
    )
    folded = fold(given)
    assert [unit.name for unit in folded.units] == ["relu", "head"]
    assert folded["relu"].op == Relu(ceiling=2.0)
    assert folded["relu"].members == ("conv", "relu", "again", "six")
    assert difference(given) < 1e-12


def test_an_input_added_to_itself_is_one_edge_of_scale_two():
    given = graph(("x", Input(shape=(4,)), ()), ("add", Add(), ("x", "x")), ("relu", Relu(), ("add",)))
    (edge,) = fold(given).units[0].edges
    assert edge.op == Same(scale=2.0)


def test_doubling_sums_are_refused_instead_of_filling_memory():
    nodes = [("x", Input(shape=(4,)), ()), ("add0", Add(), ("x", "x"))]
    nodes += [(f"add{i}", Add(), (f"add{i - 1}", f"add{i - 1}")) for i in range(1, 40)]
    with pytest.raises(UnsupportedLayer, match=r"sums 2048 maps, at most 1024"):
        fold(graph(*nodes))


def test_a_matrix_too_large_to_write_down_is_refused():
    given = graph(
        ("x", Input(shape=(3, 200, 200)), ()),
        ("conv", conv(4, 3), ("x",)),
        ("flatten", Flatten(), ("conv",)),
        ("relu", Relu(), ("flatten",)),
        ("wide", Flatten(), ("x",)),
        ("answer", Add(), ("wide", "narrow")),
        ("narrow", Linear(weight=np.ones((120000, 1))), ("one",)),
        ("one", Linear(weight=np.ones((1, 156816))), ("relu",)),
        output="answer",
    )
    with pytest.raises(UnsupportedLayer, match=r"as one matrix it would have 120000 rows"):
        fold(given)


def test_a_network_that_gives_its_input_back_is_refused():
    with pytest.raises(BadInput, match="its output is its input"):
        fold(graph(("x", Input(shape=(4,)), ())))


def test_nodes_the_answer_does_not_need_are_left_out():
    given = graph(
        ("x", Input(shape=(4,)), ()),
        ("a", linear(4, 4), ("x",)),
        ("dead", Relu(), ("a",)),
        ("live", Relu(), ("a",)),
    )
    assert [unit.name for unit in fold(given).units] == ["live"]


def recurrent(**changed) -> nets.FloatGraph:
    return graph(
        ("x", Input(shape=(6,)), ()),
        ("in", linear(5, 6), ("x",)),
        ("sum", Add(), ("in", "back")),
        ("neurons", spike(threshold=np.array(0.7), **changed), ("sum",)),
        ("back", linear(5, 5), ("neurons",)),
        ("late", Delay(steps=np.array([0, 1, 2, 3, 0])), ("neurons",)),
        ("out", linear(3, 5, bias=False), ("late",)),
        ("answer", Integrate(), ("out",)),
    )


@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("late_reset", [False, True])
def test_a_recurrent_network_with_delays_spikes_as_the_graph_does(reset, late_reset):
    given = recurrent(reset=reset, late_reset=late_reset, i_decay=np.array(0.5), strict=False)
    x = torch.from_numpy(RNG.normal(size=(15, 4, 6)))
    wanted, found = run_spiking(given, x), run_spiking(fold(given), x)
    assert 0.05 < wanted["neurons"].mean() < 0.95
    assert torch.equal(wanted["neurons"], found["neurons"])
    torch.testing.assert_close(wanted["answer"], found["answer"], rtol=0, atol=1e-12)


def test_a_loop_becomes_a_recurrent_edge_and_a_delay_part_of_one():
    folded = fold(recurrent())
    assert [edge.source for edge in folded["neurons"].edges] == ["x", "neurons"]
    np.testing.assert_array_equal(folded["answer"].edges[0].delay, [0, 1, 2, 3, 0])


def test_a_loop_over_two_populations_is_refused():
    given = graph(
        ("x", Input(shape=(3,)), ()),
        ("sum", Add(), ("x", "back")),
        ("one", spike(), ("sum",)),
        ("mid", linear(3, 3), ("one",)),
        ("two", spike(), ("mid",)),
        ("back", linear(3, 3), ("two",)),
        output="two",
    )
    with pytest.raises(UnsupportedLayer, match=r"a loop passes several populations \(one, two\)"):
        fold(given)


def test_a_delay_of_a_sum_with_a_constant_is_refused():
    given = graph(
        ("x", Input(shape=(3,)), ()),
        ("in", linear(3, 3), ("x",)),
        ("late", Delay(steps=np.array(2)), ("in",)),
        ("neurons", spike(), ("late",)),
    )
    with pytest.raises(UnsupportedLayer, match=r"node 'late': it holds back a sum with a constant"):
        fold(given)


def test_a_flatten_before_spiking_neurons_moves_behind_them():
    given = graph(
        ("x", Input(shape=(1, 4, 4)), ()),
        ("conv", conv(2, 1), ("x",)),
        ("flatten", Flatten(), ("conv",)),
        ("neurons", spike(threshold=RNG.uniform(0.5, 1, 8)), ("flatten",)),
        ("out", linear(3, 8), ("neurons",)),
    )
    folded = fold(given)
    assert folded["neurons"].shape == (2, 2, 2)
    assert isinstance(folded["neurons"].edges[0].op, Conv)
    x = torch.from_numpy(RNG.normal(size=(6, 2, 1, 4, 4)))
    assert torch.equal(run_spiking(given, x)["neurons"], run_spiking(folded, x)["neurons"].flatten(2))


def test_what_was_assumed_about_neurons_is_handed_on():
    given = graph(("x", Input(shape=(3,)), ()), ("neurons", spike(assumed=("resets to 0",)), ("x",)))
    assert fold(given).assumed == ("neurons: resets to 0",)

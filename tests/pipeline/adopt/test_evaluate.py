from __future__ import annotations

import numpy as np
import pytest
import torch
from spikeport.export.floatgraph import Add, Delay, FloatGraph, Input, Integrate, Linear, Pool, Relu, Spike
from spikeport.hw import BadInput, UnsupportedLayer
from spikeport.pipeline.adopt.evaluate import apply, evaluate, run_spiking

from . import float_graphs as nets
from .float_graphs import graph, linear, spike


def driven(op, values) -> list[float]:
    """What one neuron gives on a series of inputs."""
    given = graph(("x", Input(shape=(1,)), ()), ("n", op, ("x",)))
    return run_spiking(given, torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1))["n"].flatten().tolist()


def lif(**changed) -> Spike:
    return Spike(**{"threshold": np.array(1.0), "v_decay": np.array(0.5), **changed})


def test_a_leaky_neuron_follows_its_equations_by_hand():
    # v: 0.8 | 0.4 + 0.8 = 1.2 spikes, 0 | 0.8
    assert driven(lif(), [0.8, 0.8, 0.8]) == [0, 1, 0]


def test_reset_by_subtraction_keeps_the_excess():
    # v: 1.6 spikes, 0.6 | 0.3 + 0.8 = 1.1 spikes
    assert driven(lif(reset="subtract"), [1.6, 0.8]) == [1, 1]
    assert driven(lif(), [1.6, 0.8]) == [1, 0]


def test_a_late_reset_comes_after_the_decay():
    # v: 2.2 spikes | 1.1 - 1 + 0.95 = 1.05 spikes | 0.525 - 1
    assert driven(lif(reset="subtract", late_reset=True), [2.2, 0.95, 0.0]) == [1, 1, 0]
    # to a value: 2.2 spikes | 0.9 + 0.2 = 1.1 spikes; at once 0.45 + 0.2
    assert driven(lif(v_reset=np.array(0.9), late_reset=True), [2.2, 0.2]) == [1, 1]
    assert driven(lif(v_reset=np.array(0.9)), [2.2, 0.2]) == [1, 0]


def test_a_threshold_is_strict_only_if_asked():
    assert driven(lif(), [1.0]) == [0]
    assert driven(lif(strict=False), [1.0]) == [1]


def test_a_current_decays_before_the_next_input():
    # u: 1, 0.5, 0.25; v without leak: 1, 1.5 > 1.4
    op = lif(i_decay=np.array(0.5), v_decay=np.array(0.0), threshold=np.array(1.4))
    assert driven(op, [1.0, 0.0, 0.0]) == [0, 1, 0]


def test_gain_and_offset_enter_the_potential():
    op = lif(gain=np.array(2.0), offset=np.array(-0.5))
    assert driven(op, [0.7, 0.8]) == [0, 1]  # v: 0.9 | 0.45 + 1.1


def test_an_integrator_gives_its_potential():
    assert driven(Integrate(), [1.0, 2.0, -4.0]) == [1.0, 3.0, -1.0]


def test_delays_hold_each_neuron_back_by_its_own_steps():
    given = graph(
        ("x", Input(shape=(3,)), ()),
        ("late", Delay(steps=np.array([0, 1, 2])), ("x",)),
        ("sum", Integrate(), ("late",)),
    )
    x = torch.zeros(4, 1, 3)
    x[0] = 1.0
    assert run_spiking(given, x)["late"][:, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("order", [("sum", "n", "back"), ("back", "sum", "n")])
def test_spikes_come_back_one_timestep_later_wherever_the_loop_is_listed(order):
    parts = {
        "back": ("back", Linear(weight=np.array([[2.0]]), bias=np.array([0.1])), ("n",)),
        "sum": ("sum", Add(), ("x", "back")),
        "n": ("n", lif(v_decay=np.array(1.0)), ("sum",)),
    }
    given = graph(("x", Input(shape=(1,)), ()), *(parts[name] for name in order), output="n")
    x = torch.tensor([0.0, 1.0, 0.0, 0.0]).reshape(4, 1, 1)
    out = run_spiking(given, x)
    assert out["back"].flatten().tolist()[0 if order[0] == "back" else 3] == (0.1 if order[0] == "back" else 2.1)
    assert out["n"].flatten().tolist() == [0, 1, 1, 1]


def test_a_node_listed_too_late_without_a_loop_is_read_in_its_own_timestep():
    given = graph(
        ("x", Input(shape=(1,)), ()),
        ("sum", Add(), ("x", "n")),
        ("n", lif(), ("x",)),
        output="sum",
    )
    assert run_spiking(given, torch.tensor([2.0]).reshape(1, 1, 1))["sum"].item() == 3.0


def test_an_ann_is_evaluated_node_by_node():
    given = nets.residual()
    values = evaluate(given, torch.randn(2, 2, 8, 8))
    assert list(values) == [node.name for node in given.nodes]
    torch.testing.assert_close(values["add2"], values["conv3"] + values["short"])
    torch.testing.assert_close(values["mean"], values["relu3"].mean((2, 3)))


@pytest.mark.parametrize(("kind", "wanted"), [("average", 1.0), ("sum", 4.0), ("max", 4.0)])
def test_pools_pad_with_zeros_and_divide_by_the_whole_window(kind, wanted):
    pool = Pool(kind=kind, kernel=(2, 2), stride=(2, 2), padding=(1, 1))
    x = torch.full((1, 1, 2, 2), 4.0, dtype=torch.float64)
    assert apply(pool, [x])[0, 0].tolist() == [[wanted] * 2] * 2


def test_a_maximum_ignores_padding_below_zero():
    pool = Pool(kind="max", kernel=(2, 2), stride=(2, 2), padding=(1, 1))
    x = torch.full((1, 1, 2, 2), -4.0, dtype=torch.float64)
    assert apply(pool, [x]).max() == -4


def test_a_relu_with_a_ceiling_is_limited_on_both_sides():
    assert apply(Relu(ceiling=6.0), [torch.tensor([-1.0, 3.0, 9.0])]).tolist() == [0, 3, 6]


def test_neurons_with_a_memory_are_not_evaluated_in_one_step():
    given = graph(("x", Input(shape=(1,)), ()), ("n", spike(), ("x",)))
    with pytest.raises(UnsupportedLayer, match="Spike has a memory; use run_spiking"):
        evaluate(given, torch.zeros(1, 1))


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 8, 8), (1, 2, 8, 9)])
def test_a_batch_of_another_shape_is_refused(shape):
    with pytest.raises(BadInput, match=r"expected \(B, 2, 8, 8\)"):
        evaluate(nets.residual(), torch.zeros(shape))


def test_a_loop_without_a_neuron_is_refused():
    given = graph(("x", Input(shape=(2,)), ()), ("a", Add(), ("x", "b")), ("b", linear(2, 2), ("a",)))
    assert isinstance(given, FloatGraph)
    with pytest.raises(UnsupportedLayer, match="a loop must pass a spiking neuron"):
        evaluate(given, torch.zeros(1, 2))

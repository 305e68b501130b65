"""NIR in: each framework's rules, shapes, loops, delays, and what is refused with which words."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeport.export.floatgraph import Add, Affine, Conv, Delay, Flatten, Integrate, Linear, Pool, Spike
from spikeport.export.nir_frameworks import FRAMEWORKS
from spikeport.export.nir_read import read
from spikeport.hw import BadInput, UnsupportedLayer

F32 = np.float32


def write(folder: Path, nodes: dict[str, Any], edges: list[tuple[str, str]], *, shape=(3,), out=(2,)) -> Path:
    """A NIR file with an input and an output around some nodes."""
    ends = {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array(out)})}
    path = folder / "net.nir"
    nir.write(path, nir.NIRGraph(nodes=ends | nodes, edges=edges, type_check=False), compression=None)  # pyright: ignore
    return path


def chain(folder: Path, *nodes: Any, shape=(3,), out=(2,)) -> Path:
    """Nodes `n0`, `n1`, ... one after the other."""
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    return write(folder, named, list(itertools.pairwise(names)), shape=shape, out=out)


def lif(n: int = 2, *, tau: float, r: float, dtype: Any = F32, v_leak: float = 0.0, v_reset: float = 0.0) -> nir.LIF:
    full = lambda value: np.full(n, value, dtype)  # noqa: E731
    return nir.LIF(tau=full(tau), r=full(r), v_leak=full(v_leak), v_threshold=full(1.0), v_reset=full(v_reset))


def dense(rows: int = 2, columns: int = 3) -> nir.Affine:
    return nir.Affine(np.arange(rows * columns, dtype=F32).reshape(rows, columns), np.ones(rows, F32))


def spike_of(path: Path, name: str = "n1", **how: Any) -> Spike:
    op = read(path, **how)[name].op
    assert isinstance(op, Spike)
    return op


def test_snntorch_is_recognised_and_its_beta_comes_back(tmp_path: Path) -> None:
    # snnTorch writes tau = dt / (1 - beta) and r = tau / dt, dt = 1e-4: beta 0.9 is tau 1e-3 and r 10.
    graph = read(chain(tmp_path, dense(), lif(tau=1e-3, r=10.0)))
    op = graph["n1"].op
    assert isinstance(op, Spike)
    assert graph.assumed[0].startswith("read as snntorch writes it")
    assert op.v_decay == pytest.approx(0.1, rel=1e-6)
    assert op.gain == pytest.approx(1.0, rel=1e-6)
    assert (op.strict, op.reset, op.late_reset) == (True, "value", False)
    assert any("late-subtract" in text for text in op.assumed)


def test_snntorchs_default_reset_is_a_choice_of_the_caller(tmp_path: Path) -> None:
    op = spike_of(chain(tmp_path, dense(), lif(tau=1e-3, r=10.0)), reset="late-subtract")
    assert (op.reset, op.late_reset) == ("subtract", True)
    assert "reset: late-subtract, as the caller says" in op.assumed


@pytest.mark.parametrize(("r", "gain"), [(1.0, 0.5), (2.0, 1.0)], ids=["decay_input", "plain input"])
def test_spikingjelly_stores_both_input_conventions_in_r(tmp_path: Path, r: float, gain: float) -> None:
    # tau 2 timesteps of 1e-4 s: v <- v + (x - v) / 2 with r = 1, v <- v / 2 + x with r = tau.
    op = spike_of(chain(tmp_path, dense(), lif(tau=2e-4, r=r, dtype=np.float64)))
    assert op.v_decay == pytest.approx(0.5)
    assert op.gain == pytest.approx(gain)
    assert not op.strict


def test_spikingjelly_begins_a_sample_at_v_reset(tmp_path: Path) -> None:
    node = lif(tau=4e-4, r=1.0, dtype=np.float64, v_leak=-0.5, v_reset=-0.5)
    op = spike_of(chain(tmp_path, dense(), node))
    # Counted from -0.5: threshold 1.5, reset 0, and the leak towards v_reset is no offset.
    assert (op.threshold, op.v_reset, op.offset) == (1.5, 0.0, 0.0)
    assert any("begins at v_reset" in text for text in op.assumed)


def test_norse_stores_dt_over_tau_mem_inv(tmp_path: Path) -> None:
    # tau_mem_inv 100 / s at dt 1e-3 s loses 0.1 per timestep; the file holds tau = 1e-3 / 100.
    op = spike_of(chain(tmp_path, dense(), lif(tau=1e-5, r=1.0)))
    assert op.v_decay == pytest.approx(0.1, rel=1e-6)
    assert op.gain == pytest.approx(0.1, rel=1e-6)


def test_norses_current_takes_its_input_whole(tmp_path: Path) -> None:
    full = lambda value: np.full(2, value, F32)  # noqa: E731
    node = nir.CubaLIF(tau_mem=full(1e-5), tau_syn=full(5e-6), r=full(1), v_leak=full(0), v_threshold=full(1))
    op = spike_of(chain(tmp_path, dense(), node))
    assert op.i_decay == pytest.approx(0.2, rel=1e-6)
    assert op.gain == pytest.approx(0.1, rel=1e-6)  # the membrane's alone: i <- i + x


def test_eulers_current_scales_its_input_by_both_decays(tmp_path: Path) -> None:
    full = lambda value: np.full(2, value)  # noqa: E731
    node = nir.CubaLIF(
        tau_mem=full(10e-3), tau_syn=full(5e-3), r=full(3.0), v_leak=full(0.4), v_threshold=full(1.0), w_in=full(2.0)
    )
    op = spike_of(chain(tmp_path, dense(), node), framework="euler", dt_s=1e-3)
    assert (op.v_decay, op.i_decay) == (pytest.approx(0.1), pytest.approx(0.2))
    assert op.gain == pytest.approx(3 * 0.1 * 2 * 0.2)
    assert op.offset == pytest.approx(0.4 * 0.1)


def test_sinabs_counts_tau_in_timesteps_and_subtracts(tmp_path: Path) -> None:
    op = spike_of(chain(tmp_path, dense(), lif(tau=10.0, r=1.0)))
    assert op.v_decay == pytest.approx(1 - np.exp(-0.1))
    assert (op.reset, op.strict) == ("subtract", False)


def test_a_dt_of_ones_own_replaces_the_frameworks(tmp_path: Path) -> None:
    op = spike_of(chain(tmp_path, dense(), lif(tau=1e-3, r=10.0)), framework="snntorch", dt_s=2e-4)
    assert op.v_decay == pytest.approx(0.2, rel=1e-6)


def test_a_node_may_say_how_it_resets(tmp_path: Path) -> None:
    node = lif(tau=1e-3, r=10.0)
    node.metadata = {"reset": "subtract"}
    assert spike_of(chain(tmp_path, dense(), node)).reset == "subtract"


def test_parameters_that_differ_are_kept_per_neuron_and_equal_ones_collapse(tmp_path: Path) -> None:
    node = lif(tau=1e-3, r=10.0)
    node.v_threshold = np.array([1.0, 2.0], F32)
    op = spike_of(chain(tmp_path, dense(), node))
    np.testing.assert_array_equal(op.threshold, [1, 2])
    assert op.v_decay.shape == ()


def test_scalar_parameters_cover_a_population(tmp_path: Path) -> None:
    scalar = lambda value: np.array(value, F32)  # noqa: E731
    node = nir.LIF(scalar(1e-3), scalar(10.0), scalar(0.0), scalar(1.0), scalar(0.0))
    assert spike_of(chain(tmp_path, dense(), node)).threshold == 1.0


def test_a_file_that_fits_nobody_must_be_named(tmp_path: Path) -> None:
    path = chain(tmp_path, dense(), lif(tau=1e-2, r=1.0))
    with pytest.raises(BadInput, match="name it with framework="):
        read(path)
    with pytest.raises(BadInput, match="give dt_s"):
        read(path, framework="euler")
    with pytest.raises(BadInput, match="did you mean 'snntorch'"):
        read(path, framework="snntorc")


def test_a_decay_beyond_one_is_the_wrong_framework(tmp_path: Path) -> None:
    path = chain(tmp_path, dense(), lif(tau=1e-5, r=1.0))
    with pytest.raises(BadInput, match=r"loses 10 of the state .* another framework"):
        read(path, framework="snntorch")


def test_a_reset_above_the_threshold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="would fire for ever"):
        read(chain(tmp_path, dense(), lif(tau=1e-3, r=10.0, v_reset=1.5)))


def test_spatial_nodes_become_their_operations(tmp_path: Path) -> None:
    conv = nir.Conv2d((6, 6), np.ones((2, 1, 3, 3), F32), 1, (1, 1), 1, 1, np.zeros(2, F32))
    pools = (
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.AvgPool2d(np.array([3, 3]), np.array([1, 1]), np.array([0, 0])),
    )
    scale = nir.Scale(np.broadcast_to(np.array([2.0, 3.0])[:, None, None], (2, 1, 1)).copy())
    flatten = nir.Flatten({"input": np.array([2, 1, 1])}, 0, -1)
    path = chain(tmp_path, conv, *pools, scale, flatten, nir.Linear(np.ones((2, 2), F32)), shape=(1, 6, 6))
    graph = read(path)
    ops = [node.op for node in graph.nodes[1:]]
    assert [type(op) for op in ops] == [Conv, Pool, Pool, Affine, Flatten, Linear]
    assert isinstance(ops[0], Conv)
    assert ops[0].padding == (1, 1)
    assert [op.kind for op in ops if isinstance(op, Pool)] == ["sum", "average"]
    assert isinstance(ops[3], Affine)
    np.testing.assert_array_equal(ops[3].scale, [2, 3])


def test_same_padding_is_half_the_reach(tmp_path: Path) -> None:
    conv = nir.Conv2d((6, 6), np.ones((1, 1, 3, 5), F32), 1, "same", 2, 1, np.zeros(1, F32))
    op = read(chain(tmp_path, conv, shape=(1, 6, 6), out=(1, 6, 6)))["n0"].op
    assert isinstance(op, Conv)
    assert op.padding == (2, 4)  # dilation 2 x (kernel - 1) / 2


def test_a_batch_axis_on_the_input_is_dropped_and_said(tmp_path: Path) -> None:
    graph = read(chain(tmp_path, dense(), lif(tau=1e-3, r=10.0), shape=(32, 3)))
    assert graph.source.op.shape == (3,)  # pyright: ignore
    assert any("(32, 3) was read as (3,)" in text for text in graph.assumed)


def test_a_missing_flatten_is_said(tmp_path: Path) -> None:
    graph = read(chain(tmp_path, dense(2, 8), shape=(2, 2, 2)))
    assert any("flattened in C, H, W order" in text for text in graph.assumed)


def test_several_edges_into_a_node_are_added(tmp_path: Path) -> None:
    nodes = {"a": dense(), "b": dense(), "n": lif(tau=1e-3, r=10.0)}
    edges = [("input", "a"), ("input", "b"), ("a", "n"), ("b", "n"), ("n", "output")]
    graph = read(write(tmp_path, nodes, edges))
    assert graph["n"].inputs == ("n.sum",)
    assert isinstance(graph["n.sum"].op, Add)
    assert set(graph["n.sum"].inputs) == {"a", "b"}


def recurrent() -> nir.NIRGraph:
    """A sub-graph as snnTorch writes its recurrent cells."""
    return nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([2])}),
            "lif": lif(tau=1e-3, r=10.0),
            "w_rec": nir.Linear(np.eye(2, dtype=F32)),
            "output": nir.Output({"output": np.array([2])}),
        },
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )


def test_a_subgraph_is_opened_and_its_loop_passes_the_spikes(tmp_path: Path) -> None:
    graph = read(chain(tmp_path, dense(), recurrent()))
    names = [node.name for node in graph.nodes]
    assert names == ["input", "n0", "n1.lif.sum", "n1.lif", "n1.w_rec"]
    assert graph["n1.lif.sum"].inputs == ("n0", "n1.w_rec")
    assert graph.output == "n1.lif"


def test_a_subgraph_that_feeds_itself_is_a_loop(tmp_path: Path) -> None:
    inner = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([2])}),
            "lif": lif(tau=1e-3, r=10.0),
            "output": nir.Output({"output": np.array([2])}),
        },
        edges=[("input", "lif"), ("lif", "output")],
    )
    edges = [("input", "a"), ("a", "g"), ("g", "g"), ("g", "output")]
    graph = read(write(tmp_path, {"a": dense(), "g": inner}, edges))
    assert graph["g.lif.sum"].inputs == ("a", "g.lif")


def test_a_loop_without_a_neuron_is_refused(tmp_path: Path) -> None:
    nodes = {"a": dense(), "w": nir.Linear(np.eye(2, dtype=F32)), "n": lif(tau=1e-3, r=10.0)}
    edges = [("input", "a"), ("a", "w"), ("w", "w"), ("w", "n"), ("n", "output")]
    with pytest.raises(UnsupportedLayer, match="a loop must pass a spiking neuron"):
        read(write(tmp_path, nodes, edges))


def test_delays_in_seconds_become_timesteps(tmp_path: Path) -> None:
    path = chain(tmp_path, nir.Delay(np.array([3e-4, 0.0, 1e-4])), dense(), lif(tau=1e-3, r=10.0))
    op = read(path)["n0"].op
    assert isinstance(op, Delay)
    np.testing.assert_array_equal(op.steps, [3, 0, 1])


def test_half_a_timestep_of_delay_is_refused(tmp_path: Path) -> None:
    path = chain(tmp_path, nir.Delay(np.full(3, 1.5e-4)), dense(), lif(tau=1e-3, r=10.0))
    with pytest.raises(BadInput, match=r"whole timesteps of 0\.0001 s; give dt_s"):
        read(path)


def test_an_integrator_at_the_end_is_a_readout(tmp_path: Path) -> None:
    path = chain(tmp_path, dense(), nir.I(np.full(2, 1e4)))
    assert isinstance(read(path, framework="euler", dt_s=1e-4)["n1"].op, Integrate)


def test_a_leaky_integrator_is_a_neuron_that_never_fires(tmp_path: Path) -> None:
    full = lambda value: np.full(2, value, F32)  # noqa: E731
    op = spike_of(chain(tmp_path, dense(), nir.LI(tau=full(1e-5), r=full(1), v_leak=full(0))))
    assert np.isinf(op.threshold)
    assert op.v_decay == pytest.approx(0.1, rel=1e-6)


def test_an_integrator_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = chain(tmp_path, dense(), nir.I(np.full(2, 1e4)), dense(2, 2))
    with pytest.raises(UnsupportedLayer, match="sends potentials to n2"):
        read(path, framework="euler", dt_s=1e-4)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (nir.Threshold(np.ones(2)), "use an IF or LIF node"),
        (nir.Conv1d(3, np.ones((1, 1, 2)), 1, 0, 1, 1, np.zeros(1)), "Conv2d with a kernel of height 1"),
    ],
)
def test_nodes_without_a_rule_are_refused_by_name_with_a_way_out(tmp_path: Path, node: Any, words: str) -> None:
    with pytest.raises(UnsupportedLayer, match=f"no rule for {type(node).__name__} nodes; .*{words}"):
        read(chain(tmp_path, dense(), node))


def test_a_partial_flatten_is_refused(tmp_path: Path) -> None:
    path = chain(tmp_path, nir.Flatten({"input": np.array([2, 3, 4])}, 1, 1), shape=(2, 3, 4), out=(2, 3, 4))
    with pytest.raises(UnsupportedLayer, match="only all of them can be flattened"):
        read(path)


def test_what_leads_nowhere_is_left_out_and_said(tmp_path: Path) -> None:
    nodes = {"a": dense(), "dead": dense()}
    graph = read(write(tmp_path, nodes, [("input", "a"), ("a", "output"), ("input", "dead")]))
    assert [node.name for node in graph.nodes] == ["input", "a"]
    assert any("dead" in text for text in graph.assumed)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_framework_says_where_its_rules_were_read(name: str) -> None:
    assert FRAMEWORKS[name].source
    assert FRAMEWORKS[name].decay_rule

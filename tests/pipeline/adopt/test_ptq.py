"""Quantization after training: what is exact stays exact, what is rounded is reported, what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.export.floatgraph import Conv, Integrate, Linear, Pool, Relu, Spike
from spikeport.hw import CHIPS, BadInput, Cuba, Dense, Network, NotRepresentable, OneToOne, UnsupportedLayer
from spikeport.pipeline.adopt.evaluate import run_spiking
from spikeport.pipeline.adopt.folded import Edge, Folded, Same, Unit
from spikeport.pipeline.adopt.input_grid import input_grid
from spikeport.pipeline.adopt.ptq import PtqReport, quantize
from spikeport.pipeline.adopt.ptq_layer import neuron_run, on_grid, synaptic_sums

LOIHI2 = CHIPS["loihi2"]
T = 10


def spike(threshold: Any = 1.0, v_decay: Any = 0.0, **more: Any) -> Spike:
    arrays = {
        name: np.asarray(value, np.float64) if not isinstance(value, bool | str) else value
        for name, value in more.items()
    }
    return Spike(threshold=np.asarray(threshold, np.float64), v_decay=np.asarray(v_decay, np.float64), **arrays)


def unit(name: str, shape: tuple[int, ...], op: Any, *edges: Edge, bias: Any = None) -> Unit:
    offset = np.zeros(shape[0]) if bias is None else np.asarray(bias, np.float64)
    return Unit(name=name, shape=shape, op=op, edges=edges, bias=offset, members=(name,), where=f"net.nir: {name}")


def folded(*units: Unit, shape: tuple[int, ...] = (6,)) -> Folded:
    return Folded(name="net", source="x", source_shape=shape, units=units, foldings=(), n_steps=None, assumed=())


def dense(source: str, rows: int, columns: int, *, seed: int = 0, spread: float = 0.5, delay: Any = 0) -> Edge:
    weight = np.random.default_rng(seed).normal(0.1, spread, (rows, columns))
    return Edge(source=source, op=Linear(weight=weight), delay=np.asarray(delay, np.int64))


def coins(shape: tuple[int, ...], *, chance: float = 0.4, samples: int = 16) -> torch.Tensor:
    return (torch.rand(T, samples, *shape, generator=torch.Generator().manual_seed(0)) < chance).float()


def run(net: Folded, x: torch.Tensor, **how: Any) -> tuple[Network, PtqReport]:
    network, report = quantize(net, x, LOIHI2, n_steps=T, **how)
    assert [row.name for row in report.populations] == [u.name for u in net.units]
    return network, report


def neuron(network: Network, name: str) -> Cuba:
    found = network[name].neuron
    assert isinstance(found, Cuba)
    return found


def test_weights_on_the_grid_are_kept_and_every_spike_is_the_same() -> None:
    # Weights are multiples of 2/32: at a threshold of 32 they are the even integers, and sums are exact in floats too.
    weight = 2 * np.random.default_rng(1).integers(-30, 60, (8, 6)) / 32
    net = folded(unit("a", (8,), spike(1.0), Edge(source="x", op=Linear(weight=weight))))
    network, report = run(net, coins((6,)))
    scale = neuron(network, "a").v_th_mant
    assert scale % 32 == 0
    (link,) = network.incoming("a")
    np.testing.assert_array_equal(link.weight, np.round(weight * scale))
    assert report.populations[0].agreement == report.populations[0].common == 1
    assert report.populations[0].limit == "nothing: all weights are exact"


def test_rounded_weights_agree_nearly_everywhere_and_the_error_is_measured() -> None:
    net = folded(
        unit("a", (30,), spike(1.0, 0.1), dense("x", 30, 6)),
        unit("b", (10,), spike(1.0, 0.2), dense("a", 10, 30, seed=1, spread=0.3)),
    )
    network, report = run(net, coins((6,)))
    for row in report.populations:
        assert 0.98 < row.agreement <= 1
        assert 0 < row.weight_error < 0.02
        assert row.decay_error <= 0.5 / 4096
    trace = sim.run(network, coins((6,)).to(torch.int32), record=("spikes",))
    expected = run_spiking(net, coins((6,)))
    assert float((trace.spikes["b"] == expected["b"]).double().mean()) == report.populations[1].agreement


def test_thresholds_of_single_neurons_go_into_their_rows() -> None:
    thresholds = np.array([0.5, 1.0, 2.0, 4.0])
    net = folded(unit("a", (4,), spike(thresholds), dense("x", 4, 6)))
    network, report = run(net, coins((6,)))
    edge_weight = net.units[0].edges[0].op.weight  # pyright: ignore
    (link,) = network.incoming("a")
    expected = edge_weight / thresholds[:, None] * neuron(network, "a").v_th_mant
    assert np.abs(link.weight - expected).max() <= 1  # half a step of 2
    assert report.populations[0].agreement > 0.99


def test_gain_offset_and_bias_act_as_in_the_original() -> None:
    op = spike(1.0, 0.25, gain=[0.5, 2.0, 1.0], offset=[0.1, 0.0, -0.05])
    net = folded(unit("a", (3,), op, dense("x", 3, 6), bias=[0.2, -0.1, 0.3]))
    network, report = run(net, coins((6,)))
    # gain * bias + offset, in thresholds
    expected = np.array([0.5 * 0.2 + 0.1, 2 * -0.1, 0.3 - 0.05]) * neuron(network, "a").v_th_mant
    np.testing.assert_allclose(neuron(network, "a").bias_mant, expected, atol=0.5)
    assert report.populations[0].agreement > 0.99


def test_greater_or_equal_is_strictly_above_one_less_where_states_are_whole() -> None:
    # Sums of 0.25 reach 1 exactly, again and again: > and >= differ.
    weight = np.full((1, 6), 0.25)
    edge = Edge(source="x", op=Linear(weight=weight))
    answers = {}
    for strict in (True, False):
        net = folded(unit("a", (1,), spike(1.0, strict=strict), edge))
        network, report = run(net, coins((6,)))
        assert report.populations[0].agreement == 1
        answers[strict] = sim.run(network, coins((6,)).to(torch.int32)).readout
    assert not torch.equal(answers[True], answers[False])


def test_greater_or_equal_with_a_leak_is_said() -> None:
    _, report = run(folded(unit("a", (3,), spike(1.0, 0.25, strict=False), dense("x", 3, 6))), coins((6,)))
    assert any("chip has no >=" in note for note in report.populations[0].notes)


def test_a_reset_to_another_value_shifts_the_membrane() -> None:
    op = spike(1.0, 0.25, v_reset=-0.5)
    net = folded(unit("a", (12,), op, dense("x", 12, 6, spread=1.0)))
    network, report = run(net, coins((6,)))
    # w = v + 0.5: threshold 1.5, and the leak towards v = 0 is an offset of 0.25 * 0.5 per step.
    np.testing.assert_allclose(neuron(network, "a").bias_mant, 0.125 / 1.5 * neuron(network, "a").v_th_mant, atol=0.5)
    assert any("begins at the reset" in note for note in report.populations[0].notes)
    started = run_spiking(net, coins((6,)))["a"]
    # The sample begins 0.5 lower than in the original, so early spikes may come late; most agree.
    assert report.populations[0].agreement > 0.9
    assert float(started.mean()) > 0.05


def test_subtraction_is_refused_unless_accepted_and_then_measured() -> None:
    op = spike(1.0, 0.1, reset="subtract")
    net = folded(unit("a", (12,), op, dense("x", 12, 6, spread=1.0)))
    with pytest.raises(UnsupportedLayer, match="--reset hard"):
        run(net, coins((6,)))
    _, report = run(net, coins((6,)), hard_reset=True)
    assert any("subtracts its threshold in the original" in note for note in report.populations[0].notes)
    assert report.populations[0].agreement < 0.99


@pytest.mark.parametrize("name", ["v_decay", "i_decay"])
def test_neurons_of_different_decays_are_refused_unless_they_round_alike(name: str) -> None:
    one = {"v_decay": 0.1, "i_decay": 1.0} | {name: np.array([0.25, 0.5])}
    with pytest.raises(UnsupportedLayer, match=f"2 different {name} .1024 to 2048 of 4096"):
        run(folded(unit("a", (2,), spike(1.0, **one), dense("x", 2, 6))), coins((6,)))
    near = one | {name: np.array([0.25, 0.25 + 1e-5])}
    network, report = run(folded(unit("a", (2,), spike(1.0, **near), dense("x", 2, 6))), coins((6,)))
    assert getattr(neuron(network, "a"), name) == 1024
    assert report.populations[0].decay_error >= 1e-5


def test_a_relu_is_no_spiking_neuron() -> None:
    with pytest.raises(UnsupportedLayer, match="this network is an ANN"):
        run(folded(unit("a", (3,), Relu(), dense("x", 3, 6))), coins((6,)))


def test_thresholds_that_differ_within_a_channel_are_refused() -> None:
    conv = Edge(source="x", op=Conv(weight=np.ones((1, 1, 1, 1))))
    net = folded(unit("a", (1, 1, 2), spike([[[1.0, 2.0]]]), conv), shape=(1, 1, 2))
    with pytest.raises(UnsupportedLayer, match="one threshold per channel"):
        run(net, coins((1, 1, 2)))


def test_convolution_pool_and_identity_skip_become_their_connections() -> None:
    rng = np.random.default_rng(3)
    conv = Conv(weight=rng.normal(0.1, 0.5, (4, 2, 3, 3)), padding=(1, 1))
    second = Conv(weight=rng.normal(0.1, 0.3, (4, 4, 3, 3)), padding=(1, 1))
    pool = Pool(kind="max", kernel=(2, 2), stride=(2, 2))
    net = folded(
        unit("c", (4, 6, 6), spike(1.0, 0.1), Edge(source="x", op=conv)),
        unit("p", (4, 3, 3), None, Edge(source="c", op=pool)),
        unit("d", (4, 3, 3), spike(1.0, 0.1), Edge(source="p", op=second), Edge(source="p", op=Same(scale=0.5))),
        shape=(2, 6, 6),
    )
    network, report = run(net, coins((2, 6, 6)))
    kinds = {(c.source, c.target, type(c)) for c in network.connections}
    assert kinds == {("x", "c", hw.Conv), ("c", "p", hw.Conv), ("p", "d", hw.Conv), ("p", "d", OneToOne)}
    by_name = {row.name: row for row in report.populations}
    assert by_name["p"].alone == 1
    assert min(row.agreement for row in report.populations) > 0.98


def test_an_identity_with_a_threshold_per_channel_is_a_convolution() -> None:
    thresholds = np.array([1.0, 2.0])[:, None, None]
    op = spike(np.broadcast_to(thresholds, (2, 3, 3)))
    net = folded(unit("a", (2, 3, 3), op, Edge(source="x", op=Same(scale=0.6))), shape=(2, 3, 3))
    network, report = run(net, coins((2, 3, 3)))
    (link,) = network.incoming("a")
    assert isinstance(link, hw.Conv)
    assert link.groups == 2
    assert report.populations[0].agreement == 1


def test_recurrence_and_delays_are_kept() -> None:
    net = folded(
        unit(
            "a",
            (5,),
            spike(1.0, 0.1, i_decay=0.5),
            dense("x", 5, 6, delay=[0, 1, 2, 0, 1, 2]),
            dense("a", 5, 5, seed=4, delay=1),
        )
    )
    network, report = run(net, coins((6,)))
    into, own = network.incoming("a")
    assert isinstance(into, Dense)
    np.testing.assert_array_equal(into.delay[0], [0, 1, 2, 0, 1, 2])
    assert isinstance(own, Dense)
    assert (own.recurrent, own.max_delay) == (True, 1)
    assert neuron(network, "a").i_decay == 2048
    assert report.populations[0].agreement > 0.98


def test_a_bias_through_a_current_is_approximated_and_said() -> None:
    net = folded(unit("a", (5,), spike(1.0, 0.1, i_decay=0.5), dense("x", 5, 6), bias=np.full(5, 0.02)))
    _, report = run(net, coins((6,)))
    assert any("bias rises over the sample" in note for note in report.populations[0].notes)


@pytest.mark.parametrize("op", [Integrate(), None, spike(np.inf, 0.125)], ids=["integrator", "linear", "leaky"])
def test_a_readout_answers_by_its_membrane(op: Any) -> None:
    net = folded(
        unit("a", (20,), spike(1.0, 0.1), dense("x", 20, 6)),
        unit("out", (4,), op, dense("a", 4, 20, seed=2), bias=[0.1, 0.0, -0.1, 0.2]),
    )
    network, report = run(net, coins((6,)))
    assert network.readout == hw.Readout(population="out", kind="membrane")
    assert neuron(network, "out").v_th_mant == hw.NEVER_FIRES
    assert neuron(network, "out").v_decay == (512 if isinstance(op, Spike) else 0)
    assert report.answers >= 0.9


def test_sums_that_only_the_data_bound_are_reported() -> None:
    # 2000 inputs at weights of up to 254 could sum to 508000; at a chance of 1 in 20 they do not.
    net = folded(unit("a", (3,), spike(20.0, 0.1), dense("x", 3, 2000)), shape=(2000,))
    network, report = run(net, coins((2000,), chance=0.05))
    assert report.calibrated == ("a",)
    assert report.observed["a"] <= hw.sum_limit(network, "a", LOIHI2)
    hw.check(network, LOIHI2, report.observed)


def test_a_large_input_sum_holds_the_scale_down() -> None:
    net = folded(unit("a", (3,), spike(300.0, 0.1), dense("x", 3, 2000)), shape=(2000,))
    network, report = run(net, coins((2000,), chance=0.9))
    assert report.populations[0].limit == "synaptic sums on the calibration data"
    assert report.observed["a"] * 1.2 < hw.sum_limit(network, "a", LOIHI2)


def test_images_become_payloads_and_spikes_stay_spikes() -> None:
    sixteenths = torch.randint(0, 17, (50, 6)) / 16
    grid = input_grid(sixteenths, LOIHI2, None)
    assert (grid.steps, grid.source.payload_bits, grid.exact) == (16, 5, True)
    torch.testing.assert_close(grid.encode(sixteenths) / 16, sixteenths.float(), rtol=0, atol=0, check_dtype=False)
    assert input_grid(coins((6,)), LOIHI2, None).source == hw.Source()
    bytes_grid = input_grid(torch.randint(0, 256, (500, 6)) / 255, LOIHI2, None)
    assert (bytes_grid.steps, bytes_grid.source.payload_bits) == (255, 8)
    signed = input_grid(torch.randn(50, 6), LOIHI2, None)
    assert signed.source.signed
    assert not signed.exact


def test_a_chip_of_binary_spikes_takes_no_images() -> None:
    with pytest.raises(NotRepresentable, match="loihi1 takes only spikes; encode the inputs"):
        quantize(folded(unit("a", (3,), spike(), dense("x", 3, 6))), torch.rand(4, 6), CHIPS["loihi1"], n_steps=T)


def test_coarser_inputs_are_chosen_where_a_bias_leaves_no_room() -> None:
    net = folded(unit("a", (20,), spike(1.0, 0.1), dense("x", 20, 6, spread=0.2), bias=np.full(20, 0.2)))
    x = torch.rand(64, 6, generator=torch.Generator().manual_seed(1))
    free, report = run(net, x)
    _, fixed = run(net, x, payload_bits=8)
    assert free.sources[0].neuron.payload_bits < 8  # pyright: ignore
    assert report.populations[0].agreement > fixed.populations[0].agreement


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(4, 6), "all inputs are zero"),
        (torch.full((4, 6), torch.nan), "NaN or infinity"),
        (torch.ones(4, 5), r"shape \(4, 5\); net takes \(B, 6\)"),
        (torch.ones(3, 4, 6), "with T=10 steps"),
    ],
)
def test_calibration_data_that_do_not_fit_are_refused(x: torch.Tensor, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        run(folded(unit("a", (3,), spike(), dense("x", 3, 6))), x)


def test_weights_that_are_all_zero_are_refused() -> None:
    edge = Edge(source="x", op=Linear(weight=np.zeros((3, 6))))
    with pytest.raises(NotRepresentable, match="all weights into it are zero"):
        run(folded(unit("a", (3,), spike(), edge)), coins((6,)))


@given(values=st.lists(st.floats(-300, 300), min_size=1, max_size=20))
def test_the_grid_holds_what_the_chip_holds(values: list[float]) -> None:
    grid = on_grid(np.array(values), LOIHI2)
    assert np.abs(grid).max() <= 256
    if grid.min() < 0 < grid.max():
        assert not np.any(grid % 2)
        assert grid.max() <= 254
    else:
        assert np.abs(grid).max() <= 255
    inside = np.abs(values) <= 253
    assert np.all(np.abs(grid - np.array(values))[inside] <= 1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), i_decay=st.sampled_from([4096, 1000, 0]), v_decay=st.sampled_from([0, 410, 4096]))
def test_one_population_run_here_is_the_simulators(seed: int, i_decay: int, v_decay: int) -> None:
    rng = np.random.default_rng(seed)
    links = (
        Dense(source="x", target="a", weight=2 * rng.integers(-50, 60, (4, 3)), delay=rng.integers(0, 3, (4, 3))),
        Dense(source="a", target="a", weight=2 * rng.integers(-50, 60, (4, 4)), delay=rng.integers(0, 2, ())),
    )
    cuba = Cuba(v_th_mant=80, i_decay=i_decay, v_decay=v_decay, bias_mant=rng.integers(-9, 9, 4))
    network = Network(
        populations=(
            hw.Population(name="x", shape=(3,), neuron=hw.Source()),
            hw.Population(name="a", shape=(4,), neuron=cuba),
        ),
        connections=links,
        readout=hw.Readout(population="a", kind="spike_count"),
        n_steps=T,
    )
    x = torch.from_numpy(rng.integers(0, 2, (T, 5, 3)).astype(np.int32))
    trace = sim.run(network, x, record=("spikes", "v"))
    sums = synaptic_sums(links, {"x": x, "a": trace.spikes["a"]}, (4,))
    spikes, v = neuron_run(network["a"], sums)
    assert torch.equal(spikes, trace.spikes["a"].bool())
    assert torch.equal(v, trace.v["a"][-1])


def test_the_report_is_json() -> None:
    import json

    _, report = run(folded(unit("a", (3,), spike(), dense("x", 3, 6))), coins((6,)))
    assert json.loads(json.dumps(report.as_dict()))["populations"][0]["name"] == "a"


def test_a_late_reset_to_another_value_is_refused() -> None:
    op = replace(spike(1.0, 0.1, v_reset=-0.5), late_reset=True)
    with pytest.raises(UnsupportedLayer, match="one timestep late"):
        run(folded(unit("a", (3,), op, dense("x", 3, 6))), coins((6,)))

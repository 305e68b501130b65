"""The simulator gives the integers of the neuron's equation, whatever the network, the batch and the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim.exact import sum_dtype

from . import twin
from .networks import dense_chain, network, over_time, runs

SUM_LIMIT = 2**18  # the twin wraps once per step, which is all that is defined: |a << 6| < 2^24


def equal(a: torch.Tensor, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a.numpy().astype(np.int64) == b).all())


@settings(max_examples=80, deadline=None)
@given(runs())
def test_every_spike_u_and_v_equals_the_slow_twin(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    expected = twin.simulate(net, over_time(net, inputs))
    if expected.largest_sum >= SUM_LIMIT:
        with pytest.raises(hw.NotRepresentable, match=r"a synaptic sum reached \d+.*scale the layer down"):
            sim.run(net, inputs)
        return
    trace = sim.run(net, inputs, record=("spikes", "u", "v"))
    for name in expected.spikes:
        assert equal(trace.spikes[name], expected.spikes[name])
        assert equal(
            trace.counts.spikes[name],
            (expected.spikes[name] != 0).reshape(*over_time(net, inputs).shape[:2], -1).sum(2),
        )
    for name in expected.v:
        assert equal(trace.u[name], expected.u[name])
        assert equal(trace.v[name], expected.v[name])
    last = net.readout.population
    answer = expected.v[last][-1] if net.readout.kind == "membrane" else expected.spikes[last].sum(0)
    assert equal(trace.readout, answer.reshape(trace.n_samples, -1))
    assert trace.predictions.tolist() == [int(row.argmax()) for row in answer.reshape(trace.n_samples, -1)]


@settings(max_examples=40, deadline=None)
@given(runs(), st.randoms(use_true_random=False))
def test_permuting_or_splitting_the_batch_changes_nothing_else(
    case: tuple[hw.Network, torch.Tensor], random: object
) -> None:
    net, inputs = case
    axis = inputs.ndim - len(net.sources[0].shape) - 1
    order = torch.randperm(inputs.shape[axis], generator=torch.Generator().manual_seed(random.getrandbits(31)))  # type: ignore[attr-defined]
    try:
        whole = sim.run(net, inputs, record=("spikes", "v"))
    except hw.NotRepresentable:
        return
    mixed = sim.run(net, inputs.index_select(axis, order), batch_size=1, record=("spikes", "v"))
    assert torch.equal(mixed.readout, whole.readout[order])
    for a, b in ((mixed.spikes, whole.spikes), (mixed.v, whole.v), (mixed.counts.synops, whole.counts.synops)):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key][:, order]) for key in a)


@settings(max_examples=25, deadline=None)
@given(runs())
def test_a_held_input_equals_the_same_input_sent_at_every_timestep(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    if inputs.ndim == len(net.sources[0].shape) + 2:
        inputs = inputs[0]
    try:
        held = sim.run(net, inputs, record=("v",))
    except hw.NotRepresentable:
        return
    sent = sim.run(net, inputs.expand(net.n_steps, *inputs.shape), record=("v",))
    assert torch.equal(held.readout, sent.readout)
    assert all(torch.equal(held.v[name], sent.v[name]) for name in held.v)
    for table in ("spikes", "synops", "synops_effective"):
        a, b = getattr(held.counts, table), getattr(sent.counts, table)
        assert all(torch.equal(a[key], b[key]) for key in b)


def test_the_worked_example_of_the_neuron_spikes_at_every_second_step() -> None:
    # a = 8: v = 512, then 256 + 512 = 768 > 640, reset, and so on.
    neuron = hw.Cuba(v_th_mant=10, i_decay=4096, v_decay=2048)
    net = network(
        [hw.Dense(source="in", target="p", weight=np.array([[8]]))],
        {"in": (1,), "p": (1,)},
        {"p": neuron},
        n_steps=6,
        readout=hw.Readout(population="p", kind="spike_count"),
    )
    trace = sim.run(net, torch.ones(1, 1, dtype=torch.int64), record=("spikes", "v"))
    assert trace.spikes["p"].flatten().tolist() == [0, 1, 0, 1, 0, 1]
    assert trace.v["p"].flatten().tolist() == [512, 0, 512, 0, 512, 0]
    assert trace.readout.tolist() == [[3]]


def test_the_membrane_readout_is_64_times_the_sum_of_inputs_and_biases() -> None:
    # 3 timesteps of (5 * 2 - 7 * 1 + 4 * 3): 64 * 3 * 15.
    neuron = hw.Cuba(v_th_mant=hw.NEVER_FIRES)
    net = network(
        [hw.Dense(source="in", target="p", weight=np.array([[5, -7, 4]]))],
        {"in": (3,), "p": (1,)},
        {"p": neuron},
        payload_bits=2,
        n_steps=3,
    )
    assert sim.run(net, torch.tensor([[2, 1, 3]])).readout.tolist() == [[64 * 3 * 15]]


def test_two_connections_between_one_pair_of_populations_add_up() -> None:
    weights = [np.array([[3, 0]]), np.array([[1, 2]])]
    net = network(
        [hw.Dense(source="in", target="p", weight=w) for w in weights],
        {"in": (2,), "p": (1,)},
        {"p": hw.Cuba(v_th_mant=hw.NEVER_FIRES)},
    )
    trace = sim.run(net, torch.tensor([[1, 1]]))
    assert trace.readout.tolist() == [[64 * 6]]
    assert trace.counts.synops["in", "p"].tolist() == [[4]]
    assert trace.counts.synops_effective["in", "p"].tolist() == [[3]]


def test_equal_readouts_predict_the_first_class() -> None:
    net = dense_chain([np.array([[1], [2], [2]])])
    assert sim.run(net, torch.tensor([[1], [0]])).predictions.tolist() == [1, 0]


def test_sums_beyond_float32_are_still_exact() -> None:
    # Pairs w * p and -w * (p - d) with p near 2^24: products beyond float32, their sum is the small sum of w * d.
    rng = np.random.default_rng(0)
    w, p, d = rng.integers(1, 30, 400), rng.integers(2**23, 2**24, 400), rng.integers(0, 4, 400)
    order = rng.permutation(800)
    weight, payload = np.concatenate([w, -w])[order], np.concatenate([p, p - d])[order]
    net = dense_chain([weight[None]], payload_bits=24)
    assert sim.run(net, torch.from_numpy(payload)[None]).readout.tolist() == [[64 * int((w * d).sum())]]


def test_the_sums_stay_exact_when_the_process_allows_bf16_products() -> None:
    # 511 has 9 significant bits, which bf16 rounds to 512.
    net = dense_chain([np.full((40, 200), 511)])
    inputs = torch.ones(40, 200, dtype=torch.uint8)
    torch.set_float32_matmul_precision("medium")
    try:
        assert sum_dtype(200 * 511, torch.device("cpu"), "p0") == torch.float64
        readout = sim.run(net, inputs).readout
    finally:
        torch.set_float32_matmul_precision("highest")
    assert sum_dtype(200 * 511, torch.device("cpu"), "p0") == torch.float32
    assert torch.equal(readout, torch.full((40, 40), 64 * 511 * 200))


def test_the_sums_stay_exact_under_autocast() -> None:
    net = dense_chain([np.full((2, 200), 511)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert sim.run(net, torch.ones(2, 200, dtype=torch.uint8)).readout.unique().tolist() == [64 * 511 * 200]


def test_payloads_of_many_bits_are_recorded_whole() -> None:
    net = dense_chain([np.array([[1]])], payload_bits=16)
    spikes = sim.run(net, torch.tensor([[40000]]), record=("spikes",)).spikes["in"]
    assert (spikes.dtype, spikes.tolist()) == (torch.int32, [[[40000]]])


def test_booleans_are_binary_spikes() -> None:
    net = dense_chain([np.array([[3, 5]])])
    assert sim.run(net, torch.tensor([[True, False]])).readout.tolist() == [[64 * 3]]


def test_nothing_is_recorded_unless_asked_for_and_progress_adds_up_to_the_samples() -> None:
    net = dense_chain([np.array([[1]])])
    done: list[int] = []
    trace = sim.run(net, torch.ones(7, 1, dtype=torch.uint8), batch_size=3, progress=done.append)
    assert (trace.spikes, trace.u, trace.v) == ({}, {}, {})
    assert done == [3, 3, 1]
    assert trace.n_samples == trace.counts.n_samples == 7


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@settings(max_examples=20, deadline=None)
@given(runs())
def test_a_gpu_gives_the_same_integers(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    try:
        here = sim.run(net, inputs, record=("v",))
    except hw.NotRepresentable:
        return
    there = sim.run(net, inputs, record=("v",), device="cuda")
    assert torch.equal(here.readout, there.readout)
    assert all(torch.equal(here.v[name], there.v[name]) for name in here.v)
    assert all(torch.equal(here.counts.synops[pair], there.counts.synops[pair]) for pair in here.counts.synops)

"""Numbers given to neurons, added up over the spikes that were really sent, and how often each neuron spikes."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim import selfcheck
from spikeport.sim.kernels.rows import EventRows
from spikeport.sim.plan import Backend

from .networks import dense_chain, runs

Tables = dict[str, dict[str, np.ndarray]]
TALLIES = ("a.messages", "a.hops", "b.messages")


@st.composite
def tallied_runs(draw: st.DrawFn) -> tuple[hw.Network, torch.Tensor, Tables]:
    """A run and tallies of some of its populations: all equal, small, or beyond what float32 holds; some neurons 0."""
    net, inputs = draw(runs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tallies: Tables = {}
    for population in net.populations:
        for name in draw(st.sets(st.sampled_from(TALLIES))):
            most = draw(st.sampled_from([1, 130, 2**23, 2**40]))
            values = rng.integers(0, most, population.shape, endpoint=True) * (rng.random(population.shape) < 0.8)
            tallies.setdefault(population.name, {})[name] = values
    return net, inputs, tallies


def walked(spikes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The tally of spikes (T, B, *S), one spike at a time. int64 (T, B)."""
    totals = np.zeros(spikes.shape[:2], np.int64)
    for t, b, *neuron in np.argwhere(spikes).tolist():
        totals[t, b] += values[tuple(neuron)]
    return totals


@settings(max_examples=60, deadline=None)
@given(tallied_runs(), st.sampled_from(["portable", "float"]))
def test_tallies_and_activity_equal_a_walk_over_every_spike(
    case: tuple[hw.Network, torch.Tensor, Tables], backend: Backend
) -> None:
    net, inputs, tallies = case
    record = ("spikes", "activity")
    try:
        trace = sim.run(net, inputs, batch_size=2, record=record, backend=backend, tallies=tallies)
    except hw.NotRepresentable:
        return
    sent = {name: spikes.numpy() for name, spikes in trace.spikes.items()}
    asked = {(tally, name) for name, table in tallies.items() for tally in table}
    assert {(tally, name) for tally, table in trace.counts.tallies.items() for name in table} == asked
    for tally, table in trace.counts.tallies.items():
        for name, events in table.items():
            assert events.dtype == torch.int64
            assert np.array_equal(events.numpy(), walked(sent[name], tallies[name][tally]))
    assert list(trace.activity) == [p.name for p in net.populations]
    for name, times in trace.activity.items():
        assert times.dtype == torch.int64
        assert np.array_equal(times.numpy(), (sent[name] != 0).sum(axis=1))


@settings(max_examples=25, deadline=None)
@given(tallied_runs(), st.randoms(use_true_random=False))
def test_permuting_the_samples_permutes_the_tallies_and_leaves_the_activity(
    case: tuple[hw.Network, torch.Tensor, Tables], random: object
) -> None:
    net, inputs, tallies = case
    axis = inputs.ndim - len(net.sources[0].shape) - 1
    order = torch.randperm(inputs.shape[axis], generator=torch.Generator().manual_seed(random.getrandbits(31)))  # type: ignore[attr-defined]
    simulator = sim.Simulator(net, tallies=tallies)
    try:
        whole = simulator.run(inputs, record=("activity",))
    except hw.NotRepresentable:
        return
    mixed = simulator.run(inputs.index_select(axis, order), batch_size=1, record=("activity",))
    for tally, table in whole.counts.tallies.items():
        for name, events in table.items():
            assert torch.equal(mixed.counts.tallies[tally][name], events[:, order])
    for name, times in whole.activity.items():
        assert torch.equal(mixed.activity[name], times)


@settings(max_examples=25, deadline=None)
@given(runs())
def test_tallies_of_ones_are_the_spikes_and_of_fan_outs_the_synaptic_operations(
    case: tuple[hw.Network, torch.Tensor],
) -> None:
    net, inputs = case
    tallies: Tables = {p.name: {"ones": np.ones(p.shape, np.uint8)} for p in net.populations}
    for connection in net.connections:
        reached = tallies[connection.source].setdefault("reached", np.zeros(net[connection.source].shape, np.int64))
        reached += sim.fan_out(connection, reached.shape)
    try:
        counts = sim.run(net, inputs, tallies=tallies).counts
    except hw.NotRepresentable:
        return
    for name, spikes in counts.spikes.items():
        assert torch.equal(counts.tallies["ones"][name], spikes)
    for name, reached in counts.tallies["reached"].items():
        synops = [events for (source, _), events in counts.synops.items() if source == name]
        assert torch.equal(reached, torch.stack(synops).sum(dim=0))


def spiking() -> hw.Network:
    """Three inputs of payloads 0..7 and two neurons of threshold 0 that each hears one of the first two."""
    return dense_chain([np.array([[1, 0, 0], [0, 1, 0]])], v_th_mant=0, payload_bits=3, n_steps=2, kind="spike_count")


TALLIES_BY_HAND: Tables = {"in": {"far": np.array([1, 10, 100])}, "p0": {"far": np.array([5, 7])}}


@pytest.mark.parametrize("backend", ["portable", "float"])
def test_a_payload_of_any_size_is_one_spike(backend: Backend) -> None:
    images = torch.tensor([[7, 0, 1], [1, 2, 0]])
    trace = sim.run(spiking(), images, record=("activity",), backend=backend, tallies=TALLIES_BY_HAND)
    assert trace.counts.tallies["far"]["in"].tolist() == [[101, 11], [101, 11]]
    assert trace.counts.tallies["far"]["p0"].tolist() == [[5, 12], [5, 12]]
    assert trace.activity["in"].tolist() == [[2, 1, 1], [2, 1, 1]]
    assert trace.activity["p0"].tolist() == [[2, 1], [2, 1]]


def test_more_samples_than_a_byte_can_count_are_counted() -> None:
    images = torch.tensor([[1, 0, 0]]).expand(600, -1)
    activity = sim.run(spiking(), images, batch_size=600, record=("activity",)).activity
    assert activity["in"].tolist() == [[600, 0, 0]] * 2
    assert activity["p0"].tolist() == [[600, 0]] * 2


def test_nothing_is_tallied_and_no_activity_kept_unless_asked_for() -> None:
    trace = sim.run(spiking(), torch.ones(1, 3, dtype=torch.uint8))
    assert trace.counts.tallies == {}
    assert trace.activity == {}


def test_tallies_are_merged_and_cut_like_all_counts() -> None:
    images = torch.tensor([[7, 0, 1], [1, 2, 0], [0, 0, 0]])
    simulator = sim.Simulator(spiking(), tallies=TALLIES_BY_HAND)
    parts = [simulator.run(images[:1]).counts, simulator.run(images[1:]).counts]
    merged = sim.Counts.merge(parts)
    assert merged.tallies["far"]["in"].tolist() == [[101, 11, 0]] * 2
    assert merged.until(1).tallies["far"]["p0"].tolist() == [[5, 12, 0]]
    other = dataclasses.replace(parts[1], tallies={"near": parts[1].tallies["far"]})
    with pytest.raises(hw.BadInput, match=r"part 1 holds the tallies {'near': \['in', 'p0'\]}, the first part {'far'"):
        sim.Counts.merge([parts[0], other])
    with pytest.raises(hw.BadInput, match="run all parts with the same tallies"):
        sim.Counts.merge([parts[0], dataclasses.replace(parts[1], tallies={})])


@pytest.mark.parametrize(
    ("tallies", "message"),
    [
        ({"im": {"far": np.ones(3, int)}}, "tallies: unknown population 'im'; known: in, p0"),
        ({"in": {"far": np.ones(4, int)}}, "tallies: 'far' of in has shape (4,), expected (3,); give a number per"),
        ({"in": {"far": np.ones((1, 3), int)}}, "tallies: 'far' of in has shape (1, 3), expected (3,)"),
        ({"in": {"far": np.ones(3)}}, "tallies: 'far' of in is of float64, and events are whole; give"),
        ({"in": {"far": np.ones(3, bool)}}, "tallies: 'far' of in is of bool"),
        ({"in": {"far": [1, 2, 3]}}, "tallies: 'far' of in is of list"),
        ({"p0": {"far": np.array([0, -2])}}, "tallies: 'far' of p0 holds -2; give numbers of 0 or more"),
        ({"p0": {"far": np.array([2**52, 2**52])}}, "'far' of p0 adds up to 9.01e+15, and only sums below 2^53 are"),
        ({"p0": {"far": np.array([1, 2**64 - 1], np.uint64)}}, "'far' of p0 adds up to 1.84e+19"),
    ],
)
def test_tallies_that_cannot_be_added_up_are_refused(tallies: Tables, message: str) -> None:
    with pytest.raises(hw.BadInput, match=re.escape(message)):
        sim.run(spiking(), torch.ones(1, 3, dtype=torch.uint8), tallies=tallies)


@pytest.mark.parametrize("most", [0, 1, 127, 128, 2**14, 2**46])
@pytest.mark.parametrize(("columns", "neurons"), [(1, 1), (6, 320), (6, 323), (40, 24)])
def test_rows_of_any_size_add_up(columns: int, neurons: int, most: int) -> None:
    """320 rows of the largest digit leave an int16; 323 neurons fill no whole words; 40 columns no single vector."""
    loops = selfcheck.compiled()
    assert loops is not None
    rng = np.random.default_rng(0)
    values = rng.integers(0, most, (columns, neurons), endpoint=True)
    values[0] = most
    spikes = (rng.random((5, neurons)) < [[0.0], [0.1], [0.5], [0.9], [1.0]]).astype(np.uint8)
    assert np.array_equal(EventRows(values, loops.add_events)(spikes), spikes @ values.T)


def test_spikes_anywhere_in_memory_are_read() -> None:
    loops = selfcheck.compiled()
    assert loops is not None
    memory = np.random.default_rng(0).integers(0, 2, 81, dtype=np.uint8)
    values = np.arange(16)[None]
    for start in (0, 1):
        spikes = memory[start : start + 80].reshape(5, 16)
        assert np.array_equal(EventRows(values, loops.add_events)(spikes), spikes @ values.T)


def test_a_population_whose_rows_leave_32_bits_is_refused() -> None:
    values = np.broadcast_to(np.int64(1), (1, 2**31 // 127 + 1))
    with pytest.raises(hw.NotRepresentable, match="of 16909321 neurons leave 32 bits; use backend='portable'"):
        EventRows(values, lambda: None)

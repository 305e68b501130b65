"""Delays, recurrence, one-to-one synapses, signed payloads, on numbers done by hand; sums that are watched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim

from . import twin
from .networks import chains, dense_chain, inputs_for, network, over_time, runs

LOIHI2 = hw.CHIPS["loihi2"]


def line(
    *connections: hw.Connection, n_steps: int, neuron: hw.Cuba | None = None, size: int = 1, **source: int
) -> hw.Network:
    """in -> p of `size` neurons each, read by its membrane unless it can fire."""
    neuron = neuron or hw.Cuba(v_th_mant=hw.NEVER_FIRES)
    return network(list(connections), {"in": (size,), "p": (size,)}, {"p": neuron}, n_steps=n_steps, **source)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_chain_that_netx_can_hold_equals_the_slow_twin(data: st.DataObject) -> None:
    net = data.draw(chains())
    inputs = data.draw(inputs_for(net, batch=2))
    expected = twin.simulate(net, inputs.numpy())
    trace = sim.run(net, inputs, record=("spikes", "u", "v"))
    for ours, theirs in ((trace.spikes, expected.spikes), (trace.u, expected.u), (trace.v, expected.v)):
        assert all(np.array_equal(ours[name].numpy(), theirs[name]) for name in theirs)


@settings(max_examples=80, deadline=None)
@given(chains())
def test_chains_keep_their_sums_within_17_bits(net: hw.Network) -> None:
    for population, _ in net.neurons:
        assert sum(int(hw.worst_sum(net, c).max()) for c in net.incoming(population.name)) < 2**17


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_delayed_spike_arrives_that_many_timesteps_later(delay: int) -> None:
    net = line(hw.Dense(source="in", target="p", weight=np.array([[5]]), delay=np.array(delay)), n_steps=4)
    inputs = torch.tensor([1, 0, 0, 0]).reshape(4, 1, 1)
    u = sim.run(net, inputs, record=("u",)).u["p"].flatten().tolist()
    assert u == [64 * 5 if t == delay else 0 for t in range(4)]


def test_a_held_input_is_late_by_the_delay_too() -> None:
    # 5 timesteps, the spikes of the last two arrive too late: 3 of them are in.
    net = line(hw.Dense(source="in", target="p", weight=np.array([[5]]), delay=np.array(2)), n_steps=5)
    trace = sim.run(net, torch.ones(1, 1, dtype=torch.uint8))
    assert trace.readout.tolist() == [[64 * 5 * 3]]


def test_every_synapse_has_its_own_delay() -> None:
    weight, delay = np.array([[1, 10], [100, 1000]]), np.array([[0, 1], [2, 3]])
    net = line(hw.Dense(source="in", target="p", weight=weight, delay=delay), n_steps=4, size=2)
    inputs = torch.zeros(4, 1, 2, dtype=torch.uint8)
    inputs[0] = 1
    u = sim.run(net, inputs, record=("u",)).u["p"][:, 0]
    assert (u // 64).tolist() == [[1, 0], [10, 0], [0, 100], [0, 1000]]


def test_a_spike_that_would_arrive_after_the_end_is_counted_and_has_no_effect() -> None:
    net = line(hw.Dense(source="in", target="p", weight=np.array([[5]]), delay=np.array(62)), n_steps=2)
    trace = sim.run(net, torch.ones(1, 1, dtype=torch.uint8))
    assert trace.readout.tolist() == [[0]]
    assert trace.counts.synops["in", "p"].tolist() == [[1], [1]]


@pytest.mark.parametrize("delay", [0, 2])
def test_a_neuron_hears_itself_one_timestep_later_plus_the_delay(delay: int) -> None:
    # The input fires the neuron at step 0; its own spike of weight 7 comes back and fires it again, and so on.
    net = line(
        hw.Dense(source="in", target="p", weight=np.array([[7]])),
        hw.Dense(source="p", target="p", weight=np.array([[7]]), delay=np.array(delay)),
        n_steps=8,
        neuron=hw.Cuba(v_th_mant=6),
    )
    inputs = torch.zeros(8, 1, 1, dtype=torch.uint8)
    inputs[0] = 1
    trace = sim.run(net, inputs, record=("spikes",))
    expected = [int(t % (1 + delay) == 0) for t in range(8)]
    assert trace.spikes["p"].flatten().tolist() == expected
    assert trace.counts.synops["p", "p"].flatten().tolist() == expected


def test_inhibition_from_one_neuron_to_another_and_not_back() -> None:
    # Neuron 0 fires at every step and holds neuron 1 down from the second step on.
    net = line(
        hw.OneToOne(source="in", target="p", weight=np.array(10)),
        hw.Dense(source="p", target="p", weight=np.array([[0, 0], [-10, 0]])),
        n_steps=4,
        neuron=hw.Cuba(v_th_mant=5, v_decay=4096),
        size=2,
    )
    spikes = sim.run(net, torch.ones(1, 2, dtype=torch.uint8), record=("spikes",)).spikes["p"][:, 0]
    assert spikes.tolist() == [[1, 1], [1, 0], [1, 0], [1, 0]]


def test_one_to_one_synapses_keep_the_index_and_count_one_each() -> None:
    net = network(
        [hw.OneToOne(source="in", target="p", weight=np.array(-3))],
        {"in": (2, 2, 3), "p": (2, 2, 3)},
        {"p": hw.Cuba(v_th_mant=hw.NEVER_FIRES)},
        payload_bits=4,
    )
    payload = torch.arange(12).reshape(1, 2, 2, 3)
    trace = sim.run(net, payload)
    assert trace.readout.tolist() == [[-64 * 3 * i for i in range(12)]]
    assert int(trace.counts.synops["in", "p"]) == 11  # a payload of zero is no spike
    assert sim.n_synapses(net) == {("in", "p"): 12}
    assert sim.dense_macs(net, net.connections[0], "formula") == 12


def test_signed_payloads_multiply_with_their_sign_and_count_as_spikes() -> None:
    net = line(hw.OneToOne(source="in", target="p", weight=np.array(4)), n_steps=1, size=3, payload_bits=4, signed=True)
    trace = sim.run(net, torch.tensor([[-8, 0, 7]]), record=("spikes",))
    assert trace.readout.tolist() == [[64 * 4 * -8, 0, 64 * 4 * 7]]
    assert int(trace.counts.spikes["in"]) == 2
    assert trace.spikes["in"].dtype == torch.int32


@pytest.mark.parametrize("value", [-9, 8])
def test_a_signed_payload_has_a_range_of_its_own(value: int) -> None:
    net = line(hw.OneToOne(source="in", target="p", weight=np.array(1)), n_steps=1, payload_bits=4, signed=True)
    with pytest.raises(hw.BadInput, match=rf"value {value} is outside in's payload -8\.\.7 \(payload_bits=4, signed\)"):
        sim.run(net, torch.tensor([[value]]))


@pytest.mark.parametrize(("bias_exp", "expected"), [(0, 5), (6, 320), (7, 640)])
def test_a_bias_enters_with_its_own_exponent(bias_exp: int, expected: int) -> None:
    neuron = hw.Cuba(v_th_mant=hw.NEVER_FIRES, bias_mant=np.array(5), bias_exp=bias_exp)
    net = line(hw.OneToOne(source="in", target="p", weight=np.array(1)), n_steps=1, neuron=neuron)
    assert sim.run(net, torch.zeros(1, 1, dtype=torch.uint8)).readout.tolist() == [[expected]]


def bound_exceeded() -> tuple[hw.Network, int, int]:
    """A network whose weights alone do not keep its sums legal, the chip's limit, and the payload that reaches it."""
    net = dense_chain([np.full((2, 6), 200), np.array([[2, -2]])], payload_bits=8, v_th_mant=5)
    assert hw.rests_on_calibration(net, LOIHI2) == ("p0",)
    limit = hw.sum_limit(net, "p0", LOIHI2)
    return net, limit, limit // 200


def test_sums_beyond_the_chip_are_counted_where_the_bound_alone_does_not_rule_them_out() -> None:
    net, limit, payload = bound_exceeded()
    inputs = torch.zeros(4, 6, dtype=torch.int64)
    inputs[1] = payload // 6
    inputs[2] = payload // 6 + 1
    inputs[3, 0] = 1
    assert 6 * 200 * (payload // 6) <= limit < 6 * 200 * (payload // 6 + 1)
    for backend in ("portable", "auto"):
        counts = sim.run(net, inputs, chip=LOIHI2, backend=backend, batch_size=3).counts
        assert {name: table.tolist() for name, table in counts.overflows.items()} == {"p0": [[0, 0, 2, 0]]}
    assert sim.run(net, inputs).counts.overflows == {}


def test_the_largest_sums_are_what_the_check_takes_as_observed() -> None:
    net, limit, payload = bound_exceeded()
    inputs = torch.full((3, 6), payload // 6)
    inputs[2] = 0
    largest = sim.largest_sums(net, inputs, batch_size=2)
    assert largest == {"p0": 6 * 200 * (payload // 6), "p1": 0}
    assert list(hw.violations(net, LOIHI2)) != []
    assert [v for v in hw.violations(net, LOIHI2, observed=largest) if v.startswith("p0")] == []
    assert largest["p0"] <= limit


@settings(max_examples=40, deadline=None)
@given(runs())
def test_the_largest_sums_equal_the_slow_twins(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    expected = twin.simulate(net, over_time(net, inputs))
    if expected.largest_sum >= 2**18:
        with pytest.raises(hw.NotRepresentable, match="a synaptic sum reached"):
            sim.largest_sums(net, inputs)
        return
    assert sim.largest_sums(net, inputs) == {name: int(np.abs(sums).max()) for name, sums in expected.sums.items()}


def test_watched_and_unwatched_counts_do_not_merge() -> None:
    net, _, _ = bound_exceeded()
    watched, not_watched = (sim.run(net, torch.ones(1, 6, dtype=torch.uint8), chip=c).counts for c in (LOIHI2, None))
    assert sim.Counts.merge([watched, watched]).overflows["p0"].tolist() == [[0, 0]]
    with pytest.raises(hw.BadInput, match=r"part 1 watched the sums of \[\], the first part those of \['p0'\]"):
        sim.Counts.merge([watched, not_watched])

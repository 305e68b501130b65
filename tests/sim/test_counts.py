"""Counts are what walking over every synapse would give, to the last one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spikeport import hw, sim
from spikeport.sim.counter import EventCounter

from . import twin
from .networks import dense_chain, network, networks, runs


@settings(max_examples=60, deadline=None)
@given(runs())
def test_synaptic_operations_equal_a_walk_over_every_synapse(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    try:
        trace = sim.run(net, inputs, record=("spikes",))
    except hw.NotRepresentable:
        return
    spikes = {name: values.numpy() for name, values in trace.spikes.items()}
    for effective, counted in ((False, trace.counts.synops), (True, trace.counts.synops_effective)):
        walked = twin.count(net, spikes, effective=effective)
        assert counted.keys() == walked.keys()
        for pair, expected in walked.items():
            assert counted[pair].dtype == torch.int64
            assert np.array_equal(counted[pair].numpy(), expected)


@settings(max_examples=60, deadline=None)
@given(networks())
def test_fan_out_and_synapses_equal_an_enumeration(net: hw.Network) -> None:
    totals: dict[tuple[str, str], list[int]] = {}
    for connection in net.connections:
        source = net[connection.source]
        every = twin.synapses(connection, source.shape)
        stored = np.bincount([start for start, _, _, _ in every], minlength=source.size)
        present = np.bincount([start for start, _, w, _ in every if w], minlength=source.size)
        assert np.array_equal(sim.fan_out(connection, source.shape), stored.reshape(source.shape))
        assert np.array_equal(sim.fan_out(connection, source.shape, effective=True), present.reshape(source.shape))
        assert sim.dense_macs(net, connection) == len(every)
        total = totals.setdefault((connection.source, connection.target), [0, 0])
        total[0] += len(every)
        total[1] += int(present.sum())
    assert sim.n_synapses(net) == {pair: stored for pair, (stored, _) in totals.items()}
    assert sim.n_synapses(net, effective=True) == {pair: present for pair, (_, present) in totals.items()}


def conv_net(*, groups: int = 1, kernel: int = 3, stride: int = 1, padding: int = 0) -> hw.Network:
    """One convolution of 8 -> 16 channels on 9 x 9, the layers of the published comparison of counters."""
    conv = hw.Conv(
        source="in",
        target="p",
        weight=np.ones((16, 8 // groups, kernel, kernel), int),
        stride=(stride, stride),
        padding=(padding, padding),
        groups=groups,
    )
    shapes: dict[str, hw.Shape] = {"in": (8, 9, 9), "p": conv.out_shape((8, 9, 9))}
    return network([conv], shapes, {"p": hw.Cuba(v_th_mant=1)})


@pytest.mark.parametrize(
    ("net", "edge_exact", "formula"),
    [
        # Per axis a 3-tap kernel on 9 positions with padding 1 meets 9 * 3 - 2 = 25 pairs: 25^2 * 8 * 16.
        (conv_net(padding=1), 25**2 * 8 * 16, 9 * 81 * 8 * 16),
        # No padding, stride 2: 4 targets of 3 taps each, nothing is lost.
        (conv_net(stride=2), 12**2 * 8 * 16, 9 * 16 * 8 * 16),
        # 5 taps, padding 2, stride 2: 5 targets, the outer two lose 2 taps each: 25 - 4 = 21. Two groups of 4 channels.
        (conv_net(kernel=5, padding=2, stride=2, groups=2), 21**2 * 4 * 16, 25 * 25 * 4 * 16),
    ],
)
def test_dense_macs_with_and_without_the_padding(net: hw.Network, edge_exact: int, formula: int) -> None:
    connection = net.connections[0]
    assert sim.dense_macs(net, connection) == edge_exact
    assert sim.dense_macs(net, connection, "formula") == formula


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "groups", "stored", "effective", "dense", "by_rate"),
    [
        (3, 1, 1, 1, 65_056, 43_920, 320_000, 76_608),
        (3, 2, 0, 1, 14_928, 9_760, 73_728, 15_132),
        (5, 2, 2, 2, 23_000, 15_321, 112_896, 32_840),
    ],
    ids=["C1", "C2", "C3"],
)
def test_counted_events_are_the_published_ones_and_a_mean_rate_times_a_formula_is_not(
    kernel: int, stride: int, padding: int, groups: int, stored: int, effective: int, dense: int, by_rate: int
) -> None:
    """N-C-1..3: the published comparison of counters. 8 -> 16 channels on 9 x 9, every third weight of a kernel zero.

    Its spikes are torch's of seed 0, after the 3936 parameters of the layers created before. What padding makes of a
    mean rate, 18 % and 43 % too much, see docs/numbers.md.
    """
    net = conv_net(kernel=kernel, stride=stride, padding=padding, groups=groups)
    weight = np.ones((16, 8 // groups, kernel, kernel), int)
    weight.reshape(-1)[::3] = 0
    net = replace(net, connections=(replace(net.connections[0], weight=weight),))
    stream = torch.Generator().manual_seed(0)
    torch.rand(3936, generator=stream)
    spikes = (torch.rand(4, 8, 9, 9, generator=stream) < 0.2).to(torch.uint8)
    counts = sim.run(net, spikes).counts

    def ones(present: torch.Tensor) -> torch.Tensor:
        sums = torch.nn.functional.conv2d(
            spikes.double(), present.double(), stride=stride, padding=padding, groups=groups
        )
        return sums.sum(dim=(1, 2, 3)).long()

    kernels = torch.from_numpy(weight)
    assert torch.equal(counts.synops["in", "p"][0], ones(torch.ones_like(kernels)))
    assert torch.equal(counts.synops_effective["in", "p"][0], ones(kernels))
    assert int(counts.synops["in", "p"].sum()) == stored
    assert int(counts.synops_effective["in", "p"].sum()) == effective
    assert 4 * sim.dense_macs(net, net.connections[0]) == dense
    rate = float(spikes.double().mean())
    assert rate * 4 * sim.dense_macs(net, net.connections[0], "formula") == pytest.approx(by_rate, abs=0.5)
    assert (by_rate / stored > 1.17) if padding else (by_rate / stored < 1.02)


def test_dense_macs_of_a_dense_connection_are_inputs_times_outputs() -> None:
    net = dense_chain([np.zeros((3, 5), int)])
    assert sim.dense_macs(net, net.connections[0]) == sim.dense_macs(net, net.connections[0], "formula") == 15


def test_an_unknown_way_to_count_names_the_nearest() -> None:
    net = dense_chain([np.ones((1, 1), int)])
    with pytest.raises(hw.BadInput, match="unknown count 'edge_exac'; did you mean 'edge_exact'"):
        sim.dense_macs(net, net.connections[0], "edge_exac")  # type: ignore[arg-type]


def test_c4_the_example_of_the_neurobench_documentation() -> None:
    """N-C-4."""
    # W = [[1.3, 0, -3.2], [0, 1.2, -5.1], [-1.1, 2.7, 0]] (out, in), x = [0, 1.3, -1] there; ten times as large here.
    weight = np.array([[13, 0, -32], [0, 12, -51], [-11, 27, 0]])
    shapes: dict[str, hw.Shape] = {"in": (3,), "p0": (3,)}
    neuron = hw.Cuba(v_th_mant=hw.NEVER_FIRES)
    matrix = hw.Dense(source="in", target="p0", weight=weight)
    net = network([matrix], shapes, {"p0": neuron}, payload_bits=5, signed=True)
    counts = sim.run(net, torch.tensor([[0, 13, -10]])).counts
    assert sim.is_graded(net, "in")
    assert int(counts.synops_effective["in", "p0"]) == 4
    assert int(counts.synops["in", "p0"]) == 6
    assert sim.dense_macs(net, net.connections[0]) == 9


def test_a_graded_spike_counts_once_whatever_it_carries() -> None:
    net = dense_chain([np.ones((4, 3), int)], payload_bits=8)
    counts = sim.run(net, torch.tensor([[0, 1, 255]])).counts
    assert int(counts.spikes["in"]) == 2
    assert int(counts.synops["in", "p0"]) == 8
    assert sim.is_graded(net, "in")
    assert not sim.is_graded(net, "p0")


def test_every_neuron_is_updated_at_every_timestep() -> None:
    net = dense_chain([np.ones((4, 3), int), np.ones((2, 4), int)], n_steps=5)
    assert sim.neuron_updates(net) == {"p0": 4 * 5, "p1": 2 * 5}


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (300, 60_001),  # many spikes of a moderate fan-out: cut into blocks below 2^24
        (2, 2**24 + 1),  # one fan-out that float32 cannot hold
    ],
)
def test_counts_above_2_to_the_24_are_exact(sources: int, targets: int) -> None:
    net = dense_chain([np.ones((targets, sources), np.int16)])
    spikes = torch.ones(1, 2, sources)
    spikes[0, 1, 0] = 0
    counter = EventCounter(net, net["in"], torch.device("cpu"))
    n_spikes, stored, effective = counter.count(spikes.transpose(0, 1)).permute(2, 1, 0)
    assert n_spikes.tolist() == [[sources, sources - 1]]
    assert stored.tolist() == effective.tolist() == [[sources * targets, (sources - 1) * targets]]


def counted(n_samples: int, name: str = "in", n_steps: int = 2) -> sim.Counts:
    table = torch.arange(n_steps * n_samples).reshape(n_steps, n_samples)
    return sim.Counts(spikes={name: table}, synops={(name, "p"): 3 * table}, synops_effective={(name, "p"): 2 * table})


def test_merging_puts_samples_side_by_side_and_means_are_over_all_of_them() -> None:
    merged = sim.Counts.merge([counted(1), counted(2)])
    assert merged.spikes["in"].tolist() == [[0, 0, 1], [1, 2, 3]]
    assert (merged.n_samples, merged.n_steps) == (3, 2)
    assert merged.spikes_per_sample() == {"in": 7 / 3}
    assert merged.synops_per_sample() == {("in", "p"): 7.0}
    assert merged.synops_per_sample(effective=True) == {("in", "p"): 14 / 3}


@pytest.mark.parametrize("other", [counted(1, name="other"), counted(1, n_steps=3)])
def test_counts_of_different_networks_do_not_merge(other: sim.Counts) -> None:
    with pytest.raises(hw.BadInput, match=r"part 1 counts .*merge runs of one network only"):
        sim.Counts.merge([counted(1), other])


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(hw.BadInput, match="no counts to merge"):
        sim.Counts.merge([])

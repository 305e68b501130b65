"""Two programs written apart, the simulator and the numpy one, compute the same integers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.pipeline.capsule import independent, simulated
from spikeport.pipeline.capsule.golden import compare, count_rows

from ...sim.networks import dense_chain, runs
from .capsules import inputs_for, network


@settings(max_examples=150, deadline=None)
@given(runs())
def test_both_compute_the_same_spikes_read_outs_and_counts(case):
    """Convolutions of any stride, padding, dilation and groups, residual blocks, delays, recurrence, every source."""
    net, inputs = case
    try:
        expected = simulated.run(net, inputs.numpy())
    except hw.NotRepresentable:
        with pytest.raises(hw.NotRepresentable, match=r"a synaptic sum reached \d+"):
            independent.run(net, inputs.numpy())
        return
    found = independent.run(net, inputs.numpy())
    assert compare(expected, found).first is None
    assert expected.counts is not None
    assert found.counts is not None
    assert list(expected.counts) == list(found.counts) == list(count_rows(net))
    assert found.spikes.keys() == expected.spikes.keys()


@pytest.mark.parametrize("kind", ["membrane", "spike_count"])
def test_both_agree_where_every_layer_fires(kind):
    net = network(kind=kind, n_steps=6)
    inputs = inputs_for(net)
    found = independent.run(net, inputs)
    firing = {name for name, values in found.spikes.items() if values.any()}
    assert firing == {"a", "b"} | ({"out"} if kind == "spike_count" else set())
    assert compare(simulated.run(net, inputs), found).mismatches == 0


def test_the_worked_example_of_the_neuron():
    """hw/neurons/cuba.py: v = 512, then 256 + 512 = 768 > 640, a spike at step 2, and again at 4 and 6."""
    net = dense_chain([np.array([[8]])], v_th_mant=10, n_steps=6, kind="spike_count")
    (_, neuron) = net.populations
    leaky = dataclasses.replace(neuron, neuron=hw.Cuba(v_th_mant=10, v_decay=2048))
    net = dataclasses.replace(net, populations=(net.populations[0], leaky))
    found = independent.run(net, np.ones((1, 1), np.int32))
    assert found.spikes["p0"].ravel().tolist() == [0, 1, 0, 1, 0, 1]
    assert found.readouts.ravel().tolist() == [0, 1, 1, 2, 2, 3]


@settings(deadline=None)
@given(st.integers(0, 4096), st.integers(0, 4096), st.integers(0, 2**32 - 1))
def test_both_round_every_decay_alike(i_decay, v_decay, seed):
    """64 leaky integrators over 40 timesteps, each with a weight of its own, so that most remainders occur."""
    rng = np.random.default_rng(seed)
    net = dense_chain([rng.integers(-255, 255, (64, 4), endpoint=True)], payload_bits=4, n_steps=40)
    leaky = hw.Cuba(v_th_mant=hw.NEVER_FIRES, i_decay=i_decay, v_decay=v_decay)
    source, behind = net.populations
    net = dataclasses.replace(net, populations=(source, dataclasses.replace(behind, neuron=leaky)))
    inputs = rng.integers(0, 15, (40, 2, 4), endpoint=True).astype(np.int32)
    assert compare(simulated.run(net, inputs), independent.run(net, inputs)).first is None


def test_operations_are_counted_where_they_arrive():
    """A spike in the corner of 3 x 3 meets 4 of a 3 x 3 kernel's 9 taps under padding 1, one in the middle all 9."""
    weight = np.ones((2, 1, 3, 3), np.int64)
    weight[0, 0, 1, 1] = 0
    net = hw.Network(
        populations=(
            hw.Population(name="in", shape=(1, 3, 3), neuron=hw.Source()),
            hw.Population(name="a", shape=(2, 3, 3), neuron=hw.Cuba(v_th_mant=1)),
        ),
        connections=(hw.Conv(source="in", target="a", weight=weight, padding=(1, 1)),),
        readout=hw.Readout(population="a", kind="spike_count"),
        n_steps=1,
    )
    inputs = np.zeros((2, 1, 3, 3), np.int32)
    inputs[0, 0, 0, 0] = inputs[1, 0, 1, 1] = 1
    counts = independent.run(net, inputs).counts
    assert counts is not None
    assert counts["synops", "in", "a"].tolist() == [[2 * 4, 2 * 9]]
    assert counts["synops_effective", "in", "a"].tolist() == [[4 + 3, 9 + 8]]


WRAPPED = 63 * 4097 * 64 - 2**24
"""63 * 4097 << 6 lies beyond 2^23, so 24 bits show it from the other side; v adds it up at every step."""

KEPT = 63 * 2000 * 64
"""Lies just below 2^23, so v stops at its end at the second step; at the upper end it is above any threshold."""


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (4097, [WRAPPED, 2 * WRAPPED, 3 * WRAPPED]),
        (-4097, [-WRAPPED, -2 * WRAPPED, -3 * WRAPPED]),
        (-2000, [-KEPT, 1 - 2**23, 1 - 2**23]),
        (2000, [KEPT, 0, KEPT]),
    ],
)
def test_a_current_wraps_and_a_potential_saturates(weight, expected):
    net = dense_chain([np.array([[weight]])], payload_bits=6, n_steps=3)
    inputs = np.full((1, 1), 63, np.int32)
    found = independent.run(net, inputs)
    assert found.readouts.ravel().tolist() == expected
    assert compare(simulated.run(net, inputs), found).mismatches == 0


def test_it_needs_no_torch():
    code = "import sys, spikeport.pipeline.capsule.independent; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0

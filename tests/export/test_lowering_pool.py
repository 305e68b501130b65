"""Max pooling of spikes as a population: torch's own max pooling, at every step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.export.lowering_pool import or_population

AXIS = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(1, 2))
"""kernel, stride, padding, dilation."""


@settings(max_examples=40, deadline=None)
@given(AXIS, AXIS, st.sampled_from([1, 3, 128, 254]), st.integers(0, 1000))
def test_an_or_population_is_a_max_pool(rows, columns, channels, seed):
    kernel, stride, padding, dilation = zip(rows, columns, strict=True)
    padding = (min(padding[0], kernel[0] // 2), min(padding[1], kernel[1] // 2))  # torch allows no more
    source = hw.Population(name="in", shape=(channels, 6, 7), neuron=hw.Source())
    pool, link = or_population("pool", source, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    network = hw.Network(
        populations=(source, pool),
        connections=(link,),
        readout=hw.Readout(population="pool", kind="spike_count"),
        n_steps=3,
    )
    hw.check(network, hw.CHIPS["loihi2"])
    spikes = torch.from_numpy((np.random.default_rng(seed).random((3, 2, *source.shape)) < 0.2).astype(np.int32))
    trace = sim.run(network, spikes, record=("spikes", "v"))
    flat = spikes.flatten(0, 1).float()
    expected = torch.nn.functional.max_pool2d(flat, kernel, stride, padding, dilation).reshape(3, 2, *pool.shape)
    assert torch.equal(trace.spikes["pool"].float(), expected)
    assert not trace.v["pool"].any()


def test_windows_do_not_overlap_unless_told_to():
    source = hw.Population(name="a", shape=(2, 6, 6), neuron=hw.Cuba(v_th_mant=9))
    assert or_population("pool", source, kernel=(2, 3))[0].shape == (2, 3, 2)
    assert or_population("pool", source, kernel=(3, 3), stride=(2, 2), padding=(1, 1))[0].shape == (2, 3, 3)


def test_what_has_no_or_is_refused():
    graded = hw.Population(name="in", shape=(2, 6, 6), neuron=hw.Source(payload_bits=4))
    with pytest.raises(hw.BadInput, match="pool: in sends payloads of 4 bits"):
        or_population("pool", graded, kernel=(2, 2))
    with pytest.raises(hw.BadInput, match=r"pool: a has shape \(8,\); max pooling needs"):
        or_population("pool", hw.Population(name="a", shape=(8,), neuron=hw.Cuba(v_th_mant=1)), kernel=(2, 2))

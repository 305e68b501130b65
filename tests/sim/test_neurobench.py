"""NeuroBench's metrics of a run, by hand; their counts are compared with the package itself in tests/peers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spikeport import sim

from .networks import dense_chain


def test_c4_the_example_of_the_neurobench_documentation() -> None:
    """N-C-4."""
    # W (out, in) with three zeros; two inputs of three are not zero. Dense: 3 * 3.
    weight = np.array([[13, 0, -32], [0, 12, -51], [-11, 27, 0]])
    net = dense_chain([weight], payload_bits=4, n_steps=2)
    metrics = sim.neurobench(net, sim.run(net, torch.tensor([[0, 13, 1]])).counts)
    assert (metrics.effective_macs, metrics.effective_acs, metrics.dense) == (2 * 4, 0, 2 * 9)
    assert metrics.connection_sparsity == pytest.approx(3 / 9)
    assert metrics.footprint_bytes == 9 * 2 + 4  # int16 weights, one int32 bias


def test_c5_the_operations_of_a_dense_layer_are_its_spikes_times_its_outputs() -> None:
    """N-C-5."""
    net = dense_chain([np.full((3, 4), 7), np.ones((2, 3), int)], v_th_mant=10)
    inputs = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 1]])
    metrics = sim.neurobench(net, sim.run(net, inputs).counts)
    # Sample 0 sends 3 spikes, makes all three neurons fire (21 > 10); sample 1 sends one and makes none fire.
    assert metrics.effective_acs == pytest.approx(((3 + 1) * 3 + 3 * 2) / 2)
    assert metrics.activation_sparsity == pytest.approx(1 - 3 / (2 * 5))
    assert metrics.dense == 12 + 6

"""Memory is used again, and never while somebody still reads it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spikeport import hw, sim
from spikeport.sim.workspace import Workspace

from .networks import dense_chain

CPU = torch.device("cpu")


def test_what_was_given_back_is_lent_again() -> None:
    workspace = Workspace(CPU)
    first = workspace.take((3, 5), torch.int32)
    assert (first.shape, first.dtype, first.is_contiguous()) == ((3, 5), torch.int32, True)
    workspace.give(first.view(5, 3))
    assert workspace.take((60,), torch.uint8).data_ptr() == first.data_ptr()
    assert workspace.take((60,), torch.uint8).data_ptr() != first.data_ptr()


def test_the_smallest_that_fits_is_lent() -> None:
    workspace = Workspace(CPU)
    large, small = workspace.take((100,), torch.uint8), workspace.take((10,), torch.uint8)
    workspace.give(large)
    workspace.give(small)
    assert workspace.take((9,), torch.uint8).data_ptr() == small.data_ptr()
    assert workspace.take((11,), torch.uint8).data_ptr() == large.data_ptr()


def test_a_tensor_from_elsewhere_is_left_alone() -> None:
    workspace = Workspace(CPU)
    stranger = torch.zeros(10, dtype=torch.uint8)
    workspace.give(stranger)
    assert workspace.take((10,), torch.uint8).data_ptr() != stranger.data_ptr()


@pytest.mark.parametrize("steps", [1, 3])
def test_a_second_run_leaves_the_trace_of_the_first_alone(steps: int) -> None:
    net = dense_chain([np.array([[3, 5], [2, 0]]), np.array([[2, 1]])], payload_bits=4, n_steps=steps)
    simulator = sim.Simulator(net)
    trace = simulator.run(torch.tensor([[9, 4]]), record=("spikes", "u", "v"))
    before = {name: {k: t.clone() for k, t in getattr(trace, name).items()} for name in ("spikes", "u", "v")}
    answer = trace.readout.clone()
    simulator.run(torch.tensor([[0, 0]]), record=("spikes", "u", "v"))
    assert torch.equal(trace.readout, answer)
    for name, tables in before.items():
        assert all(torch.equal(getattr(trace, name)[key], table) for key, table in tables.items())


def test_a_refused_run_costs_no_memory_later() -> None:
    simulator = sim.Simulator(dense_chain([np.full((1, 1), 32767)], payload_bits=8))
    for _ in range(3):
        with pytest.raises(hw.NotRepresentable):
            simulator.run(torch.tensor([[9]]))
    simulator.run(torch.tensor([[1]]))
    assert len(simulator._workspace._free) == 1  # the spikes of one batch

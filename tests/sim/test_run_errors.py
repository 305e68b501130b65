"""What cannot be simulated is refused with who, which value, which limit, and the way out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from spikeport import hw, sim

from .networks import dense_chain, network

NET = dense_chain([np.ones((2, 3), int)], payload_bits=4, n_steps=2)
GOOD = torch.ones(1, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.ones(1, 3), "inputs: spikes are integers, got torch.float32; quantize"),
        (
            torch.ones(1, 3, dtype=torch.uint16),
            "got torch.uint16; quantize the images to payloads, as one of",
        ),
        (torch.ones(1, 4, dtype=torch.int64), "inputs: shape (1, 4) does not feed in; expected (B, 3) or (T, B, 3)"),
        (torch.ones(3, dtype=torch.int64), "inputs: shape (3,) does not feed in"),
        (torch.ones(1, 2, 1, 3, dtype=torch.int64), "inputs: shape (1, 2, 1, 3) does not feed in"),
        (torch.ones(3, 1, 3, dtype=torch.int64), "inputs: 3 timesteps given, the network's sample lasts n_steps=2"),
        (torch.ones(0, 3, dtype=torch.int64), "inputs: shape (0, 3) holds no samples"),
        (torch.ones(2, 0, 3, dtype=torch.int64), "inputs: shape (2, 0, 3) holds no samples"),
        (torch.tensor([[0, 16, 0]]), "inputs: value 16 is outside in's payload 0..15 (payload_bits=4); clip"),
        (torch.tensor([[0, -1, 0]]), "inputs: value -1 is outside in's payload 0..15"),
        (np.ones((1, 3), int), "inputs: expected a torch tensor of integers, got ndarray"),
    ],
)
def test_inputs_the_source_cannot_send(inputs: Any, message: str) -> None:
    with pytest.raises(hw.BadInput, match=re.escape(message)):
        sim.run(NET, inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0 is below 1"),
        ({"record": ("spike",)}, "record: unknown name 'spike'; did you mean 'spikes'?"),
        ({"record": "v"}, "record: 'v' is a string; give a collection"),
        ({"device": "abacus"}, "device: 'abacus' is not one torch knows"),
        ({"device": "meta"}, "device: 'meta' has no exact integer path"),
    ],
)
def test_arguments_without_a_meaning(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(hw.BadInput, match=re.escape(message)):
        sim.run(NET, GOOD, **arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(hw.BadInput, match="torch finds no CUDA device; use 'cpu'"):
        sim.run(NET, GOOD, device="cuda")


def test_a_binary_source_takes_no_two() -> None:
    with pytest.raises(hw.BadInput, match=r"value 2 is outside in's payload 0\.\.1 \(payload_bits=0\)"):
        sim.run(dense_chain([np.ones((1, 1), int)]), torch.tensor([[2]]))


def test_a_source_cannot_answer() -> None:
    net = network(
        [hw.Dense(source="in", target="p", weight=np.ones((1, 1), int))],
        {"in": (1,), "p": (1,)},
        {"p": hw.Cuba(v_th_mant=1)},
        readout=hw.Readout(population="in", kind="spike_count"),
    )
    with pytest.raises(hw.BadInput, match="in: a source cannot be the read-out"):
        sim.run(net, torch.tensor([[1]]))


def test_two_sources_need_two_inputs() -> None:
    ends = [hw.Population(name=name, shape=(1,), neuron=hw.Source()) for name in ("left", "right")]
    net = hw.Network(
        populations=(*ends, hw.Population(name="p", shape=(1,), neuron=hw.Cuba(v_th_mant=1))),
        connections=tuple(hw.Dense(source=end.name, target="p", weight=np.ones((1, 1), int)) for end in ends),
        readout=hw.Readout(population="p"),
        n_steps=1,
    )
    with pytest.raises(hw.UnsupportedLayer, match=r"it has 2 sources \(left, right\).*join them"):
        sim.run(net, torch.tensor([[1]]))


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (hw.Cuba(v_th_mant=1, i_decay=4097), "p: i_decay is 4097, decay constants are 0..4096"),
        (hw.Cuba(v_th_mant=1, v_decay=-1), "p: v_decay is -1, decay constants are 0..4096"),
        (hw.Cuba(v_th_mant=2**24), "p: threshold mantissa 16777216 leaves 32 bits"),
        (hw.Cuba(v_th_mant=1, bias_mant=np.array(-(2**24))), "p: bias mantissa 16777216 leaves 32 bits"),
    ],
)
def test_parameters_beyond_the_arithmetic(neuron: hw.Cuba, message: str) -> None:
    connection = hw.Dense(source="in", target="p", weight=np.ones((1, 1), int))
    with pytest.raises(hw.NotRepresentable, match=re.escape(message)):
        sim.run(network([connection], {"in": (1,), "p": (1,)}, {"p": neuron}), torch.tensor([[1]]))


def test_a_payload_too_wide_for_any_exact_sum() -> None:
    net = dense_chain([np.full((1, 20000), 32767)], payload_bits=24)
    with pytest.raises(hw.NotRepresentable, match=r"p0: a sum can reach \d+, and only sums below 2\^53 are exact"):
        sim.run(net, torch.ones(1, 20000, dtype=torch.int64))


def test_a_sum_that_really_leaves_the_register_is_refused_and_one_that_only_could_is_not() -> None:
    net = dense_chain([np.full((1, 1), 32767)], payload_bits=8)  # 32767 * 8 = 262136 < 2^18 <= 32767 * 9 = 294903
    assert sim.run(net, torch.tensor([[8]])).n_samples == 1
    with pytest.raises(hw.NotRepresentable, match="p0: a synaptic sum reached 294903, and beyond 262143"):
        sim.run(net, torch.tensor([[9]]))

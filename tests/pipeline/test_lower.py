"""From the integer twin to the chip's network: the same integers at every timestep, and a file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from spikeport import hw, sim
from spikeport.hw import BadInput
from spikeport.models import INPUT, PROFILES, Architecture, ConvWire, GraphNet, IdentityWire, LinearWire, Unit
from spikeport.models.integer import IntegerNode, integer_logits
from spikeport.pipeline.artefacts import NETWORK, NETWORK_ARRAYS, load_network, save_network
from spikeport.pipeline.convert import convert

from . import tiny_nets

DECAYS = [0, 1, 410, 2048, 4095, 4096]


def run_both(
    net: GraphNet, network: hw.Network, x: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor], sim.Trace]:
    """(sums, spikes) of the integer twin, and the simulator's trace of the network."""
    hidden = [unit.name for unit in net.architecture.units[:-1]]
    with torch.no_grad():
        sums, spikes = net(x.float(), hidden)
    return sums, spikes, sim.run(network, x, record=("spikes", "v"))


@pytest.mark.parametrize("v_decay", DECAYS)
@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_integer_twin_is_the_simulator_bit_for_bit(name, v_decay, seed):
    """T-HW-1: spikes of every population at every step, and the membrane of the read-out after every step."""
    architecture = tiny_nets.WITH_VARIED[name]()
    net, scales, network = tiny_nets.integer(architecture, v_decay=v_decay, n_steps=6, seed=seed)
    hw.check(network, hw.CHIPS["loihi2"])
    sums, spikes, trace = run_both(net, network, tiny_nets.payloads(architecture, scales.payload_bits))
    for unit, fired in spikes.items():
        assert torch.equal(fired.to(torch.uint8), trace.spikes[unit]), unit
    assert torch.equal(sums.cumsum(0).to(torch.int64) * 64, trace.v["readout"].to(torch.int64))
    logits, exact = integer_logits(net, sums)
    assert torch.equal(exact * 64, trace.readout)
    assert torch.equal(exact.argmax(-1), trace.predictions)
    torch.testing.assert_close(logits.double(), exact.double() / (scales.units["readout"] * 6))
    rates = [float(fired.mean()) for fired in spikes.values()]
    assert all(0 < rate < 1 for rate in rates), rates  # layers that say something


def test_frames_give_the_same_integers_as_in_the_simulator():
    """T-HW-1: an input that changes over the sample."""
    architecture = tiny_nets.residual()
    net, scales, network = tiny_nets.integer(architecture, v_decay=410, n_steps=5)
    frames = torch.stack([tiny_nets.payloads(architecture, scales.payload_bits, seed=seed) for seed in range(5)])
    sums, spikes, trace = run_both(net, network, frames)
    assert torch.equal(sums.sum(0).to(torch.int64) * 64, trace.readout)
    assert all(torch.equal(fired.to(torch.uint8), trace.spikes[unit]) for unit, fired in spikes.items())


def float_twin(net: GraphNet, architecture: Architecture) -> GraphNet:
    """The quantized network as an ordinary float64 spiking network: integer weights, integer thresholds."""
    ann, _ = tiny_nets.converted(architecture)
    ones = dict.fromkeys((unit.name for unit in architecture.units), 1.0)
    twin = convert(ann, ones, PROFILES["loihi"], net.n_steps).double()
    for old, node in zip(net.walk(), twin.walk(), strict=True):
        assert isinstance(old, IntegerNode)
        state = dict(node.synapses.named_parameters())
        with torch.no_grad():
            for index, wire in enumerate(old.wires):
                mean = isinstance(wire.wire, LinearWire) and wire.wire.mean
                positions = 16 if mean else 1  # a mean over 4 x 4 positions, where the chip has a sum
                state[f"{index}.weighted.weight"].copy_(wire.grid_weight.double() * positions)
                if wire.bias is not None:
                    state[f"{index}.weighted.bias"].zero_()
            first = next(value for name, value in state.items() if name.endswith("bias"))
            first.copy_(old.grid_bias.double())
    for old, spiking in zip(net.walk(), twin.spiking, strict=False):
        assert isinstance(old, IntegerNode)
        spiking.threshold.fill_(old.scale)
    return twin


@pytest.mark.parametrize("name", tiny_nets.ARCHITECTURES)
def test_the_integer_twin_is_a_float_simulation_of_the_quantized_network(name):
    """T-HW-1: without a leak nothing is rounded, so float64 gives the same spikes and the same sums."""
    architecture = tiny_nets.ARCHITECTURES[name]()
    net, scales, _ = tiny_nets.integer(architecture, n_steps=6)
    x = tiny_nets.payloads(architecture, scales.payload_bits)
    hidden = [unit.name for unit in architecture.units[:-1]]
    with torch.no_grad():
        sums, spikes = net(x.float(), hidden)
        float_sums, float_spikes = float_twin(net, architecture)(x.double(), hidden)
    assert torch.equal(sums.double(), float_sums)
    assert all(torch.equal(spikes[unit].double(), float_spikes[unit]) for unit in hidden)


@pytest.mark.parametrize("name", tiny_nets.ARCHITECTURES)
def test_between_populations_there_are_only_zeros_and_ones(name):
    """T-HW-5: in chip integers."""
    architecture = tiny_nets.ARCHITECTURES[name]()
    net, scales, network = tiny_nets.integer(architecture, v_decay=2048)
    _, spikes, trace = run_both(net, network, tiny_nets.payloads(architecture, scales.payload_bits))
    hidden = [unit.name for unit in architecture.units[:-1]]
    assert list(spikes) == hidden
    assert all(spikes[unit].unique().tolist() == [0, 1] for unit in hidden)
    assert all(trace.spikes[unit].unique().tolist() == [0, 1] for unit in hidden)
    assert not trace.spikes["readout"].any()


def test_the_network_holds_the_numbers_of_the_twin():
    net, scales, network = tiny_nets.integer(tiny_nets.residual(), v_decay=410, payload_bits=5)
    assert network.n_steps == net.n_steps
    assert network.readout == hw.Readout(population="readout", kind="membrane")
    assert network["input"].neuron == hw.Source(payload_bits=5)
    for population, neuron in network.neurons:
        last = population.name == "readout"
        assert neuron.v_th_mant == (hw.NEVER_FIRES if last else scales.units[population.name])
        assert (neuron.v_decay, neuron.i_decay) == (0 if last else 410, 4096)
        assert neuron.bias_mant.shape == (population.shape[0],)
    assert [(c.source, c.target) for c in network.connections] == [
        (wire.source, unit.name) for unit in net.architecture.units for wire in unit.wires
    ]
    mean = network.incoming("readout")[0]
    assert isinstance(mean, hw.Dense)
    assert np.array_equal(mean.weight.reshape(3, 6, 16), np.repeat(mean.weight.reshape(3, 6, 16)[:, :, :1], 16, axis=2))


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (127, 127), (128, 64), (254, 127), (131, 1)])
def test_an_identity_shortcut_uses_as_many_groups_as_the_chip_takes(channels, groups):
    """A 1 x 1 convolution with a block-diagonal kernel; the groups, 127 at most, divide the channels."""
    units = (
        Unit(name="a", channels=channels, wires=(ConvWire(source=INPUT, kernel=1),)),
        Unit(name="b", channels=channels, wires=(ConvWire(source="a", kernel=1), IdentityWire(source="a"))),
        Unit(name="readout", channels=2, wires=(LinearWire(source="b"),)),
    )
    architecture = Architecture(name="id", input_shape=(1, 2, 2), n_classes=2, units=units, taps=())
    net, _, network = tiny_nets.integer(architecture)
    conv = network.incoming("b")[1]
    assert isinstance(conv, hw.Conv)
    assert conv.groups == groups
    node = net.node("b")
    assert isinstance(node, IntegerNode)
    gain = int(node.wires[1].grid_weight.item())
    assert gain != 0
    x = torch.arange(channels * 4).reshape(1, channels, 2, 2).float()
    weight = torch.from_numpy(conv.weight.astype(np.float32))
    assert torch.equal(torch.nn.functional.conv2d(x, weight, groups=groups), gain * x)


NETWORKS = {
    "chain": lambda: tiny_nets.integer(tiny_nets.chain(), v_decay=410)[2],
    "residual": lambda: tiny_nets.integer(tiny_nets.residual())[2],
    "counting": lambda: hw.Network(
        populations=(
            hw.Population(name="in", shape=(3,), neuron=hw.Source()),
            hw.Population(name="out", shape=(2,), neuron=hw.Cuba(v_th_mant=3, i_decay=7, v_decay=9)),
        ),
        connections=(hw.Dense(source="in", target="out", weight=np.array([[1, 2, 3], [4, 5, -256]])),),
        readout=hw.Readout(population="out", kind="spike_count"),
        n_steps=3,
    ),
    "per neuron": lambda: hw.Network(
        populations=(
            hw.Population(name="in", shape=(2, 5, 4), neuron=hw.Source(payload_bits=3)),
            hw.Population(
                name="out", shape=(2, 2, 2), neuron=hw.Cuba(v_th_mant=1, bias_mant=np.arange(8).reshape(2, 2, 2) - 4)
            ),
        ),
        connections=(
            hw.Conv(
                source="in",
                target="out",
                weight=np.arange(12).reshape(2, 1, 3, 2) - 6,
                stride=(2, 1),
                padding=(0, 0),
                dilation=(1, 2),
                groups=2,
            ),
        ),
        readout=hw.Readout(population="out"),
        n_steps=1,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_read_back_is_the_network_that_was_written(tmp_path, name):
    network = NETWORKS[name]()
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    assert hw.same(network, again)
    assert again.connections[0].weight.dtype == np.int16


def damaged(folder: Path, change: str) -> None:
    """Damage the written network in one way."""
    text = json.loads((folder / NETWORK).read_text())
    if change == "threshold":
        text["populations"][1]["v_th_mant"] += 1
    elif change == "steps":
        text["n_steps"] += 1
    elif change == "stride":
        text["connections"][1]["stride"] = [1, 2]
    elif change == "missing":
        del text["readout"]
    elif change == "extra":
        text["connections"][0]["bias"] = 3
    elif change == "renamed":
        text["populations"][1]["name"] = "other"
    elif change == "array":
        text["connections"].append(dict(text["connections"][0]))
    (folder / NETWORK).write_text(json.dumps(text))
    if change == "not JSON":
        (folder / NETWORK).write_text("{")
    elif change == "weights":
        raw = bytearray((folder / NETWORK_ARRAYS).read_bytes())
        raw[-1] ^= 1
        (folder / NETWORK_ARRAYS).write_bytes(raw)
    elif change == "cut":
        (folder / NETWORK_ARRAYS).write_bytes((folder / NETWORK_ARRAYS).read_bytes()[:-10])
    elif change == "gone":
        (folder / NETWORK_ARRAYS).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("threshold", "does not match its own fingerprint; run the quantize stage again"),
        ("steps", "does not match its own fingerprint"),
        ("stride", "expected|does not match its own fingerprint"),
        ("missing", "lacks or misnames 'readout'"),
        ("extra", "lacks or misnames .*bias"),
        ("renamed", "lacks or misnames 'bias.other'"),
        ("array", r"lacks or misnames 'weight\.\d'"),
        ("not JSON", "cannot be read as JSON"),
        ("weights", "does not match its own fingerprint"),
        ("cut", "is not a whole safetensors file"),
        ("gone", "no such file; run the stage that writes it again"),
    ],
)
def test_a_damaged_network_is_refused(tmp_path, change, message):
    save_network(NETWORKS["chain"](), tmp_path)
    damaged(tmp_path, change)
    with pytest.raises(BadInput, match=message):
        load_network(tmp_path)

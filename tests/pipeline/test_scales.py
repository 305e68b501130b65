"""Scales: as large as every limit of the chip allows, and no network leaves those limits afterwards."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import CHIPS, Cuba, NotRepresentable, violations
from spikeport.models import INPUT, PROFILES, Architecture, ConvWire, GraphNet, IdentityWire, LinearWire, Unit
from spikeport.models.integer import IntegerNode, as_integer
from spikeport.models.zoo.resnet import resnet
from spikeport.pipeline.lower import to_network
from spikeport.pipeline.scales import COARSEST, HEADROOM, Scales, choose_scales, contain_

from . import tiny_nets

CHIP = CHIPS["loihi2"]


def reach(student: GraphNet, unit: str) -> torch.Tensor:
    """Per output: the larger one-sided sum of raw weights over all wires of a unit."""
    total = torch.zeros(student.node(unit).unit.channels)
    for name, weight in student.node(unit).synapses.named_parameters():
        if name.endswith("weight"):
            rows = weight.detach().reshape(len(weight), -1) if weight.ndim else weight.detach().reshape(1, 1)
            total = total + torch.maximum(rows.clamp_min(0).sum(1), (-rows).clamp_min(0).sum(1))
    return total


def bias(student: GraphNet, unit: str) -> torch.Tensor:
    found = [p.detach() for name, p in student.node(unit).synapses.named_parameters() if name.endswith("bias")]
    return torch.stack(found).sum(0)


def largest_scales(student: GraphNet, unit: str, payload: int) -> dict[str, float]:
    """The scale each limit allows, from the chip's numbers written out: 254, 2^17 - 1, 2^15 - 1, 4095."""
    architecture = student.architecture
    shapes = architecture.shapes()
    node = student.node(unit)
    grids, rooms = [], []
    for wire, synapses in zip(node.unit.wires, node.synapses, strict=True):
        gain = payload if wire.source == INPUT else 1
        if isinstance(wire, LinearWire) and wire.mean:
            gain *= shapes[wire.source][1] * shapes[wire.source][2]
        weight = next(p for name, p in synapses.named_parameters() if name.endswith("weight"))
        grids.append(254 * gain / float(weight.detach().abs().max()))
        rooms.append(32767 if isinstance(wire, LinearWire) else 131071)
    limits = {
        "threshold": 131071.0,
        "weight grid": min(grids),
        "accumulator": 0.9 * min(rooms) / float(reach(student, unit).max()),
        "bias": 0.9 * 4095 / float(bias(student, unit).abs().max()),
    }
    if unit == architecture.units[-1].name:
        worst = float((reach(student, unit) + bias(student, unit).abs()).max())
        limits["read-out membrane"] = 0.9 * 131071 / (student.n_steps * worst)
    if unit in (
        "stage1.1a",
        "stage2.1a",
    ):  # a shortcut passes them: a relay's weight, at most 254, exceeds the threshold
        limits["relay weight"] = 253.0
    return limits


@pytest.mark.parametrize("name", tiny_nets.ARCHITECTURES)
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("n_steps", [2, 64])
def test_every_scale_is_the_largest_its_limits_allow(name, bits, n_steps):
    _, student = tiny_nets.converted(tiny_nets.ARCHITECTURES[name](), n_steps=n_steps)
    scales = choose_scales(student, CHIP, bits)
    assert scales.payload_bits == bits
    for unit in student.architecture.units:
        limits = largest_scales(student, unit.name, 2**bits - 1)
        tightest = min(limits, key=limits.__getitem__)
        assert scales.limited_by[unit.name] == tightest
        assert scales.units[unit.name] == pytest.approx(limits[tightest], abs=1)
        assert scales.units[unit.name] <= limits[tightest]


def test_with_copies_a_host_keeps_its_scale():
    """What the other limits allow, as long as 16 copies of weight 254 exceed it."""
    _, student = tiny_nets.converted(tiny_nets.residual())
    scales = {way: choose_scales(student, CHIP, 6, relays=way) for way in ("rescale", "copies")}
    for unit in student.architecture.units:
        limits = largest_scales(student, unit.name, 63)
        if limits.pop("relay weight", None):
            limits["relay weight"] = 16 * 254 - 1
            assert scales["rescale"].units[unit.name] == 253
            assert scales["copies"].limited_by[unit.name] == "weight grid"
        assert scales["copies"].units[unit.name] == pytest.approx(min(limits.values()), abs=1)


def test_gains_are_the_payload_and_the_positions_of_a_mean():
    _, student = tiny_nets.converted(tiny_nets.residual())
    gains = choose_scales(student, CHIP, 6).gains
    assert gains[INPUT, "stem"] == 63
    assert gains["stage2.1b", "readout"] == 4 * 4
    assert {gain for pair, gain in gains.items() if pair not in ((INPUT, "stem"), ("stage2.1b", "readout"))} == {1}


def scaled(unit: str, *, weights: float = 1.0, shift: float | None = None, n_steps: int = 4) -> GraphNet:
    """The chain with one unit's weights multiplied and its bias set."""
    _, student = tiny_nets.converted(tiny_nets.chain(), n_steps=n_steps)
    with torch.no_grad():
        for name, parameter in student.node(unit).synapses.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(weights)
            elif shift is not None:
                parameter.fill_(shift)
    return student


@pytest.mark.parametrize(
    ("student", "unit", "limit"),
    [
        (lambda: scaled("b", weights=1e-6, shift=0.0), "b", "threshold"),
        (lambda: scaled("b", weights=10.0, shift=0.0), "b", "weight grid"),
        (lambda: scaled("b", shift=300.0), "b", "bias"),
        (lambda: scaled("readout", n_steps=2000, shift=0.0), "readout", "read-out membrane"),
    ],
)
def test_the_tightest_limit_is_named(student, unit, limit):
    assert choose_scales(student(), CHIP, 8).limited_by[unit] == limit


def test_a_population_that_would_need_less_than_one_bit_is_refused():
    with pytest.raises(
        NotRepresentable, match=r"b: the scale allowed by its weight grid is [01], .*lower convert.perc"
    ):
        choose_scales(scaled("b", weights=1e4), CHIP, 8)


def test_a_wire_without_weights_is_refused():
    with pytest.raises(NotRepresentable, match=r"a -> b: all weights are zero"):
        choose_scales(scaled("b", weights=0.0), CHIP, 8)


def input_net(fan_in: int) -> GraphNet:
    """One spiking unit that reads `fan_in` input channels with equal positive weights."""
    units = (
        Unit(name="a", channels=2, wires=(ConvWire(source=INPUT, kernel=1),)),
        Unit(name="readout", channels=2, wires=(LinearWire(source="a"),)),
    )
    architecture = Architecture(name="in", input_shape=(fan_in, 2, 2), n_classes=2, units=units, taps=())
    _, student = tiny_nets.converted(architecture)
    with torch.no_grad():
        student.state_dict()["nodes.a.synapses.0.weighted.weight"].fill_(1.0)
        student.state_dict()["nodes.a.synapses.0.weighted.bias"].fill_(0.0)
    return student


@pytest.mark.parametrize("fan_in", [2, 4, 10, 40, 150, 500])
def test_the_input_has_as_many_bits_as_leave_half_of_the_weight_grid(fan_in):
    """`fan_in` weights of 1: the sum allows S = 0.9 (2^17 - 1) / fan_in, half of the grid asks for 127 (2^b - 1)."""
    room = int(0.9 * 131071 / fan_in)
    expected = max(b for b in range(1, 9) if room >= 127 * (2**b - 1))
    student = input_net(fan_in)
    assert choose_scales(student, CHIP, None).payload_bits == expected
    assert choose_scales(student, CHIP, None, max_bits=3).payload_bits == min(3, expected)
    assert (HEADROOM, COARSEST) == (0.9, 0.5)


def test_with_no_room_for_half_of_the_grid_one_bit_is_left():
    assert choose_scales(input_net(3000), CHIP, None).payload_bits == 1


def test_given_payload_bits_are_kept():
    assert choose_scales(input_net(500), CHIP, 8).payload_bits == 8


def wide() -> Architecture:
    """Fan-ins large enough for every accumulator to overflow: 40 input channels, an identity and a projection."""
    return resnet((40, 3, 3), 4, name="wide", stem=70, widths=(70, 66), blocks=(1, 1))


def integer_net(architecture: Architecture, n_steps: int, bits: int) -> tuple[GraphNet, Scales]:
    _, student = tiny_nets.converted(architecture, n_steps=n_steps)
    scales = choose_scales(student, CHIP, bits)
    return as_integer(student, PROFILES["loihi"], scales.units, scales.gains, CHIP.bias_max), scales


def fill_(net: GraphNet, seed: int, units: float, spread: float, shift: float) -> None:
    """Latent weights of about `units` chip units, half of them in sign if `spread`, and biases of about `shift`."""
    rng = tiny_nets.generator(seed)
    with torch.no_grad():
        for node in net.walk():
            assert isinstance(node, IntegerNode)
            for wire in node.wires:
                noise = torch.randn(wire.weight.shape, generator=rng)
                wire.weight.copy_((units + spread * noise) / wire.scale)
                if wire.bias is not None:
                    wire.bias.copy_(shift * torch.randn(wire.bias.shape, generator=rng) / node.scale)


def weights_of(net: GraphNet) -> list[torch.Tensor]:
    return [p.detach().clone() for name, p in net.named_parameters() if name.endswith("weight")]


NETS = {"wide, 4 steps": (wide(), 4), "wide, 64 steps": (wide(), 64), "chain": (tiny_nets.chain(), 4)}
BUILT = {name: integer_net(architecture, steps, 6) for name, (architecture, steps) in NETS.items()}


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(list(BUILT)),
    st.integers(0, 10**6),
    st.sampled_from([-200.0, -2.9, 0.0, 2.9, 40.0, 400.0]),
    st.sampled_from([0.0, 0.1, 60.0, 500.0]),
    st.sampled_from([0.0, 3000.0, 90000.0]),
)
def test_a_contained_network_is_legal_whatever_its_weights_were(name, seed, units, spread, shift):
    """After one call no worst-case sum, bias or read-out membrane of the chip's network leaves the chip."""
    net, scales = BUILT[name]
    fill_(net, seed, units, spread, shift)
    signs = [w.sign() for w in weights_of(net)]
    contain_(net, CHIP, scales)
    lines = violations(to_network(net, scales.payload_bits), CHIP)
    assert [line for line in lines if "all weights are zero" not in line] == []  # which is not a sum's business
    for before, after in zip(signs, weights_of(net), strict=True):
        assert torch.equal(before, after.sign())  # shrunk, never turned


def test_weights_just_above_a_grid_point_are_shrunk_until_their_sum_fits():
    """40 x 9 weights of 2.9 units round to 2, and at 8 bits 40 x 9 x 2 x 255 = 183,600 > 131,071."""
    net, scales = integer_net(wide(), 4, 8)
    fill_(net, 0, 2.9, 0.0, 0.0)
    before = to_network(net, scales.payload_bits)
    assert any("input -> stem: the synaptic sum can reach 183600" in line for line in violations(before, CHIP))
    contain_(net, CHIP, scales)
    stem = net.node("stem")
    assert isinstance(stem, IntegerNode)
    assert not stem.wires[0].grid_weight.any()  # 2 is the smallest weight there is


def test_a_network_that_fits_is_left_alone():
    for build in tiny_nets.ARCHITECTURES.values():
        net, scales, _ = tiny_nets.integer(build())
        before = weights_of(net)
        contain_(net, CHIP, scales)
        assert all(torch.equal(a, b) for a, b in zip(before, weights_of(net), strict=True))


def test_an_identity_shortcut_shared_by_all_rows_is_shrunk_once():
    """All 70 rows are out of range by the same factor; the gain they share shrinks by it once."""
    net, scales = BUILT["wide, 4 steps"]
    fill_(net, 0, 250.0, 0.0, 0.0)
    node = net.node("stage1.1b")
    assert isinstance(node, IntegerNode)
    at = [isinstance(wire, IdentityWire) for wire in node.unit.wires].index(True)
    before = float(node.wires[at].weight.detach())
    contain_(net, CHIP, scales)
    total = 70 * 9 * 250 + 250
    assert float(node.wires[at].weight.detach()) == pytest.approx(before * 0.98 * 131071 / total, rel=0.02)


def test_a_block_may_use_the_whole_accumulator_of_a_convolution():
    """Its identity shortcut is a convolution on the chip, so its sums have 2^17 - 1, not a dense layer's 2^15 - 1."""
    net, scales = BUILT["wide, 4 steps"]
    fill_(net, 0, 150.0, 0.0, 0.0)
    before = weights_of(net)
    contain_(net, CHIP, scales)
    total = 70 * 9 * 150 + 150
    assert 32767 < total < 131071
    at = [unit.name for unit in net.architecture.units].index("stage1.1b")
    assert [len(node.synapses) for node in net.walk()][:at] == [1] * at
    for index in (at, at + 1):  # the convolution and the gain, in the order of the parameters
        assert torch.equal(before[index], weights_of(net)[index])


def test_a_readouts_biases_leave_room_for_its_weights():
    """64 steps of a bias of 4095 alone would pass the membrane's 131,071; weights shrink, but never turn their sign."""
    net, scales = BUILT["wide, 64 steps"]
    fill_(net, 0, 20.0, 0.0, 90000.0)
    contain_(net, CHIP, scales)
    readout = net.node("readout")
    assert isinstance(readout, IntegerNode)
    assert float(readout.grid_bias.detach().abs().max()) == 131071 // (2 * 64) + 1  # 1023.99 rounds to 1024
    assert bool((readout.wires[0].grid_weight >= 0).all())
    assert list(violations(to_network(net, scales.payload_bits), CHIP)) == []


def test_the_largest_of_all_biases_of_a_population_sets_its_scale():
    """One bias per neuron on one wire, one per channel on the other: what counts is the neuron's sum."""
    units = (
        Unit(
            name="a",
            channels=1,
            wires=(
                ConvWire(source=INPUT, kernel=1, norm=False, bias="neuron"),
                ConvWire(source=INPUT, kernel=1, norm=False),
            ),
        ),
        Unit(name="readout", channels=2, wires=(LinearWire(source="a"),)),
    )
    architecture = Architecture(name="biased", input_shape=(1, 1, 2), n_classes=2, units=units, taps=())
    _, student = tiny_nets.converted(architecture)
    state = student.state_dict()
    state["nodes.a.synapses.0.bias"].copy_(torch.tensor([[[-30.0, 20.0]]]))
    state["nodes.a.synapses.1.weighted.bias"].copy_(torch.tensor([15.0]))
    scales = choose_scales(student, CHIP, 8)
    assert scales.limited_by["a"] == "bias"
    assert scales.units["a"] == int(0.9 * 4095 / 35)


def test_a_max_pool_has_the_smallest_threshold_and_no_limits():
    _, scales, network = tiny_nets.integer(tiny_nets.varied())
    assert (scales.units["pool"], scales.limited_by["pool"]) == (1, "max pool")
    neuron = network["pool"].neuron
    assert isinstance(neuron, Cuba)
    assert neuron.v_th_mant == 1
    assert set(network.incoming("pool")[0].weight.ravel().tolist()) == {2}
    assert not list(violations(network, CHIP))

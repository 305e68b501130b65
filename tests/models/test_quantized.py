"""Few bits: how many values there are, how far they lie from the floats, and what is not rounded."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import Architecture, ConvWire, GraphNet, IdentityWire, LinearWire, PoolWire, Unit, build_ann
from spikeport.models.qcfs import Qcfs
from spikeport.models.quantized import SymmetricWeight, as_quantized
from torch import Tensor, nn
from torch.nn import functional

BITS = st.integers(2, 8)
SEEDS = st.integers(0, 2**31)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(seed: int, shape: tuple[int, ...] = (4, 2, 3, 3)) -> Tensor:
    """Channels of very different sizes, one of zeros."""
    drawn = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    drawn *= 10.0 ** torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))
    drawn[1] = 0
    return drawn


def by_hand(weight: Tensor, bits: int) -> Tensor:
    """Every weight by itself, in fractions: the nearest multiple of its channel's step, halves to even."""
    out = torch.empty_like(weight)
    for channel, kept in zip(weight, out, strict=True):
        largest = max(abs(Fraction(w)) for w in channel.flatten().tolist())
        step = largest / (2 ** (bits - 1) - 1)
        values = [float(round(Fraction(w) / step) * step) if step else 0.0 for w in channel.flatten().tolist()]
        kept.copy_(torch.tensor(values).reshape(channel.shape))
    return out


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, bits=BITS)
def test_a_weight_is_the_nearest_multiple_of_its_channels_step(seed, bits):
    weight = weights(seed)
    torch.testing.assert_close(SymmetricWeight(bits)(weight), by_hand(weight, bits), rtol=1e-6, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, bits=BITS)
def test_a_channel_holds_at_most_255_values_for_eight_bits_both_signs_alike(seed, bits):
    """2^bits - 1: whole multiples of one step, from -(2^(bits - 1) - 1) to as many above."""
    weight = weights(seed, (3, 2000))
    rounded = SymmetricWeight(bits)(weight)
    step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert torch.equal(rounded[1], torch.zeros(2000))
    for channel, size in zip(rounded[[0, 2]], step[[0, 2]], strict=True):
        count = channel / size
        assert (count - count.round()).abs().max() < 1e-4
        assert int(count.abs().max().round()) == 2 ** (bits - 1) - 1
        assert len(channel.unique()) <= 2**bits - 1


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, bits=BITS)
def test_no_weight_moves_by_more_than_half_a_step(seed, bits):
    weight = weights(seed)
    half = weight.flatten(1).abs().amax(1) / (2 ** (bits - 1) - 1) / 2
    moved = (SymmetricWeight(bits)(weight) - weight).flatten(1).abs().amax(1)
    assert (moved <= half * (1 + 1e-5)).all()


@pytest.mark.parametrize(("coarse", "fine"), [(2, 8), (3, 5), (4, 7)])
def test_a_grid_that_holds_another_is_nowhere_worse(coarse, fine):
    """2^(b - 1) - 1 divides 2^(c - 1) - 1 if b - 1 divides c - 1; of other widths nothing is promised."""
    assert (2 ** (fine - 1) - 1) % (2 ** (coarse - 1) - 1) == 0
    weight = weights(3, (4, 500))
    far, near = ((SymmetricWeight(bits)(weight) - weight).abs() for bits in (coarse, fine))
    assert (near <= far + 1e-5 * weight.abs().amax(1, keepdim=True)).all()
    assert near.sum() < far.sum()


@pytest.mark.parametrize(("coarse", "fine"), [(1, 2), (1, 8), (2, 4), (3, 6), (4, 8)])
def test_a_staircase_that_holds_another_is_nowhere_worse(coarse, fine):
    """2^b - 1 divides 2^c - 1 if b divides c: with one end, each value of the coarse staircase is one of the fine."""
    assert (2**fine - 1) % (2**coarse - 1) == 0
    x = torch.rand(5000, generator=generator(0), dtype=torch.float64) * 3 - 0.5
    far, near = ((Qcfs(2**bits - 1, 2.0).double()(x, True) - x.clamp(0, 2)).abs() for bits in (coarse, fine))
    assert (near <= far + 1e-12).all()
    assert near.sum() < far.sum()


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_an_activation_is_at_most_half_a_step_off_up_to_its_end(bits):
    x = torch.rand(5000, generator=generator(1), dtype=torch.float64) * 2
    off = (Qcfs(2**bits - 1, 2.0).double()(x, True) - x).abs()
    assert off.max() <= 2.0 / (2**bits - 1) / 2 + 1e-12


def test_rounding_is_passed_straight_through():
    weight = weights(0).requires_grad_()
    outer = torch.randn(weight.shape, generator=generator(1), dtype=torch.float64)
    (SymmetricWeight(3)(weight) * outer).sum().backward()
    torch.testing.assert_close(weight.grad, outer)


def test_weights_of_one_bit_are_refused():
    with pytest.raises(BadInput, match=r"weights of 1 bits: one holds the sign; give at least 2"):
        SymmetricWeight(1)


def architecture(norm: bool = False) -> Architecture:
    """A residual sum, a max pool, a mean over windows, a linear unit, a bias per neuron, a ceiling."""
    units = (
        Unit(name="a", channels=4, wires=(ConvWire(source="input", norm=norm, bias="neuron"),)),
        Unit(
            name="b",
            channels=4,
            wires=(ConvWire(source="a", norm=False), IdentityWire(source="a", scale=0.5)),
            ceiling=1.0,
        ),
        Unit(name="pool", channels=4, wires=(PoolWire(source="b"),)),
        Unit(name="sum", channels=4, wires=(IdentityWire(source="pool"),), activation="none"),
        Unit(name="c", channels=6, wires=(LinearWire(source="sum", pool=2),)),
        Unit(name="readout", channels=3, wires=(LinearWire(source="c"),)),
    )
    return Architecture(name="mixed", input_shape=(2, 8, 8), n_classes=3, units=units, taps=("a", "b", "c"))


ENDS = {"a": 1.5, "b": 1.0, "c": 0.75}


@pytest.fixture
def ann() -> GraphNet:
    net = build_ann(architecture(), generator(0)).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator(1)) * 0.3)
    return net


@pytest.fixture
def x() -> Tensor:
    return torch.rand(40, 2, 8, 8, generator=generator(2))


def test_the_network_is_its_arithmetic_written_out(ann, x):
    """Each unit's sum is whole before its activation rounds it once; pool, mean, linear unit and logits are not."""
    bits, levels, ann, x = 4, 7, ann.double(), x.double()
    p = {name: by_hand(w, bits) if w.ndim > 1 and "weighted" in name else w for name, w in ann.named_parameters()}

    def staircase(current: Tensor, end: float) -> Tensor:
        return end * (current * levels / end + 0.5).floor().clamp(0, levels) / levels

    w, b = "nodes.{}.synapses.0.weighted.weight", "nodes.{}.synapses.0.weighted.bias"
    a = staircase(
        functional.conv2d(x, p[w.format("a")], padding=1) + p["nodes.a.synapses.0.bias"],
        ENDS["a"],
    )
    residual = functional.conv2d(a, p[w.format("b")], p[b.format("b")], padding=1) + 0.5 * a
    mean = functional.avg_pool2d(functional.max_pool2d(staircase(residual, ENDS["b"]), 2), 2).flatten(1)
    c = staircase(functional.linear(mean, p[w.format("c")], p[b.format("c")]), ENDS["c"])
    expected = functional.linear(c, p[w.format("readout")], p[b.format("readout")])
    logits, _ = as_quantized(ann, bits, levels, ENDS).double()(x)
    torch.testing.assert_close(logits, expected)
    assert len(logits.unique(dim=0)) > 5


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_a_population_gives_at_most_two_to_the_bits_values(ann, x, bits):
    net = as_quantized(ann, 8, 2**bits - 1, ENDS)
    _, activations = net(x, taps=("a", "b", "pool", "c"))
    for name, values in activations.items():
        found = values.unique()
        assert 1 < len(found) <= 2**bits, name
        counts = found * (2**bits - 1) / ENDS["b" if name == "pool" else name]
        torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)


def test_every_map_has_few_weights_and_all_else_keeps_its_values(ann):
    net = as_quantized(ann, 8, 7, ENDS)
    maps = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(maps) == 4
    for module in maps:
        assert all(len(channel.unique()) <= 255 for channel in module.weight)
    before = dict(ann.named_parameters())
    biases = {name: value for name, value in net.named_parameters() if name.endswith("bias")}
    assert biases.keys() == {name for name in before if name.endswith("bias")}
    assert all(torch.equal(value, before[name]) for name, value in biases.items())


def test_the_network_given_is_not_changed(ann, x):
    before = copy.deepcopy(ann.state_dict())
    logits, _ = ann(x)
    as_quantized(ann, 4, 3, ENDS)
    assert ann.state_dict().keys() == before.keys()
    assert torch.equal(ann(x)[0], logits)


def test_with_many_bits_it_is_the_network_itself(ann, x):
    """16 bits, and ends that no activation is beyond: half a step is 1e-5 of the largest value."""
    with torch.no_grad():
        expected, activations = ann(x, taps=("a", "c"))
    ends = {name: 1.01 * float(values.max()) for name, values in activations.items()} | {"b": 1.0}
    logits, _ = as_quantized(ann, 16, 2**16 - 1, ends)(x)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=0)


def test_training_reaches_every_weight_and_end(ann, x):
    net = as_quantized(ann, 8, 7, ENDS).train()
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    assert sum(name.endswith("lam") for name in before) == 3
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    functional.cross_entropy(net(x)[0], torch.arange(40) % 3).backward()
    sgd.step()
    assert all(not torch.equal(value, before[name]) for name, value in net.named_parameters())


def test_an_ann_of_staircases_is_given_others(ann, x):
    net = as_quantized(as_quantized(ann, 8, 8, ENDS), 8, 3, {name: 2 * end for name, end in ENDS.items()})
    _, activations = net(x, taps=tuple(ENDS))
    assert all(len(values.unique()) <= 4 for values in activations.values())
    assert [node.neuron.lam.item() for node in net.walk() if isinstance(node.neuron, Qcfs)] == [3.0, 2.0, 1.5]


def test_batch_norms_are_to_be_folded_first():
    with pytest.raises(BadInput, match=r"mixed: it has batch norms, whose gains scale its weights; fold them first"):
        as_quantized(build_ann(architecture(norm=True)), 8, 7, ENDS)

"""The network in chip integers: the grid, the decay, and gradients derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw.arithmetic import STATE_LIMIT
from spikeport.hw.arithmetic import decay as chip_decay
from spikeport.models import INPUT, PROFILES, ConvWire, IdentityWire, LinearWire, Unit
from spikeport.models.integer import (
    IntegerNode,
    IntegerPopulation,
    IntegerReadout,
    IntegerSynapses,
    _ExactConv,  # pyright: ignore[reportPrivateUsage]
    _Round,  # pyright: ignore[reportPrivateUsage]
)
from spikeport.models.membrane import V_LIMIT, decay
from torch.nn import functional

LOIHI = PROFILES["loihi"]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def leaf(values: list[float] | torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values).clone().requires_grad_()


@given(st.lists(st.floats(-400, 400, width=32), min_size=1, max_size=30), st.sampled_from([(2, 254), (1, 4095)]))
def test_rounding_gives_the_nearest_value_of_the_grid(values, grid):
    step, limit = grid
    x = torch.tensor(values)
    rounded = _Round.apply(x, step, limit)
    assert isinstance(rounded, torch.Tensor)
    assert not (rounded % step).any()
    assert float(rounded.abs().max()) <= limit
    assert float((rounded - x.clamp(-limit, limit)).abs().max()) <= step / 2


def test_rounding_passes_gradients_inside_the_limit_alone():
    x = leaf([0.3, -7.9, 253.9, 255.0, 255.1, -256.0, 900.0])
    _Round.apply(x, 2, 254).sum().backward()  # type: ignore[union-attr]
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 1, 1, 0, 0, 0]


@given(st.lists(st.integers(-(STATE_LIMIT - 1), STATE_LIMIT - 1), min_size=1, max_size=30), st.integers(0, 4096))
def test_decay_in_floats_is_the_chips_decay(states, constant):
    kept = decay(torch.tensor(states, dtype=torch.float32) / 64, constant)
    assert (kept.double() * 64).tolist() == chip_decay(np.array(states, np.int64), constant).tolist()


CONVS = [
    (ConvWire(source=INPUT), (3, 3)),
    (ConvWire(source=INPUT, stride=2), (3, 3)),
    (ConvWire(source=INPUT, groups=2), (3, 3)),
    (ConvWire(source=INPUT, stride=2, kernel=1), (1, 1)),
    (ConvWire(source=INPUT, kernel=(1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2)), (1, 3)),
]


@pytest.mark.parametrize(("wire", "kernel"), CONVS)
def test_exact_convolution_has_torchs_gradients(wire, kernel):
    x, weight = torch.randn(3, 4, 6, 6, generator=rng()), torch.randn(6, 4 // wire.groups, *kernel, generator=rng(1))
    mine, theirs = (leaf(x), leaf(weight)), (leaf(x), leaf(weight))
    y = _ExactConv.apply(*mine, *wire.window[1:], wire.groups, False)
    z = functional.conv2d(*theirs, None, *wire.window[1:], wire.groups)
    assert isinstance(y, torch.Tensor)
    torch.testing.assert_close(y, z, rtol=0, atol=0)
    head = torch.randn(z.shape, generator=rng(2))
    (y * head).sum().backward()
    (z * head).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize(("wire", "kernel"), CONVS)
def test_low_precision_rounds_the_gradient_and_not_the_sum(wire, kernel):
    """Spikes and grid weights are exact in bfloat16, which keeps 8 bits: its gradients are off by some 2^-8."""
    x = (torch.rand(3, 4, 6, 6, generator=rng()) < 0.4).float()
    weight = torch.randint(-127, 128, (6, 4 // wire.groups, *kernel), generator=rng(1)).float() * 2
    fine, coarse = (leaf(x), leaf(weight)), (leaf(x), leaf(weight))
    y = _ExactConv.apply(*fine, *wire.window[1:], wire.groups, False)
    z = _ExactConv.apply(*coarse, *wire.window[1:], wire.groups, True)
    assert isinstance(y, torch.Tensor)
    assert isinstance(z, torch.Tensor)
    assert torch.equal(y, z)
    head = torch.randn(y.shape, generator=rng(2))
    (y * head).sum().backward()
    (z * head).sum().backward()
    for a, b in zip(fine, coarse, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert b.grad.dtype == torch.float32
        assert float((a.grad - b.grad).norm() / a.grad.norm()) < 2**-7


@pytest.mark.parametrize(
    "wire",
    [
        ConvWire(source=INPUT),
        ConvWire(source=INPUT, stride=2, groups=2),
        LinearWire(source=INPUT),
        LinearWire(source=INPUT, mean=True),
        IdentityWire(source=INPUT),
    ],
)
def test_autocast_changes_no_synaptic_sum(wire):
    """Sums of thousands need more than bfloat16's 8 bits; they must stay integers."""
    sizes = {ConvWire: (6, 4 // getattr(wire, "groups", 1), 3, 3), IdentityWire: ()}
    size = sizes.get(type(wire), (6, 4 if getattr(wire, "mean", False) else 4 * 36))
    weight = torch.randn(size, generator=rng(1))
    synapses = IntegerSynapses(wire, weight, None, 100.0)
    x = torch.randint(0, 256, (2, 4, 6, 6), generator=rng()).float()
    plain = synapses(x)
    with torch.autocast("cpu", torch.bfloat16):
        automatic = synapses(x)
    assert automatic.dtype == torch.float32
    assert torch.equal(plain, automatic)
    assert torch.equal(plain, plain.round())


def test_a_spatial_mean_is_a_sum_in_integers():
    synapses = IntegerSynapses(LinearWire(source=INPUT, mean=True), torch.tensor([[1.0, -2.0]]), None, 10.0)
    x = torch.zeros(1, 2, 2, 2)
    x[0, 0] = 1  # four spikes of weight 10
    x[0, 1, 0, 0] = 1  # one of weight -20
    assert synapses(x).tolist() == [[4 * 10 - 20]]


@pytest.mark.parametrize("v_decay", [0, 1, 410, 2048, 4096])
def test_two_steps_backward_by_hand(v_decay):
    """z_t = H(v_t - S), v_2 = keep (1 - z_1) v_1 + c, v_1 = c, reset detached, triangle g(x) = max(0, 1 - |x|) / S.

    dz_1/dc = g((c - S) / S),    dz_2/dc = g((v_2 - S) / S) (1 + keep (1 - z_1)): rounding is passed straight through.
    """
    scale, keep = 100, 1 - v_decay / 4096
    currents = [-50.0, 40.0, 80.0, 100.0, 130.0, 190.0]
    c = leaf(currents)
    spikes = IntegerPopulation(LOIHI.with_v_decay(v_decay), 2, scale)(c[None], static=True)
    assert spikes.shape == (2, 1, 6)
    heads = (1.0, 10.0)
    sum(head * spikes[t].sum() for t, head in enumerate(heads)).backward()  # type: ignore[union-attr]
    for i, current in enumerate(currents):
        fired = float(current > scale)
        second = float(chip_decay(np.array(int(current * 64 * (1 - fired))), v_decay)) / 64 + current
        slopes = [max(0.0, 1 - abs(v - scale) / scale) / scale for v in (current, second)]
        expected = heads[0] * slopes[0] + heads[1] * slopes[1] * (1 + keep * (1 - fired))
        assert spikes[:, 0, i].tolist() == [fired, float(second > scale)]
        assert c.grad is not None
        assert float(c.grad[i]) == pytest.approx(expected, rel=1e-5)


def test_a_profiles_gain_does_not_scale_the_gradient_of_an_integer_sum():
    """BrainCog's gain of 1/2 goes with its threshold of 1/2; in chip units a sum enters the membrane as it is."""
    currents = torch.tensor([[30.0, 70.0, 110.0, 160.0]])
    heads = torch.tensor([1.0, 2.0, 5.0])[:, None, None]
    grads = []
    for profile in (PROFILES["braincog_lif"], LOIHI.with_v_decay(2048)):
        c = leaf(currents)
        (IntegerPopulation(profile, 3, 100)(c, static=True) * heads).sum().backward()
        grads.append(c.grad)
    assert torch.equal(grads[0], grads[1])
    assert grads[0].any()


def test_the_threshold_itself_does_not_fire():
    population = IntegerPopulation(LOIHI, 2, 50)
    assert population(torch.tensor([[50.0, 51.0, 25.0, 26.0]]), static=True)[:, 0].tolist() == [
        [0, 1, 0, 0],
        [1, 1, 0, 1],  # 100, 51 again, 50 at the threshold, 52
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_membrane_saturates_where_the_register_does(sign):
    """(2^23 - 1) / 64: three steps of 2^16 up stay at the limit, one step of the same size down starts from there."""
    never = IntegerPopulation(LOIHI, 4, 1 << 20)
    current = torch.tensor([1.0, 1.0, 1.0, -1.0])[:, None] * sign * (1 << 16)
    assert not never(current, static=False).any()
    assert V_LIMIT * 64 == STATE_LIMIT - 1
    # 3 steps of 2^16 would be 196608; held at 131071.98, one step back leaves 65535.98 and not 131072.
    back = IntegerPopulation(LOIHI, 4, 65536)
    if sign > 0:
        assert back(current / 2, static=False)[:, 0].tolist() == [0, 0, 1, 0]
    else:
        up = torch.tensor([-1.0, -1.0, -1.0, 3.0])[:, None] * (1 << 16)
        # From -131071.98, +196608 is 65536.02 > 65536: a spike; unclipped it would be 0.
        assert back(up, static=False)[:, 0].tolist() == [0, 0, 0, 1]


def test_a_node_adds_one_rounded_bias_to_the_sum_of_its_wires():
    unit = Unit(name="a", channels=2, wires=(ConvWire(source=INPUT, kernel=1), IdentityWire(source="b")))
    conv = IntegerSynapses(unit.wires[0], torch.tensor([[[[1.0]]], [[[2.0]]]]), torch.tensor([0.26, -0.5]), 10.0)
    identity = IntegerSynapses(unit.wires[1], torch.tensor(0.6), None, 10.0)
    node = IntegerNode(unit, [conv, identity], IntegerReadout(3, 10), bias_limit=4)
    assert node.grid_bias.tolist() == [3, -4]  # 2.6 is rounded, -5 is held at the limit
    image, spikes = (
        torch.full((1, 1, 1, 1), 7.0),
        torch.tensor([1.0, 0.0])[:, None, None, None, None].expand(2, 1, 2, 1, 1),
    )
    sums = node.current([image.expand(2, 1, 1, 1, 1), spikes], [False, False])
    assert sums.flatten().tolist() == [7 * 10 + 6 + 3, 7 * 20 + 6 - 4, 7 * 10 + 3, 7 * 20 - 4]
    static = node.current([image, spikes], [True, False])
    assert torch.equal(static, sums)


def test_the_readout_repeats_a_static_sum():
    assert IntegerReadout(3, 10)(torch.tensor([[1.0, 2.0]]), static=True).tolist() == [[[1, 2]]] * 3

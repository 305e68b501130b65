"""Activation maps: spikes over channels and time, class activation maps, and what brings two of them to one scale."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import (
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    IdentityWire,
    LinearWire,
    Unit,
    build_ann,
)
from spikeport.models.engines import bptt
from spikeport.pipeline.refine.activation_maps import (
    cam,
    class_map,
    common_size,
    grad_cam,
    mean_readout,
    normalise,
    positions,
    spike_map,
)
from torch import Tensor

from .. import tiny_nets


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=tiny_nets.generator(seed), dtype=torch.float64)


def flat_head() -> Architecture:
    """(2, 4, 4) - 3 - a read-out of every position by itself."""
    units = (
        Unit(name="a", channels=3, wires=(ConvWire(source=INPUT),)),
        Unit(name="readout", channels=5, wires=(LinearWire(source="a"),)),
    )
    return Architecture(name="flat", input_shape=(2, 4, 4), n_classes=5, units=units, taps=("a",))


def test_a_spike_map_counts_each_samples_spikes_per_position():
    """T-002-2: over timesteps and channels, never over the batch; the order of the timesteps does not matter."""
    _, student = tiny_nets.converted(tiny_nets.residual(), n_steps=3)
    unit = student.architecture.stages[-1]
    with torch.no_grad():
        got = bptt(student, tiny_nets.images(student.architecture, 2), [unit])
    assert got.spikes is not None
    spikes = got.spikes[unit]
    counted = spike_map(got.rates[unit], 3)
    high, wide = counted.shape[1:]
    for b in range(2):
        for i in range(high):
            for j in range(wide):
                one_by_one = sum(float(spikes[t, b, c, i, j]) for t in range(3) for c in range(spikes.shape[2]))
                assert counted[b, i, j].item() == pytest.approx(one_by_one)
    assert not torch.equal(counted[0], counted[1])
    torch.testing.assert_close(spike_map(spikes[[2, 0, 1]].mean(0), 3), counted)
    torch.testing.assert_close(spike_map(got.rates[unit][[1, 0]], 3), counted[[1, 0]])


def test_cam_is_grad_cam_for_a_readout_of_the_spatial_mean():
    """T-002-4: the maps differ by the factor 1 / (H W), which normalisation takes away."""
    net = tiny_nets.ann(tiny_nets.residual())
    unit = net.architecture.stages[-1]
    x = tiny_nets.images(net.architecture, 6)
    with torch.no_grad():
        logits, activations = net(x, [unit])
    weight, classes = mean_readout(net, unit), logits.argmax(-1)
    assert weight is not None
    plain, gradient = cam(weight, activations[unit], classes), grad_cam(net, unit, activations[unit], classes)
    assert float(plain.max()) > 0
    torch.testing.assert_close(gradient * (4 * 4), plain, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(normalise(gradient, "per_sample"), normalise(plain, "per_sample"), atol=1e-5, rtol=0)
    assert torch.equal(class_map(net, unit, activations[unit], classes), plain)


def test_cam_weighs_the_channels_by_the_row_of_the_class_and_keeps_what_is_positive():
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    activations = torch.tensor([[[[1.0, 0.0]], [[1.0, 2.0]]], [[[1.0, 0.0]], [[1.0, 2.0]]]])  # (2, 2, 1, 2)
    got = cam(weight, activations, torch.tensor([0, 1]))
    assert got.tolist() == [[[0.0, 0.0]], [[3.5, 6.0]]]  # relu(1 - 2, -4) and (0.5 + 3, 6)


def test_a_readout_of_single_positions_gets_grad_cam():
    """z_k is linear in A, so dz_k / dA_c is the row's weights and a_c their mean over the positions."""
    net = tiny_nets.ann(flat_head())
    with torch.no_grad():
        logits, activations = net(tiny_nets.images(net.architecture, 4), ["a"])
    classes = logits.argmax(-1)
    readout = net.node("readout").synapses[0].weighted
    rows = readout.get_parameter("weight").detach().reshape(5, 3, 4, 4)[classes].mean(dim=(2, 3))
    expected = (rows[:, :, None, None] * activations["a"]).sum(1).relu()
    assert mean_readout(net, "a") is None
    assert float(expected.max()) > 0
    torch.testing.assert_close(class_map(net, "a", activations["a"], classes), expected)


def test_the_readout_of_another_unit_says_nothing_of_an_earlier_one():
    net = tiny_nets.ann(tiny_nets.residual())
    assert mean_readout(net, net.architecture.stages[0]) is None
    assert mean_readout(net, net.architecture.stages[-1]) is not None


def test_grad_cam_leaves_no_gradient_anywhere_and_works_without_autograd():
    net = tiny_nets.ann(tiny_nets.residual())
    unit = net.architecture.stages[0]
    with torch.no_grad():
        logits, activations = net(tiny_nets.images(net.architecture, 3), [unit])
        got = grad_cam(net, unit, activations[unit], logits.argmax(-1))
    assert not got.requires_grad
    assert all(p.grad is None for p in net.parameters())
    assert activations[unit].grad is None


def test_sums_over_many_channels_saturate_the_softmax_unless_normalised():
    """T-002-3: Binomial(512, 0.1) has a deviation of 6.8, so at tau = 2 one position takes more than half."""
    draws = torch.rand(64, 512, 8, 8, generator=tiny_nets.generator(0)) < 0.1
    sums = spike_map(draws.float(), 1)
    shares = {norm: (normalise(sums, norm).flatten(1) / 2).softmax(-1) for norm in ("none", "per_sample", "batch")}
    for probability in shares.values():
        torch.testing.assert_close(probability.sum(-1), torch.ones(64))
    assert float(shares["none"].max(-1).values.mean()) > 0.5
    for norm in ("per_sample", "batch"):  # values in [0, 1]: at most e^(1/2) / (63 + e^(1/2))
        assert float(shares[norm].max()) < 0.0256


def test_a_samples_map_does_not_depend_on_its_batch_unless_the_flag_says_so():
    """T-002-5."""
    alone, other = maps(1, 4, 4), 3 * maps(1, 4, 4, seed=1)
    together = torch.cat([alone, other])
    assert torch.equal(normalise(together, "per_sample")[0], normalise(alone, "per_sample")[0])
    assert torch.equal(normalise(together, "none"), together)
    assert not torch.allclose(normalise(together, "batch")[0], normalise(alone, "batch")[0])


@settings(deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_normalised_maps_forget_scale_and_offset(seed, scale, offset):
    given_maps = maps(3, 2, 5, seed=seed)
    for norm in ("per_sample", "batch"):
        got = normalise(scale * given_maps + offset, norm)
        torch.testing.assert_close(got, normalise(given_maps, norm), atol=1e-7, rtol=0)
        assert float(got.min()) == 0
        assert float(got.max()) == 1


def test_a_constant_map_becomes_zero_with_a_gradient():
    """A silent student: no 0 / 0, and a way to wake up."""
    silent = torch.zeros(2, 3, 3, requires_grad=True)
    got = normalise(silent, "per_sample")
    (slope,) = torch.autograd.grad(got[:, 0, 0].sum(), silent)
    assert not got.detach().any()
    assert torch.isfinite(slope).all()
    assert slope[0, 0, 0].item() == pytest.approx(1 - 1 / 9)  # its own value less the mean of nine equal minima


def test_of_two_maps_the_larger_is_averaged_on_each_axis():
    one, other = maps(2, 8, 2), maps(2, 4, 4, seed=1)
    small_one, small_other = common_size(one, other)
    torch.testing.assert_close(small_one, (one[:, ::2] + one[:, 1::2]) / 2)
    torch.testing.assert_close(small_other, (other[:, :, ::2] + other[:, :, 1::2]) / 2)
    assert all(got is same for got, same in zip(common_size(one, one), (one, one), strict=True))


def one_pixel() -> Architecture:
    units = (
        Unit(name="a", channels=3, wires=(ConvWire(source=INPUT, kernel=4, padding=0),)),
        Unit(name="readout", channels=5, wires=(LinearWire(source="a"),)),
    )
    return Architecture(name="pixel", input_shape=(2, 4, 4), n_classes=5, units=units, taps=("a",))


@pytest.mark.parametrize(
    ("architecture", "unit", "shape"), [(tiny_nets.chain(), "c", r"\(8,\)"), (one_pixel(), "a", r"\(3, 1, 1\)")]
)
def test_a_unit_of_one_position_has_no_map(architecture, unit, shape):
    with pytest.raises(
        BadInput, match=rf"{unit} has shape {shape}, one position.*refine\.options\.stage.*or use method kd"
    ):
        positions(architecture, unit)


def test_a_unit_of_several_positions_has_them():
    assert positions(tiny_nets.chain(), "b") == (3, 3)


def test_grad_cam_at_a_unit_that_is_passed_by_is_refused():
    units = (
        Unit(name="a", channels=2, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=2, wires=(ConvWire(source="a"),)),
        Unit(name="c", channels=2, wires=(ConvWire(source="b"), IdentityWire(source="a"))),
        Unit(name="readout", channels=3, wires=(LinearWire(source="c", mean=True),)),
    )
    net = build_ann(
        Architecture(
            name="net", input_shape=(2, 4, 4), n_classes=3, units=units, taps=("a", "b", "c"), stages=("a", "c")
        )
    ).eval()
    with pytest.raises(BadInput, match="c reads a, past b"):
        grad_cam(net, "b", torch.rand(2, 2, 4, 4), torch.tensor([0, 1]))


def test_profiles_do_not_change_what_a_spike_counts():
    """A spike of the weight form is 1 at every profile, so a map is an integer."""
    for name in ("loihi", "tet_lif"):
        _, student = tiny_nets.converted(tiny_nets.residual(), PROFILES[name], n_steps=4)
        unit = student.architecture.stages[-1]
        with torch.no_grad():
            counted = spike_map(bptt(student, tiny_nets.images(student.architecture), [unit]).rates[unit], 4)
        assert torch.equal(counted, counted.round())
        assert float(counted.max()) > 0

"""The membrane tap: v after the reset beside the spikes, with the bits and the gradients of the plain loop."""

from __future__ import annotations

from dataclasses import replace

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
    GraphNet,
    IdentityWire,
    LinearWire,
    Profile,
    Spiking,
    Unit,
    as_spiking,
    bptt,
    build_ann,
    membrane_of,
)
from spikeport.models.neurons import step
from torch import Tensor


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unrolled(profile: Profile, current: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """(spikes, membranes after the reset) of the plain loop over `neurons.step`, (T, B, ...) each."""
    v = torch.full_like(current[0], profile.v_init * threshold)
    train, membranes = [], []
    for i in current:
        v, fired = step(v, i, threshold, profile)
        train.append(fired)
        membranes.append(v)
    return torch.stack(train), torch.stack(membranes)


@settings(deadline=None)  # the first call compiles
@given(
    st.sampled_from(list(PROFILES)),
    st.sampled_from(["hard", "soft"]),
    st.booleans(),
    st.integers(1, 6),
    st.sampled_from([0.5, 0.75, 1.0, 3.0]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_membrane_and_spikes_have_the_bits_of_the_step(name, reset, detach, n_steps, threshold, static, seed):
    """In float32, whose spikes come from the compiled loop."""
    profile = replace(PROFILES[name], reset=reset, detach_reset=detach)
    current = threshold * (torch.randn(*([] if static else [n_steps]), 3, 7, generator=rng(seed)) + 0.5)
    population = Spiking(profile, n_steps, threshold=threshold)
    spikes = population(current, static)
    expected, membranes = unrolled(profile, current.expand(n_steps, 3, 7), threshold)
    assert torch.equal(spikes, expected)
    assert torch.equal(population.membrane(current, static, spikes), membranes)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", PROFILES)
def test_its_gradients_are_those_of_the_step(name, reset, detach, static):
    """Autograd through the plain loop in float64, of a loss of both membranes and spikes."""
    profile = replace(PROFILES[name], reset=reset, detach_reset=detach)
    draw = rng(3)
    drawn = torch.randn(*([] if static else [4]), 5, 40, generator=draw, dtype=torch.float64) + 0.4
    of_v, of_z = torch.randn(2, 4, 5, 40, generator=draw, dtype=torch.float64)
    mine, theirs = drawn.clone().requires_grad_(), drawn.clone().requires_grad_()
    population = Spiking(profile, 4, threshold=0.75)
    spikes = population(mine, static)
    v = population.membrane(mine, static, spikes)
    expected, membranes = unrolled(profile, theirs.expand(4, 5, 40), 0.75)
    (of_v * v.square() + of_z * spikes).sum().backward()
    (of_v * membranes.square() + of_z * expected).sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert float(theirs.grad.abs().max()) > 0.1
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-10)


def test_a_live_reset_has_another_gradient_than_a_detached_one():
    """The test above means something."""
    found = []
    for detach in (False, True):
        profile = replace(PROFILES["tet_lif"], detach_reset=detach)
        current = (torch.randn(4, 60, generator=rng(4)) + 0.4).requires_grad_()
        population = Spiking(profile, 4)
        population.membrane(current, False, population(current, False)).square().sum().backward()
        found.append(current.grad)
    assert not torch.allclose(*found, rtol=0.1)


def test_a_spike_that_is_worth_a_threshold_resets_like_any_other():
    """The threshold form of a converted network."""
    current = torch.rand(3, 4, 8, generator=rng(5)) * 2
    plain, worth = Spiking(PROFILES["qcfs_if"], 3, threshold=1.5), Spiking(PROFILES["qcfs_if"], 3, threshold=1.5)
    worth.amplitude.fill_(1.5)
    spikes = worth(current, False)
    assert spikes.unique().tolist() == [0, 1.5]
    assert torch.equal(worth.membrane(current, False, spikes), plain.membrane(current, False, plain(current, False)))


def test_the_membrane_of_a_current_in_low_precision_is_integrated_in_float32():
    current = torch.randn(3, 4, 8, generator=rng(6)).bfloat16()
    population = Spiking(replace(PROFILES["loihi"], gain=0.3), 3)
    v = population.membrane(current, False, population(current, False))
    assert v.dtype == torch.float32
    assert torch.equal(v, population.membrane(current.float(), False, population(current.float(), False)))


def network(n_steps: int = 3) -> GraphNet:
    """2 x 6 x 6, two convolutions with a sum of both, linear read-out."""
    units = (
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=4, wires=(ConvWire(source="a"),)),
        Unit(name="sum", channels=4, wires=(IdentityWire(source="a"), IdentityWire(source="b")), activation="none"),
        Unit(name="readout", channels=3, wires=(LinearWire(source="sum"),)),
    )
    architecture = Architecture(name="net", input_shape=(2, 6, 6), n_classes=3, units=units, taps=("a", "b"))
    return as_spiking(build_ann(architecture, rng()), PROFILES["loihi"], n_steps)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("unit", ["a", "b"])
def test_a_network_returns_the_membrane_of_a_unit_beside_what_it_returns_without(unit, static):
    """Also of the first unit, whose current has no time axis if the input has none."""
    net = network().eval()
    x = torch.rand(*([5] if static else [3, 5]), 2, 6, 6, generator=rng(7)) * 3
    with torch.no_grad():
        plain, without = net(x, ["a", "b"])
        logits, taps = net(x, ["a", "b", membrane_of(unit)])
        current = net.node(unit).current([x if unit == "a" else without["a"]], [static and unit == "a"])
    assert torch.equal(logits, plain)
    assert all(torch.equal(without[name], taps[name]) for name in ("a", "b"))
    _, expected = unrolled(PROFILES["loihi"], current.expand(3, 5, 4, 6, 6), 1.0)
    assert torch.equal(taps[membrane_of(unit)], expected)


def test_a_membrane_trains_the_weights_before_it():
    net = network()
    got = bptt(net, torch.rand(3, 5, 2, 6, 6, generator=rng(8)), [membrane_of("b")])
    assert got.spikes is not None
    got.spikes[membrane_of("b")].square().sum().backward()
    trained = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name for name in trained if name.endswith("weighted.weight")} == {
        f"nodes.{unit}.synapses.0.weighted.weight" for unit in ("a", "b")
    }


@pytest.mark.parametrize("unit", ["sum", "readout"])
def test_a_unit_without_neurons_has_no_membrane(unit):
    with pytest.raises(BadInput, match=f"{unit}: it has no spiking neurons whose membrane could be tapped"):
        network()(torch.zeros(3, 1, 2, 6, 6), [membrane_of(unit)])


def test_an_ann_has_no_membrane():
    ann = build_ann(network().architecture, rng())
    with pytest.raises(BadInput, match="a: it has no spiking neurons"):
        ann(torch.zeros(1, 2, 6, 6), [membrane_of("a")])

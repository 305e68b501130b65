"""The neuron's loop over time: compiled against plain, layouts in memory, and what is kept for the backward pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw.arithmetic import STATE_LIMIT
from spikeport.hw.arithmetic import decay as chip_decay
from spikeport.models import PROFILES, Profile, Spiking, loops, scan
from spikeport.models.kernels import native
from spikeport.models.kernels import neuron as fused
from spikeport.models.membrane import V_LIMIT, Membrane
from spikeport.models.neurons import step
from spikeport.models.surrogates import Surrogate

PROFILE = st.builds(
    Profile,
    name=st.just("any"),
    leak=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    gain=st.sampled_from([0.3, 0.5, 1.0]),
    reset=st.sampled_from(["hard", "soft"]),
    strict=st.booleans(),
    detach_reset=st.booleans(),
    surrogate=st.builds(Surrogate, st.sampled_from(["triangle", "sigmoid"]), st.sampled_from([0.3, 1.0, 2.0, 4.0])),
    v_init=st.sampled_from([0.0, 0.5]),
)
STEPS = st.integers(1, 6)
SIZES = st.sampled_from([1, 2, 7, 64, fused.BLOCK, 2 * fused.BLOCK + 13])
THRESHOLDS = st.sampled_from([0.5, 0.75, 1.0, 3.0])


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unrolled(profile: Profile, current: torch.Tensor, threshold: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(spikes, membranes after the reset) of the plain loop over `neurons.step`."""
    v = torch.full_like(current[0], profile.v_init * threshold)
    train, membranes = [], []
    for i in current:
        v, fired = step(v, i, threshold, profile)
        train.append(fired)
        membranes.append(v)
    return torch.stack(train), membranes


@settings(deadline=None)  # the first call compiles
@given(PROFILE, STEPS, SIZES, THRESHOLDS, st.booleans(), st.integers(0, 10**6))
def test_the_compiled_loop_has_the_bits_of_the_step(profile, n_steps, size, threshold, static, seed):
    """T-N-1: spikes and membranes, every profile, in float32."""
    current = threshold * (torch.randn(1 if static else n_steps, size, generator=rng(seed)) + 0.5)
    membrane = Membrane.of(profile, chip=False)
    expected, after = unrolled(profile, current.expand(n_steps, size), threshold)
    for loop in (fused, loops):
        spikes, potentials = loop.forward(current, n_steps, membrane, threshold, True)
        assert torch.equal(spikes, expected)
        assert potentials is not None
        for t in range(n_steps):
            assert torch.equal(membrane.reset(potentials[t], spikes[t] > 0, threshold), after[t])
    assert fused.forward(current, n_steps, membrane, threshold, False)[1] is None


@settings(deadline=None)  # the first call compiles
@given(PROFILE, STEPS, SIZES, THRESHOLDS, st.booleans(), st.integers(0, 10**6))
def test_the_compiled_gradient_is_the_plain_loops(profile, n_steps, size, threshold, static, seed):
    """Against the plain loop in float64 on the same membranes, to 1e-6 of the largest gradient there can be.

    No step passes on more than |J| <= 1 + |u| max h' / theta, so that bounds what an error grows to.
    """
    draw = rng(seed)
    membrane = Membrane.of(profile, chip=False)
    current = threshold * (torch.randn(n_steps, size, generator=draw) + 0.5)
    _, potentials = fused.forward(current, n_steps, membrane, threshold, True)
    assert potentials is not None
    grad = torch.randn(n_steps, size, generator=draw)
    found = fused.backward(grad, potentials, membrane, threshold, static)
    exact = loops.backward(grad.double(), potentials.double(), membrane, threshold, static)
    surrogate = profile.surrogate
    peak = (1 / surrogate.parameter if surrogate.kind == "triangle" else surrogate.parameter / 4) / threshold
    worst = 1.0 if profile.detach_reset else 1 + float(potentials.abs().max()) * peak
    bound = n_steps * float(grad.abs().max()) * peak * max(1.0, profile.leak * worst) ** n_steps
    assert found.shape == ((1 if static else n_steps), size)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-6 * bound)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", PROFILES)
def test_a_population_in_single_precision_has_the_gradients_of_the_step(name, static):
    """Norse's surrogates through autograd, both resets, detached and live; gradients of order 1, to 1e-6 of it."""
    draw = rng(3)
    given_current = torch.randn(*((5, 40) if static else (4, 5, 40)), generator=draw) + 0.4
    head = torch.randn(4, 5, 40, generator=draw)
    for detach in (True, False):
        profile = replace(PROFILES[name], detach_reset=detach)
        mine, theirs = given_current.clone().requires_grad_(), given_current.clone().requires_grad_()
        spikes = Spiking(profile, 4, threshold=0.75)(mine, static)
        expected, _ = unrolled(profile, theirs.expand(4, 5, 40) if static else theirs, 0.75)
        assert torch.equal(spikes, expected)
        (spikes * head).sum().backward()
        (expected * head).sum().backward()
        assert mine.grad is not None
        assert theirs.grad is not None
        scale = float(theirs.grad.abs().max())
        assert scale > 0.1
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("theta", [0.3, 1.0, 7.7])
def test_a_membrane_at_the_threshold_decides_by_the_last_bit(theta):
    """T-N-1: u one float below, at and above the threshold."""
    at = np.float32(theta)
    near = torch.from_numpy(np.array([[np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(99))]]))
    for strict, expected in ((True, [0, 0, 1]), (False, [0, 1, 1])):
        membrane = Membrane.of(replace(PROFILES["loihi"], strict=strict), chip=False)
        for loop in (fused, loops):
            assert loop.forward(near, 1, membrane, float(at), False)[0][0].tolist() == expected


@settings(deadline=None)
@given(st.floats(0, 80, width=32))
def test_the_compiled_exponential_is_exact_to_a_few_units_in_the_last_place(y):
    # The exponent y log2(e) has an error of y 2^-23 at most: the constant and the product are both rounded by 2^-24.
    assert fused.exp_minus(np.float32(y)) == pytest.approx(math.exp(-y), rel=2**-22 + y * 2**-23)


@settings(deadline=None)
@given(
    st.integers(0, 4096),
    st.lists(st.lists(st.integers(-70000, 70000), min_size=3, max_size=3), min_size=1, max_size=6),
    st.integers(1, 60000),
)
def test_the_chips_membrane_is_exact_in_both_loops(v_decay, currents, threshold):
    """Against the chip's arithmetic in int64, with sums that saturate."""
    profile = PROFILES["loihi"].with_v_decay(v_decay)
    membrane = Membrane.of(profile, chip=True)
    given_current = torch.tensor(currents, dtype=torch.float32)
    v = np.zeros(3, np.int64)
    train, states = [], []
    for a in currents:
        u = np.clip(chip_decay(v, v_decay) + (np.array(a, np.int64) << 6), -(STATE_LIMIT - 1), STATE_LIMIT - 1)
        fired = u > threshold << 6
        v = np.where(fired, 0, u)
        train.append(fired.astype(int).tolist())
        states.append(u.tolist())
    for loop in (fused, loops):
        spikes, potentials = loop.forward(given_current, len(currents), membrane, threshold, True)
        assert potentials is not None
        assert spikes.tolist() == train
        assert (potentials.double() * 64).tolist() == states


def test_saturation_is_reached():
    """The test above means something: 70000 twice is beyond the register."""
    membrane = Membrane.of(PROFILES["loihi"], chip=True)
    _, potentials = fused.forward(torch.full((1, 1), -70000.0), 3, membrane, 10, True)
    assert potentials is not None
    assert potentials[:, 0].tolist() == [-70000, -V_LIMIT, -V_LIMIT]


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2]),
    "batch outermost": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every second": lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
    "held by expansion": lambda x: x[:1].expand(x.shape),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_spikes_and_gradients(name, dtype):
    draw = rng(5)
    x = torch.randn(3, 2, 4, 5, 6, generator=draw, dtype=dtype) + 0.5
    x = x[:1].expand(x.shape).contiguous() if name == "held by expansion" else x
    head = torch.randn(x.shape, generator=draw, dtype=dtype)
    results = []
    for current in (x, LAYOUTS[name](x)):
        current = current.detach().requires_grad_()
        spikes = scan.scan(current, False, 3, 1.0, PROFILES["tet_lif"])
        (spikes * head).sum().backward()
        results.append((spikes, current.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    if name == "channels last":
        assert results[1][0].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("static", [False, True])
def test_channels_last_stays_channels_last_forward_and_backward(static):
    current = torch.randn(6, 8, 3, 3, generator=rng(6)).contiguous(memory_format=torch.channels_last)
    current = current if static else current.unflatten(0, (3, 2))
    kept: list[torch.Tensor] = []
    current.requires_grad_().register_hook(kept.append)
    spikes = scan.scan(current, static, 3, 1.0, PROFILES["loihi"])
    assert spikes.shape == (3, 6 if static else 2, 8, 3, 3)
    assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    spikes.square().sum().backward()
    assert kept[0].stride() == current.stride()


def test_a_gradient_may_come_in_any_layout():
    """A mean over time hands back one slice for all timesteps."""
    current = torch.randn(3, 2, 5, generator=rng(7)) + 0.5
    grads = []
    for head in (lambda s: s.mean(0).sum(), lambda s: (s * torch.full(s.shape, 1 / 3)).sum()):
        leaf = current.clone().requires_grad_()
        head(scan.scan(leaf, False, 3, 1.0, PROFILES["loihi"])).backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-6, atol=1e-7)


def test_nothing_is_written_into_the_current_nor_shared_with_it():
    current = torch.randn(3, 50, generator=rng(8))
    before = current.clone()
    leaf = current.requires_grad_()
    spikes = scan.scan(leaf, False, 3, 1.0, PROFILES["tet_lif"])
    (first,) = torch.autograd.grad(spikes.sum(), leaf, retain_graph=True)
    with torch.no_grad():
        spikes.fill_(5)  # what is kept for the backward pass is not the spikes
    (second,) = torch.autograd.grad(spikes.sum(), leaf)
    assert torch.equal(leaf.detach(), before)
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


@pytest.mark.parametrize("static", [False, True])
def test_one_float_per_neuron_and_step_is_kept_for_the_backward_pass(static):
    current = torch.randn(*((2, 30) if static else (4, 2, 30)), generator=rng(9)).requires_grad_()
    kept: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        scan.scan(current, static, 4, 1.0, PROFILES["loihi"])
        assert kept == [4 * 2 * 30 * 4]
        kept.clear()
        scan.scan(current.detach(), static, 4, 1.0, PROFILES["loihi"])
        with torch.no_grad():
            scan.scan(current, static, 4, 1.0, PROFILES["loihi"])
        assert kept == []


def test_a_sequence_has_its_own_number_of_timesteps():
    """A population made for another T runs a sequence from its first step to its last, forward and backward."""
    current = torch.randn(5, 3, 8, generator=rng(18)) + 0.5
    results = []
    for n_steps in (5, 2, 9):
        leaf = current.clone().requires_grad_()
        spikes = Spiking(PROFILES["tet_lif"], n_steps)(leaf, static=False)
        spikes.square().sum().backward()
        results.append((spikes, leaf.grad))
    for spikes, grad in results[1:]:
        assert torch.equal(spikes, results[0][0])
        assert torch.equal(grad, results[0][1])


def test_an_empty_batch_gives_no_spikes():
    for static in (False, True):
        spikes = scan.scan(torch.zeros(*(() if static else (3,)), 0, 4, 2, 2), static, 3, 1.0, PROFILES["loihi"])
        assert spikes.shape == (3, 0, 4, 2, 2)


def test_second_derivatives_are_refused():
    leaf = torch.randn(3, 5, generator=rng(10)).requires_grad_()
    spikes = scan.scan(leaf, False, 3, 1.0, PROFILES["loihi"])
    (grad,) = torch.autograd.grad(spikes.square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_threads_take_parts_and_give_the_same(monkeypatch):
    """Parts of unequal length, forward and backward; the pool is forced on small work."""
    monkeypatch.setattr(fused, "SMALLEST", 4)
    membrane = Membrane.of(PROFILES["sj_lif"], chip=False)
    current = torch.randn(3, 1001, generator=rng(11)) + 0.5
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(native.torch, "get_num_threads", lambda threads=threads: threads)
        spikes, potentials = fused.forward(current, 3, membrane, 1.0, True)
        assert potentials is not None
        results.append((spikes, potentials, fused.backward(current, potentials, membrane, 1.0, False)))
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_plain_torch_serves_where_nothing_is_compiled(monkeypatch):
    """float64, and float32 without numba, give the same spikes."""
    current = torch.randn(3, 200, generator=rng(12)) + 0.5
    assert scan._loops(current) is fused  # pyright: ignore[reportPrivateUsage]
    assert scan._loops(current.double()) is loops  # pyright: ignore[reportPrivateUsage]
    spikes = scan.scan(current, False, 3, 1.0, PROFILES["loihi"])
    monkeypatch.setattr(scan, "_module", lambda needs, name: None)
    assert scan._loops(current) is loops  # pyright: ignore[reportPrivateUsage]
    assert torch.equal(scan.scan(current, False, 3, 1.0, PROFILES["loihi"]), spikes)


def test_a_package_that_does_not_load_is_a_package_that_is_not_there():
    assert scan._module("no_such_package", ".loops") is None  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_currents_are_integrated_in_single_precision(dtype):
    """Autocast: the spikes are those of the widened currents; the gradient comes back in the current's type."""
    current = (torch.randn(8, 4, 50, generator=rng(13)) * 0.5).to(dtype)
    population = Spiking(PROFILES["loihi"], n_steps=8)
    leaf = current.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spikes = population(leaf, static=False)
    assert spikes.dtype is torch.float32
    assert torch.equal(spikes, population(current.float(), static=False))
    assert 0 < spikes.mean() < 1
    spikes.square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype is dtype
    assert leaf.grad.abs().max() > 0

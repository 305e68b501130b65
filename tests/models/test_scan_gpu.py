"""The neuron's loop over time as a GPU runs it: against the plain loop, as it stands, compiled, and on a device."""

from __future__ import annotations

import shutil

import pytest
import torch
from spikeport.models import PROFILES, Profile, Spiking, loops, scan
from spikeport.models.kernels import inductor
from spikeport.models.membrane import Membrane

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_number_of_steps_is_served_by_powers_of_two():
    for n_steps in range(1, 70):
        lengths = inductor._lengths(n_steps)  # pyright: ignore[reportPrivateUsage]
        assert sum(lengths) == n_steps
        assert set(lengths) <= {1, 2, 4, 8, 16}
    assert inductor._lengths(32) == [16, 16]  # pyright: ignore[reportPrivateUsage]


CASES = ((False, False), (False, True), (True, False))
"""(chip, static) of a current."""

TORCHS_OWN = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""torch.compile imports parts of torch that torch itself deprecates."""


def compare_inductor(
    device: str, profile: Profile, n_steps: int, *, exact: bool, cases: tuple[tuple[bool, bool], ...] = CASES
) -> None:
    """The GPU's functions against the plain loop, forward and backward."""
    for chip, static in cases:
        membrane = Membrane.of(profile, chip=chip)
        draw = torch.randn(1 if static else n_steps, 500, generator=rng(14)) + 0.5
        current = ((draw * 64).round() if chip else draw).to(device)
        threshold = 64.0 if chip else 1.0
        grad = torch.randn(n_steps, 500, generator=rng(15)).to(device)
        spikes, potentials = loops.forward(current, n_steps, membrane, threshold, True)
        found, also = inductor.forward(current, n_steps, membrane, threshold, True)
        assert potentials is not None
        assert also is not None
        if exact or chip:
            assert torch.equal(found, spikes)
            assert torch.equal(also, potentials)
        else:  # a fused multiply-add may move a membrane by a rounding, and a spike with it: no more than that
            assert (found != spikes).float().mean() < 1e-3
        back = inductor.backward(grad, potentials, membrane, threshold, static)
        expected = loops.backward(grad, potentials, membrane, threshold, static)
        torch.testing.assert_close(back, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("n_steps", [1, 2, 5, 16, 19])
@pytest.mark.parametrize("name", ["loihi", "tet_lif", "ratebp_lif", "qcfs_if"])
def test_the_gpus_functions_are_the_plain_loop_in_blocks(monkeypatch, name, n_steps):
    """As they stand, before a compiler sees them."""
    monkeypatch.setattr(inductor, "_compile", lambda function, name: function)
    for maker in (inductor._forward, inductor._backward):  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(inductor, maker.__name__, maker.__wrapped__)
    compare_inductor("cpu", PROFILES[name], n_steps, exact=True)
    membrane = Membrane.of(PROFILES[name], chip=False)
    assert inductor.forward(torch.zeros(n_steps, 3), n_steps, membrane, 1.0, False)[1] is None


@pytest.mark.slow
@TORCHS_OWN
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_gpus_functions_compile():
    """By torch.compile for the CPU: one kernel forward and one backward."""
    compare_inductor("cpu", PROFILES["tet_lif"], 2, exact=False, cases=((False, False),))


@pytest.mark.cuda
@CUDA
@TORCHS_OWN
@pytest.mark.parametrize("name", PROFILES)
def test_a_gpu_gives_the_plain_loops_results(name):
    pytest.importorskip("triton")
    compare_inductor("cuda", PROFILES[name], 5, exact=False)


@pytest.mark.cuda
@CUDA
@TORCHS_OWN
def test_a_gpu_gives_the_cpus_chip_integers_bit_for_bit():
    profile = PROFILES["loihi"].with_v_decay(410)
    current = (torch.randn(6, 4, 33, generator=rng(16)) * 64).round()
    spikes = scan.scan(current, False, 6, 64, profile, chip=True)
    assert torch.equal(scan.scan(current.cuda(), False, 6, 64, profile, chip=True).cpu(), spikes)


@pytest.mark.cuda
@CUDA
@TORCHS_OWN
def test_a_gpu_trains_under_autocast():
    leaf = torch.randn(4, 8, 3, 5, 5, generator=rng(17)).cuda().half().requires_grad_()
    with torch.autocast("cuda", dtype=torch.float16):
        spikes = Spiking(PROFILES["loihi"], n_steps=4).cuda()(leaf, static=False)
    assert spikes.dtype is torch.float32
    spikes.square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()

"""Neuron profiles: traces by hand, the algebra between them, and what the reset lets through backward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, Profile, Spiking
from spikeport.models.neurons import step

# (currents, membrane after the reset, spikes) of one neuron, from the equations of each paper. "=" marks u == theta.
TET = (
    [1.0, 0.5, 0.75, 1.0, -1.0],
    [1.0, 1.0, 0.0, 1.0, -0.5],  # u: 1 =, 1/2 + 1/2 = 1 =, 1/2 + 3/4 = 5/4, 1 =, 1/2 - 1
    [0, 0, 1, 0, 0],
)
TRACES = {
    "loihi": (
        [0.5, 0.5, 0.25, -0.5, 1.75],
        [0.5, 1.0, 0.0, -0.5, 0.0],  # u: 1/2, 1 =, 5/4, -1/2, 5/4
        [0, 0, 1, 0, 1],
    ),
    "soft_if": (
        [0.5, 0.5, 0.25, -0.5, 1.75],
        [0.5, 0.0, 0.25, -0.25, 0.5],  # u: 1/2, 1 =, 1/4, -1/4, 3/2
        [0, 1, 0, 0, 1],
    ),
    "tet_lif": TET,
    "sastc_paper_lif": TET,  # only the surrogate differs
    "ratebp_lif": (
        [1.0, 0.5, 1.5, -1.0, 1.0],
        [0.0, 0.5, 0.6, -0.88, 0.824],  # u: 1 =, 0.5, 0.1 + 1.5, 0.12 - 1, -0.176 + 1
        [1, 0, 1, 0, 0],
    ),
    "braincog_lif": (
        [1.0, 0.5, 0.75, 1.0, -1.0],
        [0.5, 0.5, 0.0, 0.5, -0.25],  # u: 1/2 =, (1/2 + 1/2) / 2 =, (1/2 + 3/4) / 2, 1/2 =, (1/2 - 1) / 2
        [0, 0, 1, 0, 0],
    ),
    "sj_if": (
        [0.5, 0.5, 0.25, -0.5, 1.75],
        [0.5, 0.0, 0.25, -0.25, 0.0],  # u: 1/2, 1 =, 1/4, -1/4, 3/2
        [0, 1, 0, 0, 1],
    ),
    "sj_lif": (
        [2.0, 1.0, 1.5, -1.0, 2.5],
        [0.0, 0.5, 0.0, -0.5, 0.0],  # u: 1 =, 1/2, 1/4 + 3/4 =, -1/2, -1/4 + 5/4 =
        [1, 0, 1, 0, 1],
    ),
    "qcfs_if": (
        [0.25, 0.25, 0.5, -1.0, 2.0],
        [0.75, 0.0, 0.5, -0.5, 0.5],  # v(-1) = 1/2; u: 3/4, 1 =, 1/2, -1/2, 3/2
        [0, 1, 0, 0, 1],
    ),
}


def test_every_profile_has_a_trace_by_hand():
    """T-N-1."""
    assert set(TRACES) == set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_five_steps_by_hand(name):
    """T-N-1: membranes and spikes of five steps, with u == theta exactly among them."""
    profile = PROFILES[name]
    currents, membranes, spikes = TRACES[name]
    v = torch.tensor([profile.v_init * profile.threshold])
    for t, current in enumerate(currents):
        v, fired = step(v, torch.tensor([current]), profile.threshold, profile)
        assert v.item() == pytest.approx(membranes[t], abs=1e-6)
        assert fired.item() == spikes[t]


@pytest.mark.parametrize("name", PROFILES)
def test_the_population_runs_the_same_steps(name):
    """T-N-1: `Spiking` over time gives the spikes of the trace."""
    currents, _, spikes = TRACES[name]
    population = Spiking(PROFILES[name], n_steps=5)
    assert population(torch.tensor(currents)[:, None], static=False)[:, 0].tolist() == spikes


def test_braincogs_membrane_is_half_of_tets():
    """T-N-2: mem = (mem + x) / 2 with threshold 1/2 is v = v / 2 + x with threshold 1; halving is exact in floats."""
    currents = torch.randn(40, 200, generator=torch.Generator().manual_seed(0))
    tet, cog = PROFILES["tet_lif"], PROFILES["braincog_lif"]
    v, mem = torch.zeros(200), torch.zeros(200)
    total = 0.0
    for current in currents:
        v, fired = step(v, current, tet.threshold, tet)
        mem, also_fired = step(mem, current, cog.threshold, cog)
        assert torch.equal(fired, also_fired)
        assert torch.equal(2 * mem, v)
        total += float(fired.sum())
    assert 0 < total < currents.numel()


@pytest.mark.parametrize("name", PROFILES)
def test_the_surrogate_has_unit_area_over_the_membrane(name):
    """T-N-3: in membrane units, whatever gain and threshold are: the integral of dz/du over u is 1."""
    profile, cell = PROFILES[name], 1 / 256
    currents = ((torch.arange(20000, dtype=torch.float64) + 0.5) * cell - 20000 * cell / 2).requires_grad_()
    _, fired = step(torch.zeros_like(currents), currents, profile.threshold, profile)
    (grad,) = torch.autograd.grad(fired.sum(), currents)
    assert float(grad.sum()) * cell == pytest.approx(1, abs=1e-3)


def two_steps(profile: Profile, detach: bool) -> tuple[torch.Tensor, float]:
    """Spikes of two steps at a constant current of 3/4, and d(second spike) / d(current)."""
    profile = replace(profile, detach_reset=detach)
    current = torch.tensor([0.75], dtype=torch.float64, requires_grad=True)
    v, first = step(torch.zeros(1, dtype=torch.float64), current, 0.5, profile)
    _, second = step(v, current, 0.5, profile)
    (grad,) = torch.autograd.grad(second.sum(), current)
    return torch.cat([first, second]).detach(), float(grad)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_detaching_the_reset_changes_the_gradient_and_not_the_spikes(reset):
    """T-N-4: threshold 1/2, triangle of width 1 in thresholds, no leak, current 3/4.

    Step 1: u = 3/4, x = 1/2, dz/du = (1 - 1/2) / (1/2) = 1, a spike. Step 2: hard v = 0, u = 3/4, slope 1; soft
    v = 1/4 leaks by 1/2 (without a leak x would be 1, where the triangle ends): u = 7/8, x = 3/4, slope 1/2.
    dz2/dI = slope2 (1 + leak dv/dI), with dv/dI, detached and live: 0 and -u z' = -3/4 (hard reset), 1 and
    1 - theta z' = 1/2 (soft reset).
    """
    leak = 1.0 if reset == "hard" else 0.5
    profile = replace(PROFILES["loihi"], reset=reset, leak=leak)
    spikes, detached = two_steps(profile, detach=True)
    also_spikes, live = two_steps(profile, detach=False)
    assert spikes.tolist() == also_spikes.tolist() == [1, 1]
    expected = {"hard": (1 * (1 + 0), 1 * (1 - 0.75)), "soft": (0.5 * (1 + 0.5 * 1), 0.5 * (1 + 0.5 * 0.5))}[reset]
    assert (detached, live) == pytest.approx(expected, rel=1e-12)


def unrolled(profile: Profile, current: torch.Tensor, threshold: float) -> torch.Tensor:
    """The plain loop over `step`, differentiated by autograd."""
    v = torch.full_like(current[0], profile.v_init * threshold)
    train = []
    for i in current:
        v, fired = step(v, i, threshold, profile)
        train.append(fired)
    return torch.stack(train)


@pytest.mark.parametrize("chunk", [1 << 18, 7])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", PROFILES)
def test_the_population_has_the_spikes_and_gradients_of_the_plain_loop(monkeypatch, name, static, chunk):
    """Both resets, detached and live, all surrogates, in float64, stepped whole or a sample at a time."""
    monkeypatch.setattr("spikeport.models.loops.CHUNK", chunk)
    rng = torch.Generator().manual_seed(2)
    given = torch.randn(*((5, 6) if static else (4, 5, 6)), dtype=torch.float64, generator=rng) + 0.4
    head = torch.randn(4, 5, 6, dtype=torch.float64, generator=rng)
    for detach in (True, False):
        profile = replace(PROFILES[name], detach_reset=detach)
        mine, theirs = given.clone().requires_grad_(), given.clone().requires_grad_()
        spikes = Spiking(profile, 4, threshold=0.75)(mine, static)
        expected = unrolled(profile, theirs.expand(4, 5, 6) if static else theirs, 0.75)
        assert torch.equal(spikes, expected)
        assert spikes.unique().tolist() == [0, 1]
        (spikes * head).sum().backward()
        (expected * head).sum().backward()
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def test_a_static_current_is_the_same_current_at_every_step():
    current = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    for name in PROFILES:
        population = Spiking(PROFILES[name], n_steps=6)
        held = population(current, static=True)
        assert held.shape == (6, 3, 4)
        assert torch.equal(held, population(current.expand(6, 3, 4), static=False))


def test_the_amplitude_scales_spikes_and_not_the_membrane():
    population = Spiking(PROFILES["loihi"], n_steps=8, threshold=2.0)
    currents = torch.full((8, 1), 0.75)
    spikes = population(currents, static=False)
    population.amplitude.fill_(2.0)
    assert torch.equal(population(currents, static=False), 2 * spikes)
    assert spikes.sum() == 2  # 3 * 0.75 = 2.25 > 2: every third step of eight


def test_half_a_threshold_at_the_start_is_half_of_the_populations_own_threshold():
    population = Spiking(PROFILES["qcfs_if"], n_steps=1, threshold=4.0)
    assert population(torch.tensor([[1.5, 2.0]]), static=False).tolist() == [[0, 1]]  # 2 + 1.5 < 4 <= 2 + 2


def test_a_population_needs_a_timestep():
    with pytest.raises(BadInput, match=r"T is 0.*at least 1 timestep"):
        Spiking(PROFILES["loihi"], n_steps=0)


def test_only_hard_strict_profiles_that_start_at_zero_are_the_chips():
    on_chip = {name for name in PROFILES if PROFILES[name].on_chip() is None}
    assert on_chip == {"loihi", "tet_lif", "sastc_paper_lif", "braincog_lif"}


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("soft_if", ["reset is soft", "fires at the threshold"]),
        ("sj_if", ["fires at the threshold"]),
        ("qcfs_if", ["reset is soft", "starts at 0.5 thresholds"]),
        ("ratebp_lif", ["reset is soft", "leak 0.2 is not a multiple of 1/4096"]),
    ],
)
def test_a_profile_says_why_the_chip_cannot_compute_it(name, reasons):
    said = PROFILES[name].on_chip()
    assert said is not None
    assert all(reason in said for reason in reasons)


@pytest.mark.parametrize("v_decay", [0, 1, 410, 2048, 4095, 4096])
def test_a_leak_given_in_chip_units_comes_back_in_chip_units(v_decay):
    profile = PROFILES["loihi"].with_v_decay(v_decay)
    assert profile.v_decay == v_decay
    assert profile.on_chip() is None


@pytest.mark.parametrize("v_decay", [-1, 4097])
def test_a_leak_beyond_the_chips_range_is_refused(v_decay):
    with pytest.raises(BadInput, match=rf"v_decay is {v_decay}, the chip takes 0\.\.4096"):
        PROFILES["loihi"].with_v_decay(v_decay)


def test_an_unknown_profile_is_refused_with_the_nearest_name():
    with pytest.raises(BadInput, match="did you mean 'tet_lif'"):
        _ = PROFILES["tet_lf"]

"""QCFS: its values are spike counts, its gradients those of the formula, and lam is learned."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, Architecture, ConvWire, LinearWire, Spiking, Unit, build_ann
from spikeport.models.qcfs import LAM, Qcfs, as_qcfs

GRID = [Fraction(k, 1024) for k in range(-700, 1400)]
X = torch.tensor([float(x) for x in GRID], dtype=torch.float64)


def activation(levels: int, lam: float) -> Qcfs:
    return Qcfs(levels, lam).double()


@pytest.mark.parametrize("lam", [Fraction(1), Fraction(1, 2), Fraction(3, 4)])
@pytest.mark.parametrize("levels", [1, 2, 4, 16])
def test_its_value_is_the_formula(levels, lam):
    """lam clip(floor(x L / lam + 1/2) / L, 0, 1), in fractions, with ties of x on every step."""
    got = activation(levels, float(lam))(X, True).tolist()
    for x, h in zip(GRID, got, strict=True):
        place = x * levels / lam + Fraction(1, 2)
        count = min(max(place.numerator // place.denominator, 0), levels)
        assert h == pytest.approx(float(lam * count / levels), abs=1e-15)


@pytest.mark.parametrize("lam", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("levels", [1, 2, 4, 8, 32])
def test_with_as_many_timesteps_as_levels_the_neuron_is_the_activation(levels, lam):
    """T-CV-2: IF, soft reset, threshold lam, from lam / 2, a spike worth lam: exactly, ties included."""
    neuron = Spiking(PROFILES["qcfs_if"], levels, threshold=lam)
    rate = neuron(X, static=True).sum(0) / levels
    assert torch.equal(rate * lam, activation(levels, lam)(X, True).detach())


@pytest.mark.parametrize("levels", [1, 4, 8])
def test_the_gradient_is_the_formula_of_each_piece(levels):
    """dh/dx = 1 on -lam / 2L < x < lam - lam / 2L; dh/dlam = (h - x) / lam there, 1 above, 0 below."""
    lam = 0.75
    for value in (-0.4, -lam / (2 * levels) - 1e-6, -lam / (2 * levels) + 1e-6, 0.01, 0.3, lam, 1.0):
        h = activation(levels, lam)
        x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        out = h(x, True)
        out.backward()
        inside = -lam / (2 * levels) < value < lam - lam / (2 * levels)
        assert x.grad is not None
        assert h.lam.grad is not None
        assert x.grad.item() == float(inside)
        expected = (out.item() - value) / lam if inside else float(value > 0)
        assert h.lam.grad.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("levels", [1, 4, 8])
def test_the_gradient_of_lam_is_the_difference_quotient(levels):
    """T-CV-3: inside the plateaus with the floor's rounding held, floor(p) = p + rounding; outside of h itself."""
    lam, step = 0.75, 1e-6
    inside = [lam * (k + offset) / levels for k in range(levels) for offset in (-0.45, -0.2, 0.1, 0.4)]
    for x in [*inside, -0.9, lam + 0.2]:
        h = activation(levels, lam)
        out = h(torch.tensor(x, dtype=torch.float64), True)
        out.backward()
        rounding = out.item() / lam * levels - x * levels / lam

        def moved(to: float, x: float = x, rounding: float = rounding) -> float:
            if x in inside:
                return to * (x * levels / to + rounding) / levels
            return to * min(max((x * levels / to + 0.5) // 1 / levels, 0.0), 1.0)

        quotient = (moved(lam + step) - moved(lam - step)) / (2 * step)
        assert h.lam.grad is not None
        assert h.lam.grad.item() == pytest.approx(quotient, abs=1e-8)


def test_the_gradients_together_scale_the_activation():
    """T-CV-3: h(s x; s lam) = s h(x; lam), so x dh/dx + lam dh/dlam = h everywhere: no rounding has to be held."""
    h = activation(4, 0.75)
    for value in X[::37]:
        x = value.clone().requires_grad_()
        out = h(x, True)
        to_x, to_lam = torch.autograd.grad(out, (x, h.lam))
        torch.testing.assert_close(value * to_x + 0.75 * to_lam, out.detach())


def test_low_precision_is_widened():
    x = torch.linspace(0, 8, 500)
    out = Qcfs(256, 8.0)(x.bfloat16(), True)
    assert out.dtype == torch.float32
    assert len(out.unique()) > 120  # bfloat16 itself has 128 values between 4 and 8


@pytest.mark.parametrize(("levels", "lam"), [(0, 1.0), (4, 0.0), (4, -1.0), (4, float("nan"))])
def test_what_has_no_staircase_is_refused(levels, lam):
    with pytest.raises(BadInput, match=r"QCFS: levels .* give at least 1 level and a lam above 0"):
        Qcfs(levels, lam)


def architecture(ceiling: float | None = None) -> Architecture:
    units = (
        Unit(name="a", channels=3, wires=(ConvWire(source="input"),)),
        Unit(name="b", channels=5, wires=(LinearWire(source="a"),), ceiling=ceiling),
        Unit(name="out", channels=2, wires=(LinearWire(source="b"),)),
    )
    return Architecture(name="tiny", input_shape=(1, 4, 4), n_classes=2, units=units, taps=("a", "b"))


def test_every_relu_becomes_a_staircase_and_the_weights_stay():
    relu = build_ann(architecture(), torch.Generator().manual_seed(0))
    before = copy.deepcopy(relu.state_dict())
    net = as_qcfs(relu, 4, {"a": 2.0, "b": 3.0})
    state = net.state_dict()
    lam = {"nodes.a.neuron.lam": 2.0, "nodes.b.neuron.lam": 3.0}
    assert {name: state[name].item() for name in lam} == lam
    assert state.keys() - before.keys() == lam.keys()
    assert all(torch.equal(state[name], value) for name, value in before.items())
    assert not any(isinstance(module, Qcfs) for module in relu.modules())
    assert as_qcfs(relu, 4).state_dict()["nodes.a.neuron.lam"].item() == LAM


def test_training_reaches_weights_and_lam():
    net = as_qcfs(build_ann(architecture(), torch.Generator().manual_seed(0)), 4, {"a": 1.0, "b": 1.0})
    logits, _ = net(torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1)))
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters() if p.ndim != 1)


def test_a_ceiling_of_its_own_is_refused():
    with pytest.raises(BadInput, match=r"b: its activation ends at 1\.5, and QCFS learns its own end"):
        as_qcfs(build_ann(architecture(1.5)), 4)

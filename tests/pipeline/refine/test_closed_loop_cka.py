"""Closed-loop CKA: the parts of its loss, the weights of its layers, and a network it repairs."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import PROFILES, Architecture, GraphNet
from spikeport.pipeline.cka import cka_unbiased
from spikeport.pipeline.convert import convert
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.losses import kd_kl
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine.closed_loop_cka import (
    ClosedLoopCka,
    ClosedLoopCkaConfig,
    drift_weights,
    initial_drift,
)
from spikeport.pipeline.refine.stage import add_half_bias_
from torch import Tensor
from torch.nn import functional

from .. import tiny_nets


def pair(n_steps: int = 2, profile: str = "loihi", seed: int = 0) -> tuple[GraphNet, GraphNet, Tensor, Tensor]:
    """(student, teacher, images, labels) on the residual network."""
    teacher, student = tiny_nets.converted(tiny_nets.residual(), PROFILES[profile], n_steps, seed)
    x = tiny_nets.images(teacher.architecture, 12)
    return student, teacher.requires_grad_(False), x, torch.arange(12) % 3


class Scripted:
    """Stands for a network: returns the given activations at its taps, whatever the images."""

    def __init__(self, taps: dict[str, Tensor], logits: Tensor) -> None:
        self.architecture = SimpleNamespace(taps=tuple(taps))
        self.n_steps = 2
        self._taps, self._logits = taps, logits

    def __call__(self, x: Tensor, taps: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        return self._logits, {name: self._taps[name] for name in taps}


def scripted(noise: dict[str, float]) -> tuple[Any, Any]:
    """(student, teacher): the student's rates are the teacher's activations over a threshold, plus noise per layer."""
    rng = tiny_nets.generator(3)
    activations = {name: torch.rand(16, 3, 4, 4, generator=rng) for name in noise}
    rates = {
        name: (a / 2.5 + noise[name] * torch.randn(a.shape, generator=rng)).expand(2, *a.shape)
        for name, a in activations.items()
    }
    logits = torch.randn(16, 3, generator=rng)
    return Scripted(rates, logits.expand(2, 16, 3)), Scripted(activations, logits)


def components(student: GraphNet, teacher: GraphNet, x: Tensor, y: Tensor, weights: dict[str, float]) -> list[float]:
    """CE, KL and local loss, each from its own formula."""
    taps = student.architecture.taps
    with torch.no_grad():
        (sequence, spikes), (target, activations) = student(x, taps), teacher(x, taps)
        local = sum(w * (1 - float(cka_unbiased(activations[n], spikes[n].mean(0)))) for n, w in weights.items())
        mean = sequence.mean(0)
        return [float(functional.cross_entropy(mean, y)), float(kd_kl(mean, target, 2.0)), float(local)]


def test_the_loss_is_its_three_parts_in_their_shares():
    """T-000-1: a = 0 is CE, a = 1 and b = 1 is KL, a = 1 and b = 0 is CKA, linear in a and in b."""
    student, teacher, x, y = pair()
    values = {}
    for a in (0.0, 0.5, 1.0):
        for b in (0.0, 0.25, 1.0):
            method = ClosedLoopCka(
                Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig(a=a, b=b)
            )
            values[a, b] = method.loss(x, y, tiny_nets.moment())[0].item()
    ce, kl, local = components(student, teacher, x, y, method.weights)
    assert min(ce, kl, local) > 0.01
    for (a, b), value in values.items():
        assert value == pytest.approx((1 - a) * ce + a * (b * kl + (1 - b) * local), rel=1e-4)
    assert [values[0, 0.25], values[1, 1], values[1, 0]] == pytest.approx([ce, kl, local], rel=1e-4)


@pytest.mark.parametrize(("n_steps", "share"), [(2, 0.2), (4, 1 / 3), (8, 0.5)])
def test_the_global_share_grows_with_the_number_of_timesteps(n_steps, share):
    student, teacher, x, _ = pair(n_steps)
    assert ClosedLoopCka(
        Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig()
    ).b == pytest.approx(share)


def test_rates_equal_to_the_teachers_have_no_local_loss():
    """T-000-2: F = A / theta."""
    student, teacher = scripted({"one": 0.0, "two": 0.0})
    x, y = torch.zeros(16, 1), torch.zeros(16, dtype=torch.int64)
    method = ClosedLoopCka(Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig(a=1, b=0))
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert parts["logits"].item() == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_weights_are_shares(drift, kappa):
    """T-000-3: not negative, summing to 1, ordered as the drifts."""
    weights = drift_weights(drift, kappa)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    order = sorted(range(len(drift)), key=drift.__getitem__)
    assert all(weights[i] <= weights[j] + 1e-12 for i, j in pairwise(order))


@pytest.mark.parametrize(
    ("drift", "kappa", "expected"),
    [
        ([0.1, 0.3], 1, [0.25, 0.75]),
        ([0.1, 0.3], 2, [0.1, 0.9]),
        ([0.1, 0.3], 0, [0.5, 0.5]),
        ([0.2, 0.2, 0.2, 0.2], 1, [0.25] * 4),
        ([9e-4, 0.0], 1, [0.5, 0.5]),  # nothing to prioritise
        ([2e-3, 0.0], 1, [1, 0]),
    ],
)
def test_weights_by_hand(drift, kappa, expected):
    """T-000-3: w = d^kappa / sum d^kappa, uniform for equal drifts and below 1e-3."""
    assert drift_weights(drift, kappa) == pytest.approx(expected)


@pytest.mark.parametrize("noisy", ["one", "two", "three"])
def test_the_layer_that_conversion_hurt_most_weighs_most(noisy):
    """T-000-3: noise injected into one layer."""
    student, teacher = scripted({name: 0.3 if name == noisy else 0.02 for name in ("one", "two", "three")})
    method = ClosedLoopCka(
        Pair(student=student, teacher=teacher, calibration=[torch.zeros(16, 1)]), ClosedLoopCkaConfig()
    )
    assert max(method.weights, key=method.weights.__getitem__) == noisy
    assert method.weights[noisy] > 0.9


def train(method: ClosedLoopCka, student: GraphNet, x: Tensor, y: Tensor, steps: int, lr: float) -> list[float]:
    optimizer = torch.optim.Adam(student.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss, _, _ = method.loss(x, y, tiny_nets.moment())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_changes_neither_the_teacher_nor_the_weights():
    """T-000-3 (frozen) and T-000-5: parameters and buffers of the teacher are bit-identical after steps."""
    student, teacher, x, y = pair()
    method = ClosedLoopCka(Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig())
    weights = dict(method.weights)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    own = {name: value.clone() for name, value in student.state_dict().items()}
    train(method, student, x, y, steps=3, lr=0.01)
    assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in before.items())
    assert all(p.grad is None for p in teacher.parameters())
    assert method.weights == weights
    assert initial_drift(student, teacher, [x]) != method.drift
    assert any(not torch.equal(value, student.state_dict()[name]) for name, value in own.items())


def test_drift_is_that_of_the_whole_calibration_set():
    """T-000-4: sums over batches are those of the whole, up to sampling."""
    student, teacher, _, _ = pair()
    x = tiny_nets.images(teacher.architecture, 512, 8)
    whole, parts = initial_drift(student, teacher, [x]), initial_drift(student, teacher, x.split(64))
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, abs=0.05)


def test_a_silent_student_gets_finite_gradients_that_are_not_zero():
    """T-000-6: where the membrane stays between 0 and two thresholds, the surrogate lets the loss through."""
    student, teacher, x, y = pair()
    with torch.no_grad():
        for node in student.walk()[:-1]:
            for name, parameter in node.synapses.named_parameters():
                parameter.mul_(0.0 if "bias" in name else 1e-3)
            biases = [p for name, p in node.synapses.named_parameters() if name.endswith("bias")]
            biases[0].add_(0.25)  # 1/2 of a threshold after two steps
    _, spikes = student(x, student.architecture.taps)
    assert not any(s.detach().any() for s in spikes.values())
    method = ClosedLoopCka(Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig())
    assert method.drift == dict.fromkeys(student.architecture.taps, 1.0)
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert torch.isfinite(loss)
    assert parts["spikes_per_neuron"].item() == 0
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if name.endswith("bias"):
            assert parameter.grad.any(), name


def test_drift_falls_as_timesteps_are_added():
    """T-000-8: soft reset, every tap."""
    drifts = []
    for n_steps in (2, 8, 64):
        student, teacher, _, _ = pair(n_steps, "soft_if")
        drifts.append(initial_drift(student, teacher, [tiny_nets.images(teacher.architecture, 48, 8)]))
    for name in drifts[0]:
        values = [drift[name] for drift in drifts]
        assert values[0] > values[1] > values[2], name
        assert values[2] < 0.05


def trained_teacher(architecture: Architecture, x: Tensor, y: Tensor) -> GraphNet:
    """An ANN that knows the 32 images by heart."""
    net = tiny_nets.ann(architecture).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        loss = functional.cross_entropy(net(x)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fold_batchnorm(net).requires_grad_(False)


def test_it_repairs_a_converted_network_at_two_timesteps():
    """T-000-9: on 32 images the loss falls, and the accuracy is above that of conversion alone."""
    architecture = tiny_nets.residual()
    x = tiny_nets.images(architecture, 32, 11)
    y = torch.randint(3, (32,), generator=tiny_nets.generator(12))
    teacher = trained_teacher(architecture, x, y)
    hidden = [unit.name for unit in architecture.units[:-1]]
    with torch.no_grad():
        logits, activations = teacher(x, hidden)
    scales = {name: float(a.max()) for name, a in activations.items()}
    student = convert(teacher, scales, PROFILES["loihi"], 2).requires_grad_(True)

    def accuracy() -> float:
        with torch.no_grad():
            return float((student(x)[0].mean(0).argmax(-1) == y).float().mean())

    assert float((logits.argmax(-1) == y).float().mean()) > 0.9
    baseline = accuracy()
    add_half_bias_(student)
    method = ClosedLoopCka(Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig())
    losses = train(method, student, x, y, steps=60, lr=0.02)
    assert losses[-1] < 0.6 * losses[0]
    assert accuracy() > max(baseline, 0.7)


def test_half_a_threshold_is_spread_over_the_sample():
    """theta / (2 T) per step on every spiking population and on no read-out."""
    student, _, _, _ = pair(4)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    add_half_bias_(student)
    changed = {n: v - before[n] for n, v in student.state_dict().items() if not torch.equal(v, before[n])}
    assert sorted(changed) == sorted(
        f"nodes.{node}.synapses.0.weighted.bias"
        for node in ("stem", "stage1_1a", "stage1_1b", "stage2_1a", "stage2_1b")
    )
    for name, difference in changed.items():
        torch.testing.assert_close(difference, torch.full_like(difference, 1 / 8), msg=name)


def test_the_report_names_every_tap_with_its_drift_and_weight():
    student, teacher, x, _ = pair()
    method = ClosedLoopCka(Pair(student=student, teacher=teacher, calibration=[x]), ClosedLoopCkaConfig())
    rows = method.report()["drift"]
    assert [row["layer"] for row in rows] == list(student.architecture.taps)
    assert sum(row["weight"] for row in rows) == pytest.approx(1)
    assert all(0 <= row["drift"] <= 1 for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": 1.5}, r"a is 1.5; it is a share, between 0 and 1"),
        ({"b": -0.1}, r"b is -0.1; it is a share"),
        ({"tau": 0.0}, r"tau 0.0 must be positive"),
        ({"kappa": -1.0}, r"kappa -1.0 not negative"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        ClosedLoopCkaConfig(**options)

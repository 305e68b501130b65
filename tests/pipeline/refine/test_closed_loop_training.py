"""Closed-loop CKA at work: what training changes and what it does not, and a network it repairs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from spikeport.models import ENGINES, PROFILES, GraphNet
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.convert import convert
from spikeport.pipeline.refine.closed_loop_cka import ClosedLoopCka
from spikeport.pipeline.refine.stage import add_half_bias_

from .. import tiny_nets
from .pairs import built, pair, perceptron, shares, state, train, trained_teacher, unchanged


@pytest.mark.parametrize("weighting", ["drift", "softmax", "mse", "uniform"])
def test_training_changes_neither_the_teacher_nor_the_weights(weighting):
    """T-000-3 (frozen) and T-000-5: parameters and buffers of the teacher are bit-identical after steps."""
    student, teacher, x, y = pair()
    method = built(student, teacher, x, weighting=weighting)
    weights, frozen, own = shares(method), state(teacher), state(student)
    method.start_epoch(1)
    train(method, student, x, y, steps=3, lr=0.01)
    method.start_epoch(2)
    assert unchanged(frozen, teacher)
    assert all(p.grad is None for p in teacher.parameters())
    assert shares(method) == weights
    assert not unchanged(own, student)
    assert built(student, teacher, x, weighting=weighting).at_start.values != method.at_start.values


def test_the_remembered_drift_follows_the_student_with_momentum():
    """ema: 0.9 of what was remembered, 0.1 of what is measured, from the second epoch on."""
    student, teacher, x, y = pair(4)
    method = built(student, teacher, x, weighting="ema")
    start = method.drift.clone()
    method.start_epoch(1)
    assert torch.equal(method.drift, start)
    student.train()
    train(method, student, x, y, steps=5, lr=0.02)
    method.start_epoch(2)
    now = torch.tensor(list(built(student, teacher, x).at_start.values.values()), dtype=torch.float64)
    assert not torch.allclose(now, start, atol=1e-3)
    torch.testing.assert_close(method.drift, 0.9 * start + 0.1 * now)
    assert all(module.training for module in student.modules())
    report = method.report()
    assert [row["drift"] for row in report["drift"]] == start.tolist()
    assert [row["drift"] for row in report["drift_at_end"]] == method.drift.tolist()


def test_a_continued_run_remembers_the_drift_bit_for_bit():
    """ema: three epochs in one go, and two epochs, their states loaded into fresh objects, and a third."""

    def epochs(method: ClosedLoopCka, student: GraphNet, numbers: Iterable[int]) -> list[float]:
        losses = []
        for epoch in numbers:
            method.start_epoch(epoch)
            optimizer = torch.optim.SGD(student.parameters(), lr=0.05)
            loss, _, _ = method.loss(x, y, tiny_nets.moment(epoch=epoch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    student, teacher, x, y = pair()
    method = built(student, teacher, x, weighting="ema")
    whole = epochs(method, student, (1, 2))
    saved = state(student), state(method)
    whole += epochs(method, student, (3, 4))
    again, _, _, _ = pair()
    continued = built(again, teacher, x, weighting="ema")
    again.load_state_dict(saved[0])
    continued.load_state_dict(saved[1])
    assert epochs(continued, again, (3, 4)) == whole[2:]
    assert continued.report() == method.report()
    assert unchanged(state(student), again)


@pytest.mark.parametrize("weighting", ["drift", "mse"])
@pytest.mark.parametrize("engine", ENGINES)
def test_both_levels_of_alignment_train_on_every_engine(engine, weighting):
    """The drift does not depend on the engine; all parameters get gradients from the local term alone."""
    student, teacher, x, y = pair(4)
    add_half_bias_(student)
    method = built(student, teacher, x, engine, a=1, b=0, weighting=weighting)
    assert method.at_start == built(student, teacher, x, weighting=weighting).at_start
    loss, logits, _ = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert logits.shape == (12, 3)
    hidden = [p for node in student.walk()[:-1] for p in node.parameters()]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in hidden)
    assert sum(bool(p.grad.any()) for p in hidden) == len(hidden)  # type: ignore[union-attr]


def test_it_trains_under_autocast():
    """Features and logits are widened before Gram matrices and softmax."""
    student, teacher, x, y = pair(4)
    method = built(student, teacher, x)
    exact = method.loss(x, y, tiny_nets.moment())[0].item()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, _ = method.loss(x, y, tiny_nets.moment())
    assert loss.dtype is torch.float32
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=0.1)


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
    method = built(student, teacher, x)
    assert method.at_start.values == dict.fromkeys(student.architecture.taps, 1.0)
    assert method.report()["silent"] == list(student.architecture.taps)
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert torch.isfinite(loss)
    assert parts["spikes_per_neuron"].item() == 0
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if name.endswith("bias"):
            assert parameter.grad.any(), name


def test_the_converted_network_it_starts_from_tends_to_the_ann():
    """T-000-7: a perceptron, soft reset, v0 = 0, thresholds at the maximum: the logits' error is below a constant / T.

    A static current leaves less than a threshold in the membrane: T |a - theta r| < theta. If a current's sum is off by
    E at any time, spikes come up to E too early, or up to 3 E + theta too late (a backlog of 2 E and the remainder).
    """
    net = tiny_nets.ann(perceptron())
    x = torch.rand(16, 6, generator=tiny_nets.generator(5))
    scales = activation_scales(net, [x], 1.0)
    with torch.no_grad():
        expected, _ = net(x)
        sequence, _ = convert(net, scales, PROFILES["soft_if"], 1024)(x)
    errors = {t: float((sequence[:t].mean(0) - expected).abs().max()) for t in (16, 128, 1024)}
    reach = {  # the largest sum of a neuron's weights
        name: float(p.detach().abs().sum(1).max()) for name, p in net.named_parameters() if name.endswith("weight")
    }
    _, second, last = reach.values()
    owed = last * (3 * second * scales["one"] + scales["two"])
    assert all(error < owed / t for t, error in errors.items())
    assert errors[16] > errors[128] > errors[1024]
    assert errors[1024] < 1e-2 * float(expected.abs().max())


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
    method = built(student, teacher, x)
    add_half_bias_(student)
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

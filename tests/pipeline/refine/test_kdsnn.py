"""KDSNN: features against firing rates, and the logit term that trusts the teacher where it knows better."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import ENGINES, PROFILES, Architecture, GraphNet
from spikeport.models.zoo.resnet import resnet
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine.kdsnn import Align, KdsnnConfig, kdsnn, weighted_soft_labels
from torch import Tensor, nn
from torch.nn import functional

from .. import tiny_nets


def teacher_of(name: str) -> GraphNet:
    """`wider`: 8 channels at the student's size. `larger`: 8 channels at twice the size."""
    widths, blocks = ((4, 8), (1, 1)) if name == "wider" else ((8,), (1,))
    net = resnet((2, 8, 8), 3, name=name, stem=4, widths=widths, blocks=blocks)
    return fold_batchnorm(tiny_nets.ann(net, 5)).requires_grad_(False)


def pair(
    teacher: GraphNet | None = None, architecture: Architecture | None = None, **given_: Any
) -> tuple[Pair, Tensor, Tensor]:
    """(pair, images, labels) on the residual network, whose last stage is (6, 4, 4)."""
    own, student = tiny_nets.converted(architecture or tiny_nets.residual(), PROFILES["loihi"], 2, 0)
    x = tiny_nets.images(own.architecture, 12)
    taught = (own if teacher is None else teacher).requires_grad_(False)
    return Pair(student=student, teacher=taught, calibration=[x], batch_size=12, **given_), x, torch.arange(12) % 3


def test_the_loss_is_cross_entropy_the_logits_and_the_features():
    """sum over channels and positions, mean over the batch, equal channels compared as they are."""
    given_, x, y = pair()
    method = kdsnn(given_, KdsnnConfig(alpha=0.01, logits=0.5))
    assert list(method.parameters()) == []
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    with torch.no_grad():
        (sequence, spikes), (target, activations) = given_.student(x, ["stage2.1b"]), given_.teacher(x, ["stage2.1b"])
    mean = sequence.mean(0)
    squares = float((spikes["stage2.1b"].mean(0) - activations["stage2.1b"]).square().sum()) / 12
    task = float(functional.cross_entropy(mean, y))
    soft = float(weighted_soft_labels(mean, target, y, 2.0))
    assert [parts[n].item() for n in ("task", "logits", "layers")] == pytest.approx([task, soft, squares], rel=1e-5)
    assert loss.item() == pytest.approx(task + 0.5 * soft + 0.01 * squares, rel=1e-5)


def test_the_logit_term_by_hand():
    """Two classes, label 0. Student (0, 0): CE = ln 2. Teacher (2, 0): CE = ln(1 + e^-2). At tau = 2 its soft label is
    sigmoid(1), the student's answer 1/2, so H = ln 2 whatever the label."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
    ln2, known = float(torch.tensor(2.0).log()), float(torch.tensor(1 + torch.e**-2).log())
    weight = 1 - float(torch.exp(torch.tensor(-ln2 / known)))
    got = weighted_soft_labels(student, teacher, torch.tensor([0]), 2.0)
    assert got.item() == pytest.approx(4 * weight * ln2, rel=1e-5)


@settings(deadline=None)
@given(st.integers(0, 99))
def test_the_weight_of_a_sample_has_no_gradient(seed):
    """d/dz = tau w_b (softmax(z / tau) - softmax(z_A / tau)) / B."""
    rng = tiny_nets.generator(seed)
    student = torch.randn(4, 3, generator=rng, dtype=torch.float64).requires_grad_()
    teacher = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    y = torch.randint(3, (4,), generator=rng)
    (slope,) = torch.autograd.grad(weighted_soft_labels(student, teacher, y, 2.0), student)
    ratio = functional.cross_entropy(student.detach(), y, reduction="none") / functional.cross_entropy(
        teacher, y, reduction="none"
    )
    weight = 1 - (-ratio).exp()
    torch.testing.assert_close(
        slope, 2 * weight[:, None] * ((student.detach() / 2).softmax(1) - (teacher / 2).softmax(1)) / 4
    )


def test_a_teacher_that_is_certain_gives_a_finite_weight():
    """Its own cross-entropy is 0, so the student's ratio is infinite and the weight 1."""
    student, teacher = torch.zeros(1, 2, requires_grad=True), torch.tensor([[200.0, 0.0]])
    loss = weighted_soft_labels(student, teacher, torch.tensor([0]), 2.0)
    loss.backward()
    assert loss.item() == pytest.approx(4 * float(torch.tensor(2.0).log()))
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_other_channels_are_reached_by_a_convolution_of_its_own_seed():
    given_, x, y = pair(teacher_of("wider"), seed=3)
    method = kdsnn(given_, KdsnnConfig(alpha=1.0))
    assert isinstance(method.translator, Align)
    assert isinstance(method.translator.map, nn.Conv2d)
    assert method.translator.map.weight.shape == (8, 6, 1, 1)
    loss, _, _ = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())
    torch.manual_seed(99)  # the global generator has no say
    again = kdsnn(given_, KdsnnConfig())
    other = kdsnn(pair(teacher_of("wider"), seed=4)[0], KdsnnConfig())
    assert isinstance(again.translator, Align)
    assert isinstance(other.translator, Align)
    state, same, differs = (m.translator.state_dict()["map.weight"] for m in (method, again, other))
    assert torch.equal(state, same)
    assert not torch.equal(state, differs)


def test_a_larger_teacher_is_averaged_down():
    given_, x, y = pair(teacher_of("larger"))
    method = kdsnn(given_, KdsnnConfig())
    _, _, parts = method.loss(x, y, tiny_nets.moment())
    with torch.no_grad():
        _, activations = given_.teacher(x, ["stage1.1b"])
        _, spikes = given_.student(x, ["stage2.1b"])
        mapped = method.translator(spikes["stage2.1b"].mean(0), tiny_nets.generator(0))
        expected = (mapped - functional.avg_pool2d(activations["stage1.1b"], 2)).square().sum() / 12
    assert parts["layers"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_rescaled_teacher_has_the_students_largest_value():
    """And is a constant: the gradient reaches the student by its rates alone."""
    given_, x, y = pair()
    parameters = [p for name, p in given_.student.named_parameters() if "readout" not in name]
    _, _, parts = kdsnn(given_, KdsnnConfig(rescale_teacher=True)).loss(x, y, tiny_nets.moment())
    rates = given_.student(x, ["stage2.1b"])[1]["stage2.1b"].mean(0)
    with torch.no_grad():
        features = given_.teacher(x, ["stage2.1b"])[1]["stage2.1b"]
        scaled = features / features.max() * rates.max()
    assert float(features.max()) != pytest.approx(float(rates.detach().max()))
    expected = (rates - scaled).square().sum() / 12
    assert parts["layers"].item() == pytest.approx(expected.item(), rel=1e-5)
    slopes, wanted = (torch.autograd.grad(loss, parameters) for loss in (parts["layers"], expected))
    assert any(slope.any() for slope in slopes)
    for slope, want in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(slope, want, rtol=1e-4, atol=1e-5)


def test_a_stage_without_positions_is_one_position():
    given_, x, y = pair(architecture=tiny_nets.chain())
    _, _, parts = kdsnn(given_, KdsnnConfig()).loss(x, y, tiny_nets.moment())
    with torch.no_grad():
        (_, spikes), (_, activations) = given_.student(x, ["c"]), given_.teacher(x, ["c"])
    expected = float((spikes["c"].mean(0) - activations["c"]).square().sum()) / 12
    assert parts["layers"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_features_reach_the_student_on_every_engine(engine):
    given_, x, y = pair(engine=ENGINES[engine])
    kdsnn(given_, KdsnnConfig()).loss(x, y, tiny_nets.moment())[2]["layers"].backward()
    slopes = [p.grad for name, p in given_.student.named_parameters() if "readout" not in name]
    assert all(s is not None and torch.isfinite(s).all() for s in slopes)
    assert any(s is not None and s.any() for s in slopes)


def test_it_works_under_autocast():
    given_, x, y = pair(teacher_of("wider"))
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, parts = kdsnn(given_, KdsnnConfig()).loss(x, y, tiny_nets.moment())
    loss.backward()
    assert {part.dtype for part in parts.values()} == {torch.float32}


@pytest.mark.parametrize(
    "options",
    [{"alpha": -1.0}, {"logits": -1.0}, {"tau": 0.0}],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(BadInput, match=r"kdsnn: alpha .* must not be negative, tau .* must be positive"):
        KdsnnConfig(**options)

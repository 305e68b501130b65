"""CKDSNN: both terms of its loss, the noise, other teachers, and the published student's last ReLU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput, NotRepresentable
from spikeport.models import (
    ENGINES,
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Rectify,
    Unit,
    as_spiking,
)
from spikeport.models.zoo.resnet import resnet
from spikeport.pipeline import convert, quantize, train
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.losses import kd_kl
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine import stage as refine
from spikeport.pipeline.refine.activation_maps import normalise
from spikeport.pipeline.refine.ckdsnn import Ckdsnn, CkdsnnConfig, map_loss, mixture, noise_of, noisy_kd
from spikeport.pipeline.refine.stage import load_student, rectify_last_
from torch import Tensor
from torch.nn import functional

from .. import tiny_nets
from ..stages import context


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=tiny_nets.generator(seed), dtype=torch.float64)


def pair(n_steps: int = 2, teacher: GraphNet | None = None, **given_: Any) -> tuple[Pair, Tensor, Tensor]:
    """(pair, images, labels) on the residual network, taught by its own ANN unless another is given."""
    own, student = tiny_nets.converted(tiny_nets.residual(), PROFILES["loihi"], n_steps, 0)
    x = tiny_nets.images(own.architecture, 12)
    taught = (own if teacher is None else teacher).requires_grad_(False)
    return Pair(student=student, teacher=taught, calibration=[x], batch_size=12, **given_), x, torch.arange(12) % 3


def larger() -> GraphNet:
    """A teacher with 8 channels at 8 x 8 where the student has 6 at 4 x 4."""
    return fold_batchnorm(tiny_nets.ann(resnet((2, 8, 8), 3, name="larger", stem=4, widths=(8,), blocks=(1,)), 4))


# the map term


@settings(deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 50), st.floats(-5, 5))
def test_maps_that_differ_in_scale_and_offset_alone_have_no_loss(seed, scale, offset):
    """T-002-1: under per-sample normalisation; other maps have a loss."""
    teacher, other = draws(3, 4, 4, seed=seed), draws(3, 4, 4, seed=seed + 1)
    assert map_loss(scale * teacher + offset, teacher, tau=2, norm="per_sample").item() == pytest.approx(0, abs=1e-9)
    assert map_loss(other, teacher, tau=2, norm="per_sample").item() > 1e-4


def test_the_map_loss_asks_the_student_to_cover_the_teacher():
    """T-002-1: KL(teacher || student), not the other way round. By hand: one position against three."""
    peak, flat = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.zeros(1, 1, 3)
    p = torch.softmax(torch.tensor([0.5, 0.0, 0.0]), 0)
    there = 4 * float((p * (p * 3).log()).sum())
    back = 4 * float(-((p * 3).log() / 3).sum())
    assert there != pytest.approx(back, rel=1e-3)
    assert map_loss(flat, peak, tau=2, norm="per_sample").item() == pytest.approx(there, rel=1e-5)
    assert map_loss(peak, flat, tau=2, norm="per_sample").item() == pytest.approx(back, rel=1e-5)
    assert map_loss(flat, peak, tau=2, norm="per_sample", tau_squared=False).item() == pytest.approx(
        there / 4, rel=1e-5
    )


def test_the_gradient_of_the_map_loss_goes_through_the_smallest_and_the_largest():
    student, teacher = draws(2, 3, 3).requires_grad_(), draws(2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: map_loss(s, teacher.detach(), tau=2, norm="per_sample"), student)
    map_loss(student, teacher, tau=2, norm="per_sample").backward()
    assert teacher.grad is None
    assert student.grad is not None
    torch.testing.assert_close(
        student.grad.sum(dim=(1, 2)), torch.zeros(2, dtype=torch.float64)
    )  # offsets cost nothing


def test_a_larger_map_is_averaged_before_it_is_compared():
    student, teacher = draws(2, 4, 4), draws(2, 8, 8, seed=1)
    small = functional.avg_pool2d(teacher, 2)
    given_sizes = map_loss(student, teacher, tau=2, norm="per_sample")
    torch.testing.assert_close(given_sizes, map_loss(student, small, tau=2, norm="per_sample"))


# the logit term


def test_without_noise_it_is_logit_distillation():
    """T-002-6: share 0; and constant logits, whose deviation is 0 and whose noise is the same for every class."""
    student, teacher, constant = draws(5, 4), draws(5, 4, seed=1), torch.full((5, 4), 0.7, dtype=torch.float64)
    for variant in ("paper", "official"):
        got = noisy_kd(student, teacher, draws(5, 4, seed=2), share=0, tau=2, variant=variant)
        assert got.item() == kd_kl(student, teacher, 2).item()
        same = noisy_kd(constant, teacher, draws(5, 4, seed=2), share=0.1, tau=2, variant=variant)
        assert same.item() == pytest.approx(kd_kl(constant, teacher, 2).item(), rel=1e-12)


@pytest.mark.parametrize(("variant", "spread"), [("paper", 7**0.5), ("official", 7.0)])
def test_noise_has_the_mean_and_the_spread_of_the_logits(variant, spread):
    """T-002-6: (2, 0, -1, 5) has mean 1.5 and variance (0.25 + 2.25 + 6.25 + 12.25) / 3 = 7."""
    count = 100_000
    logits = torch.tensor([2.0, 0.0, -1.0, 5.0], dtype=torch.float64).expand(count // 4, 4)
    eps = noise_of(logits, draws(count // 4, 4), variant)
    assert float(eps.mean()) == pytest.approx(1.5, abs=5 * spread / count**0.5)
    assert float(eps.std()) == pytest.approx(spread, rel=5 / (2 * count) ** 0.5)


def test_the_papers_noise_is_a_constant_to_the_gradient():
    """T-002-7: d NLD / dz = tau (softmax(z_soft / tau) - softmax(z_A / tau)) / B, at z_soft."""
    student, teacher, noise = draws(5, 4).requires_grad_(), draws(5, 4, seed=1), draws(5, 4, seed=2)
    (slope,) = torch.autograd.grad(noisy_kd(student, teacher, noise, share=0.1, tau=2, variant="paper"), student)
    soft = student.detach() + 0.1 * (student.mean(1, True) + student.std(1, keepdim=True) * noise).detach()
    torch.testing.assert_close(slope, 2 * ((soft / 2).softmax(1) - (teacher / 2).softmax(1)) / 5)


def test_the_official_form_mixes_probabilities_and_is_live():
    """T-002-7: each row sums to 1, is 0.9 of one softmax and 0.1 of the other, and eps carries a gradient."""
    student, noise = draws(5, 4).requires_grad_(), draws(5, 4, seed=2)
    eps = noise_of(student, noise, "official")
    got = mixture(student, eps, share=0.1, tau=2).exp()
    torch.testing.assert_close(got, 0.9 * (student / 2).softmax(1) + 0.1 * (eps / 2).softmax(1))
    torch.testing.assert_close(got.sum(1), torch.ones(5, dtype=torch.float64))
    teacher = draws(5, 4, seed=1)

    def loss(z: Tensor) -> Tensor:
        return noisy_kd(z, teacher, noise, share=0.1, tau=2, variant="official")

    assert torch.autograd.gradcheck(loss, student)
    (slope,) = torch.autograd.grad(loss(student), student)
    held = mixture(student, eps.detach(), share=0.1, tau=2)
    (without,) = torch.autograd.grad(
        4 * functional.kl_div(held, (teacher / 2).softmax(1), reduction="batchmean"), student
    )
    assert not torch.allclose(slope, without)


def test_the_official_form_survives_probabilities_that_vanish():
    student = torch.tensor([[300.0, 0.0, -300.0]], requires_grad=True)
    loss = noisy_kd(student, torch.zeros(1, 3), torch.tensor([[1.0, -1.0, 0.5]]), share=0.1, tau=2, variant="official")
    loss.backward()
    assert torch.isfinite(loss)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


# the method


def test_the_loss_is_cross_entropy_the_maps_and_the_logits():
    """T-002-10: each part from its own formula; the last stage's spikes are 0 and 1."""
    given_, x, y = pair()
    method = Ckdsnn(given_, CkdsnnConfig(beta=0.5, gamma=2.0))
    loss, _, parts = method.loss(x, y, tiny_nets.moment(seed=7))
    unit = given_.student.architecture.stages[-1]
    with torch.no_grad():
        sequence, spikes = given_.student(x, [unit])
        target, activations = given_.teacher(x, [unit])
        weight = given_.teacher.node("readout").synapses[0].weighted.get_parameter("weight")
        evidence = torch.einsum("bc,bchw->bhw", weight[target.argmax(1)], activations[unit]).relu()
        mean = sequence.mean(0)
        noise = torch.randn(mean.shape, generator=tiny_nets.generator(7))
        soft = mean + 0.1 * (mean.mean(1, True) + mean.std(1, keepdim=True) * noise)
        student_map = normalise(spikes[unit].sum(dim=(0, 2)), "per_sample").flatten(1)
        expected = [
            functional.cross_entropy(mean, y),
            kd_kl(student_map, normalise(evidence, "per_sample").flatten(1), 2.0),
            kd_kl(soft, target, 2.0),
        ]
    assert [parts[name].item() for name in ("task", "maps", "logits")] == pytest.approx([e.item() for e in expected])
    assert loss.item() == pytest.approx(float(expected[0] + 0.5 * expected[1] + 2 * expected[2]))
    assert set(spikes[unit].unique().tolist()) == {0.0, 1.0}


def test_the_draws_are_the_moments_and_evaluation_has_none():
    """T-002-8."""
    given_, x, y = pair()
    method = Ckdsnn(given_, CkdsnnConfig())
    noisy = [method.loss(x, y, tiny_nets.moment(seed=seed))[2]["logits"].item() for seed in (1, 1, 2)]
    assert noisy[0] == noisy[1] != noisy[2]
    method.eval()
    clean = [method.loss(x, y, tiny_nets.moment(seed=seed))[2]["logits"].item() for seed in (1, 2)]
    with torch.no_grad():
        expected = kd_kl(given_.student(x)[0].mean(0), given_.teacher(x)[0], 2.0)
    assert clean == [pytest.approx(expected.item(), rel=1e-5)] * 2


@pytest.mark.parametrize("architecture", [tiny_nets.residual(), tiny_nets.chain()], ids=lambda a: a.name)
def test_the_teacher_stays_as_it_was(architecture):
    """T-002-9: its batch norms are in evaluation mode, by CAM and by Grad-CAM; it gets no gradient."""
    teacher = tiny_nets.ann(architecture)
    _, student = tiny_nets.converted(architecture, n_steps=2)
    x = tiny_nets.images(architecture, 6)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    stage = -1 if architecture.name == "residual" else 1  # the chain's last stage is dense
    method = Ckdsnn(Pair(student=student, teacher=teacher, calibration=[x]), CkdsnnConfig(stage=stage))
    assert method.report()["maps"]["kind"] == ("CAM" if stage == -1 else "Grad-CAM")
    method.loss(x, torch.arange(6) % 3, tiny_nets.moment())[0].backward()
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("engine", ENGINES)
def test_both_terms_reach_the_student_on_every_engine(engine):
    given_, x, y = pair(engine=ENGINES[engine])
    for config in (CkdsnnConfig(gamma=0), CkdsnnConfig(beta=0)):
        _, _, parts = Ckdsnn(given_, config).loss(x, y, tiny_nets.moment())
        for name in ("maps", "logits"):
            slopes = torch.autograd.grad(
                parts[name], list(given_.student.parameters()), allow_unused=True, retain_graph=True
            )
            assert any(s is not None and s.any() for s in slopes), name


def test_a_teacher_of_another_size_is_met_at_the_smaller_one():
    given_, x, y = pair(teacher=larger())
    method = Ckdsnn(given_, CkdsnnConfig())
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert parts["maps"].item() > 0
    assert method.report()["maps"]["teacher"] == {"unit": "stage1.1b", "size": [8, 8]}
    assert method.report()["maps"]["student"] == {"unit": "stage2.1b", "size": [4, 4]}


def test_a_stage_without_positions_is_refused_with_the_stages_there_are():
    own, student = tiny_nets.converted(tiny_nets.chain(), n_steps=2)
    given_ = Pair(student=student, teacher=own, calibration=[tiny_nets.images(own.architecture, 4)])
    with pytest.raises(BadInput, match=r"chain: c has shape \(8,\).*refine\.options\.stage, of a, b, c"):
        Ckdsnn(given_, CkdsnnConfig())
    assert Ckdsnn(given_, CkdsnnConfig(stage=-2)).units == {"student": "b", "teacher": "b"}


def test_a_stage_that_one_of_the_two_lacks_is_refused():
    given_, _, _ = pair(teacher=larger())
    with pytest.raises(
        BadInput, match=r"stage is -2, but the teacher larger has 1 stages \(stage1\.1b\); give -1\.\.0"
    ):
        Ckdsnn(given_, CkdsnnConfig(stage=-2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1.0}, "beta -1.0 and gamma 1.0 must not be negative"),
        ({"tau_s": 0.0}, "tau_s 0.0 must be positive"),
        ({"noise": 1.0}, "noise is 1.0; it is a share"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        CkdsnnConfig(**options)


def test_it_works_under_autocast():
    given_, x, y = pair()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, parts = Ckdsnn(given_, CkdsnnConfig()).loss(x, y, tiny_nets.moment())
    loss.backward()
    assert {part.dtype for part in parts.values()} == {torch.float32}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in given_.student.parameters())


# the published student, whose last activation is a ReLU


def test_the_last_hidden_unit_can_be_a_relu_at_every_timestep():
    """The published student: graded values of each step reach the read-out; all other populations spike."""
    given_, x, y = pair(n_steps=3)
    unit = given_.student.architecture.units[-2].name
    before = len(given_.student.spiking)
    row = rectify_last_(given_.student)
    with torch.no_grad():
        sequence, taps = given_.student(x, given_.student.architecture.taps)
    assert len(given_.student.spiking) == before - 1
    assert (row["layer"], row["way_out"]) == (unit, "refine.last_activation: spiking")
    assert taps[unit].shape[0] == sequence.shape[0] == 3
    assert len(taps[unit].unique()) > 2
    assert float(taps[unit].min()) == 0
    assert all(set(s.unique().tolist()) <= {0.0, 1.0} for name, s in taps.items() if name != unit)
    loss, _, _ = Ckdsnn(given_, CkdsnnConfig()).loss(x, y, tiny_nets.moment())
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in given_.student.parameters())


def network(*units: Unit) -> Architecture:
    readout = Unit(name="readout", channels=3, wires=(LinearWire(source=units[-1].name),))
    return Architecture(
        name="net", input_shape=(1, 4, 4), n_classes=3, units=(*units, readout), taps=tuple(u.name for u in units)
    )


def test_neurons_that_the_image_alone_drives_are_not_rectified():
    """One hidden layer, or a last one beside the spiking ones: its ReLU would be the same at every timestep."""
    alone = network(Unit(name="a", channels=2, wires=(ConvWire(source=INPUT),)))
    beside = network(
        Unit(name="a", channels=2, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=2, wires=(ConvWire(source=INPUT),)),
        Unit(name="sum", channels=2, wires=(IdentityWire(source="a"), IdentityWire(source="b")), activation="none"),
    )
    for architecture in (alone, beside):
        student = as_spiking(tiny_nets.ann(architecture), PROFILES["loihi"], 2)
        with pytest.raises(
            BadInput,
            match=r"net read the image alone.*leave refine\.last_activation at spiking",
        ):
            rectify_last_(student)


def test_units_without_neurons_after_the_last_ones_stay_as_they_are():
    """A max pool, and the published head's linear layer."""
    architecture = network(
        Unit(name="a", channels=2, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=2, wires=(ConvWire(source="a"),)),
        Unit(name="pool", channels=2, wires=(PoolWire(source="b"),)),
        Unit(name="head", channels=5, wires=(LinearWire(source="pool"),), activation="none"),
    )
    student = as_spiking(tiny_nets.ann(architecture), PROFILES["loihi"], 2)
    rectify_last_(student)
    kinds = [type(node.neuron).__name__ for node in student.walk()]
    assert kinds == ["Spiking", "Rectify", "Accumulate", "Accumulate", "Accumulate"]
    with torch.no_grad():
        assert student(torch.rand(4, 1, 4, 4, generator=tiny_nets.generator(0)))[0].shape == (2, 4, 3)


RELU: dict[str, Any] = {
    "name": "relu",
    "data": {"name": "digits", "validation": 20, "train_limit": 64, "test_limit": 30},
    "train": {"epochs": 1, "batch_size": 32},
    "convert": {"calibration_images": 32},
    "refine": {"method": "ckdsnn", "T": 2, "epochs": 1, "batch_size": 32, "last_activation": "relu"},
}


@pytest.mark.parametrize("start", ["half_bias", "scratch"])
def test_the_published_student_is_refined_saved_and_loaded(tmp_path, start):
    """Converted, or from fresh weights with batch norms that are folded afterwards: it comes back with its ReLU."""
    recipe = parse({**RELU, "refine": {**RELU["refine"], "start": start}})
    for stage in (train, convert):
        stage.run(context(recipe, tmp_path, stage.STAGE.name))
    metrics = refine.run(context(recipe, tmp_path, "refine"))
    assert [row["T"] for row in metrics["by_T"]] == [1, 2]
    assert any("ReLU" in row["what"] for row in metrics["notices"])
    again = load_student(recipe, tmp_path / "refine")
    assert isinstance(again.node("conv3").neuron, Rectify)
    test = load_splits(recipe).test
    answers = convert.classify(again, test, torch.device("cpu"))
    assert torch.equal(answers, read_tensors(tmp_path / "refine" / refine.PREDICTIONS)["test"])


def test_the_chip_refuses_the_published_student_before_anything_is_trained():
    recipe = parse(RELU)
    with pytest.raises(
        NotRepresentable, match=r"refine\.last_activation is relu: .*refine with last_activation 'spiking'"
    ):
        quantize.require_on_chip(recipe, PROFILES["loihi"])
    spiking = parse({**RELU, "refine": {**RELU["refine"], "last_activation": "spiking"}})
    assert quantize.require_on_chip(spiking, PROFILES["loihi"]) is None

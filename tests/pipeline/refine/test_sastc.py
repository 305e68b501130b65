"""SASTC: its terms, the layers it compares, and the batch size it is made for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, Architecture, GraphNet, build_ann
from spikeport.models.zoo.resnet import resnet
from spikeport.models.zoo.vgg_strided import strided
from spikeport.pipeline import chain
from spikeport.pipeline.cka import gram
from spikeport.pipeline.losses import kd_kl
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine import METHODS, Pair, check_method
from spikeport.pipeline.refine.attention import step_similarity, stm_score
from spikeport.pipeline.refine.sastc import Sastc, SastcConfig, chosen_taps
from torch import Tensor, nn

from .. import tiny_nets

T, B = 3, 8


def pair(teacher: GraphNet | None = None, batch_size: int = 12, n_steps: int = 2) -> tuple[Pair, Tensor, Tensor]:
    """(pair, images, labels) on the residual network."""
    own, student = tiny_nets.converted(tiny_nets.residual(), PROFILES["loihi"], n_steps, 0, thresholds=0.5)
    x = tiny_nets.images(own.architecture, 12)
    given = (own if teacher is None else teacher).requires_grad_(False).eval()
    return Pair(student=student, teacher=given, calibration=[x], batch_size=batch_size), x, torch.arange(12) % 3


def test_gradients_reach_regressors_embeddings_and_student_but_not_the_teacher():
    """T-003-6: the attention is not detached."""
    given, x, y = pair()
    method = Sastc(given, SastcConfig())
    loss, _, _ = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    own = dict(method.named_parameters())
    assert {name.split(".")[1] for name in own} == {"queries", "keys", "regressors"}
    assert [name for name, p in own.items() if p.grad is None or not p.grad.any()] == []
    assert [name for name, p in given.student.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad is None for p in given.teacher.parameters())


def test_another_batch_size_is_refused():
    """T-003-8: by the loss, with the way out, and by the method if it is too small to embed."""
    given, x, y = pair()
    with pytest.raises(BadInput, match=r"a batch has 9 images.*embedded for 12.*batch_size to at most"):
        Sastc(given, SastcConfig()).loss(x[:9], y[:9], tiny_nets.moment())
    with pytest.raises(BadInput, match=r"refine\.batch_size is 3.*at least 4"):
        Sastc(replace(given, batch_size=3), SastcConfig())


def recipe(**refine: Any) -> Any:
    settings = {"method": "sastc", "batch_size": 24, "epochs": 2, "T": 2, **refine}
    data = {"name": "digits", "validation": 20, "train_limit": 64, "test_limit": 20}
    return parse(
        {"name": "a", "data": data, "train": {"epochs": 1}, "convert": {"calibration_images": 32}, "refine": settings}
    )


def refined(given: Any, root: Any) -> tuple[dict[str, Any], list[str]]:
    """(metrics of the refine stage, lines of its log)."""
    with chain.opened(given, root, Progress(quiet=True)) as run:
        for stage in ("train", "convert", "refine"):
            outcome = run.finish(stage)
    return dict(outcome.manifest["metrics"]), (outcome.folder / "metrics.jsonl").read_text().splitlines()


def test_a_recipe_leaves_out_the_last_batch_if_it_is_smaller(tmp_path):
    """T-003-8: 64 images in batches of 24 are two batches; the log has the STM score, the report the attention."""
    metrics, log = refined(recipe(), tmp_path)
    assert len(log) == 2
    assert all('"stm"' in line and '"features"' in line for line in log)
    rows = metrics["attention"]
    assert [row["student"] for row in rows] == ["conv2", "conv3"]
    for row in rows:
        assert list(row["teacher"]) == ["conv2", "conv3"]
        assert sum(row["teacher"].values()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(BadInput, match=r"64 images.*embedded for 100"):
        refined(recipe(batch_size=100), tmp_path)


def test_the_rate_engine_is_refused():
    with pytest.raises(BadInput, match=r"sastc compares single timesteps"):
        check_method(recipe(engine="rate"))


def test_the_logit_term_has_its_temperature_inside_the_softmax():
    """T-003-9: softmax(z / 4), times 16; the total is CE + KL + beta features."""
    given, x, y = pair()
    total, logits, parts = Sastc(given, SastcConfig(beta=3.0)).loss(x, y, tiny_nets.moment())
    target = given.teacher(x)[0]
    p, q = ((z.double() / 4).softmax(-1) for z in (target, logits))
    expected = 16 * (p * (p / q).log()).sum(-1).mean()
    assert parts["logits"].item() == pytest.approx(expected.item(), abs=2e-6)
    assert parts["logits"].item() != pytest.approx(kd_kl(logits, target, 1.0).item(), rel=0.05)
    assert parts["task"].item() == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-6)
    summed = parts["task"] + parts["logits"] + 3 * parts["features"]
    assert total.item() == pytest.approx(summed.item(), rel=1e-6)


def test_the_log_has_the_natural_logarithm_of_the_stm_score():
    """T-003-10: of the taps that are compared, without a gradient."""
    given, x, y = pair()
    _, _, parts = Sastc(given, SastcConfig()).loss(x, y, tiny_nets.moment())
    with torch.no_grad():
        names = given.student.architecture.stages
        spikes, activations = given.student(x, names)[1], given.teacher(x, names)[1]
        score = stm_score([step_similarity(spikes[n]) for n in names], [gram(activations[n]) for n in names])
    assert parts["stm"].item() == pytest.approx(math.log(float(score)), rel=1e-5)
    assert not parts["stm"].requires_grad


VGG = strided((3, 16, 16), 3, name="vgg", layers=((4, 2), (4, 1), (6, 2), (8, 1), (8, 2)))


@pytest.mark.parametrize(
    ("architecture", "options", "expected"),
    [
        (tiny_nets.residual(), {}, ["stage1.1b", "stage2.1b"]),
        (tiny_nets.residual(), {"include_stem": True}, ["stem", "stage1.1b", "stage2.1b"]),
        (resnet(name="r", stem=4, widths=(4, 8), blocks=(2, 1)), {}, ["stage1.2b", "stage2.1b"]),
        (
            resnet(name="r", stem=4, widths=(4, 8), blocks=(2, 1)),
            {"taps": "blocks"},
            ["stage1.1b", "stage1.2b", "stage2.1b"],
        ),
        (VGG, {}, ["conv2", "conv4", "conv5"]),
        (VGG, {"include_stem": True}, ["conv1", "conv2", "conv4", "conv5"]),
        (tiny_nets.chain(), {}, ["b"]),
        (tiny_nets.chain(), {"include_last": True}, ["b", "c"]),
        (tiny_nets.chain(), {"include_stem": True, "include_last": True}, ["a", "b", "c"]),
    ],
)
def test_the_stem_and_a_dense_last_unit_are_left_out_unless_asked_for(architecture, options, expected):
    assert chosen_taps(architecture, SastcConfig(**options)) == expected


def test_a_network_with_nothing_between_stem_and_last_unit_is_refused():
    chain_ = tiny_nets.chain()
    short = Architecture(
        name="short",
        input_shape=chain_.input_shape,
        n_classes=3,
        units=(chain_.units[0], replace(chain_.units[3], wires=(replace(chain_.units[2].wires[0], source="a"),))),
        taps=("a",),
    )
    with pytest.raises(BadInput, match=r"short has nothing to compare.*include_stem"):
        chosen_taps(short, SastcConfig())
    assert chosen_taps(short, SastcConfig(include_stem=True)) == ["a"]


def test_a_teacher_of_another_architecture_teaches():
    """Its own stages, other channels and sizes, a dense tap."""
    assert METHODS["sastc"].any_teacher
    other = build_ann(tiny_nets.chain(), tiny_nets.generator(3))
    wide = replace(other.architecture, input_shape=(2, 8, 8))
    given, x, y = pair(build_ann(wide, tiny_nets.generator(3)))
    method = Sastc(given, SastcConfig(include_last=True))
    loss, _, _ = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert torch.isfinite(loss)
    assert [list(row["teacher"]) for row in method.report()["attention"]] == [["b", "c"]] * 2


def test_a_silent_student_gets_finite_gradients():
    """A layer without spikes has no similarity; the bias of its embedding gives it a direction."""
    given, x, y = pair()
    with torch.no_grad():
        for p in given.student.parameters():
            p.mul_(1e-3)
    method = Sastc(given, SastcConfig())
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    assert parts["spikes_per_neuron"] == 0
    parameters = [*given.student.parameters(), *method.parameters()]
    assert all(p.grad is None or (torch.isfinite(p.grad).all() and p.grad.abs().max() < 1e3) for p in parameters)


def test_its_weights_come_from_the_pairs_seed_alone():
    given, _, _ = pair()
    states = []
    for noise, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(noise)
        states.append(Sastc(replace(given, seed=seed), SastcConfig()).state_dict())
    assert all(torch.equal(v, states[1][n]) for n, v in states[0].items())
    assert any(not torch.equal(v, states[2][n]) for n, v in states[0].items())


def test_the_reported_attention_is_that_of_one_epoch():
    given, x, y = pair()
    method = Sastc(given, SastcConfig())
    assert method.report() == {"attention": []}
    method.start_epoch(1)
    for _ in range(2):
        method.loss(x, y, tiny_nets.moment())
    first = method.report()
    with torch.no_grad():
        for p in method.layers.queries.parameters():
            p.neg_()
    method.start_epoch(2)
    method.loss(x, y, tiny_nets.moment())
    assert method.report() != first
    assert sum(method.report()["attention"][0]["teacher"].values()) == pytest.approx(1)


def test_autocast_hardly_changes_the_loss():
    given, x, y = pair()
    plain = Sastc(given, SastcConfig()).loss(x, y, tiny_nets.moment())[2]
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, parts = Sastc(given, SastcConfig()).loss(x, y, tiny_nets.moment())
    assert loss.dtype == torch.float32
    assert parts["features"].item() == pytest.approx(plain["features"].item(), rel=0.03)


@pytest.mark.parametrize(
    ("options", "message"), [({"tau": 0.0}, r"tau 0.0 must be positive"), ({"beta": -1.0}, r"beta -1.0 not negative")]
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        SastcConfig(**options)

"""CKD: its two streams, each term from its formula, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import ARCHITECTURES, PROFILES, Architecture, Rectify, as_spiking, build_ann, outline
from spikeport.models.architecture import LinearWire, Unit
from spikeport.models.datasets import Images
from spikeport.models.zoo.resnet import resnet
from spikeport.models.zoo.vgg import vgg
from spikeport.pipeline.cka import cka_biased, cka_unbiased
from spikeport.pipeline.losses import kd_kl, tet
from spikeport.pipeline.recipe import options_as, parse
from spikeport.pipeline.refine import METHODS, Pair, check_method
from spikeport.pipeline.refine.ckd import CkdConfig, CrossModal, second_head
from spikeport.pipeline.refine.ckd_alignment import Feature, feature_of, similarity
from spikeport.pipeline.refine.pairing import as_clip
from torch import Tensor

from .. import tiny_nets
from .ckd_pairs import CLASSES, T, batch, built, convolutional, gradients, pair, residual

PAGE = Path(__file__).resolve().parents[3] / "docs" / "methods" / "ckd.md"
SIGMOID_1 = 1 / (1 + math.exp(-1))


@pytest.mark.parametrize("architecture", [convolutional(), residual()])
def test_events_in_both_streams_are_aligned(architecture):
    """T-004-2: P = 1, where the hybrid stream is the events, in the same mode of batch norm: CKA 1 at every step."""
    method = built(pair(architecture))
    x, y = batch()
    assert torch.equal(method.hybrid(x, y, 1.0, tiny_nets.generator(0)).clip, x)
    _, _, parts = method.loss(x, y, tiny_nets.moment(done=1.0))
    assert parts["replaced"] == 1
    assert parts["cka_biased"].item() == pytest.approx(1, abs=1e-6)
    assert parts["cka_unbiased"].item() == pytest.approx(1, abs=1e-6)
    assert parts["alignment"].item() == pytest.approx(0, abs=1e-6)


def test_at_the_start_the_hybrid_stream_is_stills_alone():
    """T-004-2: P = 0; and they are less alike to the events than these are to themselves."""
    method = built()
    x, y = batch()
    made = method.hybrid(x, y, 0.0, tiny_nets.generator(0))
    assert not made.replaced.any()
    assert torch.equal(made.clip, as_clip(made.stills, T, (2, 8, 8)))
    _, _, parts = method.loss(x, y, tiny_nets.moment(done=0.0))
    assert parts["replaced"] == 0
    assert parts["cka_biased"].item() < 0.99
    assert parts["alignment"].item() > 0.005


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1), st.integers(0, 10**6))
def test_a_clip_is_replaced_as_a_whole_by_its_own_events(share, seed):
    """T-004-8: each sample is all events, those of its own place, or all still, of an image of its class."""
    method = built()
    x, y = batch()
    made = method.hybrid(x, y, share, tiny_nets.generator(seed))
    assert torch.equal(made.y, y)
    for i, replaced in enumerate(made.replaced.tolist()):
        expected = x[:, i] if replaced else as_clip(made.stills[i : i + 1], T, (2, 8, 8))[:, 0]
        assert torch.equal(made.clip[:, i], expected)


@pytest.mark.parametrize("done", [0.3, 0.5, 0.9])
def test_the_share_replaced_is_that_of_the_schedule(done):
    """T-004-1: 4 standard deviations of a binomial share over 3000 draws."""
    method = built()
    rng, share, n = tiny_nets.generator(7), done**3, 3000
    x, y = torch.zeros(T, n, 2, 8, 8), torch.arange(n) % CLASSES
    found = method.hybrid(x, y, share, rng).replaced.float().mean().item()
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / n)


def test_the_loss_of_a_moment_has_the_share_of_that_moment():
    """T-004-1: through `Moment.done`, for each kind of replacement."""
    x, y = batch()
    for kind, done, expected in (("cubic", 1.0, 1), ("abrupt", 0.79, 0), ("abrupt", 0.8, 1), ("none", 1.0, 0)):
        _, _, parts = built(replacement=kind).loss(x, y, tiny_nets.moment(done=done))
        assert parts["replaced"] == expected


@pytest.mark.parametrize("architecture", [convolutional(), residual()])
def test_the_order_of_the_streams_does_not_matter(architecture):
    """T-004-3: every stream starts from a fresh membrane; answers, features and the student's buffers, bit for bit."""
    x, y = batch()
    found = []
    for order in ("he", "eh"):
        method = built(pair(architecture))
        clip = method.hybrid(x, y, 0.5, tiny_nets.generator(0)).clip
        answers: dict[str, tuple[Tensor, ...]] = {}
        for stream in order:
            if stream == "h":
                answers[stream] = method.still_stream(clip)
            else:
                got = method.pair.ask_student(x, [method.feature.tap])
                assert got.sequence is not None
                answers[stream] = (got.sequence, got.rates[method.feature.tap])
        found.append([*answers["h"], *answers["e"], *method.pair.student.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_student_keeps_the_statistics_of_the_events_alone():
    """And each stream is normalised by its own: a method that saw both alike would have the logits of evaluation."""
    x, y = batch()
    method, other = built(), pair()
    method.loss(x, y, tiny_nets.moment())
    other.ask_student(x)
    assert all(torch.equal(a, b) for a, b in zip(method.pair.student.buffers(), other.student.buffers(), strict=True))
    assert any(b.ndim and b.any() and "running_mean" in name for name, b in other.student.named_buffers())
    clip = method.hybrid(x, y, 0.0, tiny_nets.generator(0)).clip
    trained, _ = method.still_stream(clip)
    method.pair.student.eval()
    assert not torch.allclose(method.still_stream(clip)[0], trained)


@pytest.mark.parametrize(("done", "silent"), [(0.79, False), (0.8, True)])
def test_the_teacher_falls_silent_when_half_the_stills_are_replaced(done, silent):
    """T-004-4: by default; 0.7937 of 100 epochs, with k = 100 per epoch."""
    x, y = batch()
    _, _, parts = built().loss(x, y, tiny_nets.moment(done=done, epochs=100))
    assert parts["logits_weight"].item() == (0 if silent else 1)


def test_gamma_is_that_of_the_epochs_completed():
    """T-004-4: e = done * E, so that it is one half at e_th, not during a whole epoch."""
    x, y = batch()
    for done, expected in ((0.25, 1 / (1 + math.exp(-1))), (0.5, 0.5), (0.75, 1 / (1 + math.exp(1)))):
        method = built(switch="epoch", e_th=2.0, k=1.0, weight_kd=3.0)
        _, _, parts = method.loss(x, y, tiny_nets.moment(done=done, epochs=4))
        assert parts["logits_weight"].item() == pytest.approx(3 * expected)


def test_the_coefficients_start_where_the_settings_say():
    """T-004-5: sigmoid(1) = .7311, one per timestep, logged and reported."""
    method = built()
    _, _, parts = method.loss(*batch(), tiny_nets.moment())
    assert method.coefficients.tolist() == [1.0] * T
    assert parts["aligned_share"].item() == pytest.approx(SIGMOID_1)
    assert method.report()["alignment"]["shares"] == pytest.approx([SIGMOID_1] * T)
    assert built(coef_init=0.0).shares().tolist() == [0.5] * T


def test_alignment_and_classification_pull_a_coefficient_apart():
    """T-004-5: d/d th_t is s (1 - s) / T times (1 - |CKA_t|) from one and times -TET_t from the other."""
    method = built()
    _, _, parts = method.loss(*batch(), tiny_nets.moment())
    found = [
        torch.autograd.grad(parts[name], method.coefficients, retain_graph=True)[0] for name in ("alignment", "events")
    ]
    assert (found[0] > 0).all()
    assert (found[1] < 0).all()
    slope = SIGMOID_1 * (1 - SIGMOID_1) / T
    assert found[0].sum().item() == pytest.approx(slope * T * (1 - parts["cka_biased"].item()), rel=1e-4)
    assert found[1].sum().item() == pytest.approx(-slope * T * parts["events"].item() / (1 - SIGMOID_1), rel=1e-4)


def test_without_alignment_the_events_loss_is_tet_and_no_coefficient_learns():
    """T-004-5: with beta 0 nothing would keep th_t from growing until the events no longer count."""
    x, y = batch()
    method, other = built(beta=0.0), pair()
    loss, _, parts = method.loss(x, y, tiny_nets.moment())
    got = other.ask_student(x)
    assert got.sequence is not None
    assert parts["events"].item() == pytest.approx(tet(got.sequence, y).item(), rel=1e-6)
    assert parts["alignment"] == 0
    loss.backward()
    assert method.coefficients.grad is None


def test_a_silent_teacher_leaves_no_trace_in_the_gradient():
    """T-004-6: gamma 0 gives the gradients of weight 0, bit for bit, and the teacher is not asked."""
    x, y = batch()
    found = []
    for options in ({}, {"weight_kd": 0.0}, {"switch": "none"}):
        method = built(**options)
        asked = _listening(method.pair)
        method.loss(x, y, tiny_nets.moment(done=0.95, epochs=200))[0].backward()
        found.append(gradients(method.pair.student))
        assert len(asked) == ("switch" in options)
    silent, without, never = found
    assert all(torch.equal(silent[name], without[name]) for name in silent)
    assert any(not torch.equal(silent[name], never[name]) for name in silent)


def _listening(given: Pair) -> list[Tensor]:
    """What the pair's teacher is shown from now on."""
    seen: list[Tensor] = []
    given.teacher.register_forward_pre_hook(lambda _, shown: seen.append(shown[0]))
    return seen


def test_the_teacher_sees_the_still_images_also_of_replaced_clips():
    """T-004-6: in their own channels and size."""
    x, y = batch()
    method = built(switch="none")
    seen = _listening(method.pair)
    method.loss(x, y, tiny_nets.moment(done=1.0))
    made = method.hybrid(x, y, 1.0, tiny_nets.generator(0))
    assert made.replaced.all()
    assert [tuple(shown.shape) for shown in seen] == [(12, 3, 12, 12)]
    assert torch.equal(seen[0], made.stills)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("architecture", [convolutional(), residual()])
def test_the_loss_is_the_sum_of_its_terms_from_their_formulas(architecture, unbiased):
    """Written out from the two answers: sums over steps, the teacher's logits, the membranes."""
    x, y = batch()
    options: dict[str, Any] = {"beta": 0.7, "weight_kd": 2.0, "switch": "epoch", "e_th": 4.0, "k": 0.5}
    method = built(pair(architecture), unbiased=unbiased, coef_init=0.3, tet_weight=0.01, **options)
    moment = tiny_nets.moment(done=0.8, epochs=10)
    total, logits, parts = method.loss(x, y, moment)
    made = method.hybrid(x, y, 0.8**3, tiny_nets.generator(0))
    still_logits, still_features = method.still_stream(made.clip)
    got = method.pair.ask_student(x, [method.feature.tap])
    assert got.sequence is not None
    assert got.spikes is not None
    event_features = method.feature.of(got.spikes)
    share = 1 / (1 + math.exp(-0.3))
    alike = (cka_unbiased if unbiased else cka_biased, cka_biased, cka_unbiased)
    used, biased, exact = ([abs(f(still_features[t], event_features[t]).item()) for t in range(T)] for f in alike)
    alignment = sum(share * (1 - value) for value in used) / T
    steps = [tet(got.sequence[t : t + 1], y, weight=0.01).item() for t in range(T)]
    target = method.pair.teacher(made.stills)[0]
    weight = 2 / (1 + math.exp(0.5 * (8 - 4)))
    expected = {
        "hybrid": tet(still_logits, y, weight=0.01).item(),
        "events": sum((1 - share) * step for step in steps) / T,
        "alignment": alignment,
        "logits": kd_kl(still_logits.mean(dim=0), target, 4.0).item(),
        "logits_weight": weight,
        "cka_biased": sum(biased) / T,
        "cka_unbiased": sum(exact) / T,
    }
    assert {name: parts[name].item() for name in expected} == pytest.approx(expected, rel=1e-5)
    summed = expected["hybrid"] + expected["events"] + 0.7 * alignment + weight * expected["logits"]
    assert total.item() == pytest.approx(summed, rel=1e-5)
    torch.testing.assert_close(logits, got.sequence.mean(dim=0))


def test_phi_is_the_threshold_unless_given():
    x, y = batch()
    for profile, options, phi in (("loihi", {}, 1.0), ("braincog_lif", {}, 0.5), ("loihi", {"phi": 0.25}, 0.25)):
        method = built(pair(profile=profile), tet_weight=1.0, beta=0.0, **options)
        _, _, parts = method.loss(x, y, tiny_nets.moment())
        got = pair(profile=profile).ask_student(x)
        assert got.sequence is not None
        assert parts["events"].item() == pytest.approx((got.sequence - phi).square().mean().item(), rel=1e-5)


def test_gradients_reach_the_student_through_both_streams_and_both_heads():
    """Without the events' own loss the hybrid stream still trains the shared layers, but not the student's read-out."""
    x, y = batch()
    method = built()
    total, _, parts = method.loss(x, y, tiny_nets.moment())
    parts["hybrid"].backward(retain_graph=True)
    names = {name for name, grad in gradients(method.pair.student).items() if grad.any()}
    assert any("conv1" in name for name in names)
    assert not any("readout" in name for name in names)
    total.backward()
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())
    assert all(grad.isfinite().all() for grad in gradients(method.pair.student).values())
    assert all(p.grad is None for p in method.pair.teacher.parameters())


def _last(architecture: Architecture, profile: str = "loihi") -> Feature:
    return feature_of(as_spiking(build_ann(architecture, tiny_nets.generator(0)), PROFILES[profile], 2))


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (convolutional(), Feature(unit="conv2", what="membrane")),
        (residual(), Feature(unit="end", what="mean")),
        (vgg((2, 8, 8), 3, name="max", layers=(4, "M")), Feature(unit="conv1", what="membrane")),
        (vgg((2, 8, 8), 3, name="dense", layers=(4,), head=(5,)), Feature(unit="fc1", what="membrane")),
        (
            vgg((2, 8, 8), 3, name="bare", layers=(4,), head=(5,), head_activation="none"),
            Feature(unit="fc1", what="sum"),
        ),
        (
            resnet((2, 8, 8), 3, name="r", stem=4, widths=(4,), blocks=(1,)),
            Feature(unit="stage1.1b", what="membrane"),
        ),
    ],
)
def test_what_is_aligned_follows_from_the_architecture(architecture, expected):
    assert _last(architecture) == expected


def test_the_features_of_a_sum_are_its_spatial_mean():
    """(B, C) at every step, what the read-out multiplies."""
    method = built(pair(residual()))
    x, _ = batch()
    student = method.pair.student.eval()
    got = method.pair.ask_student(x, [method.feature.tap])
    assert got.spikes is not None
    features = method.feature.of(got.spikes)
    assert features.shape == (T, 12, 6)
    torch.testing.assert_close(student.walk()[-1].synapses[0].weighted(features), got.sequence)


def test_streams_that_have_nothing_in_common_are_compared_by_the_absolute_value():
    """The unbiased estimate is negative as often as not, and near 0; the biased one 1 / (1 + n / p) = 0.96."""
    a, b = torch.randn(2, 6, 8, 200, generator=tiny_nets.generator(0))
    alike = similarity(a, b)
    raw = torch.stack([cka_unbiased(x, y) for x, y in zip(a, b, strict=True)])
    assert (raw < 0).any()
    assert torch.equal(alike.unbiased, raw.abs())
    assert float(alike.unbiased.mean()) < 0.2
    assert alike.biased.tolist() == pytest.approx([0.96] * 6, abs=0.02)


def test_a_student_without_spiking_neurons_at_its_end_is_refused():
    given = pair()
    given.student.node("conv2").neuron = Rectify()
    with pytest.raises(BadInput, match=r"tiny has no spiking neurons before its read-out.*last_activation"):
        built(given)
    units = (Unit(name="readout", channels=CLASSES, wires=(LinearWire(source="input"),)),)
    bare = Architecture(name="bare", input_shape=(2, 8, 8), n_classes=CLASSES, units=units, taps=())
    with pytest.raises(BadInput, match="bare has no spiking neurons before its read-out"):
        _last(bare)


def test_the_second_head_has_fresh_weights_of_the_pairs_seed():
    heads = [built(pair(seed=seed)).still_head.state_dict() for seed in (5, 5, 6)]
    first, same, other = (head["synapses.0.weighted.weight"] for head in heads)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    own = pair(seed=5).student.walk()[-1].state_dict()["synapses.0.weighted.weight"]
    assert own.shape == first.shape
    assert not torch.equal(own, first)


def test_the_published_student_has_the_published_parameters_with_and_without_its_second_head():
    """T-HW-6: 101 classes on 2 x 48 x 48; the second head has 512 x 3 x 3 weights and a bias for each class."""
    student = outline(ARCHITECTURES["ckd_vggsnn"]((2, 48, 48), 101))
    head = second_head(student.to_empty(device="cpu"), tiny_nets.generator(0))
    counted = [sum(p.numel() for p in net.parameters()) for net in (student, head)]
    assert counted == [9_688_165, (512 * 9 + 1) * 101]
    assert sum(counted) == 10_153_674


def test_low_precision_hardly_changes_the_loss():
    x, y = batch()
    plain = built(switch="none").loss(x, y, tiny_nets.moment())[2]
    with torch.autocast("cpu", torch.bfloat16):
        total, _, parts = built(switch="none").loss(x, y, tiny_nets.moment())
    assert total.dtype == torch.float32
    for name in ("hybrid", "events", "logits", "cka_biased"):
        assert parts[name].item() == pytest.approx(plain[name].item(), rel=0.1)


def test_images_without_time_are_refused():
    x, y = batch()
    for wrong in (x[0], x[:2]):
        with pytest.raises(BadInput, match=r"learns from clips of events.*T = 3; make them.*data\.frames"):
            built().loss(wrong, y, tiny_nets.moment())


def test_fewer_than_four_samples_are_refused():
    x, y = batch(3)
    with pytest.raises(BadInput, match="at least 4 samples"):
        built().loss(x, y, tiny_nets.moment())
    assert CrossModal.smallest_batch == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stills": None}, r"name them in data\.stills"),
        (
            {"stills": Images(x=torch.zeros(3, 1, 12, 12, dtype=torch.uint8), y=torch.arange(3))},
            r"still images have shape \(1, 12, 12\), and the teacher teacher takes \(3, 12, 12\)",
        ),
        (
            {"stills": Images(x=torch.zeros(2, 3, 12, 12, dtype=torch.uint8), y=torch.arange(2))},
            r"of class 2 there is no still image among 2",
        ),
        (
            {"teacher": build_ann(vgg((3, 12, 12), 5, name="five", layers=(4,))).eval().requires_grad_(False)},
            r"the teacher five knows 5 classes, the student tiny 3",
        ),
        ({"teacher": build_ann(vgg((3, 12, 12), 3, name="loose", layers=(4,)))}, "ckd: the teacher loose is in train"),
    ],
)
def test_a_pair_that_does_not_go_together_is_refused(change, message):
    with pytest.raises(BadInput, match=message):
        built(replace(pair(), **change))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power": 0.0}, "power is 0.0; it must be positive"),
        ({"tau": -1.0}, "tau is -1.0; it must be positive"),
        ({"k": 0.0}, "k is 0.0; it must be positive"),
        ({"beta": -1.0}, "beta is -1.0; a weight is not negative"),
        ({"weight_kd": -1.0}, "weight_kd is -1.0; a weight is not negative"),
        ({"tet_weight": 1.5}, "tet_weight is 1.5; it is a share"),
        ({"switch": "epoch"}, "switch is epoch and e_th None"),
        (
            {"e_th": 3.0},
            r"switch is half_replaced and e_th 3.0; give the epoch e_th with switch: epoch, and only there",
        ),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        CkdConfig(**options)


def test_an_unknown_schedule_is_refused_by_the_recipe():
    for name in ("replacement", "switch"):
        with pytest.raises(BadInput, match=f"refine.options.*{name}"):
            options_as(CkdConfig, {name: "soon"}, "refine.options")


def test_a_recipe_without_still_images_is_refused():
    with pytest.raises(BadInput, match=r"refine\.method ckd shows its teacher still images.*data\.stills"):
        check_method(parse({"name": "a", "refine": {"method": "ckd"}}))


def test_the_settings_on_the_page_are_recipes():
    """The published ones, and the ablations."""
    blocks = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1:]
    made = [parse({"name": "a", **yaml.safe_load(block.split("```")[0])}) for block in blocks]
    options = [options_as(METHODS["ckd"].config, recipe.refine.options, "refine.options") for recipe in made]
    assert [(o.switch, o.k, o.e_th) for o in options[:2]] == [("epoch", 100, 150), ("epoch", 0.001, 90)]
    assert [recipe.refine.profile for recipe in made[:2]] == ["braincog_lif"] * 2

"""Closed-loop CKA: the parts of its loss, the weights of its layers, and its settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import GraphNet, build_ann
from spikeport.pipeline.cka import cka_unbiased
from spikeport.pipeline.losses import kd_kl
from spikeport.pipeline.recipe import options_as
from spikeport.pipeline.refine.closed_loop_cka import ClosedLoopCkaConfig
from torch import Tensor, nn
from torch.nn import functional

from .. import tiny_nets
from .pairs import built, pair, perceptron, shares


class Scripted(nn.Module):
    """Stands for a network: returns the given activations at its taps, whatever the images."""

    def __init__(self, taps: dict[str, Tensor], logits: Tensor) -> None:
        super().__init__()
        self.architecture = SimpleNamespace(name="scripted", taps=tuple(taps), stages=tuple(taps))
        self.n_steps = 2
        self._taps, self._logits = taps, logits
        self.eval()

    def forward(self, x: Tensor, taps: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
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


@pytest.mark.parametrize("weighting", ["drift", "uniform"])
def test_the_loss_is_its_three_parts_in_their_shares(weighting):
    """T-000-1: a = 0 is CE, a = 1 and b = 1 is KL, a = 1 and b = 0 is CKA, linear in a and in b."""
    student, teacher, x, y = pair()
    values = {}
    for a in (0.0, 0.5, 1.0):
        for b in (0.0, 0.25, 1.0):
            method = built(student, teacher, x, a=a, b=b, weighting=weighting)
            values[a, b] = method.loss(x, y, tiny_nets.moment())[0].item()
    ce, kl, local = components(student, teacher, x, y, shares(method))
    assert min(ce, kl, local) > 0.01
    for (a, b), value in values.items():
        assert value == pytest.approx((1 - a) * ce + a * (b * kl + (1 - b) * local), rel=1e-4)
    assert [values[0, 0.25], values[1, 1], values[1, 0]] == pytest.approx([ce, kl, local], rel=1e-4)


@pytest.mark.parametrize(("n_steps", "share"), [(2, 0.2), (4, 1 / 3), (8, 0.5)])
def test_the_global_share_grows_with_the_number_of_timesteps(n_steps, share):
    student, teacher, x, _ = pair(n_steps)
    assert built(student, teacher, x).b == pytest.approx(share)
    assert built(student, teacher, x, b=0.9).b == 0.9


def test_rates_equal_to_the_teachers_have_no_local_loss():
    """T-000-2: F = A / theta."""
    student, teacher = scripted({"one": 0.0, "two": 0.0})
    x, y = torch.zeros(16, 1), torch.zeros(16, dtype=torch.int64)
    loss, _, parts = built(student, teacher, x, a=1, b=0).loss(x, y, tiny_nets.moment())
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert parts["logits"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("weighting", ["drift", "softmax", "ema", "mse"])
@pytest.mark.parametrize("noisy", ["one", "two", "three"])
def test_the_layer_that_conversion_hurt_most_weighs_most(noisy, weighting):
    """T-000-3: noise injected into one layer, found by every measure of drift."""
    student, teacher = scripted({name: 0.3 if name == noisy else 0.02 for name in ("one", "two", "three")})
    weights = shares(built(student, teacher, torch.zeros(16, 1), weighting=weighting))
    assert max(weights, key=weights.__getitem__) == noisy
    assert weights[noisy] > 0.8
    assert sum(weights.values()) == pytest.approx(1)


@pytest.mark.parametrize("thaw", [lambda net: net.requires_grad_(True), lambda net: net.train()])
def test_a_teacher_that_could_change_is_refused(thaw):
    """T-000-5."""
    student, teacher, x, _ = pair()
    thaw(teacher)
    with pytest.raises(BadInput, match=r"closed_loop_cka: the teacher residual .* must not change"):
        built(student, teacher, x)


def test_a_teacher_without_the_students_layers_is_refused():
    student, _, x, _ = pair()
    other, _ = tiny_nets.converted(replace(tiny_nets.residual(), name="other", taps=("stem",)))
    built(student, other.requires_grad_(False), x)  # other taps, the same units
    mlp = build_ann(perceptron((2, 8, 8))).eval().requires_grad_(False)
    with pytest.raises(BadInput, match=r"teacher perceptron has no unit stem.*teacher of the student's architecture"):
        built(student, mlp, x)


def test_stages_are_the_cheaper_choice_of_layers():
    student, teacher, x, y = pair()
    few, many = (built(student, teacher, x, a=1, b=0, taps=taps) for taps in ("stages", "blocks"))
    assert few.taps == ("stage1.1b", "stage2.1b")
    assert many.taps == ("stem", "stage1.1b", "stage2.1b")
    loss = few.loss(x, y, tiny_nets.moment())[0].item()
    assert loss == pytest.approx(components(student, teacher, x, y, shares(few))[2], rel=1e-5)


def test_the_report_names_every_tap_with_its_drift_and_weight():
    student, teacher, x, _ = pair()
    report = built(student, teacher, x).report()
    rows = report["drift"]
    assert [row["layer"] for row in rows] == list(student.architecture.taps)
    assert sum(row["weight"] for row in rows) == pytest.approx(1)
    assert all(0 <= row["drift"] <= 1 for row in rows)
    assert report["weighting"] == "drift"
    assert "drift_at_end" not in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": 1.5}, r"a is 1.5; it is a share, between 0 and 1"),
        ({"b": -0.1}, r"b is -0.1; it is a share"),
        ({"tau": 0.0}, r"tau 0.0 must be positive"),
        ({"kappa": -1.0}, r"kappa -1.0 not negative"),
        ({"weighting": "sofmax"}, r"unknown weighting 'sofmax'; did you mean 'softmax'"),
        ({"taps": "all"}, r"unknown taps 'all'; known: blocks, stages"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        ClosedLoopCkaConfig(**options)


def test_a_recipe_chooses_weighting_and_layers():
    made = options_as(ClosedLoopCkaConfig, {"weighting": "ema", "taps": "stages", "b": 0.25}, "refine.options")
    assert (made.weighting, made.taps, made.b) == ("ema", "stages", 0.25)
    with pytest.raises(BadInput, match=r"refine.options.*weighting.* is 'cka'"):
        options_as(ClosedLoopCkaConfig, {"weighting": "cka"}, "refine.options")

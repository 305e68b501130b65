"""Drift: two measures of what conversion did to a layer, and the weights that follow from them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import PROFILES, GraphNet, as_spiking
from spikeport.pipeline.refine.drift import LeastSquares, measure_drift, weights_of
from torch import Tensor

from .. import tiny_nets

WEIGHTINGS = ("drift", "softmax", "ema", "mse", "uniform")


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def nets(n_steps: int, profile: str = "loihi") -> tuple[GraphNet, GraphNet]:
    """(student, teacher)."""
    teacher, student = tiny_nets.converted(tiny_nets.residual(), PROFILES[profile], n_steps)
    return student, teacher


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.sampled_from(WEIGHTINGS),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)
def test_weights_are_shares(drift, weighting, kappa):
    """T-000-3: not negative, summing to 1, ordered as the drifts."""
    weights = weights_of(tensor(*drift), weighting, kappa).tolist()
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
@pytest.mark.parametrize("weighting", ["drift", "ema", "mse"])
def test_weights_by_hand(drift, kappa, expected, weighting):
    """T-000-3: w = d^kappa / sum d^kappa, uniform for equal drifts and below 1e-3."""
    assert weights_of(tensor(*drift), weighting, kappa).tolist() == pytest.approx(expected)


def test_a_softmax_weighs_a_tenth_more_drift_e_times_as_much():
    """softmax(d / 0.1); uniform below 1e-3 as the others."""
    small, large = weights_of(tensor(0.2, 0.3), "softmax").tolist()
    assert large / small == pytest.approx(torch.e)
    assert weights_of(tensor(9e-4, 0.0), "softmax").tolist() == [0.5, 0.5]
    assert weights_of(tensor(0.1, 0.9), "uniform").tolist() == [0.5, 0.5]


@given(st.integers(1, 30), st.floats(0.01, 100), st.integers(0, 999))
def test_the_scale_is_the_best_of_all_scales_and_found_over_batches(count, size, seed):
    """|a - s r|^2 at s is below that of its neighbours, and its share of |a|^2 is the error."""
    rng = tiny_nets.generator(seed)
    r = torch.rand(8, count, dtype=torch.float64, generator=rng)
    a = size * (r + torch.rand(8, count, dtype=torch.float64, generator=rng))
    fit = LeastSquares()
    for part in zip(a.split(4), r.split(4), strict=True):
        fit.add(*part)
    left = {s: float((a - s * r).square().sum()) for s in (0.99 * fit.scale, fit.scale, 1.01 * fit.scale)}
    assert min(left, key=left.__getitem__) == fit.scale
    assert fit.error == pytest.approx(left[fit.scale] / float(a.square().sum()), abs=1e-12)


def test_a_silent_layer_has_the_scale_of_one_and_the_whole_error():
    fit = LeastSquares()
    assert (fit.scale, fit.error) == (1, 1)
    fit.add(torch.ones(4, 3), torch.zeros(4, 3))
    assert (fit.scale, fit.error) == (1, 1)


@pytest.mark.parametrize("measure", ["cka", "mse"])
def test_drift_falls_as_timesteps_are_added(measure):
    """T-000-8: soft reset, every tap."""
    drifts = []
    for n_steps in (2, 8, 64):
        student, teacher = nets(n_steps, "soft_if")
        x = tiny_nets.images(teacher.architecture, 48, 8)
        drifts.append(measure_drift(student, teacher, [x], teacher.architecture.taps, measure).values)
    for name in drifts[0]:
        values = [drift[name] for drift in drifts]
        assert values[0] > values[1] > values[2], name
        assert values[2] < 0.05


@pytest.mark.parametrize("measure", ["cka", "mse"])
def test_drift_does_not_depend_on_what_a_spike_is_worth(measure):
    """The same spikes, worth 1 or 3."""
    student, teacher = nets(4)
    x = tiny_nets.images(teacher.architecture, 16)
    taps = teacher.architecture.taps
    plain = measure_drift(student, teacher, [x], taps, measure)
    scaled = as_worth(student, 3.0)
    assert measure_drift(scaled, teacher, [x], taps, measure).values == pytest.approx(plain.values, abs=1e-6)


def as_worth(student: GraphNet, worth: float) -> GraphNet:
    """The same spikes, each worth more: what follows is divided by it, the read-out included."""
    for node in student.walk():
        for wire, synapses in zip(node.unit.wires, node.synapses, strict=True):
            for name, parameter in synapses.named_parameters():
                if wire.source != "input" and not name.endswith("bias"):
                    parameter.data.div_(worth)
    for neuron in student.spiking:
        neuron.amplitude.fill_(worth)
    return student


@pytest.mark.parametrize(("measure", "slack"), [("cka", 0.05), ("mse", 1e-9)])
def test_drift_is_that_of_the_whole_calibration_set(measure, slack):
    """T-000-4: sums over batches are those of the whole; of CKA up to sampling."""
    student, teacher = nets(2)
    x = tiny_nets.images(teacher.architecture, 512, 8)
    whole, parts = (
        measure_drift(student, teacher, batches, teacher.architecture.taps, measure).values
        for batches in ([x], x.split(64))
    )
    assert parts == pytest.approx(whole, abs=slack)


def test_a_student_with_batch_norms_is_measured_as_it_will_be_used_and_left_as_it_was():
    """Running statistics are neither moved nor ignored, and it goes on training afterwards."""
    net = tiny_nets.ann(tiny_nets.residual())
    student = as_spiking(net, PROFILES["loihi"], 4).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    x, taps = tiny_nets.images(net.architecture, 16), net.architecture.taps
    in_training = measure_drift(student, net, [x], taps)
    assert all(torch.equal(value, student.state_dict()[name]) for name, value in before.items())
    assert all(module.training for module in student.modules())
    assert measure_drift(student.eval(), net, [x], taps) == in_training


def test_layers_that_never_fire_are_named():
    student, teacher = nets(2)
    student.node("stage2.1a").neuron.threshold.fill_(1e6)  # type: ignore[union-attr]
    student.node("stage2.1b").neuron.threshold.fill_(1e6)  # type: ignore[union-attr]
    x = tiny_nets.images(teacher.architecture, 16)
    found = measure_drift(student, teacher, x.split(8), teacher.architecture.taps)
    assert found.silent == ("stage2.1b",)
    assert found.values["stage2.1b"] == 1


def test_a_teacher_of_other_shapes_can_be_compared_by_cka_only():
    student, _ = nets(2)
    wider = tiny_nets.ann(tiny_nets.resnet((2, 8, 8), 3, name="wider", stem=8, widths=(8, 6), blocks=(1, 1)))
    x, taps = tiny_nets.images(student.architecture, 16), student.architecture.taps
    assert set(measure_drift(student, wider, [x], taps).values) == set(taps)
    with pytest.raises(BadInput, match=r"stem the student has the shape \(4, 8, 8\) and the teacher \(8, 8, 8\)"):
        measure_drift(student, wider, [x], taps, "mse")

"""An ONNX file becomes a spiking network: converted, it approaches the ANN; quantized, it answers like it."""

from __future__ import annotations

import logging
import sys

import pytest
import torch
from spikeport import sim
from spikeport.export import onnx_read
from spikeport.hw import CHIPS, BadInput, Cuba, UnsupportedLayer, check
from spikeport.models import PROFILES, GraphNet
from spikeport.models.datasets import Images, load
from spikeport.pipeline.adopt.fold import fold
from spikeport.pipeline.adopt.folded import Folded
from spikeport.pipeline.adopt.normalise import with_raw_pixels
from spikeport.pipeline.adopt.student import quantized_student, to_graphnet
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.compensate import compensate
from spikeport.pipeline.convert import classify_steps, convert
from torch import nn

from . import folded_nets, torch_nets

CHIP, CPU = CHIPS["loihi2"], torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> tuple[Images, Images]:
    return load("digits")


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return torch_nets.trained(torch_nets.ResNet, epochs=6)


@pytest.fixture(scope="module")
def imported(resnet, tmp_path_factory) -> Folded:
    path = tmp_path_factory.mktemp("onnx") / "resnet.onnx"
    torch_nets.export(resnet, path)
    return fold(onnx_read.read(path))


@pytest.fixture(scope="module")
def ann(imported) -> GraphNet:
    return to_graphnet(imported)


def accuracy(predictions: torch.Tensor, images: Images) -> float:
    return float((predictions == images.y).double().mean())


def answers(net: nn.Module, images: Images) -> torch.Tensor:
    with torch.no_grad():
        return net(images.floats()).argmax(-1)


def test_the_teacher_is_the_network_that_torch_exported(resnet, ann, digits):
    x = digits[1].floats()
    with torch.no_grad():
        expected = resnet(x)
        assert float((ann(x)[0] - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert accuracy(expected.argmax(-1), digits[1]) > 0.97


@pytest.mark.slow
def test_torchs_new_exporter_writes_the_same_network(resnet, ann, digits, tmp_path):
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch_nets.export(resnet, tmp_path / "new.onnx", dynamo=True)
    again = to_graphnet(fold(onnx_read.read(tmp_path / "new.onnx")))
    x = digits[1].floats()
    with torch.no_grad():
        torch.testing.assert_close(again(x)[0], ann(x)[0], rtol=1e-4, atol=1e-4)


def test_the_converted_network_approaches_the_ann_as_the_timesteps_grow(resnet, ann, digits, capsys):
    """Soft reset, half a threshold at the start, thresholds at the 99.9 % point of 256 images; 360 test images."""
    train, test = digits
    scales = activation_scales(ann, train.floats(slice(256)).split(64), 0.999)
    by_step = classify_steps(convert(ann, scales, PROFILES["qcfs_if"], 64), test, CPU)
    reached = {steps: accuracy(by_step[steps - 1], test) for steps in (4, 8, 16, 32, 64)}
    expected = accuracy(answers(resnet, test), test)
    with capsys.disabled():
        sys.stdout.write(f"\nANN {expected:.2%}, converted {', '.join(f'T={t} {a:.2%}' for t, a in reached.items())}\n")
    assert abs(expected - reached[64]) <= 0.01
    assert expected - reached[4] > expected - reached[16]
    assert expected - reached[16] <= 0.02


def test_a_node_that_cannot_spike_is_refused_by_name_with_the_reason(tmp_path):
    torch_nets.export(torch_nets.HardSwish().eval(), tmp_path / "net.onnx")
    with pytest.raises(UnsupportedLayer, match=r"/HardSwish.*HardSwish.*;"):
        fold(onnx_read.read(tmp_path / "net.onnx"))


@pytest.mark.parametrize(("n_steps", "loss"), [(4, 0.06), (16, 0.025)])
def test_a_student_quantized_after_training_answers_like_its_ann(imported, resnet, digits, n_steps, loss):
    """In chip integers, with hard reset, on test images that nothing was measured on."""
    train, test = digits
    network, adoption = quantized_student(imported, train.floats(slice(256)), CHIP, n_steps, levels=16)
    check(network, CHIP)
    assert network.n_steps == n_steps
    predictions = sim.run(network, test.payload(bits=adoption.payload_bits)).predictions
    assert accuracy(answers(resnet, test), test) - accuracy(predictions, test) <= loss
    assert adoption.agreement >= 1 - loss
    assert adoption.images == 256


def test_without_compensation_hard_reset_answers_at_random(ann, digits):
    """Why it is there: the same network, thresholds as conversion sets them."""
    train, test = digits
    scales = activation_scales(ann, train.floats(slice(256)).split(64), 0.999)
    assert accuracy(classify_steps(convert(ann, scales, PROFILES["loihi"], 16), test, CPU)[-1], test) < 0.5


@pytest.mark.parametrize("name", folded_nets.NETS)
def test_the_agreement_reported_is_that_of_the_network_handed_on(name):
    folded = folded_nets.NETS[name]()
    x = torch.rand(48, *folded.source_shape, generator=torch.Generator().manual_seed(3))
    network, adoption = quantized_student(folded, x, CHIP, 8)
    check(network, CHIP)
    payload = (x * ((1 << adoption.payload_bits) - 1) + 0.5).floor().to(torch.int32)
    with torch.no_grad():
        answers = to_graphnet(folded)(x)[0].argmax(-1)
    same = (sim.run(network, payload).predictions == answers).double().mean()
    assert adoption.agreement == pytest.approx(float(same))
    assert adoption.agreement >= 0.75


def test_a_max_pool_becomes_an_or_and_is_worth_less_than_its_source():
    folded = folded_nets.residual()
    x = torch.rand(48, *folded.source_shape, generator=torch.Generator().manual_seed(3))
    network, adoption = quantized_student(folded, x, CHIP, 8)
    neuron = network["pool"].neuron
    assert isinstance(neuron, Cuba)
    assert neuron.v_th_mant == 1
    assert not neuron.bias_mant.any()
    # The OR of a window fires more often than the largest rate in it.
    assert adoption.worth["pool"] < adoption.worth["stem"]
    whats = [row["what"] for row in adoption.notices if row["layer"] == "pool"]
    assert "max pooling of activations became an OR of spikes" in whats


def test_compensation_leaves_less_of_every_population_behind_than_conversion(ann, digits):
    """|a - w r|^2 / |a|^2 with the chip's neurons, from thresholds alone and after thresholds, worth and shifts."""
    x = digits[0].floats(slice(64))
    made = compensate(ann, x, PROFILES["loihi"], 8)
    scales = activation_scales(ann, [x], 0.999)
    hidden = list(scales)
    with torch.no_grad():
        _, activations = ann(x, hidden)
        _, spikes = convert(ann, scales, PROFILES["loihi"], 8)(x, hidden)
    for name in hidden:
        lost = (activations[name] - scales[name] * spikes[name].mean(0)).square().sum()
        assert made.errors[name] < 0.5 * float(lost / activations[name].square().sum()), name
        assert made.thresholds[name] <= scales[name]
        assert made.worth[name] >= made.thresholds[name]  # a spike stands for more than what it took to fire


def test_what_compensation_reports_is_what_the_student_does(ann, digits):
    """The errors, computed again from the student it leads to."""
    x = digits[0].floats(slice(64))
    made = compensate(ann, x, PROFILES["loihi"], 8)
    student = convert(made.ann, made.thresholds, PROFILES["loihi"], 8, worth=made.worth)
    hidden = list(made.thresholds)
    with torch.no_grad():
        _, activations = ann(x, hidden)
        sums, spikes = student(x, hidden)
        target = ann(x)[0]
    for name in hidden:
        lost = (activations[name] - made.worth[name] * spikes[name].mean(0)).square().sum()
        assert float(lost / activations[name].square().sum()) == pytest.approx(made.errors[name], rel=1e-2)
    torch.testing.assert_close(sums.mean(0).mean(0), target.mean(0), rtol=1e-3, atol=1e-3)


def test_a_network_on_normalised_images_is_adopted_on_pixels(imported, resnet, digits):
    """Exact at the border too, though the first layer pads."""
    x = digits[1].floats()
    with torch.no_grad():
        logits = to_graphnet(with_raw_pixels(imported, [0.3], [0.4]))(x)[0]
        torch.testing.assert_close(logits, resnet((x - 0.3) / 0.4), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 5), "there are no calibration images; give pixels in"),
        (torch.tensor([[0, 0, 0, 0, 1.5]]), r"reach from 0 to 1\.5; give pixels in \[0, 1\], .* as mean and std"),
        (torch.tensor([[-0.5, 0, 0, 0, 1]]), r"reach from -0\.5 to 1"),
        (torch.tensor([[float("nan")] * 5]), "reach from nan to nan"),
    ],
)
def test_calibration_images_that_are_no_pixels_are_refused(images, message):
    with pytest.raises(BadInput, match=message):
        quantized_student(folded_nets.vectors(), images, CHIP, 4)

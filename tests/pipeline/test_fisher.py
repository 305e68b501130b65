"""Temporal Fisher information: by hand on one layer, and by autograd sample by sample."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import INPUT, PROFILES, Architecture, GraphNet, LinearWire, Unit, as_spiking, build_ann
from spikeport.pipeline.fisher import information_centroid, temporal_fisher
from torch import Tensor

from . import tiny_nets


def linear(n_steps: int) -> GraphNet:
    """A read-out of 2 classes on 3 numbers; each timestep sees its own input."""
    units = (Unit(name="readout", channels=2, wires=(LinearWire(source=INPUT),)),)
    architecture = Architecture(name="linear", input_shape=(3,), n_classes=2, units=units, taps=())
    net = build_ann(architecture, tiny_nets.generator(0)).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            values = [0.1, -0.2] if name.endswith("bias") else [[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]]
            parameter.copy_(torch.tensor(values))
    return as_spiking(net, PROFILES["loihi"], n_steps)


def test_one_layer_by_hand():
    """z = W m + b with m the mean input of steps 1..t: d log p_y / dW = (e_y - p) m^T, d log p_y / db = e_y - p.

    So the squared norm is |e_y - p|^2 (|m|^2 + 1), and |e_y - p|^2 = 2 (1 - p_y)^2 of two classes.
    """
    net = linear(2)
    steps = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]], dtype=torch.float64)  # (T, B, F)
    weight, bias = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]]).double(), torch.tensor([0.1, -0.2]).double()
    expected = []
    for mean in (steps[0, 0], steps.mean(dim=0)[0]):
        wrong = 1 - (weight @ mean + bias).softmax(-1)[1]
        expected.append(float(2 * wrong**2 * (mean @ mean + 1)))
    got = temporal_fisher(net, steps, torch.tensor([1]))
    assert got.tolist() == pytest.approx(expected, rel=1e-12)
    assert expected[0] != pytest.approx(expected[1], rel=0.1)


def per_sample(net: GraphNet, x: Tensor, y: Tensor) -> list[float]:
    """The same by a loop over samples, timesteps and parameters, through the network's own gradients."""
    sums = [0.0] * net.n_steps
    for image, label in zip(x, y, strict=True):
        for t in range(net.n_steps):
            net.zero_grad()
            net(image[None])[0][: t + 1].mean(dim=0).log_softmax(-1)[0, label].backward()
            sums[t] += sum(float(p.grad.square().sum()) for p in net.parameters() if p.grad is not None)
    net.zero_grad()
    return [value / len(x) for value in sums]


def student(n_steps: int = 3) -> tuple[GraphNet, Tensor, Tensor]:
    _, net = tiny_nets.converted(tiny_nets.residual(), PROFILES["loihi"], n_steps, thresholds=0.4)
    return net, tiny_nets.images(net.architecture, 5), torch.tensor([0, 1, 2, 0, 1])


def test_it_is_the_mean_of_squared_gradients_of_each_sample():
    net, x, y = student()
    got = temporal_fisher(net, x, y)
    assert got.shape == (3,)
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx(per_sample(net, x, y), rel=1e-4)
    assert len({f"{value:.3g}" for value in got.tolist()}) == 3


def test_it_is_not_the_squared_gradient_of_the_batch():
    """Samples whose gradients cancel know something, each."""
    net, x, y = linear(1), torch.zeros(1, 2, 3).double(), torch.tensor([0, 1])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    got = temporal_fisher(net, x, y)
    assert got.tolist() == pytest.approx([0.5])  # |e_y - (1/2, 1/2)|^2 for each, of opposite signs
    loss = torch.nn.functional.cross_entropy(net(x)[0].mean(dim=0), y)
    assert all(g.abs().max() < 1e-12 for g in torch.autograd.grad(loss, list(net.parameters())))


def test_samples_are_averaged():
    net, x, y = student(2)
    each = torch.stack([temporal_fisher(net, x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(temporal_fisher(net, x, y), each.mean(dim=0))


def test_the_network_is_left_as_it_was():
    net, x, y = student(2)
    net.train().requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    temporal_fisher(net, x, y)
    assert net.training
    assert all(not p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_the_centroid_lies_between_the_first_and_the_last_step(values):
    centroid = information_centroid(torch.tensor(values, dtype=torch.float64))
    assert 1 - 1e-9 <= centroid <= len(values) + 1e-9


@pytest.mark.parametrize(
    ("values", "expected"), [([3.0, 0, 0], 1), ([0, 0, 2.0], 3), ([1.0, 1, 1], 2), ([3.0, 1], 1.25)]
)
def test_the_centroid_by_hand(values, expected):
    assert information_centroid(torch.tensor(values)) == pytest.approx(expected)


def test_no_information_has_no_centroid():
    with pytest.raises(BadInput, match="no centroid"):
        information_centroid(torch.zeros(3))


def test_what_has_no_timesteps_or_labels_is_refused():
    net, x, y = student(2)
    with pytest.raises(BadInput, match="needs a spiking network"):
        temporal_fisher(tiny_nets.ann(tiny_nets.residual()), x, y)
    with pytest.raises(BadInput, match="one label per image"):
        temporal_fisher(net, x, y[:3])
    with pytest.raises(BadInput, match="0 images"):
        temporal_fisher(net, x[:0], y[:0])

"""The `rate` engine against backpropagation through time: where the two are equal, where close, and what is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import (
    ENGINES,
    INPUT,
    PROFILES,
    Accumulate,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Profile,
    Rectify,
    Unit,
    as_spiking,
    build_ann,
    through_rates,
)
from spikeport.models.architecture import Wire
from spikeport.models.rate_plain import spike_pass
from spikeport.models.zoo.resnet import resnet
from torch import Tensor, nn
from torch.nn import functional


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net_of(
    shape: tuple[int, ...],
    units: Sequence[tuple[str, int, Sequence[Wire]]],
    profile: Profile,
    n_steps: int,
    seed: int = 0,
) -> GraphNet:
    """A spiking network in float64, in training mode. units: (name, channels, wires), the last one the read-out."""
    built = tuple(Unit(name=name, channels=channels, wires=tuple(wires)) for name, channels, wires in units)
    architecture = Architecture(
        name="net", input_shape=shape, n_classes=built[-1].channels, units=built, taps=(built[0].name,)
    )
    return as_spiking(build_ann(architecture, rng(seed)), profile, n_steps).double()


def perceptron(profile: Profile, n_steps: int, widths: Sequence[int] = (20,)) -> GraphNet:
    """12 inputs, hidden layers, 5 outputs, thresholds of 3/4."""
    names = [INPUT, *(f"hidden{i}" for i in range(len(widths))), "readout"]
    units = [
        (name, width, [LinearWire(source=source)])
        for source, name, width in zip(names[:-1], names[1:], [*widths, 5], strict=True)
    ]
    net = net_of((12,), units, profile, n_steps)
    for population in net.spiking:
        population.threshold.fill_(0.75)
    generator = rng(3)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name.endswith("weight"):  # wide enough for deep layers to fire
                weight.copy_(2 * torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5)
    return net


def images(*shape: int, seed: int = 1, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=rng(seed))


def gradients(net: GraphNet, run: Callable[[GraphNet, Tensor], Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """(logits, gradient of each parameter) for a fixed linear loss."""
    logits = run(net, x)
    head = torch.randn(logits.shape, generator=rng(9), dtype=torch.float64).to(logits.dtype)
    names, parameters = zip(*net.named_parameters(), strict=True)
    return logits.detach(), dict(zip(names, torch.autograd.grad((logits * head).sum(), parameters), strict=True))


def through_time(net: GraphNet, x: Tensor) -> Tensor:
    return net(x)[0].mean(dim=0)


def by_rates(net: GraphNet, x: Tensor) -> Tensor:
    return through_rates(net, x).logits


def worst(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest error of any parameter's gradient, relative to its largest entry."""
    return max(float((found[name] - g).abs().max() / g.abs().max()) for name, g in expected.items())


FOUR_CASES = [(reset, detach) for reset in ("hard", "soft") for detach in (True, False)]


@pytest.mark.parametrize(("reset", "detach"), FOUR_CASES)
@pytest.mark.parametrize("n_steps", [1, 2, 4, 8])
def test_one_hidden_layer_has_the_gradients_of_bptt(n_steps, reset, detach):
    """T-001-1: Linear-LIF-Linear under a held input; thresholds of 3/4 and a gain of 1/2, so that both matter."""
    for name in ("tet_lif", "ratebp_lif"):
        profile = replace(PROFILES[name], reset=reset, detach_reset=detach, gain=0.5)
        net = perceptron(profile, n_steps)
        logits, expected = gradients(net, through_time, images(16, 12))
        also, found = gradients(net, by_rates, images(16, 12))
        torch.testing.assert_close(also, logits, rtol=1e-12, atol=1e-12)
        assert worst(found, expected) < 1e-12


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_the_gradients_of_bptt(name):
    """T-001-1: the profiles as they are, the one that starts at half a threshold included."""
    net = perceptron(PROFILES[name], 5)
    _, expected = gradients(net, through_time, images(16, 12))
    assert worst(gradients(net, by_rates, images(16, 12))[1], expected) < 1e-12


def normed(profile: Profile, n_steps: int) -> GraphNet:
    """Convolution, batch norm, neurons, read-out."""
    units = [
        ("a", 6, [ConvWire(source=INPUT)]),
        ("readout", 3, [LinearWire(source="a", mean=True)]),
    ]
    return net_of((2, 5, 5), units, profile, n_steps)


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8])
def test_a_batch_norm_between_has_the_gradients_of_bptt(n_steps):
    """T-001-2: the input is held, so each step's batch is the same."""
    net = normed(PROFILES["tet_lif"], n_steps)
    logits, expected = gradients(net, through_time, images(6, 2, 5, 5))
    also, found = gradients(net, by_rates, images(6, 2, 5, 5))
    torch.testing.assert_close(also, logits, rtol=1e-12, atol=1e-12)
    assert worst(found, expected) < 1e-6


@pytest.mark.parametrize("name", ["loihi", "ratebp_lif"])
def test_a_single_step_has_the_gradients_of_bptt_at_any_depth(name):
    """T-001-2: at T = 1 a rate is a spike; residual blocks with batch norms."""
    architecture = resnet((2, 8, 8), 3, name="tiny", stem=4, widths=(4, 6), blocks=(1, 1))
    net = as_spiking(build_ann(architecture, rng()), PROFILES[name], 1).double()
    _, expected = gradients(net, through_time, images(6, 2, 8, 8))
    assert worst(gradients(net, by_rates, images(6, 2, 8, 8))[1], expected) < 1e-10


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("n_steps", [2, 4, 8])
def test_three_layers_have_nearly_the_gradients_of_bptt(n_steps, reset):
    """T-001-3: cosine above 0.9 and norm ratio within 0.8..1.25, for the weights of each layer."""
    profile = replace(PROFILES["ratebp_lif"], reset=reset)
    net = perceptron(profile, n_steps, widths=(64, 64, 64))
    _, expected = gradients(net, through_time, images(64, 12))
    _, found = gradients(net, by_rates, images(64, 12))
    for name, g in expected.items():
        if name.endswith("weight"):
            assert functional.cosine_similarity(found[name].flatten(), g.flatten(), dim=0) > 0.9, name
            assert 0.8 < found[name].norm() / g.norm() < 1.25, name


def test_a_membrane_that_forgets_makes_every_depth_exact():
    """With leak 0 and a held input every step is the same, so rates are spikes at any depth and any T."""
    net = perceptron(replace(PROFILES["loihi"], leak=0.0), 6, widths=(20, 16, 12))
    _, expected = gradients(net, through_time, images(16, 12))
    assert worst(gradients(net, by_rates, images(16, 12))[1], expected) < 1e-12


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("held", [True, False])
def test_logits_and_rates_are_those_of_the_spikes(training, held):
    """T-001-4: values are measured, not estimated; batch norms see all steps."""
    architecture = resnet((2, 8, 8), 3, name="tiny", stem=4, widths=(4, 6), blocks=(1, 1))
    names = [unit.name for unit in architecture.units]
    net = as_spiking(build_ann(architecture, rng()), PROFILES["tet_lif"], 4).double().train(training)
    x = images(6, 2, 8, 8) if held else images(4, 6, 2, 8, 8)
    with torch.no_grad():
        logits, spikes = copy.deepcopy(net)(x, names)
        answer = through_rates(net, x, names)
    torch.testing.assert_close(answer.logits, logits.mean(dim=0), rtol=1e-12, atol=1e-12)
    assert list(answer.rates) == names
    for name in names[:-1]:
        assert torch.equal(answer.rates[name], spikes[name].mean(dim=0))
    assert answer.sequence is None
    assert answer.spikes is None


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_updated_once_and_as_bptt_does(held, momentum):
    """T-001-5."""
    deeper = [("b", 5, [ConvWire(source="a", stride=2)]), ("readout", 3, [LinearWire(source="b", mean=True)])]
    net = net_of((2, 5, 5), [("a", 6, [ConvWire(source=INPUT)]), *deeper], PROFILES["tet_lif"], 4)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    twin = copy.deepcopy(net)
    for seed in (1, 2):
        x = images(6, 2, 5, 5, seed=seed) if held else images(4, 6, 2, 5, 5, seed=seed)
        through_time(net, x)
        by_rates(twin, x)
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(twin.get_buffer(name), buffer, rtol=1e-12, atol=1e-12, msg=name)
    assert twin.get_buffer("nodes.b.synapses.0.norm.num_batches_tracked") == 2


def kept(net: GraphNet, x: Tensor) -> tuple[int, int]:
    """(bytes saved for the backward pass, nodes of the autograd graph)."""
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = max(saved.get(tensor.data_ptr(), 0), tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = by_rates(net, x)
        total = sum(saved.values())
    assert logits.grad_fn is not None
    nodes, waiting = set(), [logits.grad_fn]
    while waiting:
        node: Any = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    return total, len(nodes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_for_the_backward_pass_does_not_depend_on_the_timesteps(dtype):
    """T-001-6: T = 2 and T = 16, on the compiled path (float32) and on the plain one."""
    architecture = resnet((2, 8, 8), 3, name="tiny", stem=8, widths=(8, 12), blocks=(1, 1))
    x = images(6, 2, 8, 8).to(dtype)
    few, many = (
        kept(as_spiking(build_ann(architecture, rng()), PROFILES["tet_lif"], n_steps).to(dtype), x)
        for n_steps in (2, 16)
    )
    assert few == many


@pytest.mark.parametrize("ceiling", [None, 0.6])
def test_a_rectified_population_is_the_mean_of_its_outputs(ceiling):
    """Its slope is the mean of the indicator: for the read-out's weights and for a single step that is exact."""
    for n_steps in (1, 4):
        net = perceptron(PROFILES["tet_lif"], n_steps, widths=(20, 16))
        net.node("hidden1").neuron = Rectify(ceiling)
        logits, expected = gradients(net, through_time, images(16, 12))
        also, found = gradients(net, by_rates, images(16, 12))
        torch.testing.assert_close(also, logits, rtol=1e-12, atol=1e-12)
        last = "nodes.readout.synapses.0.weighted.weight"
        assert (
            worst(found if n_steps == 1 else {last: found[last]}, expected if n_steps == 1 else {last: expected[last]})
            < 1e-12
        )


def test_a_linear_unit_hands_on_its_mean_current():
    """With a linear unit in between, two layers of weights after the only neurons: still exact."""
    net = perceptron(PROFILES["tet_lif"], 4, widths=(20, 16))
    net.node("hidden1").neuron = Accumulate()
    _, expected = gradients(net, through_time, images(16, 12))
    assert worst(gradients(net, by_rates, images(16, 12))[1], expected) < 1e-12


def test_a_pool_passes_on_the_rate_of_its_or():
    """Two neurons in one window that fire at 1/2 in turns: their OR fires at every step, their largest rate is 1/2."""
    units = [
        ("a", 1, [ConvWire(source=INPUT, kernel=1, norm=False)]),
        ("pool", 1, [PoolWire(source="a", kernel=(1, 2), stride=(1, 2))]),
        ("readout", 1, [LinearWire(source="pool")]),
    ]
    net = net_of((1, 1, 2), units, PROFILES["loihi"], 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
            if parameter.ndim == 1:
                parameter.zero_()
    frames = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64).reshape(2, 1, 1, 1, 2)
    answer = through_rates(net, frames, ["a", "pool"])
    assert answer.rates["a"].flatten().tolist() == [0.5, 0.5]
    assert answer.rates["pool"].flatten().tolist() == [1.0]
    assert answer.logits.item() == 1.0
    (grad,) = torch.autograd.grad(answer.logits.sum(), answer.rates["a"])
    assert sorted(grad.flatten().tolist()) == [0, 1]  # all of it to one of the two largest rates


def test_the_amplitude_scales_rates_and_gradients():
    """What a spike is worth: 3 times as much, with a third of the read-out's weights, changes nothing but the rate."""
    plain, scaled = perceptron(PROFILES["tet_lif"], 4), perceptron(PROFILES["tet_lif"], 4)
    scaled.spiking[0].amplitude.fill_(3.0)
    with torch.no_grad():
        scaled.get_parameter("nodes.readout.synapses.0.weighted.weight").div_(3)
    x = images(16, 12)
    tap = ["hidden0"]
    assert torch.equal(
        through_rates(scaled, x, tap).rates["hidden0"], 3 * through_rates(plain, x, tap).rates["hidden0"]
    )
    (logits, expected), (also, found) = gradients(plain, by_rates, x), gradients(scaled, by_rates, x)
    torch.testing.assert_close(also, logits)
    first = "nodes.hidden0.synapses.0.weighted.weight"
    torch.testing.assert_close(found[first], expected[first])


def test_a_slope_is_the_derivative_of_the_sum_of_its_steps():
    """Two steps by hand: threshold 2, gain 1/2, leak 1/2, live hard reset, triangle of width 1, current 5.

    u(0) = 5/2, x = 1/4, h' = 3/4, h'/theta = 3/8, a spike; e(0) = 1/2. J = (1 - 1) - 5/2 * 3/8 = -15/16;
    e(1) = 1/2 + 1/2 * -15/16 * 1/2 = 17/64. u(1) = 5/2 again. slope = 3/8 (1/2 + 17/64) / 2 = 147/1024.
    """
    profile = replace(PROFILES["tet_lif"], gain=0.5, detach_reset=False, reset="hard")
    sample = spike_pass(torch.tensor([[5.0]], dtype=torch.float64), True, 2, 2.0, profile)
    assert sample.rate.item() == 1
    assert sample.slope.item() == pytest.approx(147 / 1024, rel=1e-12)


def test_autocast_keeps_membranes_in_float32():
    net = normed(PROFILES["tet_lif"], 4).float()
    x = images(6, 2, 5, 5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = through_rates(net, x, ["a"])
    assert answer.logits.dtype is torch.float32
    assert answer.rates["a"].dtype is torch.float32
    answer.logits.sum().backward()
    exact = through_rates(net, x, ["a"])
    difference = (answer.rates["a"] - exact.rates["a"]).detach().abs()
    assert float((difference > 0).double().mean()) < 0.05  # bfloat16 sums move few neurons over the threshold
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in net.parameters())


def test_the_gradient_scale_divides_gradients_and_not_values():
    """T-001-9: with grad_scale 1/T the loss keeps its value, and T times its gradient is the gradient of scale 1."""
    net = perceptron(PROFILES["tet_lif"], 4)
    loss = through_rates(net, images(16, 12)).logits.square().sum()
    scaled = loss.detach() + (loss - loss.detach()) / 4
    parameters = list(net.parameters())
    expected = torch.autograd.grad(loss, parameters, retain_graph=True)
    found = torch.autograd.grad(scaled, parameters)
    assert scaled.item() == loss.item()
    for g, small in zip(expected, found, strict=True):
        torch.testing.assert_close(4 * small, g, rtol=1e-12, atol=0)


def test_the_engine_is_registered_and_does_not_differentiate_steps():
    engine = ENGINES["rate"]
    assert engine.run is through_rates
    assert not engine.steps


class Doubled(nn.Module):
    """A neuron that nobody knows."""

    def forward(self, current: Tensor, static: bool) -> Tensor:
        return 2 * current


def test_a_unit_that_is_not_a_sum_of_wires_is_refused_with_the_way_out():
    net = perceptron(PROFILES["tet_lif"], 4)
    net.node("hidden0").neuron = Doubled()
    with pytest.raises(BadInput, match=r"hidden0: its neuron is a Doubled; .* use refine.engine: bptt"):
        through_rates(net, images(16, 12))


def test_an_ann_and_a_foreign_shape_are_refused():
    ann = build_ann(resnet((2, 8, 8), 3, name="tiny", stem=4, widths=(4,), blocks=(1,)), rng())
    with pytest.raises(BadInput, match="tiny: an ANN has no spikes"):
        through_rates(ann, torch.zeros(2, 2, 8, 8))
    with pytest.raises(BadInput, match=r"an input of shape \(16, 11\) does not end in \(12,\)"):
        through_rates(perceptron(PROFILES["tet_lif"], 4), images(16, 11))


def test_shortcuts_are_added_before_the_neuron():
    """An identity wire beside a linear one, at T = 1: exact, and different from the network without it."""
    wires = [LinearWire(source="a"), IdentityWire(source="a", scale=0.5)]
    units = [("a", 8, [LinearWire(source=INPUT)]), ("b", 8, wires), ("readout", 3, [LinearWire(source="b")])]
    net = net_of((12,), units, PROFILES["tet_lif"], 1)
    logits, expected = gradients(net, through_time, images(16, 12))
    also, found = gradients(net, by_rates, images(16, 12))
    torch.testing.assert_close(also, logits)
    assert worst(found, expected) < 1e-12
    net.node("b").synapses[1].weighted = nn.Identity()
    assert not torch.allclose(by_rates(net, images(16, 12)), also)

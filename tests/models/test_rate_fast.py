"""The compiled path of the `rate` engine against its plain twin, and its convolutions of spikes against torch's."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.models import (
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Profile,
    Unit,
    as_spiking,
    build_ann,
    through_rates,
)
from spikeport.models.rate_memory import Pool
from spikeport.models.zoo.resnet import resnet
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("numba")

from spikeport.models import rate_fast
from spikeport.models.rate_conv import SpikeConv, way_of

COMPILED = "spikeport.models.rate._compiled"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_grid(*shape: int, step: float, limit: int, seed: int) -> Tensor:
    """Multiples of `step` up to `limit` of them: float32 adds thousands of such products without rounding."""
    return torch.randint(-limit, limit + 1, shape, generator=rng(seed)).float() * step


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(["dense", "sweep", "fours", "singles"]),
    st.integers(1, 6), st.sampled_from([1, 3, 16, 17, 40, 70]), st.integers(1, 7), st.integers(1, 7),
    st.tuples(st.integers(1, 3), st.integers(1, 4)), st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)), st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from([0.0, 0.2, 0.9, 1.0]), st.integers(0, 99),
)  # fmt: skip
def test_every_way_to_convolve_spikes_gives_torchs_sums(
    way, fours, outputs, high, wide, kernel, stride, padding, dilation, density, seed
):
    """Weights on a grid, so that no order of summation rounds: equal bits, and equal sums over positions."""
    if way == "sweep":
        kernel, stride, dilation, padding = (kernel[0], 3), (1, 1), (1, 1), (padding[0], 1)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    high, wide = (max(size, r) for size, r in zip((high, wide), reach, strict=True))
    channels = fours if way in ("dense", "singles") else 4 * fours
    conv = nn.Conv2d(channels, outputs, kernel, stride, padding, dilation, bias=False)
    with torch.no_grad():
        conv.weight.copy_(on_grid(*conv.weight.shape, step=1 / 64, limit=127, seed=seed))
    spikes = (torch.rand(9, high, wide, channels, generator=rng(seed)) < density).to(torch.uint8)
    expected = 0.5 * conv(spikes.float().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    out = torch.full(expected.shape, float("nan"))
    sums = torch.full((9, 2, outputs), float("nan"), dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikeport.models.rate_conv.way_of", lambda *_: way)
        SpikeConv(conv, 0.5, 1, density)(spikes, out, sums)
    assert torch.equal(out, expected)
    doubled = expected.detach().double().flatten(1, 2)
    torch.testing.assert_close(sums[:, 0], doubled.sum(dim=1), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(sums[:, 1], doubled.square().sum(dim=1), rtol=1e-6, atol=1e-4)


def test_how_a_convolution_is_summed_follows_from_its_shape_and_its_spikes():
    def conv(channels: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        return nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    many = 1 << 17
    assert way_of(conv(16, 16), many, 0.15) == "sweep"
    assert way_of(conv(32, 64, stride=2), many, 0.15) == "fours"
    assert way_of(conv(256, 256), many, 0.15) == "singles"  # a table of patterns would not stay in the cache
    assert way_of(conv(64, 64), 1 << 10, 0.15) == "singles"  # nor would it pay for so few positions
    assert way_of(conv(256, 256), many, 0.9) == "dense"
    assert way_of(conv(16, 32, kernel=1), many, 0.15) == "dense"
    assert way_of(conv(64, 64, groups=2), many, 0.15) == "dense"


def both(
    net: GraphNet, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """(rates and logits, gradients, buffers afterwards) of the compiled path, and of the plain one; it is the compiled
    one that runs where it is expected to."""
    names = [unit.name for unit in net.architecture.units]
    taken: list[str] = []
    respond = rate_fast.respond

    def spied(node, sources, n_steps):
        taken.append(node.unit.name)
        return respond(node, sources, n_steps)

    found = []
    for plain in (False, True):
        twin = copy.deepcopy(net)
        with monkeypatch.context() as patch:
            patch.setattr("spikeport.models.rate_fast.respond", spied)
            if plain:
                patch.setattr(COMPILED, lambda: None)
            answer = through_rates(twin, x, names)
        head = torch.randn(answer.logits.shape, generator=rng(8))
        parameters = dict(twin.named_parameters())
        grads = torch.autograd.grad((answer.logits * head).sum(), list(parameters.values()))
        values = {name: rate.detach() for name, rate in answer.rates.items()} | {"logits": answer.logits.detach()}
        found.append([values, dict(zip(parameters, grads, strict=True)), dict(twin.named_buffers())])
    assert set(taken) == set(names[:-1])
    return found[0], found[1]


def same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Equal up to a share of each tensor's largest entry."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        limit = tolerance * max(float(value.abs().max()), 1e-3)
        assert float((found[name].double() - value.double()).abs().max()) <= limit, name


def spiking(units: tuple[Unit, ...], shape: tuple[int, ...], profile: Profile, n_steps: int, seed: int) -> GraphNet:
    """A network whose weights are on a grid, so that both paths have the same currents to the bit."""
    architecture = Architecture(
        name="net", input_shape=shape, n_classes=units[-1].channels, units=units, taps=(units[0].name,)
    )
    net = as_spiking(build_ann(architecture, rng(seed)), profile, n_steps)
    with torch.no_grad():
        for index, parameter in enumerate(net.parameters()):
            fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 4
            limit = max(2, round(96 / fan_in**0.5))
            parameter.copy_(on_grid(*parameter.shape, step=1 / 32, limit=limit, seed=seed + index))
    return net


def pictures(*shape: int, seed: int) -> Tensor:
    return on_grid(*shape, step=1 / 8, limit=16, seed=seed + 77)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(list(PROFILES)), st.booleans(), st.integers(1, 6), st.booleans(),
    st.sampled_from([4, 6, 16]), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.sampled_from([None, 0, 2]),
    st.sampled_from(["channel", "neuron", "none"]), st.sampled_from([None, "identity", "conv", "pool", "linear"]),
    st.integers(0, 99),
)  # fmt: skip
def test_both_paths_have_the_same_rates_and_gradients(
    name, detach, n_steps, held, channels, stride, groups, padding, bias, extra, seed
):
    """Without batch norms and on a grid every current is exact, so rates are equal and gradients up to rounding."""
    profile = replace(PROFILES[name], detach_reset=detach)
    wire = ConvWire(source="a", stride=stride, groups=groups, padding=padding, norm=False, bias=bias)
    units = [
        Unit(name="a", channels=channels, wires=(ConvWire(source=INPUT, kernel=(3, 2), norm=False),)),
        Unit(name="b", channels=channels, wires=(wire,)),
    ]
    second = ConvWire(source="b", norm=False)
    if extra == "identity":
        units.append(Unit(name="c", channels=channels, wires=(second, IdentityWire(source="b", scale=0.5))))
    elif extra == "conv":
        units.append(Unit(name="c", channels=4, wires=(second, ConvWire(source="b", kernel=1, norm=False))))
    elif extra == "pool":
        pool = PoolWire(source="b", kernel=(2, 3), stride=(1, 2), padding=1)
        units.append(Unit(name="c", channels=channels, wires=(pool,)))
    elif extra == "linear":
        units.append(Unit(name="c", channels=12, wires=(LinearWire(source="b"),)))
    last = units[-1].name
    units.append(Unit(name="readout", channels=3, wires=(LinearWire(source=last),)))
    net = spiking(tuple(units), (2, 7, 6), profile, n_steps, seed)
    net.spiking[0].threshold.fill_(0.75)
    net.spiking[1].amplitude.fill_(0.5)
    x = pictures(5, 2, 7, 6, seed=seed) if held else pictures(n_steps, 5, 2, 7, 6, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        (rates, grads, _), (plain_rates, plain_grads, _) = both(net, x, patch)
    same(rates, plain_rates, 1e-6)
    same(grads, plain_grads, 1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("name", ["loihi", "tet_lif", "ratebp_lif", "braincog_lif"])
def test_residual_blocks_with_batch_norms_are_the_same_on_both_paths(monkeypatch, name, held, training):
    """Batch statistics, running statistics, gradients of gamma and beta, projections, identity shortcuts."""
    architecture = resnet((3, 12, 12), 3, name="tiny", stem=8, widths=(8, 32), blocks=(2, 1))
    net = as_spiking(build_ann(architecture, rng(1)), PROFILES[name], 4).train(training)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.add_(0.5 * torch.rand(module.weight.shape, generator=rng(2)))
                module.bias.add_(0.2)
                assert module.running_var is not None
                module.running_var.fill_(0.5)
    x = 2 * torch.rand(6, 3, 12, 12, generator=rng(3)) if held else torch.rand(4, 6, 3, 12, 12, generator=rng(3))
    (rates, grads, buffers), (plain_rates, plain_grads, plain_buffers) = both(net, x, monkeypatch)
    same(rates, plain_rates, 1e-5)
    same(grads, plain_grads, 1e-3)
    same(buffers, plain_buffers, 1e-5)


def test_a_bias_under_a_batch_norm_moves_the_running_mean_alone(monkeypatch):
    wires = (ConvWire(source=INPUT, norm_bias=True),)
    units = (
        Unit(name="a", channels=4, wires=wires),
        Unit(name="b", channels=4, wires=(ConvWire(source="a", norm_bias=True),)),
        Unit(name="readout", channels=3, wires=(LinearWire(source="b", mean=True),)),
    )
    for training in (True, False):
        net = spiking(units, (2, 6, 6), PROFILES["tet_lif"], 3, seed=5).train(training)
        with torch.no_grad():
            net.get_parameter("nodes.a.synapses.0.norm.weight").fill_(1.5)
            net.get_parameter("nodes.b.synapses.0.norm.weight").fill_(1.25)
        (rates, grads, buffers), (plain_rates, plain_grads, plain_buffers) = both(
            net, pictures(5, 2, 6, 6, seed=5), monkeypatch
        )
        same(rates, plain_rates, 1e-5)
        same(buffers, plain_buffers, 1e-5)
        same(grads, plain_grads, 1e-2)  # of a bias under batch statistics: zero but for the plain path's rounding


def test_taking_few_samples_at_a_time_changes_nothing(monkeypatch):
    units = (
        Unit(name="a", channels=16, wires=(ConvWire(source=INPUT, norm=False),)),
        Unit(name="b", channels=16, wires=(ConvWire(source="a", norm=False), IdentityWire(source="a"))),
        Unit(name="readout", channels=3, wires=(LinearWire(source="b", mean=True),)),
    )
    net = spiking(units, (2, 6, 6), PROFILES["loihi"], 3, seed=1)
    x = pictures(7, 2, 6, 6, seed=1)
    whole = through_rates(net, x, ["b"]).rates["b"]
    for module in ("rate_fast", "rate_conv"):
        monkeypatch.setattr(f"spikeport.models.{module}.CHUNK_BYTES", 4 * 3 * 16 * 36 * 2)  # two samples
    assert torch.equal(through_rates(net, x, ["b"]).rates["b"], whole)
    assert 0 < float(whole.detach().mean()) < 1


def test_more_threads_give_the_same_bits():
    architecture = resnet((3, 8, 8), 3, name="tiny", stem=16, widths=(16,), blocks=(1,))
    net = as_spiking(build_ann(architecture, rng(1)), PROFILES["tet_lif"], 4)
    x = 2 * torch.rand(6, 3, 8, 8, generator=rng(3))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(through_rates(copy.deepcopy(net), x, ["stage1.1b"]).rates["stage1.1b"])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_frozen_parameters_get_no_gradient_and_pass_it_on():
    architecture = resnet((3, 8, 8), 3, name="tiny", stem=8, widths=(8,), blocks=(1,))
    net = as_spiking(build_ann(architecture, rng(1)), PROFILES["tet_lif"], 4)
    last = net.node("stage1.1b").requires_grad_(False)
    through_rates(net, 2 * torch.rand(6, 3, 8, 8, generator=rng(3))).logits.square().sum().backward()
    assert all(parameter.grad is None for parameter in last.parameters())
    first = net.get_parameter("nodes.stem.synapses.0.weighted.weight")
    assert first.grad is not None
    assert float(first.grad.abs().max()) > 0


def test_spikes_of_one_batch_do_not_reach_the_rates_of_another():
    """The memory of spikes is used again; what was answered before is not."""
    architecture = resnet((3, 8, 8), 3, name="tiny", stem=8, widths=(8,), blocks=(1,))
    net = as_spiking(build_ann(architecture, rng(1)), PROFILES["tet_lif"], 4).eval()
    first = through_rates(net, 2 * torch.rand(6, 3, 8, 8, generator=rng(3)), ["stem"])
    copies = first.rates["stem"].clone(), first.logits.clone()
    second = through_rates(net, 2 * torch.rand(6, 3, 8, 8, generator=rng(4)), ["stem"])
    assert torch.equal(first.rates["stem"], copies[0])
    assert torch.equal(first.logits, copies[1])
    assert not torch.equal(second.logits, first.logits)


def test_a_pool_of_memory_lends_what_it_got_back_and_keeps_no_more_than_its_limit():
    pool = Pool(limit=1 << 20)
    lent = pool.take((1 << 17,), torch.float32)  # half of the limit
    address = lent.data_ptr()
    pool.give(lent)
    assert pool.take((1000, 100), torch.float32).data_ptr() == address
    pool.give(torch.empty(1 << 21, dtype=torch.uint8))
    assert pool.kept == 0
    pool.give(lent[:10])
    assert pool.kept == 1 << 19


def test_low_precision_and_double_networks_take_the_plain_path(monkeypatch):
    architecture = resnet((3, 8, 8), 3, name="tiny", stem=8, widths=(8,), blocks=(1,))
    net = as_spiking(build_ann(architecture, rng(1)), PROFILES["tet_lif"], 4)
    x = torch.rand(6, 3, 8, 8, generator=rng(3))

    def refused(*_):
        raise AssertionError("the compiled path was taken")

    monkeypatch.setattr("spikeport.models.rate_fast.respond", refused)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        through_rates(net, x)
    through_rates(copy.deepcopy(net).double(), x.double())
    with pytest.raises(AssertionError, match="was taken"):
        through_rates(net, x)


def test_a_convolution_of_spikes_is_linear_in_what_they_are_worth():
    conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)
    spikes = (torch.rand(4, 6, 6, 16, generator=rng(1)) < 0.3).to(torch.uint8)
    out = torch.empty(4, 6, 6, 16)
    SpikeConv(conv, 0.25, 1 << 17, 0.3)(spikes, out, None)
    expected = functional.conv2d(0.25 * spikes.float().permute(0, 3, 1, 2), conv.weight, padding=1)
    torch.testing.assert_close(out, expected.detach().permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)

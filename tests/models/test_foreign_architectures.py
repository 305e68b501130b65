"""What networks from elsewhere need: uneven windows, max pools, a bias per neuron, ceilings, scales, vectors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import (
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Unit,
    as_spiking,
    build_ann,
)
from spikeport.models.integer import IntegerNode, IntegerReadout, IntegerSynapses
from torch import nn
from torch.nn import functional


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(*units: Unit, shape: tuple[int, ...] = (2, 6, 7)) -> GraphNet:
    classes = units[-1].channels
    architecture = Architecture(name="net", input_shape=shape, n_classes=classes, units=units, taps=())
    return build_ann(architecture, rng()).eval()


def pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


@settings(deadline=None, max_examples=60)
@given(pairs(1, 4), pairs(1, 3), pairs(0, 2), pairs(1, 3), pairs(4, 9))
def test_shapes_of_any_convolution_are_torchs(kernel, stride, padding, dilation, size):
    assume(all(d * (k - 1) < n + 2 * p for d, k, n, p in zip(dilation, kernel, size, padding, strict=True)))
    wire = ConvWire(source=INPUT, kernel=kernel, stride=stride, padding=padding, dilation=dilation, norm=False)
    net = build(Unit(name="a", channels=2, wires=(wire,)), shape=(1, *size))
    expected = nn.Conv2d(1, 2, kernel, stride, padding, dilation)(torch.zeros(1, 1, *size)).shape[1:]
    assert net.architecture.shapes()["a"] == tuple(expected)
    assert tuple(net(torch.zeros(1, 1, *size))[0].shape[1:]) == tuple(expected)


@settings(deadline=None, max_examples=60)
@given(pairs(1, 4), pairs(1, 3), pairs(0, 2), pairs(4, 9))
def test_shapes_of_any_max_pool_are_torchs(kernel, stride, padding, size):
    assume(all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    assume(all(k <= n + 2 * p for k, n, p in zip(kernel, size, padding, strict=True)))
    first = Unit(name="a", channels=3, wires=(ConvWire(source=INPUT, kernel=1, norm=False),))
    pool = PoolWire(source="a", kernel=kernel, stride=stride, padding=padding)
    net = build(first, Unit(name="pool", channels=3, wires=(pool,)), shape=(1, *size))
    expected = nn.MaxPool2d(kernel, stride, padding)(torch.zeros(1, 3, *size)).shape[1:]
    assert net.architecture.shapes()["pool"] == tuple(expected)


def test_one_number_is_both_of_a_pair():
    assert ConvWire(source=INPUT, kernel=5, stride=2).window == ((5, 5), (2, 2), (2, 2), (1, 1))
    assert ConvWire(source=INPUT, kernel=(1, 5)).window == ((1, 5), (1, 1), (0, 2), (1, 1))
    assert ConvWire(source=INPUT, padding=0, dilation=(2, 1)).window == ((3, 3), (1, 1), (0, 0), (2, 1))
    assert PoolWire(source="a", kernel=3, padding=1).window == ((3, 3), (2, 2), (1, 1), (1, 1))


def test_a_bias_per_neuron_is_added_where_it_belongs():
    wire = ConvWire(source=INPUT, norm=False, bias="neuron")
    net = build(Unit(name="a", channels=3, wires=(wire,)))
    state = net.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "nodes.a.synapses.0.weighted.weight": (3, 2, 3, 3),
        "nodes.a.synapses.0.bias": (3, 6, 7),
    }
    values = torch.randn(3, 6, 7, generator=rng(1))
    state["nodes.a.synapses.0.bias"].copy_(values)
    x = torch.rand(4, 2, 6, 7, generator=rng(2))
    expected = functional.conv2d(x, state["nodes.a.synapses.0.weighted.weight"], padding=1) + values
    torch.testing.assert_close(net(x)[0], expected)


def test_a_wire_may_have_no_bias():
    net = build(
        Unit(name="a", channels=3, wires=(ConvWire(source=INPUT, norm=False, bias="none"),)),
        Unit(name="out", channels=2, wires=(LinearWire(source="a", bias=False),)),
    )
    assert [name for name in net.state_dict() if name.endswith("bias")] == []


def test_a_ceiling_cuts_the_activation():
    wire = ConvWire(source=INPUT, kernel=1, norm=False)
    net = build(
        Unit(name="a", channels=2, wires=(wire,), ceiling=0.25),
        Unit(name="b", channels=2, wires=(LinearWire(source="a"),)),
    )
    x = 4 * torch.rand(2, 2, 6, 7, generator=rng(1))
    _, taps = net(x, ["a"])
    conv = net.node("a").synapses[0](x)
    assert float(conv.detach().max()) > 0.25
    assert torch.equal(taps["a"], torch.where(conv > 0.25, 0.25, conv.relu()))


def test_a_scaled_identity_scales():
    net = build(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT, norm=False),)),
        Unit(name="b", channels=4, wires=(IdentityWire(source="a", scale=-0.5), IdentityWire(source="a"))),
    )
    x = torch.rand(2, 2, 6, 7, generator=rng(1))
    out, taps = net(x, ["a"])
    torch.testing.assert_close(out, 0.5 * taps["a"])


def pooled(kernel: tuple[int, int] = (2, 3), padding: tuple[int, int] = (0, 1)) -> GraphNet:
    return build(
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT, norm=False),)),
        Unit(name="pool", channels=4, wires=(PoolWire(source="a", kernel=kernel, padding=padding),)),
        Unit(name="out", channels=3, wires=(LinearWire(source="pool"),)),
    )


def test_an_ann_pools_the_largest_activation():
    _, taps = pooled()(torch.rand(3, 2, 6, 7, generator=rng(1)), ["a", "pool"])
    assert torch.equal(taps["pool"], functional.max_pool2d(taps["a"], (2, 3), 2, (0, 1)))


def test_a_spiking_pool_is_the_or_of_its_window_at_every_step():
    """Written out: at the edge the window is smaller, and nothing lies beyond it."""
    net = as_spiking(pooled(), PROFILES["loihi"], 6)
    _, taps = net(3 * torch.rand(2, 2, 6, 7, generator=rng(1)), ["a", "pool"])
    source, pool = taps["a"] > 0, taps["pool"] > 0
    assert set(taps["pool"].unique().tolist()) == {0.0, 1.0}
    for row in range(3):
        for column in range(4):
            left = 2 * column - 1
            window = source[..., 2 * row : 2 * row + 2, max(left, 0) : left + 3]
            assert torch.equal(pool[..., row, column], window.flatten(-2).any(-1))


def test_a_pool_has_no_neurons_of_its_own():
    net = as_spiking(pooled(), PROFILES["loihi"], 2)
    assert len(net.spiking) == 1
    assert list(net.node("pool").parameters()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoolWire(source=INPUT), "a max pool of the input has no spiking twin; put a convolution before it"),
        (lambda: PoolWire(source="a", kernel=2, padding=(1, 2)), r"padding of \(1, 2\) is more than half its kernel 2"),
        (
            lambda: Unit(name="b", channels=2, wires=(PoolWire(source="a"), IdentityWire(source="a"))),
            "b: a max pool cannot be summed with other wires; give it a unit of its own",
        ),
    ],
)
def test_a_pool_that_cannot_spike_is_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_vectors_are_inputs_like_images():
    net = build(
        Unit(name="h", channels=4, wires=(LinearWire(source=INPUT),)),
        Unit(name="out", channels=3, wires=(LinearWire(source="h"),)),
        shape=(5,),
    )
    x = 3 * torch.rand(6, 5, generator=rng(1))
    assert net(x)[0].shape == (6, 3)
    twin = as_spiking(net, PROFILES["loihi"], 4)
    held = twin(x)[0]
    torch.testing.assert_close(held, twin(x.expand(4, 6, 5))[0])
    assert held.shape == (4, 6, 3)
    with pytest.raises(BadInput, match=r"an input of shape \(6, 4\) does not end in \(5,\)"):
        net(x[:, :4])


@pytest.mark.parametrize("name", ["keys", "type", "0.weight", "/block/Relu_output_0"])
def test_a_unit_may_have_any_name(name):
    """torch keeps some names for its own methods."""
    net = build(
        Unit(name=name, channels=4, wires=(LinearWire(source=INPUT),)),
        Unit(name="out", channels=3, wires=(LinearWire(source=name),)),
    )
    assert net.node(name).unit.name == name
    assert list(net(torch.zeros(1, 2, 6, 7), [name])[1]) == [name]


def test_names_that_become_one_are_refused():
    with pytest.raises(BadInput, match=r"the unit names a\.b, a_b are too alike; rename one"):
        build(
            Unit(name="a.b", channels=4, wires=(LinearWire(source=INPUT),)),
            Unit(name="a_b", channels=3, wires=(LinearWire(source="a.b"),)),
        )


def test_an_integer_bias_per_neuron_is_rounded_like_one_per_channel():
    """A convolution of weight 10 with a bias for each of 2 x 2 neurons, and a projection with one per channel."""
    wires = (
        ConvWire(source=INPUT, kernel=1, norm=False, bias="neuron"),
        ConvWire(source="b", kernel=1, norm=False, bias="channel"),
    )
    unit = Unit(name="a", channels=1, wires=wires)
    weight = torch.ones(1, 1, 1, 1)
    maps = IntegerSynapses(wires[0], weight, torch.tensor([[[0.1, 0.2], [0.26, -0.9]]]), 10.0)
    flat = IntegerSynapses(wires[1], weight, torch.tensor([0.1]), 10.0)
    node = IntegerNode(unit, [maps, flat], IntegerReadout(3, 10), bias_limit=4)
    assert node.grid_bias.tolist() == [[[2, 3], [4, -4]]]  # 2, 3, 3.6 and -8, which is held at the limit
    x = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]])
    assert node.current([x, torch.zeros(1, 1, 2, 2)], [True, True]).tolist() == [[[[12, 3], [4, 16]]]]


def test_without_any_bias_the_integer_bias_is_zero():
    wire = LinearWire(source=INPUT, bias=False)
    synapses = IntegerSynapses(wire, torch.ones(3, 2), None, 10.0)
    node = IntegerNode(Unit(name="a", channels=3, wires=(wire,)), [synapses], IntegerReadout(1, 10), bias_limit=4)
    assert node.grid_bias.tolist() == [0, 0, 0]

"""A folded ANN as a network of the pipeline: the same outputs, and what cannot be one is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from spikeport.export.floatgraph import Conv, Integrate, Linear, Relu
from spikeport.hw import BadInput, UnsupportedLayer
from spikeport.models import ConvWire, IdentityWire, LinearWire, PoolWire
from spikeport.pipeline.adopt.evaluate import evaluate
from spikeport.pipeline.adopt.folded import Edge, Folded
from spikeport.pipeline.adopt.normalise import with_raw_pixels
from spikeport.pipeline.adopt.teacher import to_graphnet

from . import folded_nets
from .folded_nets import conv, draw, folded, pool, same, unit


def batch(network: Folded, count: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *network.source_shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", folded_nets.NETS)
def test_every_population_of_the_teacher_gives_what_the_folded_network_gives(name):
    network = folded_nets.NETS[name]()
    net, x = to_graphnet(network), batch(network)
    names = [part.name for part in net.architecture.units]
    with torch.no_grad():
        logits, taps = net(x, names)
    expected = evaluate(network, x)
    for mine, theirs in zip(names, network.units, strict=True):
        wanted = expected[theirs.name]
        assert float((taps[mine] - wanted).abs().max()) < 1e-6 * max(1.0, float(wanted.abs().max())), mine
        assert float(wanted.std()) > 0.01  # a population that says something
    assert torch.equal(logits, taps[names[-1]])


def test_a_teacher_is_trained_like_any_other():
    network = folded_nets.residual()
    net = to_graphnet(network).train()
    net(batch(network))[0].square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


def test_a_matrix_that_weighs_all_positions_alike_reads_the_spatial_mean():
    units = {part.name: part for part in to_graphnet(folded_nets.residual()).architecture.units}
    assert units["out"].wires == (LinearWire(source="b3", mean=True),)
    units = {part.name: part for part in to_graphnet(folded_nets.chain()).architecture.units}
    assert units["c"].wires == (LinearWire(source="b"),)


def test_one_wire_of_a_unit_holds_its_bias():
    units = {part.name: part for part in to_graphnet(folded_nets.residual()).architecture.units}
    b2, b3 = units["b2"].wires, units["b3"].wires
    assert [type(wire) for wire in b2] == [ConvWire, IdentityWire]
    assert [wire.bias for wire in b3 if isinstance(wire, ConvWire)] == ["channel", "none"]
    first = to_graphnet(folded_nets.chain()).architecture.units[0].wires[0]
    assert isinstance(first, ConvWire)
    assert first.bias == "neuron"


def test_a_sum_of_identities_alone_is_written_with_one_matrix():
    net = to_graphnet(folded_nets.residual())
    wires = net.node("sum").unit.wires
    assert [type(wire) for wire in wires] == [ConvWire, IdentityWire]
    weight = net.state_dict()["nodes.sum.synapses.0.weighted.weight"]
    assert torch.equal(weight[:, :, 0, 0], torch.eye(4))
    assert wires[1] == IdentityWire(source="b1", scale=0.25)


def test_taps_are_the_populations_that_have_neurons():
    architecture = to_graphnet(folded_nets.residual()).architecture
    assert architecture.taps == ("stem", "b1", "b2", "sum", "b3")
    assert architecture.units[1].wires == (PoolWire(source="stem", kernel=(3, 3), stride=(2, 2), padding=(1, 1)),)


def test_a_node_named_like_the_input_gets_another_name():
    assert to_graphnet(folded_nets.vectors()).architecture.units[-1].name == "input_"


def linear(source: str, out: int, into: int) -> Edge:
    return Edge(source=source, op=Linear(weight=draw(out, into, seed=out)))


OUT = unit("out", (3,), [linear("a", 3, 4 * 64)], op=None)
FIRST = unit("a", (4, 8, 8), [conv("x", 4, 2, seed=1)])
REFUSED = {
    r"node b: b: it has no ReLU and could not be folded": [
        FIRST,
        unit("b", (4, 8, 8), [conv("a", 4, 4, seed=2)], op=None),
        replace(OUT, edges=(linear("b", 3, 256),)),
    ],
    r"node out: out: the output has a ReLU; leave the last activation out": [FIRST, replace(OUT, op=Relu())],
    r"node b: b: the output has shape \(4, 8, 8\); end in one value per class": [
        FIRST,
        unit("b", (4, 8, 8), [conv("a", 4, 4, seed=2)], op=None),
    ],
    r"node out: out: it is the only layer, so nothing would spike": [replace(OUT, edges=(linear("x", 3, 128),))],
    r"node p: p: it is a max pool of the input, .*; put a convolution before it": [
        unit("p", (2, 4, 4), [Edge(source="x", op=pool())], op=None),
        replace(OUT, edges=(linear("p", 3, 32),)),
    ],
    r"node p: p: a pool of kind average was not folded": [
        FIRST,
        unit("p", (4, 4, 4), [Edge(source="a", op=pool("average"))], op=None),
        replace(OUT, edges=(linear("p", 3, 64),)),
    ],
    r"node b: b: it is a Integrate, not an ANN's activation": [
        FIRST,
        unit("b", (4, 8, 8), [conv("a", 4, 4, seed=2)], op=Integrate()),
        replace(OUT, edges=(linear("b", 3, 256),)),
    ],
    r"node b: b: an ANN has neither delays nor loops": [
        FIRST,
        unit("b", (4, 8, 8), [replace(conv("a", 4, 4, seed=2), delay=np.array(2))]),
        replace(OUT, edges=(linear("b", 3, 256),)),
    ],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_spiking_twin_is_refused_with_its_place_and_reason(message):
    with pytest.raises(UnsupportedLayer, match=message):
        to_graphnet(folded(REFUSED[message], (2, 8, 8), "net"))


@pytest.mark.parametrize("name", folded_nets.NETS)
def test_a_normalisation_is_folded_exactly_also_where_the_first_layer_pads(name):
    """The network on pixels against the network on (pixels - mean) / std, at every neuron of every population."""
    network = folded_nets.NETS[name]()
    channels = network.source_shape[0]
    mean, std = np.linspace(0.2, 0.6, channels), np.linspace(0.5, 0.1, channels)
    x = batch(network).double()
    axes = (1, channels, *[1] * (x.ndim - 2))
    expected = evaluate(network, (x - torch.from_numpy(mean).reshape(axes)) / torch.from_numpy(std).reshape(axes))
    found = evaluate(with_raw_pixels(network, list(mean), list(std)), x)
    for part in network.units:
        torch.testing.assert_close(found[part.name], expected[part.name], rtol=1e-10, atol=1e-10)


def test_a_first_layer_that_pads_gets_a_bias_per_neuron_and_one_that_does_not_keeps_one_per_channel():
    padded = with_raw_pixels(folded_nets.residual(), [0.5], [0.25])
    assert padded.units[0].bias.shape == (4, 8, 8)
    border = padded.units[0].bias - padded.units[0].bias[:, 3:4, 3:4]
    assert np.abs(border[:, 1:-1, 1:-1]).max() < 1e-12
    assert np.abs(border[:, 0]).min() > 0  # taps that lie outside never met the mean
    bare = unit("a", (4, 6, 6), [Edge(source="x", op=Conv(weight=draw(4, 2, 3, 3, seed=1)))])
    network = folded([bare, replace(OUT, edges=(linear("a", 3, 144),))], (2, 8, 8), "bare")
    assert with_raw_pixels(network, [0.5], [0.25]).units[0].bias.shape == (4,)
    assert with_raw_pixels(folded_nets.residual(), [0.0], [0.25]).units[0].bias.shape == (4,)


def test_a_normalisation_is_in_the_record_of_rewrites():
    rows = with_raw_pixels(folded_nets.residual(), [0.5], [0.25]).foldings
    assert [(row.node, row.into, row.exact) for row in rows] == [("x", "stem", True)]
    assert "mean [0.5], std [0.25]" in rows[0].what


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.1, 0.2, 0.3], [1.0], "model.mean has 3 values, the input has 2 channels; give 1 per channel"),
        ([0.1], [1.0, 0.0], "std above 0"),
        ([float("nan")], [1.0], "give finite numbers"),
    ],
)
def test_a_normalisation_of_other_sizes_or_signs_is_refused(mean, std, message):
    with pytest.raises(BadInput, match=message):
        with_raw_pixels(folded_nets.residual(), mean, std)


def test_a_shortcut_from_the_input_cannot_be_normalised():
    first = unit("a", (2, 8, 8), [conv("x", 2, 2, seed=1), same("x", 1.0)])
    network = folded([first, replace(OUT, edges=(linear("a", 3, 128),))], (2, 8, 8), "skip")
    with pytest.raises(UnsupportedLayer, match="node a: a reads the input through a Same"):
        with_raw_pixels(network, [0.5], [0.25])

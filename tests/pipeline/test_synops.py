"""Operations counted on a float network are those the simulator counts on the chip's."""

from __future__ import annotations

import pytest
import torch
from spikeport import sim
from spikeport.hw import BadInput, UnsupportedLayer
from spikeport.models import (
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    IdentityWire,
    LinearWire,
    PoolWire,
    Rectify,
    Synapses,
    Unit,
    as_spiking,
    build_ann,
)
from spikeport.models.architecture import Attention
from spikeport.pipeline.synops import activity, synapses_from, synops_by_step

from . import tiny_nets


@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
def test_the_counts_are_the_simulators_at_every_timestep(name):
    """The integer twin is a GraphNet that spikes as the chip's network does (T-HW-1): both count the same events."""
    architecture = tiny_nets.WITH_VARIED[name]()
    net, scales, network = tiny_nets.integer(architecture, n_steps=5)
    payload = tiny_nets.payloads(architecture, scales.payload_bits, count=7)
    counts = sim.run(network, payload).counts
    found = activity(net, payload.float(), size=3)
    for population, events in found.spikes.items():
        assert torch.equal((events * 7).round().long(), counts.spikes[population].sum(dim=1)), population
    # An identity is stored as a matrix with zeros in it; it is one synapse per neuron. A weight may be rounded to zero.
    effective = sum(table.sum(dim=1) for table in counts.synops_effective.values())
    stored = sum(table.sum(dim=1) for table in counts.synops.values())
    total = (synops_by_step(net, payload.float()) * 7).round().long()
    assert torch.all(effective <= total)
    assert torch.all(total <= stored)
    assert int(total.sum()) > 0
    assert found.synops_by_step().shape == (5,)


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_without_identities_over_many_groups_the_count_is_exactly_the_stored_one(name):
    architecture = tiny_nets.ARCHITECTURES[name]()
    net, scales, network = tiny_nets.integer(architecture, n_steps=4, seed=3)
    payload = tiny_nets.payloads(architecture, scales.payload_bits, count=4)
    stored = sum(table.sum(dim=1) for table in sim.run(network, payload).counts.synops.values())
    assert torch.equal((synops_by_step(net, payload.float()) * 4).round().long(), stored)


def test_the_events_of_a_clip_count_at_their_own_timestep():
    """As the simulator counts them, and those of the input as the frames hold them."""
    architecture = tiny_nets.ARCHITECTURES["chain"]()
    net, scales, network = tiny_nets.integer(architecture, n_steps=4)
    clip = torch.stack([tiny_nets.payloads(architecture, scales.payload_bits, count=5, seed=t) for t in range(4)])
    clip[2] = 0
    counts, found = sim.run(network, clip).counts, activity(net, clip.float(), size=2)
    for population, events in found.spikes.items():
        assert torch.equal((events * 5).round().long(), counts.spikes[population].sum(dim=1)), population
    assert torch.equal((found.spikes[INPUT] * 5).round().long(), (clip != 0).sum(dim=(1, 2, 3, 4)))
    assert found.spikes[INPUT][2] == 0


def test_fan_outs_are_those_counted_by_hand():
    """3 x 3 kernel, padding 1, on 3 x 3: a corner is under 2 x 2 kernels, an edge 2 x 3, the centre 3 x 3; times 5.

    The pool's 2 x 2 windows at stride 1 are 2 x 2; a corner of its source is in one, the centre in all four.
    """
    units = (
        Unit(name="a", channels=5, wires=(ConvWire(source=INPUT),)),
        Unit(name="p", channels=5, wires=(PoolWire(source="a", kernel=2, stride=1),)),
        Unit(name="b", channels=5, wires=(ConvWire(source="a"), IdentityWire(source="a"))),
        Unit(name="readout", channels=3, wires=(LinearWire(source="p"), LinearWire(source="b", mean=False))),
    )
    net = Architecture(name="by hand", input_shape=(1, 3, 3), n_classes=3, units=units, taps=("a",))
    corner, edge, centre = 4 * 5, 6 * 5, 9 * 5
    assert synapses_from(net, INPUT).tolist() == [
        [[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]]
    ]
    conv, windows = synapses_from(net, INPUT)[0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert [m.tolist() for m in synapses_from(net, "a")] == [(conv + windows + 1).tolist()] * 5
    assert set(synapses_from(net, "b").flatten().tolist()) == {3}


@pytest.mark.parametrize(
    "wire",
    [
        ConvWire(source=INPUT, kernel=(3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2),
        ConvWire(source=INPUT, stride=2, pool=2),
        ConvWire(source=INPUT, kernel=1, pool=3),
        LinearWire(source=INPUT, pool=2),
        LinearWire(source=INPUT, mean=True),
        IdentityWire(source=INPUT, pool=2, pad=True),
        IdentityWire(source=INPUT, scale=0.5),
    ],
    ids=str,
)
def test_a_neurons_fan_out_is_the_number_of_outputs_that_its_spike_changes(wire):
    """Brute force: one spike at a time through weights of one. 7 x 6 leaves rows over for windows of 2, 3."""
    source, channels = (2, 7, 6), 2 if isinstance(wire, IdentityWire) else 4
    units = (Unit(name="readout", channels=channels, wires=(wire,)),)
    net = Architecture(name="one wire", input_shape=source, n_classes=channels, units=units, taps=())
    synapses = Synapses(wire, source, channels).eval()
    with torch.no_grad():
        for name, parameter in synapses.named_parameters():
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        neurons = torch.eye(2 * 7 * 6).reshape(-1, *source)
        expected = (synapses(neurons) != 0).flatten(1).sum(dim=1).reshape(source)
    assert synapses_from(net, INPUT).tolist() == expected.tolist()


@pytest.mark.parametrize("unit", [
    Unit(name="a", channels=2, wires=(ConvWire(source=INPUT),), activation="none"),
    Unit(name="a", channels=2, wires=(IdentityWire(source=INPUT),) * 3, attention=Attention(heads=1, scale=1.0)),
], ids=["sums", "attention"])  # fmt: skip
def test_what_is_no_population_of_spiking_neurons_is_not_counted(unit):
    units = (unit, Unit(name="readout", channels=3, wires=(LinearWire(source="a"),)))
    made = Architecture(name="odd", input_shape=(2, 4, 4), n_classes=3, units=units, taps=())
    net = as_spiking(build_ann(made), PROFILES["loihi"], 2)
    with pytest.raises(UnsupportedLayer, match=r"odd/a: .* so its synaptic operations are not defined"):
        activity(net, torch.zeros(1, 2, 4, 4))


def test_a_relu_in_the_place_of_neurons_is_not_counted():
    _, student = tiny_nets.converted(tiny_nets.chain())
    student.node("c").neuron = Rectify()
    with pytest.raises(UnsupportedLayer, match=r"chain/c: hands on real values, not spikes"):
        activity(student, tiny_nets.images(student.architecture))


def test_every_pixel_that_is_not_black_sends_a_spike_at_every_timestep():
    architecture = tiny_nets.chain()
    _, student = tiny_nets.converted(architecture, n_steps=3)
    black = torch.zeros(2, *architecture.input_shape)
    one = black.clone()
    one[0, 0, 0, 0] = 0.5  # a corner: 2 x 2 kernels of 4 channels; half of it, since there are two images
    assert activity(student, black).synops[INPUT].tolist() == [0, 0, 0]
    assert activity(student, one).synops[INPUT].tolist() == [8.0, 8.0, 8.0]


def test_spikes_per_neuron_is_the_mean_over_all_hidden_neurons():
    architecture = tiny_nets.chain()
    _, student = tiny_nets.converted(architecture, n_steps=4)
    x = tiny_nets.images(architecture, 6)
    with torch.no_grad():
        _, spikes = student(x, ("a", "b", "c"))
    neurons = 4 * 36 + 6 * 9 + 8
    expected = sum(float(s.sum()) for s in spikes.values()) / 6 / neurons
    assert activity(student, x).spikes_per_neuron() == pytest.approx(expected, rel=1e-12)
    assert expected > 0


def test_an_ann_and_foreign_images_are_refused():
    architecture = tiny_nets.chain()
    with pytest.raises(BadInput, match="chain: is an ANN, which sends no spikes"):
        activity(build_ann(architecture), torch.zeros(1, 2, 6, 6))
    _, student = tiny_nets.converted(architecture)
    with pytest.raises(BadInput, match=r"images of shape \(3, 2, 5, 6\); give \(N, \*\(2, 6, 6\)\)"):
        activity(student, torch.zeros(3, 2, 5, 6))

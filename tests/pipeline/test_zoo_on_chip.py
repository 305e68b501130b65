"""Small members of the zoo's families from the ANN to the chip's network: the same spikes at every hand-over."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from spikeport import hw, sim
from spikeport.export.lowering import to_chain
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
)
from spikeport.models.integer import as_integer, integer_logits
from spikeport.models.zoo.preactivation import event_resnet, pyramidnet, wide_resnet
from spikeport.models.zoo.resnet import resnet
from spikeport.models.zoo.spikformer import spikformer
from spikeport.models.zoo.vgg import vgg
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.compensate import compensate
from spikeport.pipeline.convert import convert
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.lower import to_network
from spikeport.pipeline.scales import Scales, choose_scales, contain_
from spikeport.pipeline.simplify import simplify

from . import tiny_nets

LOIHI2 = hw.CHIPS["loihi2"]


def pooled_vgg() -> Architecture:
    """4 - max - 6 - average - 8 - average over what is left - 10 - classes."""
    return vgg((2, 16, 16), 3, name="pooled", layers=(4, "M", 6, "A", 8, "A"), head=(10,))


def strided_vgg() -> Architecture:
    """SASTC's: strides, and linear layers in a row."""
    return vgg((2, 8, 8), 3, name="strided", layers=(4, (6, 2), 6), head=(8, 8), head_activation="none")


def pooled_shortcuts() -> Architecture:
    """CKDSNN's."""
    return resnet(
        (2, 8, 8),
        3,
        name="pooled_r",
        stem=4,
        widths=(4, 6),
        blocks=(1, 2),
        pooled_shortcuts=True,
        head=8,
        head_activation="none",
    )


def bottlenecks() -> Architecture:
    return resnet((2, 8, 8), 3, name="bottle", stem=4, widths=(2, 3), blocks=(1, 1), bottleneck=2, head=8)


def wide() -> Architecture:
    """The stream of each stage starts with a projection, then an identity."""
    return wide_resnet((2, 8, 8), 3, name="wide", depth=16, width=2)


def element_wise() -> Architecture:
    """SEW: max pool, a sum of spikes, a projection with neurons, a sum of a sum."""
    add = {"channels": 4, "activation": "none"}
    units = (
        Unit(name="stem", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="pool", channels=4, wires=(PoolWire(source="stem", kernel=3, padding=1),)),
        Unit(name="a", channels=4, wires=(ConvWire(source="pool"),)),
        Unit(name="first", wires=(IdentityWire(source="a"), IdentityWire(source="pool")), **add),
        Unit(name="b", channels=4, wires=(ConvWire(source="first"),)),
        Unit(name="second", wires=(IdentityWire(source="b"), IdentityWire(source="first")), **add),
        Unit(name="c", channels=6, wires=(ConvWire(source="second", stride=2, kernel=1),)),
        Unit(name="readout", channels=3, wires=(LinearWire(source="c", mean=True),)),
    )
    return Architecture(name="sew", input_shape=(2, 8, 8), n_classes=3, units=units, taps=("stem", "first", "second"))


def events() -> Architecture:
    """CKD's residual network: its read-out reads the sums of the last stage."""
    return event_resnet((2, 8, 8), 3, name="events", stem=4, widths=(4, 6), count=1)


FAMILIES: dict[str, Callable[[], Architecture]] = {
    f.__name__: f for f in (pooled_vgg, strided_vgg, pooled_shortcuts, bottlenecks, wide, element_wise, events)
}

SOFTWARE: dict[str, Callable[[], Architecture]] = {
    "pyramid": lambda: pyramidnet((2, 8, 8), 3, name="pyramid", blocks=1, alpha=12),
    "transformer": lambda: spikformer((2, 8, 8), 3, name="transformer", depth=1, width=16, heads=2),
}


def student_of(architecture: Architecture, n_steps: int = 4, thresholds: float = 0.5) -> GraphNet:
    """A converted network in weight form, in float64."""
    _, student = tiny_nets.converted(architecture, n_steps=n_steps, thresholds=thresholds)
    return student.double()


def quantized(student: GraphNet, v_decay: int = 0) -> tuple[GraphNet, Scales, hw.Network]:
    """What the quantize stage makes of a student before any training on the grid; events are binary spikes."""
    plain = simplify(student).float()
    scales = choose_scales(plain, LOIHI2, 0 if student.architecture.name == "events" else 4)
    net = as_integer(plain, PROFILES["loihi"].with_v_decay(v_decay), scales.units, scales.gains, LOIHI2.bias_max)
    contain_(net, LOIHI2, scales)
    return net, scales, to_network(net, scales.payload_bits)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_plain_student_gives_the_students_spikes(name):
    """T-HW-2, T-HW-4: at every step, in every population that remains."""
    student = student_of(FAMILIES[name]())
    plain = simplify(student)
    assert not student.architecture.plain or name == "bottlenecks"
    hidden = [unit.name for unit in plain.architecture.units[:-1]]
    x = tiny_nets.images(student.architecture).double()
    with torch.no_grad():
        (logits, spikes), (plain_logits, plain_spikes) = student(x, hidden), plain(x, hidden)
    for unit in hidden:
        assert torch.equal(spikes[unit], plain_spikes[unit]), unit
        assert 0 < float(spikes[unit].mean()) < 1, unit
    torch.testing.assert_close(plain_logits, logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("v_decay", [0, 410])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_chips_network_gives_the_spikes_of_the_integer_twin(name, v_decay):
    """T-HW-1, T-HW-5: bit for bit, zeros and ones alone between populations."""
    architecture = FAMILIES[name]()
    net, scales, network = quantized(student_of(architecture, 6), v_decay)
    hw.check(network, LOIHI2)
    hidden = [unit.name for unit in net.architecture.units[:-1]]
    x = tiny_nets.payloads(architecture, scales.payload_bits)
    with torch.no_grad():
        sums, spikes = net(x.float(), hidden)
    trace = sim.run(network, x, record=("spikes", "v"))
    for unit in hidden:
        assert torch.equal(spikes[unit].to(torch.uint8), trace.spikes[unit]), unit
        assert spikes[unit].unique().tolist() == [0, 1], unit
    _, exact = integer_logits(net, sums)
    assert torch.equal(exact * 64, trace.readout)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_chain_of_a_file_decides_alike(name):
    """Skips, sums read twice and streams become relays."""
    architecture = FAMILIES[name]()
    _, scales, network = quantized(student_of(architecture))
    chain, _ = to_chain(network, chip=LOIHI2)
    x = tiny_nets.payloads(architecture, scales.payload_bits)
    assert torch.equal(sim.run(chain, x).readout, sim.run(network, x).readout)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_integer_twin_keeps_to_the_student(name):
    """The grid is 8 bits of weight and 4 of input: on images of that grid rates of populations stay near."""
    architecture = FAMILIES[name]()
    student = student_of(architecture, 16)
    net, scales, _ = quantized(student)
    hidden = [unit.name for unit in net.architecture.units[:-1]]
    x = tiny_nets.payloads(architecture, scales.payload_bits)
    with torch.no_grad():
        _, spikes = net(x.float(), hidden)
        _, expected = student(x.double() / hw.Source(payload_bits=scales.payload_bits).max_payload, hidden)
    off = [float((spikes[unit].double().mean(0) - expected[unit].mean(0)).abs().mean()) for unit in hidden]
    assert max(off) < 0.1, off


@pytest.mark.parametrize("name", [*FAMILIES, *SOFTWARE])
def test_both_forms_of_conversion_emit_the_same_spikes(name):
    """T-CV-4: thresholds that are powers of two leave no rounding, through sums without neurons and attention too."""
    architecture = (FAMILIES | SOFTWARE)[name]()
    net = fold_batchnorm(tiny_nets.ann(architecture)).double()
    x = tiny_nets.images(architecture).double()
    measured = activation_scales(net, [x], 0.99)
    scales = {unit: 2.0 ** round(torch.tensor(s).log2().item()) for unit, s in measured.items()}
    assert {unit.name for unit in architecture.units[:-1] if not unit.linear} == set(scales)
    twins = [convert(net, scales, PROFILES["loihi"], 8, form=form) for form in ("weight", "threshold")]
    with torch.no_grad():
        (weight_logits, weight), (threshold_logits, threshold) = (twin(x, list(scales)) for twin in twins)
    for unit in scales:
        assert torch.equal(weight[unit] * scales[unit], threshold[unit]), unit
    torch.testing.assert_close(weight_logits, threshold_logits)


@pytest.mark.parametrize("name", ["pooled_shortcuts", "bottlenecks", "wide", "pyramid"])
def test_a_converted_residual_network_converges_to_its_ann(name):
    """T-CV-5: soft reset, thresholds at the maximum; identity, pooled, projected and padded shortcuts."""
    architecture = (FAMILIES | SOFTWARE)[name]()
    net = fold_batchnorm(tiny_nets.ann(architecture)).double()
    x = tiny_nets.images(architecture, 2).double()
    with torch.no_grad():
        expected, _ = net(x)
        logits, _ = convert(net, activation_scales(net, [x], 1.0), PROFILES["qcfs_if"], 256)(x)
    steps = (4, 32, 256)
    errors = [float((logits[:t].mean(0) - expected).abs().max() / expected.abs().max()) for t in steps]
    assert all(late < early for early, late in pairwise(errors)), errors
    assert errors[-1] < 0.04


@pytest.mark.parametrize("name", ["wide", "element_wise", "pooled_vgg"])
def test_thresholds_measured_layer_by_layer_come_nearer_to_the_ann(name):
    """Compensation walks through sums without neurons: the logits come nearer than plain conversion's."""
    architecture = FAMILIES[name]()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    x = tiny_nets.images(architecture, 64)
    made = compensate(net, x, PROFILES["loihi"], 8)
    plain = convert(net, activation_scales(net, [x], 0.999), PROFILES["loihi"], 8)
    better = convert(made.ann, made.thresholds, PROFILES["loihi"], 8, worth=made.worth)
    with torch.no_grad():
        expected, _ = net(x)
        far, near = (float((twin(x)[0].mean(0) - expected).square().mean()) for twin in (plain, better))
    assert near < 0.5 * far


def test_a_network_that_is_not_plain_is_never_put_on_the_grid():
    _, student = tiny_nets.converted(strided_vgg())
    with pytest.raises(BadInput, match=r"strided: has average pools, linear units or attention.*simplify first"):
        as_integer(student, PROFILES["loihi"], {}, {}, LOIHI2.bias_max)


@pytest.mark.parametrize("name", [*FAMILIES, *SOFTWARE])
def test_gradients_reach_every_parameter_of_the_twin(name):
    architecture = (FAMILIES | SOFTWARE)[name]()
    twin = as_spiking(tiny_nets.ann(architecture), PROFILES["loihi"], 6).train()
    logits, _ = twin(3 * tiny_nets.images(architecture))
    logits.square().sum().backward()
    for key, parameter in twin.named_parameters():
        assert parameter.grad is not None, key
        if key.endswith("weight"):
            assert parameter.grad.any(), key

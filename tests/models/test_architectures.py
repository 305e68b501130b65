"""The architectures: parameter counts derived by hand or published, shapes, and the structure of a residual block."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import (
    ARCHITECTURES,
    INPUT,
    Architecture,
    ConvWire,
    IdentityWire,
    LinearWire,
    Unit,
    build_ann,
)


def parameters(architecture: Architecture) -> int:
    """Counted without drawing a single weight."""
    with torch.device("meta"):
        return sum(p.numel() for p in build_ann(architecture).parameters())


def conv_norm(source: int, channels: int) -> int:
    """A 3 x 3 convolution without bias, and the gain and shift of its batch norm."""
    return 9 * source * channels + 2 * channels


@pytest.mark.parametrize(
    ("name", "classes", "published"),
    [
        ("resnet18", 10, 11_173_962),
        ("resnet18", 100, 11_220_132),
        ("resnet20", 10, 272_474),
        ("resnet20", 100, 278_324),
    ],
)
def test_resnets_have_the_published_number_of_parameters(name, classes, published):
    """T-HW-6."""
    assert parameters(ARCHITECTURES[name]((3, 32, 32), classes)) == published


def test_digits_conv_has_the_parameters_of_its_description():
    """T-HW-6: 32 - 64 (stride 2) - 64 on 8 x 8 leaves 64 x 4 x 4 features for the linear layer."""
    expected = conv_norm(1, 32) + conv_norm(32, 64) + conv_norm(64, 64) + (64 * 4 * 4 + 1) * 10
    assert parameters(ARCHITECTURES["digits_conv"]((1, 8, 8), 10)) == expected


def test_vgg_strided_has_the_parameters_and_the_work_of_its_description():
    """T-HW-6: 48 - 48s2 - 96 - 96s2 - 192 - 192s2 - 192, spatial mean, linear; 44 M multiply-accumulates."""
    widths = (3, 48, 48, 96, 96, 192, 192, 192)
    pairs = list(pairwise(widths))
    expected = sum(conv_norm(a, b) for a, b in pairs) + (192 + 1) * 10
    architecture = ARCHITECTURES["vgg_strided"]((3, 32, 32), 10)
    assert parameters(architecture) == expected
    sides = (32, 16, 16, 8, 8, 4, 4)
    assert [shape[1] for shape in architecture.shapes().values() if len(shape) == 3][1:] == list(sides)
    macs = sum(9 * a * b * side**2 for (a, b), side in zip(pairs, sides, strict=True)) + 192 * 10
    assert round(macs / 1e6) == 44


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_in_order_and_can_be_tapped(name):
    architecture = ARCHITECTURES[name]((3, 32, 32), 7)
    names = [unit.name for unit in architecture.units]
    assert len(set(names)) == len(names)
    known = {INPUT}
    for unit in architecture.units:
        assert {wire.source for wire in unit.wires} <= known
        known.add(unit.name)
    assert set(architecture.taps) <= set(names[:-1])
    assert architecture.shapes()[names[-1]] == (7,)
    assert architecture.name == name


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_computes_the_shapes_it_states(name):
    architecture = ARCHITECTURES[name]((2, 8, 8), 5)
    net = build_ann(architecture, torch.Generator().manual_seed(0)).eval()
    units = [unit.name for unit in architecture.units]
    with torch.no_grad():
        logits, taps = net(torch.rand(1, 2, 8, 8), units)
    assert logits.shape == (1, 5)
    assert {n: tuple(a.shape[1:]) for n, a in taps.items()} == {n: architecture.shapes()[n] for n in units}


def test_a_block_ends_in_the_sum_of_a_convolution_and_its_shortcut():
    units = {unit.name: unit for unit in ARCHITECTURES["resnet18"]((3, 32, 32), 10).units}
    assert units["stage1.1b"].wires == (ConvWire(source="stage1.1a"), IdentityWire(source="stem"))
    projection = ConvWire(source="stage1.2b", kernel=1, stride=2)
    assert units["stage2.1b"].wires == (ConvWire(source="stage2.1a"), projection)
    assert units["stage2.1a"].wires == (ConvWire(source="stage1.2b", stride=2),)
    assert units["readout"].wires == (LinearWire(source="stage4.2b", mean=True),)


def test_the_taps_of_a_resnet_are_its_stem_and_its_blocks():
    taps = ARCHITECTURES["resnet18"]((3, 32, 32), 10).taps
    blocks = [f"stage{stage}.{block}b" for stage in (1, 2, 3, 4) for block in (1, 2)]
    assert taps == ("stem", *blocks)


def test_wires_of_different_shapes_cannot_be_summed():
    units = (
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=4, wires=(ConvWire(source="a", stride=2), IdentityWire(source="a"))),
    )
    wrong = Architecture(name="wrong", input_shape=(1, 8, 8), n_classes=4, units=units, taps=())
    with pytest.raises(BadInput, match=r"wrong/b: its wires give different shapes \[\(4, 4, 4\), \(4, 8, 8\)\]"):
        wrong.shapes()


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(8, 3, 1), (8, 3, 2), (7, 3, 2), (8, 1, 2), (9, 5, 2), (6, 5, 1)]
)
def test_shapes_of_a_convolution_are_torchs(size, kernel, stride):
    units = (Unit(name="a", channels=2, wires=(ConvWire(source=INPUT, kernel=kernel, stride=stride),)),)
    stated = Architecture(name="one", input_shape=(1, size, size), n_classes=2, units=units, taps=()).shapes()["a"]
    conv = torch.nn.Conv2d(1, 2, kernel, stride, kernel // 2)
    assert tuple(conv(torch.zeros(1, 1, size, size)).shape[1:]) == stated

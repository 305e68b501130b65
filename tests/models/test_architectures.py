"""The architectures: parameter counts derived by hand or published, shapes, and the structure of a residual block."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import (
    ARCHITECTURES,
    INPUT,
    PROFILES,
    Architecture,
    Attention,
    ConvWire,
    IdentityWire,
    LinearWire,
    PoolWire,
    Unit,
    as_spiking,
    build_ann,
    outline,
)


def parameters(architecture: Architecture) -> int:
    """Counted without drawing a single weight."""
    return sum(p.numel() for p in outline(architecture).parameters())


def conv_norm(source: int, channels: int) -> int:
    """A 3 x 3 convolution without bias, and the gain and shift of its batch norm."""
    return 9 * source * channels + 2 * channels


CIFAR = {
    "ckdsnn_resnet19": (12_697_994, 12_721_124),
    "ckdsnn_resnet19_teacher": (12_569_226, 12_615_396),
    "ckdsnn_resnet20": (291_034, 314_164),
    "pyramidnet20": (2_933_675, 2_953_205),
    "ratebp_resnet19": (12_697_994, 12_721_124),
    "ratebp_vgg11": (11_001_354, 11_047_524),
    "ratebp_vgg13": (9_416_010, 9_462_180),
    "resnet18": (11_173_962, 11_220_132),
    "resnet19": (12_630_858, 12_653_988),
    "resnet19_teacher": (12_502_090, 12_548_260),
    "resnet20": (272_474, 278_324),
    "resnet20_wide": (4_327_754, 4_350_884),
    "resnet32x4": (7_410_730, 7_433_860),
    "resnet34": (21_282_122, 21_328_292),
    "sastc_resnet18": (12_630_858, 12_653_988),
    "sastc_vgg11": (34_440_970, 34_809_700),
    "sastc_wrn16_2": (20_524_618, 20_524_618 + 90 * 257),
    "spikformer_4_384": (9_330_874 - 6_144, 9_365_524 - 6_144),  # the published code's unused layer norms left out
    "vgg11": (9_231_114, 9_277_284),
    "vgg13": (9_416_010, 9_462_180),
    "vgg16": (14_728_266, 14_774_436),
    "vgg16_qcfs": (33_646_666, 34_015_396),
    "wrn16_2": (691_674, 703_284),
    "wrn28_4": (5_849_050, 5_872_180),
    "wrn40_2": (2_243_546, 2_255_156),
}
"""Parameters on (3, 32, 32) for 10 and for 100 classes."""

ELSEWHERE = {
    "ckd_resnet18": ((2, 48, 48), 20, 11_177_620),
    "ckd_vggsnn": ((2, 48, 48), 101, 9_688_165),
    "sew_resnet18": ((3, 224, 224), 1000, 11_689_512),
    "sew_resnet34": ((3, 224, 224), 1000, 21_797_672),
    "vggsnn": ((2, 48, 48), 10, 9_271_498),
    "vggsnn_small": ((2, 32, 32), 10, 70_794),
}
"""Input shape, classes, parameters; `ckd_resnet18` and `vggsnn_small` are derived below."""

DESCRIBED = {"digits_conv", "vgg_strided", "vgg_small"}
"""Ours: counted from their description below."""


@pytest.mark.parametrize("name", CIFAR)
def test_an_architecture_has_the_published_number_of_parameters(name):
    """T-HW-6: for 10 and for 100 classes."""
    assert tuple(parameters(ARCHITECTURES[name]((3, 32, 32), classes)) for classes in (10, 100)) == CIFAR[name]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_architecture_for_other_data_has_the_published_number_of_parameters(name):
    """T-HW-6."""
    shape, classes, published = ELSEWHERE[name]
    assert parameters(ARCHITECTURES[name](shape, classes)) == published


def test_every_architecture_is_counted():
    assert set(ARCHITECTURES) == set(CIFAR) | set(ELSEWHERE) | DESCRIBED


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


def test_vggsnn_small_has_the_parameters_of_its_description():
    """T-HW-6: 16 A 32 A 64 64 A on 2 x 32 x 32 leaves 64 x 4 x 4 features for the linear layer."""
    widths = (2, 16, 32, 64, 64)
    expected = sum(conv_norm(a, b) for a, b in pairwise(widths)) + (64 * 4 * 4 + 1) * 10
    architecture = ARCHITECTURES["vggsnn_small"]((2, 32, 32), 10)
    assert expected == parameters(architecture) == 70_794
    assert architecture.stages == ("conv1", "conv2", "conv4")


def test_ckd_resnet18_has_the_parameters_of_its_description():
    """T-HW-6: blocks of BN - 3 x 3 - BN - 3 x 3, projections of BN - 1 x 1, a BN and a linear layer at the end."""

    def block(i: int, o: int) -> int:
        return 2 * i + 9 * i * o + 2 * o + 9 * o * o + (2 * i + i * o if i != o else 0)

    stages = ((64, 64), (64, 128), (128, 256), (256, 512))
    blocks = sum(block(i, o) + block(o, o) for i, o in stages)
    architecture = ARCHITECTURES["ckd_resnet18"]((2, 48, 48), 20)
    assert 9 * 2 * 64 + blocks + 2 * 512 + (512 + 1) * 20 == parameters(architecture) == 11_177_620
    shapes = architecture.shapes()
    assert [shapes[name] for name in architecture.stages] == [(64, 48, 48), (128, 24, 24), (256, 12, 12), (512, 6, 6)]


def test_the_stream_of_ckd_resnet18_meets_no_neuron():
    """Identity shortcuts are the stream itself; projected ones and the blocks read it through neurons of their own."""
    units = {unit.name: unit for unit in ARCHITECTURES["ckd_resnet18"]((2, 48, 48), 20).units}
    plain = {"norm": False, "bias": "none"}
    assert units["stage1.1"].wires == (ConvWire(source="stage1.1b", **plain), IdentityWire(source="stem"))
    assert units["stage2.1"].wires[1] == ConvWire(source="stage2.1s", kernel=1, stride=2, **plain)
    for name in ("stage2.1a", "stage2.1s"):
        assert units[name].wires == (IdentityWire(source="stage1.2", norm=True),)
        assert units[name].fires
    assert units["end"].wires == (IdentityWire(source="stage4.2", norm=True),)
    assert units["end"].linear
    assert units["readout"].wires == (LinearWire(source="end", mean=True),)


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


def small(name: str) -> Architecture:
    """On the smallest images that it takes: five halvings of VGGs and SEW-ResNets need 32 x 32."""
    side = 32 if "vgg" in name or "sew" in name else 8
    return ARCHITECTURES[name]((2, side, side), 5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_runs_as_an_ann_and_as_its_spiking_twin(name):
    architecture = small(name)
    net = build_ann(architecture, torch.Generator().manual_seed(0)).eval()
    twin = as_spiking(net, PROFILES["loihi"], 2)
    units = [unit.name for unit in architecture.units]
    shapes = architecture.shapes()
    x = torch.rand(1, *architecture.input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits, taps = net(x, units)
        sequence, spikes = twin(x, units)
    assert logits.shape == (1, 5)
    assert {n: tuple(a.shape[1:]) for n, a in taps.items()} == {n: shapes[n] for n in units}
    assert sequence.shape == (2, 1, 5)
    for unit in architecture.units[:-1]:
        assert tuple(spikes[unit.name].shape[-len(shapes[unit.name]) :]) == shapes[unit.name]
        if unit.fires:
            assert float(taps[unit.name].min()) >= 0
            assert set(spikes[unit.name].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_everything_goes_through_each_stage(name):
    """So that a network can be cut there: no later unit reads past it. Stages are taps, in order."""
    architecture = small(name)
    names = [unit.name for unit in architecture.units]
    assert [s for s in architecture.taps if s in architecture.stages] == list(architecture.stages)
    for stage in architecture.stages:
        later = architecture.units[names.index(stage) + 1 :]
        known = {stage, *(unit.name for unit in later)}
        assert {wire.source for unit in later for wire in unit.wires} <= known


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


def test_the_bias_before_a_batch_norm_only_adds_parameters():
    """VGGSNN of TET has one per channel, that of the events-from-images code none: 10 classes, equal otherwise."""
    convolved = 64 + 128 + 2 * 256 + 4 * 512
    with_bias, without = (parameters(ARCHITECTURES[name]((2, 48, 48), 10)) for name in ("vggsnn", "ckd_vggsnn"))
    assert with_bias - without == convolved


def test_papers_call_other_networks_by_honest_names():
    """SASTC's "ResNet-18" is TET's ResNet-19; its "WRN-16-2" has bottlenecks, and thirty times the parameters."""
    theirs, honest = (ARCHITECTURES[name]((3, 32, 32), 10) for name in ("sastc_resnet18", "resnet19"))
    assert (theirs.units, theirs.taps) == (honest.units, honest.taps)
    assert CIFAR["sastc_wrn16_2"][0] // CIFAR["wrn16_2"][0] == 29


def test_ckdsnn_averages_where_others_stride():
    theirs, ratebp = (
        {unit.name: unit for unit in ARCHITECTURES[name]((3, 32, 32), 10).units}
        for name in ("ckdsnn_resnet19", "ratebp_resnet19")
    )
    assert theirs["stage2.1b"].wires[1] == ConvWire(source="stage1.3b", kernel=1, pool=2)
    assert ratebp["stage2.1b"].wires[1] == ConvWire(source="stage1.3b", kernel=1, stride=2)
    assert theirs["stage1.1b"].wires[1] == IdentityWire(source="stem")  # 128 channels from the start
    assert (theirs["head"].activation, ratebp["head"].activation) == ("none", "neuron")


def test_pyramidnet_grows_with_every_block():
    units = {unit.name: unit for unit in ARCHITECTURES["pyramidnet20"]((3, 32, 32), 10).units}
    widths = [units[f"stage{stage}.{block}"].channels for stage in (1, 2, 3) for block in (1, 2, 3)]
    assert widths == [38, 60, 83, 105, 127, 149, 172, 194, 216]
    assert units["stage2.1"].wires[1] == IdentityWire(source="stage1.3", pool=2, pad=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Unit(
                name="a", channels=4, wires=(IdentityWire(source="q"),), attention=Attention(heads=1, scale=1)
            ),
            "a: attention needs three identity wires: queries, keys, values",
        ),
        (
            lambda: Unit(
                name="a", channels=4, wires=(IdentityWire(source="q"),) * 3, attention=Attention(heads=3, scale=1)
            ),
            "a: 4 channels cannot be split into 3 heads",
        ),
        (
            lambda: one(ConvWire(source=INPUT), activation="none", then=PoolWire(source="a")),
            "one/b: a max pool of a, which has no neurons, has no spiking twin",
        ),
        (lambda: one(ConvWire(source=INPUT, pool=9)).shapes(), r"input: its shape \(2, 8, 8\) is too small"),
        (lambda: one(IdentityWire(source=INPUT, pad=True)).shapes(), "input: padding its 2 channels cannot give 1"),
        (
            lambda: one(LinearWire(source=INPUT), then=IdentityWire(source="a", norm=True)).shapes(),
            r"a: its shape is \(1,\); a convolution, pool or batch norm needs \(C, H, W\)",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def one(
    wire: ConvWire | IdentityWire | LinearWire, *, then: PoolWire | IdentityWire | None = None, **unit
) -> Architecture:
    """A unit of one channel on 2 x 8 x 8, and another behind it."""
    units = [Unit(name="a", channels=1, wires=(wire,), **unit)]
    if then is not None:
        units.append(Unit(name="b", channels=1, wires=(then,)))
    return Architecture(name="one", input_shape=(2, 8, 8), n_classes=1, units=tuple(units), taps=())


def test_the_documentation_states_these_counts():
    text = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = {cells[1].strip(" `"): cells[4].strip() for line in text.splitlines() if len(cells := line.split("|")) == 7}
    for name, (ten, hundred) in CIFAR.items():
        assert rows[name] == f"{ten:,} / {hundred:,}"
    for name, (_, classes, count) in ELSEWHERE.items():
        assert rows[name] == f"{count:,} ({classes})"
    assert all(f"`{name}`" in text for name in DESCRIBED)

"""ResNets as current-add residuals: the sum is taken before the neuron, so every spike is 0 or 1.

A stage's first block projects its shortcut where the width or the resolution changes. `docs/models.md` has the counts.
Sources: He et al., CVPR 2016, section 4.2 (`resnet20`) and the usual CIFAR form of `resnet18` and `resnet34` (3 x 3
stem); Tian et al., ICLR 2020 (`resnet32x4`); Deng et al., ICLR 2022 (TET, `resnet19`); Li et al., ICML 2021
(`resnet20_wide`).
`sastc_*`, `ratebp_*` and `ckdsnn_*` are what the public code of those papers builds: SASTC's "ResNet-18" is TET's
ResNet-19 and its "WRN-16-2" a post-activation bottleneck network; CKDSNN halves the resolution of a shortcut by an
average pool and has no neurons between the two linear layers of its students.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, IdentityWire, LinearWire, Unit, Wire

EXPANSION = 4
"""Channels of a bottleneck block's output per planes."""


def resnet(
    input_shape: Shape = (3, 32, 32),
    n_classes: int = 10,
    *,
    name: str,
    stem: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    bottleneck: int | None = None,
    pooled_shortcuts: bool = False,
    head: int | None = None,
    head_activation: Literal["neuron", "none"] = "neuron",
) -> Architecture:
    """A ResNet. widths, blocks: channels and number of blocks of each stage; later stages halve H and W.

    bottleneck: channels inside a block per channel of `widths`, for bottleneck blocks of 4 times the width; None for
    basic blocks. pooled_shortcuts: average instead of stride on a shortcut. head: width of a linear layer, with neurons
    or without, before the read-out. Taps: the stem, the output of every block, and a head's neurons; stages: the last
    block of each stage.
    """
    units = [Unit(name="stem", channels=stem, wires=(ConvWire(source=INPUT),))]
    taps, stages = ["stem"], []
    source, channels = "stem", stem
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        for block in range(1, count + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            out = width if bottleneck is None else width * EXPANSION
            shortcut: Wire = IdentityWire(source=source)
            if stride != 1 or channels != out:
                shortcut = ConvWire(source=source, kernel=1, stride=stride)
                if pooled_shortcuts:
                    shortcut = ConvWire(source=source, kernel=1, pool=stride)
            units += _block(f"stage{stage}.{block}", source, shortcut, stride, width, bottleneck)
            source, channels = units[-1].name, out
            taps.append(source)
        stages.append(source)
    last = LinearWire(source=source, mean=True)
    if head is not None:
        units.append(Unit(name="head", channels=head, wires=(last,), activation=head_activation))
        last = LinearWire(source="head")
        taps += ["head"] if head_activation == "neuron" else []
    units.append(Unit(name="readout", channels=n_classes, wires=(last,)))
    return Architecture(
        name=name,
        input_shape=input_shape,
        n_classes=n_classes,
        units=tuple(units),
        taps=tuple(taps),
        stages=tuple(stages),
    )


def _block(name: str, source: str, shortcut: Wire, stride: int, width: int, bottleneck: int | None) -> list[Unit]:
    """The units of one block; the last is its output."""
    if bottleneck is None:
        return [
            Unit(name=f"{name}a", channels=width, wires=(ConvWire(source=source, stride=stride),)),
            Unit(name=f"{name}b", channels=width, wires=(ConvWire(source=f"{name}a"), shortcut)),
        ]
    inner, outer = width * bottleneck, width * EXPANSION
    return [
        Unit(name=f"{name}a", channels=inner, wires=(ConvWire(source=source, kernel=1),)),
        Unit(name=f"{name}b", channels=inner, wires=(ConvWire(source=f"{name}a", stride=stride),)),
        Unit(name=f"{name}c", channels=outer, wires=(ConvWire(source=f"{name}b", kernel=1), shortcut)),
    ]


_RESNET19 = partial(resnet, widths=(128, 256, 512), blocks=(3, 3, 2))
_CKDSNN = {"pooled_shortcuts": True, "head": 256, "head_activation": "none"}

for _name, _make in (
    ("resnet18", partial(resnet, stem=64, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2))),
    ("resnet19", partial(_RESNET19, stem=64, head=256)),
    ("resnet19_teacher", partial(_RESNET19, stem=64)),
    ("resnet20", partial(resnet, stem=16, widths=(16, 32, 64), blocks=(3, 3, 3))),
    ("resnet20_wide", partial(resnet, stem=64, widths=(64, 128, 256), blocks=(3, 3, 3))),
    ("resnet32x4", partial(resnet, stem=32, widths=(64, 128, 256), blocks=(5, 5, 5))),
    ("resnet34", partial(resnet, stem=64, widths=(64, 128, 256, 512), blocks=(3, 4, 6, 3))),
    ("ratebp_resnet19", partial(_RESNET19, stem=128, head=256)),
    ("sastc_resnet18", partial(_RESNET19, stem=64, head=256)),
    ("sastc_wrn16_2", partial(resnet, stem=64, widths=(128, 256, 512), blocks=(2, 1, 1), bottleneck=2, head=256)),
    ("ckdsnn_resnet19", partial(_RESNET19, stem=128, **_CKDSNN)),
    ("ckdsnn_resnet19_teacher", partial(_RESNET19, stem=128, pooled_shortcuts=True)),
    ("ckdsnn_resnet20", partial(resnet, stem=16, widths=(16, 32, 64), blocks=(3, 3, 3), **_CKDSNN)),
):
    ARCHITECTURES.register(_name, partial(_make, name=_name))

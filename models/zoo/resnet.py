"""CIFAR ResNets of basic blocks, as current-add residuals: the sum is taken before the neuron.

Parameters (K classes = 10): ResNet-18 11,173,962; ResNet-20 272,474 (projection shortcuts).
Source: He et al., CVPR 2016, section 4.2 (ResNet-20) and the usual CIFAR adaptation of ResNet-18 (3 x 3 stem).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, IdentityWire, LinearWire, Unit, Wire


def resnet(
    input_shape: Shape = (3, 32, 32),
    n_classes: int = 10,
    *,
    name: str,
    stem: int,
    widths: Sequence[int],
    blocks: Sequence[int],
) -> Architecture:
    """A ResNet of basic blocks. widths, blocks: channels and number of blocks of each stage; later stages halve H, W.

    Taps: the stem and the output of every block; stages: the last of each stage.
    """
    units = [Unit(name="stem", channels=stem, wires=(ConvWire(source=INPUT),))]
    taps, stages = ["stem"], []
    source, channels = "stem", stem
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        for block in range(1, count + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            inner, outer = f"stage{stage}.{block}a", f"stage{stage}.{block}b"
            shortcut: Wire = IdentityWire(source=source)
            if stride != 1 or channels != width:
                shortcut = ConvWire(source=source, kernel=1, stride=stride)
            units.append(Unit(name=inner, channels=width, wires=(ConvWire(source=source, stride=stride),)))
            units.append(Unit(name=outer, channels=width, wires=(ConvWire(source=inner), shortcut)))
            taps.append(outer)
            source, channels = outer, width
        stages.append(source)
    units.append(Unit(name="readout", channels=n_classes, wires=(LinearWire(source=source, mean=True),)))
    return Architecture(
        name=name,
        input_shape=input_shape,
        n_classes=n_classes,
        units=tuple(units),
        taps=tuple(taps),
        stages=tuple(stages),
    )


for _name, _stem, _widths, _blocks in (
    ("resnet18", 64, (64, 128, 256, 512), (2, 2, 2, 2)),
    ("resnet20", 16, (16, 32, 64), (3, 3, 3)),
):
    ARCHITECTURES.register(_name, partial(resnet, name=_name, stem=_stem, widths=_widths, blocks=_blocks))

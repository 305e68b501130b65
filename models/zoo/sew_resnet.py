"""SEW-ResNets: every block adds its spikes to those it was given, so sums of spikes (0, 1, 2, ...) are handed on.

The sums are linear units. On a chip, whatever reads a sum reads the spikes themselves, with the same weights
(`pipeline/simplify.py`). Source: Fang et al., NeurIPS 2021, ADD, ImageNet form; the parameters are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, IdentityWire, LinearWire, PoolWire, Unit

_WIDTHS = (64, 128, 256, 512)


def sew_resnet(
    input_shape: Shape = (3, 224, 224), n_classes: int = 1000, *, name: str, blocks: Sequence[int]
) -> Architecture:
    """7 x 7 stem (stride 2), max pool, four stages of basic blocks; a projected shortcut has neurons of its own.

    Taps: the stem and the sum after every block; stages: the last sum of each stage.
    """
    units = [
        Unit(name="stem", channels=64, wires=(ConvWire(source=INPUT, kernel=7, stride=2),)),
        Unit(name="pool", channels=64, wires=(PoolWire(source="stem", kernel=3, stride=2, padding=1),)),
    ]
    taps, stages = ["stem"], []
    source, channels = "pool", 64
    for stage, (width, count) in enumerate(zip(_WIDTHS, blocks, strict=True), start=1):
        for block in range(1, count + 1):
            at = f"stage{stage}.{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            units += [
                Unit(name=f"{at}a", channels=width, wires=(ConvWire(source=source, stride=stride),)),
                Unit(name=f"{at}b", channels=width, wires=(ConvWire(source=f"{at}a"),)),
            ]
            if channels != width:
                shortcut = ConvWire(source=source, kernel=1, stride=stride)
                source = f"{at}s"
                units.append(Unit(name=source, channels=width, wires=(shortcut,)))
            both = (IdentityWire(source=f"{at}b"), IdentityWire(source=source))
            units.append(Unit(name=at, channels=width, wires=both, activation="none"))
            taps.append(at)
            source, channels = at, width
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


for _name, _blocks in (("sew_resnet18", (2, 2, 2, 2)), ("sew_resnet34", (3, 4, 6, 3))):
    ARCHITECTURES.register(_name, partial(sew_resnet, name=_name, blocks=_blocks))

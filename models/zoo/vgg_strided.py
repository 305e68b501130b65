"""All-convolutional VGGs: strides instead of pooling, so every layer is a layer the chip has.

On 3 x 32 x 32: `vgg_strided` 44 M multiply-accumulates, `vgg_small` 7.3 M.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, LinearWire, Unit

_VGG = ((48, 1), (48, 2), (96, 1), (96, 2), (192, 1), (192, 2), (192, 1))
_SMALL = ((32, 2), (64, 2), (64, 1), (128, 2), (128, 1))
"""(channels, stride) of each 3 x 3 convolution."""


def strided(
    input_shape: Shape = (3, 32, 32), n_classes: int = 10, *, name: str, layers: Sequence[tuple[int, int]]
) -> Architecture:
    """3 x 3 convolutions, a spatial mean, a linear read-out. layers: (channels, stride) of each convolution.

    Taps: every convolution; stages: the last of each resolution.
    """
    units, stages = [], []
    source = INPUT
    for index, (channels, stride) in enumerate(layers, start=1):
        wire = ConvWire(source=source, stride=stride)
        source = f"conv{index}"
        units.append(Unit(name=source, channels=channels, wires=(wire,)))
        if index == len(layers) or layers[index][1] > 1:
            stages.append(source)
    taps = tuple(unit.name for unit in units)
    units.append(Unit(name="readout", channels=n_classes, wires=(LinearWire(source=source, mean=True),)))
    return Architecture(
        name=name,
        input_shape=input_shape,
        n_classes=n_classes,
        units=tuple(units),
        taps=taps,
        stages=tuple(stages),
    )


for _name, _layers in (("vgg_strided", _VGG), ("vgg_small", _SMALL)):
    ARCHITECTURES.register(_name, partial(strided, name=_name, layers=_layers))

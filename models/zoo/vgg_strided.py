"""An all-convolutional VGG: strides instead of pooling, so every layer is a layer the chip has."""

from __future__ import annotations

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, LinearWire, Unit

_LAYERS = ((48, 1), (48, 2), (96, 1), (96, 2), (192, 1), (192, 2), (192, 1))
"""(channels, stride) of each 3 x 3 convolution."""


def vgg_strided(input_shape: Shape = (3, 32, 32), n_classes: int = 10) -> Architecture:
    """48 - 48s2 - 96 - 96s2 - 192 - 192s2 - 192, spatial mean, linear: 44 M multiply-accumulates on 3 x 32 x 32."""
    units = []
    source = INPUT
    for index, (channels, stride) in enumerate(_LAYERS, start=1):
        wire = ConvWire(source=source, stride=stride)
        source = f"conv{index}"
        units.append(Unit(name=source, channels=channels, wires=(wire,)))
    taps = tuple(unit.name for unit in units)
    units.append(Unit(name="readout", channels=n_classes, wires=(LinearWire(source=source, mean=True),)))
    return Architecture(name="vgg_strided", input_shape=input_shape, n_classes=n_classes, units=tuple(units), taps=taps)


ARCHITECTURES.register("vgg_strided", vgg_strided)

"""A small convolutional network for 8 x 8 digits."""

from __future__ import annotations

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, LinearWire, Unit


def digits_conv(input_shape: Shape = (1, 8, 8), n_classes: int = 10) -> Architecture:
    """32 - 64 (stride 2) - 64 - linear, 3 x 3 kernels."""
    units = (
        Unit(name="conv1", channels=32, wires=(ConvWire(source=INPUT),)),
        Unit(name="conv2", channels=64, wires=(ConvWire(source="conv1", stride=2),)),
        Unit(name="conv3", channels=64, wires=(ConvWire(source="conv2"),)),
        Unit(name="readout", channels=n_classes, wires=(LinearWire(source="conv3"),)),
    )
    return Architecture(
        name="digits_conv",
        input_shape=input_shape,
        n_classes=n_classes,
        units=units,
        taps=("conv1", "conv2", "conv3"),
    )


ARCHITECTURES.register("digits_conv", digits_conv)

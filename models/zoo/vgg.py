"""VGGs: 3 x 3 convolutions with batch norm, pools between, linear layers at the end.

`vgg11`, `vgg13`, `vgg16` are the usual CIFAR forms (max pools; `vgg13` as in SemCKD, with a spatial mean). The others
are what the public code of a paper builds, all with average pools or strides: `vgg16_qcfs` (Bu et al., ICLR 2022),
`ratebp_vgg11` and `ratebp_vgg13` (Yu et al., 2024), `vggsnn` (TET, Deng et al., ICLR 2022, for events of 2 x 48 x 48),
`ckd_vggsnn` (He et al., AAAI 2024, without biases) and `sastc_vgg11` (strides, and three linear layers in a row
without neurons between). `vggsnn_small` is ours, of the manner of `ckd_vggsnn`, for events of 2 x 32 x 32. A bias
before a batch norm only adds parameters; it is there where the published network has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, LinearWire, PoolWire, Unit

Layer = int | tuple[int, int] | Literal["M", "A"]
"""Channels of a convolution, or (channels, stride); "M" a max pool, "A" an average pool, both 2 x 2."""


def vgg(
    input_shape: Shape = (3, 32, 32),
    n_classes: int = 10,
    *,
    name: str,
    layers: Sequence[Layer],
    mean: bool = False,
    bias: bool = True,
    head: Sequence[int] = (),
    head_activation: Literal["neuron", "none"] = "neuron",
) -> Architecture:
    """A VGG. mean: whether the linear layers read the spatial mean. bias: whether the convolutions have one.

    head: widths of linear layers, with neurons or without, before the read-out. Taps: every convolution and a head's
    neurons; stages: the convolutions before a pool, those with a stride, and the last.
    """
    units: list[Unit] = []
    convolutions: list[str] = []
    stages: list[str] = []
    source, pool = INPUT, 1
    for layer in layers:
        if layer == "A":
            pool *= 2
        elif layer == "M":
            units.append(
                Unit(name=f"pool{len(stages) + 1}", channels=units[-1].channels, wires=(PoolWire(source=source),))
            )
            source = units[-1].name
        else:
            channels, stride = layer if isinstance(layer, tuple) else (layer, 1)
            wire = ConvWire(source=source, stride=stride, pool=pool, norm_bias=bias)
            source, pool = f"conv{len(convolutions) + 1}", 1
            units.append(Unit(name=source, channels=channels, wires=(wire,)))
            convolutions.append(source)
            if stride == 1:
                continue
        stages.append(convolutions[-1])
    taps = list(convolutions)
    if stages[-1:] != convolutions[-1:]:
        stages.append(convolutions[-1])
    for index, width in enumerate(head, start=1):
        wire = LinearWire(source=source, mean=mean, pool=pool)
        units.append(Unit(name=f"fc{index}", channels=width, wires=(wire,), activation=head_activation))
        source, pool, mean = f"fc{index}", 1, False
        taps += [source] if head_activation == "neuron" else []
    units.append(Unit(name="readout", channels=n_classes, wires=(LinearWire(source=source, mean=mean, pool=pool),)))
    return Architecture(
        name=name,
        input_shape=input_shape,
        n_classes=n_classes,
        units=tuple(units),
        taps=tuple(taps),
        stages=tuple(stages),
    )


def _repeated(pool: Layer, *groups: tuple[int, int], last: bool = True) -> tuple[Layer, ...]:
    """(channels, count) groups of convolutions, a pool after each, after the last one only if `last`."""
    layers: list[Layer] = []
    for channels, count in groups:
        layers += [*[channels] * count, pool]
    return tuple(layers) if last else tuple(layers[:-1])


_VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_EVENTS = (64, 128, "A", 256, 256, "A", 512, 512, "A", 512, 512, "A")
_SASTC = (64, (128, 2), 256, (256, 2), 512, (512, 2), 512, (512, 2))

for _name, _make in (
    ("vgg11", partial(vgg, layers=_repeated("M", (64, 1), (128, 1), (256, 2), (512, 2), (512, 2)))),
    (
        "vgg13",
        partial(vgg, layers=(*_repeated("M", (64, 2), (128, 2), (256, 2)), 512, 512, 512, 512), mean=True),
    ),
    ("vgg16", partial(vgg, layers=_repeated("M", *_VGG16))),
    ("vgg16_qcfs", partial(vgg, layers=_repeated("A", *_VGG16), head=(4096, 4096))),
    (
        "ratebp_vgg11",
        partial(vgg, layers=(64, "A", 128, 256, "A", 512, 512, "A", 512, "A", 512, 512), mean=True),
    ),
    (
        "ratebp_vgg13",
        partial(vgg, layers=_repeated("A", (64, 2), (128, 2), (256, 2), (512, 3), (512, 1), last=False), mean=True),
    ),
    ("vggsnn", partial(vgg, layers=_EVENTS)),
    ("ckd_vggsnn", partial(vgg, layers=_EVENTS, bias=False)),
    ("vggsnn_small", partial(vgg, layers=(16, "A", 32, "A", 64, 64, "A"), bias=False)),
    ("sastc_vgg11", partial(vgg, layers=_SASTC, head=(4096, 4096), head_activation="none")),
):
    ARCHITECTURES.register(_name, partial(_make, name=_name))

"""Pre-activation networks: blocks add to a stream that no neuron interrupts, and read it through a batch norm.

The stream is made of linear units. In a spiking twin it is analog; `pipeline/simplify.py` says what becomes of it on a
chip. Sources: Zagoruyko and Komodakis, BMVC 2016 (wide ResNets: the first block of a stage projects its activated
input, without batch norm); Han et al., CVPR 2017 (PyramidNet: a batch norm before the first convolution and after the
last, no neurons after the sum, a shortcut padded with zero channels); He et al., AAAI 2024, public code (ResNet-18 for
events: a projected shortcut has neurons of its own, and the end has none).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, IdentityWire, LinearWire, Unit, Wire


def wide_resnet(
    input_shape: Shape = (3, 32, 32), n_classes: int = 10, *, name: str, depth: int, width: int
) -> Architecture:
    """WRN-depth-width: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 channels times `width`.

    Taps: the stream after the stem and after every block, and the activated end; stages: the stream after stages 1 and
    2, and the activated end.
    """
    widths, count = [16 * width * 2**stage for stage in range(3)], (depth - 4) // 6
    units, stages = _basic_blocks(stem=16, widths=widths, count=count, own_neurons=False)
    return _ended(name, input_shape, n_classes, units, stages)


def event_resnet(
    input_shape: Shape = (2, 48, 48),
    n_classes: int = 10,
    *,
    name: str,
    stem: int = 64,
    widths: Sequence[int] = (64, 128, 256, 512),
    count: int = 2,
) -> Architecture:
    """Stages of `count` blocks; a linear end, so that the read-out takes a mean of sums and not of spikes.

    Taps and stages as of `wide_resnet`, but for the end, a batch norm alone.
    """
    units, stages = _basic_blocks(stem=stem, widths=widths, count=count, own_neurons=True)
    return _ended(name, input_shape, n_classes, units, stages, activation="none")


def pyramidnet(
    input_shape: Shape = (3, 32, 32), n_classes: int = 10, *, name: str, blocks: int, alpha: int
) -> Architecture:
    """Three stages of `blocks` basic blocks; the channels grow by alpha / (3 blocks) with every one, from 16.

    Taps and stages as of `wide_resnet`.
    """
    units = [Unit(name="stem", channels=16, wires=(ConvWire(source=INPUT),), activation="none")]
    stages = []
    source = "stem"
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            at = f"stage{stage}.{block}"
            out = round(16 + alpha * ((stage - 1) * blocks + block) / (3 * blocks))
            stride = 2 if stage > 1 and block == 1 else 1
            before = units[-1].channels
            shortcut = IdentityWire(source=source, pool=stride, pad=True)
            units += [
                Unit(
                    name=f"{at}a",
                    channels=before,
                    wires=(IdentityWire(source=source, norm=True),),
                    activation="none",
                ),
                Unit(name=f"{at}b", channels=out, wires=(ConvWire(source=f"{at}a", stride=stride),)),
                Unit(name=at, channels=out, wires=(ConvWire(source=f"{at}b"), shortcut), activation="none"),
            ]
            source = at
        stages.append(source)
    return _ended(name, input_shape, n_classes, units, stages)


def _basic_blocks(*, stem: int, widths: Sequence[int], count: int, own_neurons: bool) -> tuple[list[Unit], list[str]]:
    """A stem and stages of `count` blocks of two 3 x 3 convolutions, with the last unit of each stage.

    Later stages halve H and W. own_neurons: whether a projected shortcut reads the stream through a batch norm and
    neurons of its own, or the activated input of its block.
    """
    plain = partial(ConvWire, norm=False, bias="none")
    units = [Unit(name="stem", channels=stem, wires=(plain(source=INPUT),), activation="none")]
    stages = []
    source, channels = "stem", stem
    for stage, out in enumerate(widths, start=1):
        for block in range(1, count + 1):
            at = f"stage{stage}.{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            activated = Unit(name=f"{at}a", channels=channels, wires=(IdentityWire(source=source, norm=True),))
            shortcut: Wire = IdentityWire(source=source)
            units.append(activated)
            if channels != out:
                if own_neurons:
                    activated = replace(activated, name=f"{at}s")
                    units.append(activated)
                shortcut = plain(source=activated.name, kernel=1, stride=stride)
            units += [
                Unit(name=f"{at}b", channels=out, wires=(ConvWire(source=f"{at}a", stride=stride),)),
                Unit(name=at, channels=out, wires=(plain(source=f"{at}b"), shortcut), activation="none"),
            ]
            source, channels = at, out
        stages.append(source)
    return units, stages


def _ended(
    name: str,
    input_shape: Shape,
    n_classes: int,
    units: list[Unit],
    stages: list[str],
    activation: Literal["neuron", "none"] = "neuron",
) -> Architecture:
    """The network that ends in a batch norm, neurons or none, a spatial mean and a linear read-out."""
    stream = units[-1]
    taps = ["stem", *(unit.name for unit in units[1:] if unit.linear and not unit.name.endswith("a")), "end"]
    wire = IdentityWire(source=stream.name, norm=True)
    end = Unit(name="end", channels=stream.channels, wires=(wire,), activation=activation)
    readout = Unit(name="readout", channels=n_classes, wires=(LinearWire(source="end", mean=True),))
    return Architecture(
        name=name,
        input_shape=input_shape,
        n_classes=n_classes,
        units=(*units, end, readout),
        taps=tuple(taps),
        stages=(*stages[:-1], "end"),
    )


for _name, _make in (
    ("wrn16_2", partial(wide_resnet, depth=16, width=2)),
    ("wrn28_4", partial(wide_resnet, depth=28, width=4)),
    ("wrn40_2", partial(wide_resnet, depth=40, width=2)),
    ("pyramidnet20", partial(pyramidnet, blocks=3, alpha=200)),
    ("ckd_resnet18", event_resnet),
):
    ARCHITECTURES.register(_name, partial(_make, name=_name))

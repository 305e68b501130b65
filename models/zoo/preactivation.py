"""Pre-activation networks: blocks add to a stream that no neuron interrupts, and read it through a batch norm.

The stream is made of linear units. In a spiking twin it is analog; `pipeline/simplify.py` says what becomes of it on a
chip. Sources: Zagoruyko and Komodakis, BMVC 2016 (wide ResNets: the first block of a stage projects its activated
input, without batch norm); Han et al., CVPR 2017 (PyramidNet: a batch norm before the first convolution and after the
last, no neurons after the sum, a shortcut padded with zero channels).
"""

from __future__ import annotations

from functools import partial

from ...hw import Shape
from ..architecture import ARCHITECTURES, INPUT, Architecture, ConvWire, IdentityWire, LinearWire, Unit, Wire


def wide_resnet(
    input_shape: Shape = (3, 32, 32), n_classes: int = 10, *, name: str, depth: int, width: int
) -> Architecture:
    """WRN-depth-width: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 channels times `width`.

    Taps: the stream after the stem and after every block, and the activated end; stages: the stream after stages 1 and
    2, and the activated end.
    """
    plain = partial(ConvWire, norm=False, bias="none")
    units = [Unit(name="stem", channels=16, wires=(plain(source=INPUT),), activation="none")]
    stages = []
    source, channels = "stem", 16
    for stage in (1, 2, 3):
        out = 16 * width * 2 ** (stage - 1)
        for block in range(1, (depth - 4) // 6 + 1):
            at = f"stage{stage}.{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            shortcut: Wire = IdentityWire(source=source)
            if channels != out:
                shortcut = plain(source=f"{at}a", kernel=1, stride=stride)
            units += [
                Unit(name=f"{at}a", channels=channels, wires=(IdentityWire(source=source, norm=True),)),
                Unit(name=f"{at}b", channels=out, wires=(ConvWire(source=f"{at}a", stride=stride),)),
                Unit(name=at, channels=out, wires=(plain(source=f"{at}b"), shortcut), activation="none"),
            ]
            source, channels = at, out
        stages.append(source)
    return _ended(name, input_shape, n_classes, units, stages)


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


def _ended(name: str, input_shape: Shape, n_classes: int, units: list[Unit], stages: list[str]) -> Architecture:
    """The network that ends in a batch norm, neurons, a spatial mean and a linear read-out."""
    stream = units[-1]
    taps = ["stem", *(unit.name for unit in units[1:] if unit.linear and not unit.name.endswith("a")), "end"]
    end = Unit(name="end", channels=stream.channels, wires=(IdentityWire(source=stream.name, norm=True),))
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
):
    ARCHITECTURES.register(_name, partial(_make, name=_name))

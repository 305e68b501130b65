"""Spikformer: spiking self-attention without softmax, sums of spikes between the blocks. A reference in software.

Tokens are the positions of (C, H, W) maps, so the token-wise linear layers are 1 x 1 convolutions, with a bias before
their batch norm as published. The attention neurons' threshold of one half is written as twice the published scale of
0.125. The published code also makes 6,144 parameters of layer norms that it never uses; they are left out.
Source: Zhou et al., ICLR 2023, the CIFAR form.
"""

from __future__ import annotations

from functools import partial

from ...hw import Shape
from ..architecture import (
    ARCHITECTURES,
    INPUT,
    Architecture,
    Attention,
    ConvWire,
    IdentityWire,
    LinearWire,
    PoolWire,
    Unit,
)

SCALE, THRESHOLD = 0.125, 0.5
"""Of the attention, as published."""


def spikformer(
    input_shape: Shape = (3, 32, 32),
    n_classes: int = 10,
    *,
    name: str,
    depth: int,
    width: int,
    heads: int = 12,
    expansion: int = 4,
) -> Architecture:
    """depth blocks of attention and a two-layer perceptron on width channels at a quarter of the resolution.

    Taps and stages: the tokens, and the stream after every block.
    """
    units = [
        _conv("sps1", INPUT, width // 8),
        _conv("sps2", "sps1", width // 4),
        _conv("sps3", "sps2", width // 2),
        Unit(name="pool3", channels=width // 2, wires=(PoolWire(source="sps3", kernel=3, padding=1),)),
        _conv("sps4", "pool3", width),
        Unit(name="pool4", channels=width, wires=(PoolWire(source="sps4", kernel=3, padding=1),)),
        _conv("rpe", "pool4", width),
        _sum("tokens", width, "rpe", "pool4"),
    ]
    source = "tokens"
    taps = [source]
    for block in range(1, depth + 1):
        at = f"block{block}"
        units += [_token_wise(f"{at}.{part}", source, width) for part in "qkv"]
        units += [
            Unit(
                name=f"{at}.attention",
                channels=width,
                wires=tuple(IdentityWire(source=f"{at}.{part}") for part in "qkv"),
                attention=Attention(heads=heads, scale=SCALE / THRESHOLD),
            ),
            _token_wise(f"{at}.proj", f"{at}.attention", width),
            _sum(f"{at}.attended", width, f"{at}.proj", source),
            _token_wise(f"{at}.mlp1", f"{at}.attended", width * expansion),
            _token_wise(f"{at}.mlp2", f"{at}.mlp1", width),
            _sum(at, width, f"{at}.mlp2", f"{at}.attended"),
        ]
        source = at
        taps.append(at)
    units.append(Unit(name="readout", channels=n_classes, wires=(LinearWire(source=source, mean=True),)))
    return Architecture(name=name, input_shape=input_shape, n_classes=n_classes, units=tuple(units), taps=tuple(taps))


def _conv(name: str, source: str, channels: int) -> Unit:
    return Unit(name=name, channels=channels, wires=(ConvWire(source=source),))


def _token_wise(name: str, source: str, channels: int) -> Unit:
    return Unit(name=name, channels=channels, wires=(ConvWire(source=source, kernel=1, norm_bias=True),))


def _sum(name: str, channels: int, *sources: str) -> Unit:
    wires = tuple(IdentityWire(source=source) for source in sources)
    return Unit(name=name, channels=channels, wires=wires, activation="none")


ARCHITECTURES.register("spikformer_4_384", partial(spikformer, name="spikformer_4_384", depth=4, width=384))

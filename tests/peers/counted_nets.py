"""The networks whose operations are counted on both sides, and what is fed to them. Not a test.

In the three networks a third of the weights is zero, every population but the last has biases, and thresholds let a
twentieth to seven tenths of the neurons fire, whether the input is binary or graded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from spikeport import hw

N_STEPS, N_SAMPLES = 4, 3
SOURCE = (4, 9, 9)

INPUTS: Mapping[str, hw.Source] = {
    "binary": hw.Source(),
    "graded": hw.Source(payload_bits=4),
    "graded, all ones": hw.Source(payload_bits=4),
    "ternary": hw.Source(payload_bits=2, signed=True),
}
"""What a source sends, by name."""


def strided() -> list[hw.Connection]:
    """Convolutions with stride, padding and dilation, then a matrix."""
    draw = _weights(7)
    return [
        hw.Conv(source="in", target="c0", weight=draw(8, 4, 3, 3), padding=(1, 1)),
        hw.Conv(source="c0", target="c1", weight=draw(12, 8, 3, 3), stride=(2, 2), padding=(1, 1)),
        hw.Conv(source="c1", target="c2", weight=draw(16, 12, 5, 5), stride=(1, 2), padding=(2, 1)),
        hw.Conv(source="c2", target="c3", weight=draw(8, 16, 2, 2), padding=(1, 1), dilation=(2, 2)),
        hw.Dense(source="c3", target="out", weight=draw(10, 8 * 5 * 2)),
    ]


def grouped() -> list[hw.Connection]:
    """Two groups; a group per channel, with one kernel and with two; an average over 2 x 2, of the same form."""
    draw = _weights(11)
    return [
        hw.Conv(source="in", target="g2", weight=draw(12, 2, 3, 3), padding=(1, 1), groups=2),
        hw.Conv(source="g2", target="depthwise", weight=draw(12, 1, 3, 3), stride=(2, 1), padding=(1, 1), groups=12),
        hw.Conv(source="depthwise", target="doubled", weight=draw(24, 1, 3, 2), padding=(2, 0), groups=12),
        hw.Conv(source="doubled", target="pool", weight=np.full((24, 1, 2, 2), 64), stride=(2, 2), groups=24),
        hw.Dense(source="pool", target="out", weight=draw(10, 24 * 3 * 4)),
    ]


def residual() -> list[hw.Connection]:
    """A block with a strided 1 x 1 shortcut, a block with an identity, and a shortcut of the input itself."""
    draw = _weights(13)
    return [
        hw.Conv(source="in", target="a", weight=draw(8, 4, 3, 3), padding=(1, 1)),
        hw.Conv(source="a", target="b", weight=draw(12, 8, 3, 3), stride=(2, 2), padding=(1, 1)),
        hw.Conv(source="b", target="c", weight=draw(12, 12, 3, 3), padding=(1, 1)),
        hw.Conv(source="a", target="c", weight=draw(12, 8, 1, 1), stride=(2, 2)),
        hw.Conv(source="c", target="e", weight=draw(12, 12, 3, 3), padding=(1, 1)),
        hw.Conv(source="e", target="d", weight=draw(12, 12, 3, 3), padding=(1, 1)),
        hw.OneToOne(source="c", target="d", weight=np.array(64)),
        hw.Conv(source="in", target="d", weight=draw(12, 4, 1, 1), stride=(2, 2)),
        hw.Dense(source="d", target="out", weight=draw(10, 12 * 5 * 5)),
    ]


NETS: Mapping[str, Callable[[], list[hw.Connection]]] = {
    "strided": strided,
    "grouped": grouped,
    "residual": residual,
}

THRESHOLDS = {
    "c0": 60,
    "c1": 150,
    "c2": 300,
    "c3": 150,
    "g2": 30,
    "depthwise": 12,
    "doubled": 10,
    "pool": 70,
    "a": 60,
    "b": 150,
    "c": 200,
    "e": 150,
    "d": 200,
}
HEARS_GRADED = {"c0": 450, "g2": 220, "a": 450, "d": 400}
"""Thresholds where payloads of up to 15 arrive."""


def network(net: str, source: str) -> hw.Network:
    """A network by its name, behind a source by its name."""
    connections = NETS[net]()
    shapes: dict[str, hw.Shape] = {"in": SOURCE}
    for connection in connections:
        shapes[connection.target] = connection.out_shape(shapes[connection.source])
    rng = np.random.default_rng(17)
    thresholds = THRESHOLDS | {"out": hw.NEVER_FIRES} | (HEARS_GRADED if source == "graded" else {})
    populations = [hw.Population(name="in", shape=SOURCE, neuron=INPUTS[source])]
    for name, shape in list(shapes.items())[1:]:
        neuron = hw.Cuba(
            v_th_mant=thresholds[name],
            v_decay=256,
            bias_mant=np.zeros((), int) if name == "out" else rng.integers(-3, 4, shape[0]),
        )
        populations.append(hw.Population(name=name, shape=shape, neuron=neuron))
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=hw.Readout(population="out"),
        n_steps=N_STEPS,
    )


def spikes_in(source: str) -> torch.Tensor:
    """(T, B, C, H, W), half of it silent."""
    rng = np.random.default_rng(8)
    shape = (N_STEPS, N_SAMPLES, *SOURCE)
    sends = rng.random(shape) < 0.5
    if source == "graded":
        values = rng.integers(1, INPUTS[source].max_payload, shape, endpoint=True)
    else:
        values = rng.choice([-1, 1], shape) if source == "ternary" else np.ones(shape, int)
    return torch.from_numpy(values * sends)


def _weights(seed: int) -> Callable[..., np.ndarray]:
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.integers(-20, 30, shape) * (rng.random(shape) < 0.67)


@dataclass(frozen=True)
class Published:
    """A layer whose operations were published: stored and effective of all samples, dense of as many passes."""

    key: str
    layer: hw.Conv | hw.Dense
    spikes: torch.Tensor
    stored: int
    effective: int
    dense: int

    def network(self) -> hw.Network:
        """The layer alone, behind a source that carries the largest value."""
        graded = int(self.spikes.abs().max()) > 1
        shape = tuple(self.spikes.shape[2:])
        source = hw.Source(payload_bits=5, signed=True) if graded else hw.Source()
        return hw.Network(
            populations=(
                hw.Population(name="in", shape=shape, neuron=source),
                hw.Population(name="p", shape=self.layer.out_shape(shape), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
            ),
            connections=(self.layer,),
            readout=hw.Readout(population="p"),
            n_steps=1,
        )


def published_spikes() -> torch.Tensor:
    """(1, 4, 8, 9, 9) of the published comparison: torch's seed 0, drawn after 3936 parameters of the layers there."""
    stream = torch.Generator().manual_seed(0)
    torch.rand(3936, generator=stream)
    return (torch.rand(1, 4, 8, 9, 9, generator=stream) < 0.2).to(torch.uint8)


def _published_conv(
    key: str, kernel: int, stride: int, padding: int, groups: int, counts: tuple[int, int, int]
) -> Published:
    """8 -> 16 channels; every third weight of the flattened kernel is zero."""
    weight = np.ones((16, 8 // groups, kernel, kernel), int)
    weight.reshape(-1)[::3] = 0
    conv = hw.Conv(
        source="in",
        target="p",
        weight=2 * weight,
        stride=(stride, stride),
        padding=(padding, padding),
        groups=groups,
    )
    return Published(key, conv, published_spikes(), *counts)


PUBLISHED = (
    _published_conv("C1", 3, 1, 1, 1, (65_056, 43_920, 320_000)),
    _published_conv("C2", 3, 2, 0, 1, (14_928, 9_760, 73_728)),
    _published_conv("C3", 5, 2, 2, 2, (23_000, 15_321, 112_896)),
    Published(
        "C4",  # NeuroBench's documentation: W = [[1.3, 0, -3.2], [0, 1.2, -5.1], [-1.1, 2.7, 0]], x = [0, 1.3, -1]
        hw.Dense(source="in", target="p", weight=np.array([[13, 0, -32], [0, 12, -51], [-11, 27, 0]])),
        torch.tensor([0, 13, -10]).reshape(1, 1, 3),
        stored=6,
        effective=4,
        dense=9,
    ),
)

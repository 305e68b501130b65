"""Tiny networks at every stage of the chain, for the tests of the numerical core. Not a test."""

from __future__ import annotations

from collections.abc import Callable

import torch
from spikeport.hw import CHIPS, Network, Source
from spikeport.models import (
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Profile,
    Synapses,
    Unit,
    build_ann,
)
from spikeport.models.integer import as_integer
from spikeport.models.zoo.resnet import resnet
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.convert import convert
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.lower import to_network
from spikeport.pipeline.scales import Scales, choose_scales, contain_
from spikeport.pipeline.training import Moment
from torch import Tensor, nn


def chain() -> Architecture:
    """(2, 6, 6) - 4 - 6 in two groups, stride 2 - dense 8 - read-out of 3."""
    units = (
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=6, wires=(ConvWire(source="a", stride=2, groups=2),)),
        Unit(name="c", channels=8, wires=(LinearWire(source="b"),)),
        Unit(name="readout", channels=3, wires=(LinearWire(source="c"),)),
    )
    return Architecture(name="chain", input_shape=(2, 6, 6), n_classes=3, units=units, taps=("a", "b", "c"))


def residual() -> Architecture:
    """(2, 8, 8), one block with an identity shortcut, one with a projection, read-out of a spatial mean over 4 x 4."""
    return resnet((2, 8, 8), 3, name="residual", stem=4, widths=(4, 6), blocks=(1, 1))


def varied() -> Architecture:
    """What other people's networks have: uneven kernels, a bias per neuron, dilation, a max pool, scaled and dense
    shortcuts, a ceiling."""
    uneven = ConvWire(source=INPUT, kernel=(1, 3), stride=(1, 2), padding=(0, 1), norm=False, bias="neuron")
    dilated = ConvWire(source="pool", kernel=(3, 2), padding=(2, 1), dilation=(2, 2), norm=False, bias="none")
    units = (
        Unit(name="a", channels=4, wires=(uneven,)),
        Unit(name="pool", channels=4, wires=(PoolWire(source="a", kernel=(2, 3), stride=(2, 1), padding=(0, 1)),)),
        Unit(name="b", channels=4, wires=(dilated, IdentityWire(source="pool", scale=0.5)), ceiling=1.5),
        Unit(name="c.1", channels=16, wires=(LinearWire(source="b"),)),
        Unit(name="c.2", channels=16, wires=(LinearWire(source="c.1"), IdentityWire(source="c.1"))),
        Unit(name="readout", channels=3, wires=(LinearWire(source="c.2"),)),
    )
    return Architecture(name="varied", input_shape=(2, 6, 7), n_classes=3, units=units, taps=("a", "b", "c.1", "c.2"))


ARCHITECTURES: dict[str, Callable[[], Architecture]] = {"chain": chain, "residual": residual}

WITH_VARIED = {**ARCHITECTURES, "varied": varied}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ann(architecture: Architecture, seed: int = 0) -> GraphNet:
    """An ANN whose batch norms look trained: gains of both signs, shifts, running statistics."""
    rng = generator(seed)
    net = build_ann(architecture, rng)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            with torch.no_grad():
                module.weight.copy_(torch.rand(module.weight.shape, generator=rng) + 0.5)
                module.weight[0] *= -1
                module.bias.copy_(torch.randn(module.bias.shape, generator=rng) * 0.3)
                module.running_mean.copy_(torch.randn(module.bias.shape, generator=rng) * 0.2)
                module.running_var.copy_(torch.rand(module.bias.shape, generator=rng) + 0.5)
        elif isinstance(module, nn.Linear | Synapses) and module.bias is not None:
            with torch.no_grad():
                module.bias.copy_(torch.randn(module.bias.shape, generator=rng) * 0.1)
    return net.eval()


def images(architecture: Architecture, count: int = 8, seed: int = 1) -> Tensor:
    return torch.rand(count, *architecture.input_shape, generator=generator(seed))


def converted(
    architecture: Architecture,
    profile: Profile = PROFILES["loihi"],
    n_steps: int = 4,
    seed: int = 0,
    thresholds: float = 1.0,
) -> tuple[GraphNet, GraphNet]:
    """(folded ANN, its spiking twin in weight form). thresholds: times those of calibration; low ones fire more."""
    folded = fold_batchnorm(ann(architecture, seed))
    scales = activation_scales(folded, [images(architecture, 32, seed + 100)], 0.99)
    return folded, convert(folded, {name: thresholds * s for name, s in scales.items()}, profile, n_steps)


def integer(
    architecture: Architecture, *, v_decay: int = 0, n_steps: int = 4, seed: int = 0, payload_bits: int | None = None
) -> tuple[GraphNet, Scales, Network]:
    """(the integer twin, its scales, the chip's network). A large leak gets low thresholds, so that all layers fire."""
    profile = PROFILES["loihi"].with_v_decay(v_decay)
    _, student = converted(architecture, profile, n_steps, seed, thresholds=0.25 if v_decay > 1000 else 1.0)
    chip = CHIPS["loihi2"]
    scales = choose_scales(student, chip, payload_bits)
    net = as_integer(student, profile, scales.units, scales.gains, chip.bias_max)
    contain_(net, chip, scales)
    return net, scales, to_network(net, scales.payload_bits)


def payloads(architecture: Architecture, bits: int, count: int = 5, seed: int = 2) -> Tensor:
    """Integer images, int32 (B, C, H, W); of 0 bits: spikes."""
    largest = Source(payload_bits=bits).max_payload
    return torch.randint(largest + 1, (count, *architecture.input_shape), generator=generator(seed), dtype=torch.int32)


def moment(*, epoch: int = 1, epochs: int = 10, done: float = 0.0, seed: int = 0) -> Moment:
    """A moment of training, for a method's loss."""
    return Moment(epoch=epoch, epochs=epochs, done=done, generator=generator(seed))

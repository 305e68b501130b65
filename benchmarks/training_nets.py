"""The same spiking network in four packages: chains of 3 x 3 convolution, batch norm and LIF, and a linear read-out.

Every neuron is u(t) = v(t-1) / 2 + I(t), a spike above 1, a reset to 0 that the gradient does not see, and the
derivative of the logistic function of 4 (u - 1) in the place of the spike's. Each peer is used as its documentation
does: SpikingJelly in multi-step mode on a repeated image, snnTorch and Norse in a loop over the timesteps. Norse's
membrane carries the factor of its leak, so its threshold is 1 / 2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from spikeport.models import ENGINES, INPUT, Architecture, ConvWire, GraphNet, LinearWire, Profile, Unit, build_ann
from spikeport.models import as_spiking as spiking_twin
from spikeport.models.surrogates import sigmoid
from torch import Tensor, nn

Chain = tuple[tuple[int, int], ...]
"""(channels, stride) of each 3 x 3 convolution on 3 x 32 x 32."""

CHAINS: dict[str, Chain] = {
    "vgg11_thin": ((32, 1), (64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (256, 2), (256, 1)),
    "resnet20_widths": ((16, 1),) * 7 + ((32, 2),) + ((32, 1),) * 5 + ((64, 2),) + ((64, 1),) * 5,
}
N_CLASSES = 10
SIZE = 32

LIF = Profile(name="lif", leak=0.5, reset="hard", strict=True, detach_reset=True, surrogate=sigmoid(4.0))


@dataclass(frozen=True)
class Variant:
    """One way to run a network. forward: images (B, 3, 32, 32) -> logits (B, K), differentiable."""

    name: str
    net: nn.Module
    forward: Callable[[Tensor], Tensor]


def architecture(name: str) -> Architecture:
    """The chain as an architecture."""
    units, source = [], INPUT
    for index, (channels, stride) in enumerate(CHAINS[name], start=1):
        units.append(Unit(name=f"conv{index}", channels=channels, wires=(ConvWire(source=source, stride=stride),)))
        source = f"conv{index}"
    units.append(Unit(name="readout", channels=N_CLASSES, wires=(LinearWire(source=source),)))
    return Architecture(
        name=name, input_shape=(3, SIZE, SIZE), n_classes=N_CLASSES, units=tuple(units), taps=(), stages=()
    )


def reference(name: str, n_steps: int) -> GraphNet:
    """Our spiking network, with random weights that depend on nothing but the chain."""
    ann = build_ann(architecture(name), torch.Generator().manual_seed(0))
    return spiking_twin(ann, LIF, n_steps)


def ours(name: str, n_steps: int, engine: str) -> Variant:
    """This package, by an engine's name."""
    net = reference(name, n_steps)
    run = ENGINES[engine].run
    return Variant(engine, net, lambda images: run(net, images, ()).logits)


def spikingjelly(name: str, n_steps: int) -> Variant:
    """Multi-step: every layer sees all timesteps at once."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    layers: list[nn.Module] = []
    source = 3
    for channels, stride in CHAINS[name]:
        layers += [
            layer.Conv2d(source, channels, 3, stride, 1, bias=False),
            layer.BatchNorm2d(channels),
            neuron.LIFNode(
                tau=2.0, decay_input=False, surrogate_function=surrogate.Sigmoid(alpha=4.0), detach_reset=True
            ),
        ]
        source = channels
    net = nn.Sequential(*layers, layer.Flatten(), layer.Linear(_features(name), N_CLASSES))
    functional.set_step_mode(net, "m")
    _take_weights(net, reference(name, n_steps))

    def forward(images: Tensor) -> Tensor:
        functional.reset_net(net)
        return net(images.unsqueeze(0).repeat(n_steps, 1, 1, 1, 1)).mean(0)

    return Variant("spikingjelly", net, forward)


def snntorch(name: str, n_steps: int) -> Variant:
    """A loop over the timesteps; the membranes are handed from one to the next."""
    import snntorch as snn
    from snntorch import surrogate

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList()
            source = 3
            for channels, stride in CHAINS[name]:
                self.layers.append(
                    nn.ModuleList(
                        [
                            nn.Conv2d(source, channels, 3, stride, 1, bias=False),
                            nn.BatchNorm2d(channels),
                            snn.Leaky(beta=0.5, reset_mechanism="zero", spike_grad=surrogate.sigmoid(slope=4)),
                        ]
                    )
                )
                source = channels
            self.readout = nn.Linear(_features(name), N_CLASSES)

        def forward(self, images: Tensor) -> Tensor:
            membranes = [lif.reset_mem() for _, _, lif in self.layers]  # pyright: ignore[reportGeneralTypeIssues]
            logits = []
            for _ in range(n_steps):
                x = images
                for index, (conv, norm, lif) in enumerate(self.layers):  # pyright: ignore[reportGeneralTypeIssues]
                    x, membranes[index] = lif(norm(conv(x)), membranes[index])
                    x = x.to(images.dtype)  # its spikes are float32, also in the check in float64
                logits.append(self.readout(x.flatten(1)))
            return torch.stack(logits).mean(0)

    net = Net()
    _take_weights(net, reference(name, n_steps))
    return Variant("snntorch", net, net)


def norse(name: str, n_steps: int) -> Variant:
    """A loop over the timesteps; `SequentialState` hands the membranes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from norse.torch import LIFBoxCell, SequentialState
        from norse.torch.functional.lif_box import LIFBoxParameters
        from norse.torch.functional.reset import reset_value

    def detached(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
        return reset_value(z.detach(), v, reset, th)

    parameters = LIFBoxParameters(
        tau_mem_inv=torch.tensor(500.0),  # times the cell's dt of 1 ms: 1 / 2
        v_th=torch.tensor(0.5),
        method="tanh",
        alpha=4.0,  # pyright: ignore[reportArgumentType]
        reset_method=detached,
    )
    layers: list[nn.Module] = []
    source = 3
    for channels, stride in CHAINS[name]:
        layers += [
            nn.Conv2d(source, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            LIFBoxCell(parameters),
        ]
        source = channels
    net = SequentialState(*layers, nn.Flatten(), nn.Linear(_features(name), N_CLASSES))
    _take_weights(net, reference(name, n_steps))

    def forward(images: Tensor) -> Tensor:
        state: Any = None
        logits = []
        for _ in range(n_steps):
            out, state = net(images, state)
            logits.append(out)
        return torch.stack(logits).mean(0)

    return Variant("norse", net, forward)


PEERS: dict[str, Callable[[str, int], Variant]] = {
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
    "norse": norse,
}


def _features(name: str) -> int:
    """What the read-out sees: channels times positions."""
    side = SIZE
    for _, stride in CHAINS[name]:
        side //= stride
    return CHAINS[name][-1][0] * side * side


def _take_weights(net: nn.Module, source: GraphNet) -> None:
    """Copy weights, layer by layer; batch norms are at the identity in both."""
    kinds = (nn.Conv2d, nn.Linear)
    mine = [m for m in source.modules() if isinstance(m, kinds)]
    theirs = [m for m in net.modules() if isinstance(m, kinds)]
    for to, of in zip(theirs, mine, strict=True):
        to.load_state_dict({key: value.contiguous() for key, value in of.state_dict().items()})

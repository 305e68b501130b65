"""What the spikes of a float network cost before it is on the chip: spikes and synaptic operations per timestep.

    operations[t] = sum over neurons of [neuron spiked at timestep t] * fan_out(neuron),

the count that `sim` makes of a file (`sim/counts.py`), made of a `GraphNet`, with the fan-outs exact at the borders of
convolutions. The input is counted as the chip receives it: a pixel that is not 0 is one spike at every timestep (in a
clip, at that of its frame), graded unless the clip is binary, so that its operations multiply, and those of all other
units add. A max pool is a population here as it is there: the spikes of its source reach its windows, and its own reach
what reads it. An average before a wire has no neurons: a spike reaches what its window reaches. An identity shortcut is
one synapse per neuron.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..hw import BadInput, Conv, Shape, UnsupportedLayer
from ..models import INPUT, Architecture, ConvWire, GraphNet, IdentityWire, LinearWire, Spiking
from ..models.architecture import Wire, pool_of, pooled
from ..models.integer import IntegerPopulation
from ..sim import fan_out


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Mean events of one image at every timestep, by the population that sends them, `input` first.

    spikes, synops: float64 (T,) each. neurons: of every population.
    """

    spikes: Mapping[str, Tensor]
    synops: Mapping[str, Tensor]
    neurons: Mapping[str, int]

    def synops_by_step(self) -> Tensor:
        """Synaptic operations of one image at every timestep, float64 (T,)."""
        return torch.stack(list(self.synops.values())).sum(dim=0)

    def spikes_per_neuron(self) -> float:
        """Spikes of one neuron over a whole mean image; the input and the read-out are not neurons that spike."""
        hidden = [name for name in self.spikes if name != INPUT]
        return sum(float(self.spikes[name].sum()) for name in hidden) / sum(self.neurons[name] for name in hidden)


def synops_by_step(net: GraphNet, images: Tensor) -> Tensor:
    """Synaptic operations per image of a spiking network at every timestep, float64 (T,). See `activity`."""
    return activity(net, images).synops_by_step()


@torch.no_grad()
def activity(net: GraphNet, images: Tensor, size: int = 100) -> Activity:
    """Run samples through a spiking network, `size` at a time, and count what its spikes reach.

    images: (N, *input shape), or clips (T, N, *input shape) of the network's T. The network is left in evaluation mode.
    Raises BadInput for an ANN and for images of another shape, UnsupportedLayer for a unit that is no population of
    spiking neurons (a linear one, attention, a ReLU).
    """
    architecture = net.architecture
    if net.n_steps < 1:
        raise BadInput(f"{architecture.name}: is an ANN, which sends no spikes; count its spiking twin")
    timed = images.ndim == len(architecture.input_shape) + 2 and len(images) == net.n_steps
    count = images.shape[int(timed)]
    if images.shape[1 + timed :] != architecture.input_shape or count < 1:
        raise BadInput(
            f"{architecture.name}: images of shape {tuple(images.shape)}; give (N, *{architecture.input_shape}), or "
            f"({net.n_steps}, N, *{architecture.input_shape}), N >= 1"
        )
    _require_spikes(net)
    senders = [INPUT, *(unit.name for unit in architecture.units[:-1])]
    shapes = architecture.shapes()
    device = next(net.parameters()).device
    sent = {name: torch.zeros(net.n_steps, *shapes[name], dtype=torch.int64, device=device) for name in senders}
    net.eval()
    for batch in images.split(size, dim=int(timed)):
        x = batch.to(device)
        _, spikes = net(x, senders[1:])
        sent[INPUT] += (x != 0).sum(dim=int(timed))  # an image is the same at every timestep
        for name in senders[1:]:
            sent[name] += (spikes[name] != 0).sum(dim=1)
    reach = {name: torch.from_numpy(synapses_from(architecture, name)) for name in senders}
    counted = {name: events.flatten(1).cpu() for name, events in sent.items()}
    return Activity(
        spikes={name: events.sum(dim=1).double() / count for name, events in counted.items()},
        synops={name: (events * reach[name].flatten()).sum(dim=1).double() / count for name, events in counted.items()},
        neurons={name: reach[name].numel() for name in senders},
    )


def synapses_from(architecture: Architecture, source: str) -> np.ndarray:
    """Synapses that one spike of each neuron of a population reaches, over all its wires: int64 (*shape)."""
    shapes = architecture.shapes()
    total = np.zeros(shapes[source], np.int64)
    for unit in architecture.units:
        for wire in unit.wires:
            if wire.source == source:
                total += _through_average(wire, shapes[source], unit.channels)
    return total


def _through_average(wire: Wire, source: Shape, channels: int) -> np.ndarray:
    """`_reach`, where a neuron reaches what the window of its average does, and nothing if it is in none."""
    side = pool_of(wire)
    reach = _reach(wire, pooled(source, side), channels)
    if side == 1:
        return reach
    reach = reach.repeat(side, axis=1).repeat(side, axis=2)
    return np.pad(reach, [(0, size - own) for size, own in zip(source, reach.shape, strict=True)])


def _reach(wire: Wire, source: Shape, channels: int) -> np.ndarray:
    """Synapses that one spike of each neuron of `source` reaches through a wire into `channels` channels."""
    if isinstance(wire, IdentityWire):
        return np.ones(source, np.int64)
    if isinstance(wire, LinearWire):
        return np.full(source, channels, np.int64)
    groups, out = (wire.groups, channels) if isinstance(wire, ConvWire) else (source[0], source[0])
    kernel, stride, padding, dilation = wire.window
    weight = np.ones((out, source[0] // groups, *kernel), np.int16)
    conv = Conv(
        source=wire.source, target="", weight=weight, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return fan_out(conv, source)


def _require_spikes(net: GraphNet) -> None:
    """Raise UnsupportedLayer for a unit that hands on something else than spikes."""
    for node in net.walk()[:-1]:
        if node.unit.attention is not None:
            kind = "multiplies spikes with spikes"
        elif node.unit.linear or (node.unit.fires and not isinstance(node.neuron, Spiking | IntegerPopulation)):
            kind = "hands on real values, not spikes"
        else:
            continue
        raise UnsupportedLayer(
            f"{net.architecture.name}/{node.unit.name}: {kind}, so its synaptic operations are not defined; count a "
            "network of spiking populations and synapses alone"
        )

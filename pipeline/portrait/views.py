"""What each layer of a network says about the same samples, whatever arithmetic computes it.

An ANN's layer says its activations, a spiking layer its firing rates: spikes per timestep. A layer without neurons (a
sum of spikes, the read-out) says its mean over the timesteps. Clips are seen by an ANN as the mean of their frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ... import sim
from ...hw import Network, Shape
from ...models import GraphNet
from ...models.datasets import Samples
from ..deploy import payload_for

AT_ONCE = 2**24
"""Values of all layers and timesteps in one batch, about: 64 MiB of float32."""

BATCH_MAX = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One network on a run's samples.

    sizes: the neurons of each of its layers, in order. n_steps: its timesteps, 1 for an ANN. see: (names, samples) ->
    what those layers say of those samples, (B, *shape) each.
    """

    sizes: Mapping[str, int]
    n_steps: int
    see: Callable[[Sequence[str], slice], Mapping[str, Tensor]]


def of_net(net: GraphNet, samples: Samples, device: torch.device) -> View:
    """A view of an ANN or of a float spiking network, which is put on the device, in evaluation mode."""
    net.to(device).eval()
    shapes = net.architecture.shapes()

    @torch.no_grad()
    def see(names: Sequence[str], chosen: slice) -> dict[str, Tensor]:
        _, kept = net(samples.floats(chosen).to(device), names)
        return {name: kept[name].mean(dim=0) if net.n_steps else kept[name] for name in names}

    sizes = {unit.name: math.prod(shapes[unit.name]) for unit in net.architecture.units}
    return View(sizes=sizes, n_steps=max(net.n_steps, 1), see=see)


def of_chip(network: Network, shapes: Mapping[str, Shape], samples: Samples, device: torch.device) -> View:
    """A view of the deployed integers. shapes: of the populations to see, in order; those it has not are left out.

    A population of a chain may carry relays behind its own channels (`export/lowering.py`); they are not its own.
    """
    simulator = sim.Simulator(network, device=device)
    there = {population.name for population in network.populations}
    own = {name: shape for name, shape in shapes.items() if name in there}

    def see(names: Sequence[str], chosen: slice) -> dict[str, Tensor]:
        spikes = simulator.run(payload_for(network, samples, chosen), record=("spikes",)).spikes
        counts = {name: spikes[name][:, :, : own[name][0]].sum(dim=0) for name in names}
        return {name: count / network.n_steps for name, count in counts.items()}

    sizes = {name: math.prod(shape) for name, shape in own.items()}
    return View(sizes=sizes, n_steps=network.n_steps, see=see)


def features(
    view: View, names: Sequence[str], count: int, advance: Callable[[int], None] = lambda n: None
) -> dict[str, Tensor]:
    """What layers say of the first `count` samples: float32 (count, neurons) each, on the CPU.

    A few samples are run at a time. advance: called after each batch with the number of samples it held.
    """
    size = min(BATCH_MAX, max(1, AT_ONCE // (view.n_steps * sum(view.sizes.values()))))
    said = {name: torch.empty(count, view.sizes[name]) for name in names}
    for start in range(0, count, size):
        chosen = slice(start, min(start + size, count))
        for name, values in view.see(names, chosen).items():
            said[name][chosen] = values.flatten(1).cpu()
        advance(chosen.stop - chosen.start)
    return said


def in_parts(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Names in order, in parts whose sizes add up to `most` or less; what is larger is a part of its own."""
    part: list[str] = []
    held = 0
    for name, size in sizes.items():
        if part and held + size > most:
            yield part
            part, held = [], 0
        part.append(name)
        held += size
    if part:
        yield part

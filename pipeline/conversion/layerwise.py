"""A spiking network run population by population: each behind those already done, over the whole sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ...hw import BadInput
from ...models import INPUT, GraphNet, Node, Spiking, Unit

BUDGET = 1 << 26
"""Currents held at a time: 256 MiB of float32."""


class Upstream:
    """The spikes that later populations of a network still need, and the currents made of them.

    Linear units need no turn of their own.

    images: (N, *input shape), held over the n_steps of the sample. Raises BadInput for a sequence of them.
    """

    def __init__(self, net: GraphNet, images: Tensor, n_steps: int) -> None:
        shape = net.architecture.input_shape
        if images.shape[1:] != shape:
            raise BadInput(
                f"{net.architecture.name}: images of shape {tuple(images.shape)} are not (N, *{shape}); give still "
                "images, which are held over the sample"
            )
        self.net = net
        self.n_steps = n_steps
        self._dtype = next(net.parameters()).dtype
        self._count = len(images)
        self._values = {INPUT: images}
        self._worth = {INPUT: 1.0}
        self._linear = {unit.name: unit for unit in net.architecture.units if unit.linear}

    def current(self, unit: Unit, rows: slice = slice(None)) -> tuple[Tensor, bool]:
        """(current of a unit for some of the images, whether it is static): (T, n, ...), or (n, ...) if static."""
        values = [self._value(wire.source, rows) for wire in unit.wires]
        static = [fixed for _, fixed in values]
        return self.net.node(unit.name).current([value for value, _ in values], static), all(static)

    def currents(self, unit: Unit) -> Iterator[Tensor]:
        """A unit's current (T, n, ...), a few images at a time."""
        for rows in self._chunks(unit):
            current, static = self.current(unit, rows)
            yield current.expand(self.n_steps, *current.shape) if static else current

    def spikes(self, unit: Unit, neuron: Spiking | None) -> Tensor:
        """A unit's spikes, bool (T, N, ...), of these neurons; of a max pool, which has none, what it passes on."""
        runs = (current if neuron is None else neuron(current, False) for current in self.currents(unit))
        return torch.cat([spikes > 0 for spikes in runs], dim=1)

    def put(self, unit: Unit, spikes: Tensor, worth: float = 1.0) -> None:
        """Keep a unit's spikes, bool (T, N, ...), each worth so much downstream; drop what nothing later reads."""
        self._values[unit.name] = spikes
        self._worth[unit.name] = worth
        units = self.net.architecture.units
        later = units[[u.name for u in units].index(unit.name) + 1 :]
        needed = {wire.source for u in later for wire in u.wires}
        for linear in reversed(self._linear.values()):
            needed |= {wire.source for wire in linear.wires} if linear.name in needed else set()
        self._values = {name: value for name, value in self._values.items() if name in needed}

    def logits(self) -> Tensor:
        """The read-out's current at every step, (T, N, K), once every hidden unit is done."""
        return torch.cat(list(self.currents(self.net.architecture.units[-1])), dim=1)

    def _chunks(self, unit: Unit) -> Iterator[slice]:
        """Slices of the images for which a unit's currents stay near BUDGET."""
        sizes = self.net.architecture.shapes()
        names = [unit.name, *(wire.source for wire in unit.wires)]
        rows = max(1, BUDGET // (self.n_steps * max(math.prod(sizes[name]) for name in names)))
        for start in range(0, self._count, rows):
            yield slice(start, start + rows)

    def _value(self, name: str, rows: slice) -> tuple[Tensor, bool]:
        """What a unit hands on for some of the images, and whether it is static; a linear unit's sum is made anew."""
        if name in self._linear:
            return self.current(self._linear[name], rows)
        value = self._values[name]
        if name == INPUT:
            return value[rows], True
        return value[:, rows].to(self._dtype) * self._worth[name], False


def channel_mean(values: Tensor) -> Tensor:
    """Mean over images and positions of (N, C, ...): (1, C, 1, ...)."""
    return values.mean(dim=[0, *range(2, values.ndim)], keepdim=True)


def shift_(node: Node, shift: Tensor) -> None:
    """Add a shift per channel to the bias of the first wire that has one, in place. Raises BadInput if none has."""
    biases = [p for name, p in node.synapses.named_parameters() if name.endswith("bias")]
    if not biases:
        raise BadInput(f"{node.unit.name}: has no bias that could be corrected; give one of its wires a bias")
    bias = biases[0]
    assert isinstance(bias, nn.Parameter)
    channels = shift.reshape(-1)
    bias.add_(channels if bias.ndim == 1 else channels[:, None, None])

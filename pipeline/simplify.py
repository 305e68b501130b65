"""A network as one with plain layers only: what the chip has synapses for, computing exactly the same.

- An average pool is folded into the convolution or matrix that reads it (`links.py`).
- A unit without neurons, whose sum goes straight into other layers, is left out: what read it reads its sources,
  through the two maps joined into one. Linear layers in a row become one matrix; what reads a sum of spikes reads each
  of them with the same weights; the stream of a wide ResNet becomes a projection from every block of the stage.
- What cannot be joined, and attention, is refused.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..hw import NotRepresentable, Shape, UnsupportedLayer
from ..models import (
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    Node,
    PoolWire,
    Synapses,
    Unit,
    outline,
)
from ..models.architecture import Wire, is_plain
from .convert import Gain
from .folding import fold_batchnorm
from .links import Link, Weighted, join, link_of
from .notices import notice


def simplify(net: GraphNet) -> GraphNet:
    """A copy of a network without batch norms that has plain wires and no linear units, and gives the same spikes.

    A population whose wires are plain already stays as it is. Sums are equal up to the order of their terms. Raises
    UnsupportedLayer for attention, NotRepresentable for a sum that is convolved again and for an average pool that
    leaves positions out.
    """
    made = _Simplified(net.architecture, net.architecture.shapes(), next(net.parameters()).detach())
    for node in net.walk():
        made.add(node)
    units = tuple(node.unit for node in made.nodes)
    names = {unit.name for unit in units}
    taps = tuple(name for name in net.architecture.taps if name in names)
    stages = tuple(name for name in net.architecture.stages if name in names)
    firing = tuple(unit.name for unit in units[:-1] if unit.fires)
    architecture = replace(net.architecture, units=units, taps=taps or firing, stages=stages)
    return GraphNet(architecture, made.nodes, net.n_steps).train(net.training)


def why_not_on_chip(architecture: Architecture) -> str | None:
    """Why no network of this architecture can be put on a chip, before anything is trained; None if one can.

    Whether it fits a chip is another question, which its sizes decide.
    """
    if architecture.plain:
        return None
    try:
        simplify(fold_batchnorm(outline(architecture)))
    except (NotRepresentable, UnsupportedLayer) as error:
        return str(error)
    return None


def notices_of(architecture: Architecture) -> list[dict[str, str]]:
    """One notice for every layer that `simplify` folds or leaves out."""
    rows = []
    for unit in architecture.units:
        pools = sorted({wire.pool for wire in unit.wires if not isinstance(wire, PoolWire) and wire.pool > 1})
        if pools:
            rows.append(
                notice(
                    unit.name,
                    f"average pool of {pools[0]} x {pools[0]} folded into the layer after it",
                    "an average has no neurons, and the chip has no layer without",
                    "none needed: it is exact",
                )
            )
        if unit.linear and unit is not architecture.units[-1]:
            rows.append(
                notice(
                    unit.name,
                    "left out: what read it reads its sources, through both maps as one",
                    "it has no neurons, and the chip passes on spikes, not sums",
                    "none needed: it is exact",
                )
            )
    return rows


@dataclass(frozen=True)
class _Sum:
    """A current: links without biases from populations that remain, and one bias (C,) or (C, H, W) or none."""

    links: tuple[Link, ...]
    bias: Tensor | None


@dataclass
class _Simplified:
    """The nodes made so far. streams: the linear units that were left out, as sums. like: of the weights' kind."""

    architecture: Architecture
    shapes: dict[str, Shape]
    like: Tensor
    nodes: list[Node] = field(default_factory=list)
    streams: dict[str, _Sum] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Take up one more node, in topological order."""
        unit = node.unit
        if unit.attention is not None:
            raise UnsupportedLayer(
                f"{self.architecture.name}/{unit.name}: attention multiplies spike trains, and the chip only adds "
                "weighted spikes; keep it as a reference in software and deploy a convolutional network, e.g. resnet19"
            )
        stream = unit.linear and unit is not self.architecture.units[-1]
        if not stream and all(self._stays(wire) for wire in unit.wires):
            self.nodes.append(copy.deepcopy(node))
            return
        links: list[Link] = []
        bias: Tensor | None = None
        for wire, synapses in zip(unit.wires, node.synapses, strict=True):
            assert not isinstance(wire, PoolWire)
            part = self._through(unit, link_of(wire, synapses, self.shapes[wire.source], unit.channels, self.like))
            links += part.links
            bias = _added(bias, part.bias)
        if stream:
            self.streams[unit.name] = _Sum(tuple(links), bias)
        else:
            self.nodes.append(self._node(node, _Sum(tuple(links), bias)))

    def _stays(self, wire: Wire) -> bool:
        return is_plain(wire) and wire.source not in self.streams

    def _through(self, unit: Unit, outer: Link) -> _Sum:
        """A unit's link as a sum of links from populations that remain."""
        source = outer.wire.source
        if source not in self.streams:
            return _Sum((replace(outer, bias=None),), outer.bias)
        stream = self.streams[source]
        links = []
        for inner in stream.links:
            joined = join(outer, inner, self.shapes)
            if joined is None:
                raise NotRepresentable(
                    f"{self.architecture.name}/{unit.name}: it is a {_kind(outer)} of {source}, which has no neurons "
                    f"and is itself a {_kind(inner)} of {inner.wire.source}; around the edges the two are not one "
                    f"layer, and the chip passes on spikes, not sums; give {source} neurons, or deploy e.g. resnet20"
                )
            links.append(joined)
        inherited = None if stream.bias is None else outer.of(stream.bias, self.shapes[source])
        return _Sum(tuple(links), _added(outer.bias, inherited))

    def _node(self, node: Node, current: _Sum) -> Node:
        """The node with these wires, those alike made one, and the whole bias on the first that can hold one."""
        weights: dict[Weighted, Tensor] = {}
        for link in current.links:
            wire = _without_bias(link.wire)
            weights[wire] = weights[wire] + link.weight if wire in weights else link.weight
        wires: list[Weighted] = []
        synapses: list[nn.Module] = []
        bias = current.bias
        for wire, weight in weights.items():
            held = None if isinstance(wire, IdentityWire) else bias
            bias = bias if held is None else None
            wires.append(wire if held is None else _with_bias(wire, held))
            synapses.append(self._synapses(wires[-1], weight, held, node.unit.channels))
        assert bias is None
        return Node(replace(node.unit, wires=tuple(wires)), synapses, copy.deepcopy(node.neuron))

    def _synapses(self, wire: Weighted, weight: Tensor, bias: Tensor | None, channels: int) -> Synapses:
        with torch.device("meta"):  # no weights are drawn: they are given
            synapses = Synapses(wire, self.shapes[wire.source], channels)
        if isinstance(wire, IdentityWire):
            synapses.weighted = Gain(1.0)
        module = synapses.weighted
        module.register_parameter("weight", nn.Parameter(weight))
        if bias is not None:
            holder = synapses if isinstance(wire, ConvWire) and wire.bias == "neuron" else module
            holder.register_parameter("bias", nn.Parameter(bias))
        return synapses


def _kind(link: Link) -> str:
    names = {ConvWire: "convolution", LinearWire: "linear layer", IdentityWire: "shortcut"}
    return names[type(link.wire)]


def _added(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of two biases, (C,) or (C, H, W) each."""
    if a is None or b is None:
        return b if a is None else a
    wide = max(a.ndim, b.ndim)
    return a.reshape(*a.shape, *[1] * (wide - a.ndim)) + b.reshape(*b.shape, *[1] * (wide - b.ndim))


def _without_bias(wire: Weighted) -> Weighted:
    if isinstance(wire, ConvWire):
        return replace(wire, bias="none")
    return replace(wire, bias=False) if isinstance(wire, LinearWire) else wire


def _with_bias(wire: Weighted, bias: Tensor) -> Weighted:
    if isinstance(wire, ConvWire):
        return replace(wire, bias="channel" if bias.ndim == 1 else "neuron")
    return replace(wire, bias=True) if isinstance(wire, LinearWire) else wire

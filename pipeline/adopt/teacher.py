"""A folded ANN as a network of the pipeline: the teacher, with the weights of someone else's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ...export.floatgraph import Conv, Linear, Pool, Relu
from ...hw import Shape, UnsupportedLayer
from ...models import (
    INPUT,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    PoolWire,
    Synapses,
    build_ann,
)
from ...models import Unit as Population
from ...models.architecture import Wire
from .folded import Edge, Folded, Same, Unit


def to_graphnet(folded: Folded) -> GraphNet:
    """The ANN as a `GraphNet` in evaluation mode, float32, one population per unit, without batch norms.

    It can be trained further, converted and quantized like one of the zoo. Raises UnsupportedLayer, naming the unit and
    its place in the user's file, for what has no spiking twin: hidden units without ReLU, neurons that already spike,
    pools of the input, delays, an output with an activation or with positions.
    """
    populations, weights = [], []
    shapes = {folded.source: folded.source_shape} | {unit.name: unit.shape for unit in folded.units}
    names = {unit.name: unit.name + "_" if unit.name == INPUT else unit.name for unit in folded.units}
    names[folded.source] = INPUT
    for unit in folded.units:
        _require_convertible(unit, folded)
        parts = [_wire(edge, names[edge.source], shapes[edge.source], unit) for edge in _weighted_first(unit, shapes)]
        parts[0] = (_with_bias(parts[0][0], unit), parts[0][1])
        ceiling = unit.op.ceiling if isinstance(unit.op, Relu) else None
        wires = tuple(wire for wire, _ in parts)
        populations.append(Population(name=names[unit.name], channels=unit.shape[0], wires=wires, ceiling=ceiling))
        weights.append([weight for _, weight in parts])
    architecture = Architecture(
        name=folded.name,
        input_shape=folded.source_shape,
        n_classes=folded.units[-1].shape[0],
        units=tuple(populations),
        taps=tuple(unit.name for unit in populations[:-1] if unit.pool is None),
    )
    net = build_ann(architecture)
    for unit, given in zip(folded.units, weights, strict=True):
        _copy_(net.node(names[unit.name]).synapses, given, unit.bias)
    return net.eval()


def _require_convertible(unit: Unit, folded: Folded) -> None:
    """Raise UnsupportedLayer with the reason why a unit cannot be in an ANN that is to be converted."""
    last = unit is folded.units[-1]
    reason = None
    pools = [edge.op for edge in unit.edges if isinstance(edge.op, Pool)]
    if not (unit.op is None or isinstance(unit.op, Relu)):
        reason = f"it is a {type(unit.op).__name__}, not an ANN's activation; a network that spikes is not converted"
    elif last and unit.op is not None:
        reason = "the output has a ReLU; leave the last activation out, the read-out adds up currents of both signs"
    elif last and (pools or len(unit.shape) != 1):
        reason = f"the output has shape {unit.shape}; end in one value per class, from a linear layer"
    elif last and len(folded.units) == 1:
        reason = "it is the only layer, so nothing would spike; give the network a hidden layer with a ReLU"
    elif unit.op is None and not last and not pools:
        reason = "it has no ReLU and could not be folded into the next layer; a firing rate cannot be negative"
    elif any(pool.kind != "max" for pool in pools):
        reason = f"a pool of kind {pools[0].kind} was not folded into a convolution"
    elif pools and unit.edges[0].source == folded.source:
        reason = "it is a max pool of the input, whose graded spikes have no OR; put a convolution before it"
    elif any(edge.source == unit.name or edge.delay.any() for edge in unit.edges):
        reason = "an ANN has neither delays nor loops"
    if reason is not None:
        raise UnsupportedLayer(f"{unit.where}: {unit.name}: {reason}")


def _weighted_first(unit: Unit, shapes: dict[str, Shape]) -> list[Edge]:
    """The unit's edges, one that can hold the bias first; of identities alone, one is written out as a matrix."""
    edges = sorted(unit.edges, key=lambda edge: isinstance(edge.op, Same))
    first = edges[0]
    if isinstance(first.op, Same):
        channels = unit.shape[0]
        eye = first.op.scale * np.eye(channels)
        op = Conv(weight=eye[:, :, None, None]) if len(shapes[first.source]) == 3 else Linear(weight=eye)
        edges[0] = replace(first, op=op)
    return edges


def _wire(edge: Edge, source: str, shape: Shape, unit: Unit) -> tuple[Wire, np.ndarray | None]:
    """An edge as a wire, and its weights in the shape of the module that the wire becomes."""
    match edge.op:
        case Conv() as op:
            wire = ConvWire(
                source=source,
                kernel=(op.weight.shape[2], op.weight.shape[3]),
                stride=op.stride,
                padding=op.padding,
                dilation=op.dilation,
                groups=op.groups,
                norm=False,
                bias="none",
            )
            return wire, op.weight
        case Linear() as op:
            mean = _over_mean(op.weight, shape)
            weight = op.weight if mean is None else mean
            return LinearWire(source=source, mean=mean is not None, bias=False), weight
        case Same() as op:
            return IdentityWire(source=source, scale=op.scale), None
        case Pool() as op:
            return PoolWire(source=source, kernel=op.kernel, stride=op.stride, padding=op.padding), None


def _with_bias(wire: Wire, unit: Unit) -> Wire:
    """The wire that holds the unit's bias."""
    if isinstance(wire, ConvWire):
        return replace(wire, bias="neuron" if unit.bias.ndim == 3 else "channel")
    return replace(wire, bias=True) if isinstance(wire, LinearWire) else wire


def _over_mean(weight: np.ndarray, source: Shape) -> np.ndarray | None:
    """A matrix (out, C H W) as one on the spatial mean, (out, C), if it weighs all positions of a channel alike."""
    if len(source) != 3 or source[1] * source[2] == 1:
        return None
    positions = source[1] * source[2]
    apart = weight.reshape(len(weight), source[0], positions)
    alike = np.allclose(apart, apart[:, :, :1], rtol=1e-9, atol=0)
    return apart[:, :, 0] * positions if alike else None


@torch.no_grad()
def _copy_(synapses: nn.ModuleList, weights: Sequence[np.ndarray | None], bias: np.ndarray) -> None:
    """Weights into the modules of one unit's wires, in place, and its bias into the first."""
    for module, weight in zip(synapses, weights, strict=True):
        assert isinstance(module, Synapses)
        if weight is not None:
            dict(module.named_parameters())["weighted.weight"].copy_(torch.from_numpy(weight))
    for name, parameter in synapses[0].named_parameters():
        if name.endswith("bias"):
            values = np.asarray(bias, np.float64)
            parameter.copy_(torch.from_numpy(np.array(np.broadcast_to(values, parameter.shape))))

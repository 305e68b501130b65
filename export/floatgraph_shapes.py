"""Which shape every node of a float graph gives, and in which order the nodes can be computed.

Nothing is allocated: a forged size ends in an error, not in memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..hw import BadInput, Shape, UnsupportedLayer
from .floatgraph import (
    Add,
    Affine,
    Conv,
    Delay,
    Flatten,
    FloatGraph,
    GlobalAverage,
    Input,
    Integrate,
    Linear,
    Node,
    Op,
    Pool,
    Relu,
    Spike,
)

SIZE_MAX = 1 << 24
"""Most elements one node may give per sample, 5 times the largest activation of VGG-16."""

TOTAL_MAX = 1 << 27
"""Most elements all nodes of a graph give per sample, 1 GiB in float64, twice those of ResNet-152."""

PRODUCTS_MAX = 1 << 36
"""Most multiplications per sample, 4 times those of VGG-16: about 20 s on one core in float64."""

WINDOW_MAX = 4096
"""Largest kernel, stride, padding and dilation; chips stop at 127."""

POPULATIONS = (Input, Relu, Spike, Integrate)
"""Operations whose values become the spikes or potentials of a population. Between them everything is linear or a max
pool."""


def shapes(graph: FloatGraph) -> dict[str, Shape]:
    """The shape of every node's output, (C, H, W) or (F,).

    Raises BadInput where shapes do not fit together and UnsupportedLayer for a loop without a `Spike`.
    """
    compute_order(graph)
    found: dict[str, Shape] = {}
    waiting = list(graph.nodes)
    while waiting:
        later = []
        for node in waiting:
            shape = _early_shape(node, found)
            if shape is None:
                later.append(node)
            else:
                found[node.name] = shape
        if len(later) == len(waiting):
            raise BadInput(
                f"{later[0].where}: its shape depends on itself alone; give a loop an input or a matrix of known size"
            )
        waiting = later
    for node in graph.nodes:  # what came back through a loop was not there the first time
        if out_shape(node.op, [found[name] for name in node.inputs], node.where) != found[node.name]:
            raise BadInput(f"{node.where}: a loop brings another shape back than {found[node.name]}")
    _check_effort(graph, found)
    return found


def _check_effort(graph: FloatGraph, found: Mapping[str, Shape]) -> None:
    """Raise BadInput for a graph whose sizes, however small its file, take too long or too much memory to compute."""
    total = products = 0
    for node in graph.nodes:
        size, op = math.prod(found[node.name]), node.op
        total += size
        if isinstance(op, Conv | Linear):
            products += size * math.prod(op.weight.shape[1:])
        elif isinstance(op, Pool):
            products += size * math.prod(op.kernel)
        for what, value, limit in (("values", total, TOTAL_MAX), ("multiplications", products, PRODUCTS_MAX)):
            if value > limit:
                raise BadInput(
                    f"{node.where}: up to here the graph takes {value} {what} per sample, more than {limit}; use a "
                    "smaller input"
                )


def compute_order(graph: FloatGraph) -> tuple[Node, ...]:
    """Nodes so that each comes after what it reads within a timestep; what a population gives is known beforehand.

    `Input`, `Relu`, `Spike` and `Integrate` come where the graph lists them as far as possible. Raises UnsupportedLayer
    for a loop that passes no `Spike`.
    """
    by_name = {node.name: node for node in graph.nodes}
    done: dict[str, bool] = {}
    order: list[Node] = []
    for root in graph.nodes:
        stack = [(root, iter(_needed(root, by_name)))] if root.name not in done else []
        done.setdefault(root.name, False)
        while stack:
            node, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                done[node.name] = True
                order.append(node)
                stack.pop()
            elif child.name not in done:
                done[child.name] = False
                stack.append((child, iter(_needed(child, by_name))))
            elif not done[child.name]:
                raise UnsupportedLayer(
                    f"{child.where}: it reads its own output within one timestep; a loop must pass a spiking neuron"
                )
    return tuple(order)


def _needed(node: Node, by_name: Mapping[str, Node]) -> list[Node]:
    """What a node reads within the timestep. A spiking neuron's output counts as known: loops are cut there."""
    return [by_name[name] for name in node.inputs if not isinstance(by_name[name].op, Spike)]


def _early_shape(node: Node, found: Mapping[str, Shape]) -> Shape | None:
    """A node's shape as soon as it is certain, None before."""
    known = [found[name] for name in node.inputs if name in found]
    if isinstance(node.op, Linear) and not known and node.inputs:
        return (node.op.weight.shape[0],)
    if isinstance(node.op, Add) and known:
        return known[0]
    if len(known) < len(node.inputs):
        return None
    return out_shape(node.op, known, node.where)


def out_shape(op: Op, inputs: Sequence[Shape], where: str) -> Shape:
    """The shape one operation gives. Raises BadInput, beginning with `where`, if it cannot read such inputs."""
    least, most = (0, 0) if isinstance(op, Input) else (1, None) if isinstance(op, Add) else (1, 1)
    if len(inputs) < least or (most is not None and len(inputs) > most):
        raise BadInput(f"{where}: {type(op).__name__} takes {least} input{'s' * (least != 1)}, got {len(inputs)}")
    shape = _checked(_shape(op, inputs, where), where)
    if isinstance(op, Spike):
        for name in ("threshold", "v_decay", "i_decay", "gain", "offset", "v_reset"):
            _covers(name, getattr(op, name), shape, where)
    return shape


def _shape(op: Op, inputs: Sequence[Shape], where: str) -> Shape:
    match op:
        case Input():
            if len(op.shape) not in (1, 3):
                raise BadInput(f"{where}: an input of shape {op.shape}; give (C, H, W) or (F,), without the batch")
            return tuple(int(n) for n in op.shape)
        case Conv():
            return _conv(op, inputs[0], where)
        case Linear():
            return _linear(op, inputs[0], where)
        case Affine():
            channels = inputs[0][0]
            for name in ("scale", "shift"):
                if getattr(op, name).shape != (channels,):
                    raise BadInput(
                        f"{where}: {name} has shape {getattr(op, name).shape}, but the input {inputs[0]} has "
                        f"{channels} channels; give ({channels},)"
                    )
            return inputs[0]
        case Add():
            if len(set(inputs)) > 1:
                raise BadInput(f"{where}: it adds shapes {', '.join(map(str, inputs))}; they must be equal")
            return inputs[0]
        case Pool():
            channels, *size = _spatial(inputs[0], "a pool", where)
            return (channels, *_windows(size, op.kernel, op.stride, op.padding, (1, 1), where))
        case GlobalAverage():
            return (_spatial(inputs[0], "a global average", where)[0],)
        case Flatten():
            return (math.prod(inputs[0]),)
        case Delay():
            _covers("steps", op.steps, inputs[0], where)
            if op.steps.min(initial=0) < 0:
                raise BadInput(f"{where}: a delay of {op.steps.min()} timesteps; spikes are held back by 0 or more")
            return inputs[0]
        case Relu() | Spike() | Integrate():
            return inputs[0]


def _conv(op: Conv, source: Shape, where: str) -> Shape:
    channels, *size = _spatial(source, "a convolution", where)
    weight = op.weight
    if weight.ndim != 4 or min(weight.shape) < 1:
        raise BadInput(f"{where}: a weight of shape {weight.shape}; give (out, in / groups, kernel H, kernel W)")
    if op.groups < 1 or weight.shape[0] % op.groups:
        raise BadInput(f"{where}: groups={op.groups} does not divide {weight.shape[0]} output channels")
    if weight.shape[1] * op.groups != channels:
        raise BadInput(
            f"{where}: the weight {weight.shape} with groups={op.groups} reads {weight.shape[1] * op.groups} channels, "
            f"the input {source} has {channels}"
        )
    _bias(op.bias, weight.shape[0], where)
    kernel = (weight.shape[2], weight.shape[3])
    return (weight.shape[0], *_windows(size, kernel, op.stride, op.padding, op.dilation, where))


def _linear(op: Linear, source: Shape, where: str) -> Shape:
    if op.weight.ndim != 2 or min(op.weight.shape) < 1:
        raise BadInput(f"{where}: a weight of shape {op.weight.shape}; give (out, in)")
    if op.weight.shape[1] != math.prod(source):
        raise BadInput(
            f"{where}: the weight {op.weight.shape} reads {op.weight.shape[1]} values, the input {source} has "
            f"{math.prod(source)}"
        )
    _bias(op.bias, op.weight.shape[0], where)
    return (op.weight.shape[0],)


def _bias(bias: np.ndarray | None, out: int, where: str) -> None:
    if bias is not None and bias.shape != (out,):
        raise BadInput(f"{where}: a bias of shape {bias.shape} for {out} outputs; give ({out},)")


def _spatial(source: Shape, what: str, where: str) -> Shape:
    if len(source) != 3:
        raise BadInput(f"{where}: {what} reads (C, H, W), its input has shape {source}")
    return source


def _windows(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    where: str,
) -> tuple[int, int]:
    """Output height and width of a sliding window."""
    for name, pair, least in (("kernel", kernel, 1), ("stride", stride, 1), ("padding", padding, 0),
                              ("dilation", dilation, 1)):  # fmt: skip
        if len(pair) != 2 or min(pair) < least or max(pair) > WINDOW_MAX:
            raise BadInput(f"{where}: {name} {tuple(pair)} must be two integers in {least}..{WINDOW_MAX}")
    out = []
    for axis in range(2):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        room = size[axis] + 2 * padding[axis] - reach
        if room < 0:
            raise BadInput(
                f"{where}: a window over {reach} positions does not fit {size[axis]} positions padded by "
                f"{padding[axis]}"
            )
        out.append(room // stride[axis] + 1)
    return out[0], out[1]


def _covers(name: str, values: np.ndarray, shape: Shape, where: str) -> None:
    if values.shape not in ((), shape):
        raise BadInput(f"{where}: {name} has shape {values.shape}, the population {shape}; give () or {shape}")


def _checked(shape: Shape, where: str) -> Shape:
    if min(shape, default=0) < 1:
        raise BadInput(f"{where}: a shape {shape}; every size must be 1 or more")
    if math.prod(shape) > SIZE_MAX:
        raise BadInput(
            f"{where}: {math.prod(shape)} values per sample, at most {SIZE_MAX} are read; use a smaller input"
        )
    return shape

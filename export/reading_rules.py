"""The rules that the readers of foreign networks share: what an operation becomes in a float graph.

Each raises NoRule for a use that has no counterpart, and BadInput for one that contradicts itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..hw import BadInput, Shape
from .floatgraph import Add, Affine, Conv, Flatten, GlobalAverage, Linear, Pair, Pool, Relu
from .reading import BATCH, CONSTANT_MAX, Activation, NoRule, Padded, Place, Value


def floats(values: np.ndarray) -> np.ndarray:
    """Float64 copy of weights."""
    return np.array(values, dtype=np.float64)


def per_channel(constant: np.ndarray, shape: Shape, where: str) -> np.ndarray:
    """A constant that is broadcast over a batch as one value per channel, float64 (C,) or (F,).

    Raises NoRule where it differs within a channel, and BadInput where it does not broadcast.
    """
    constant = floats(constant)
    try:
        full = np.broadcast_to(constant, (1, *shape))
    except ValueError:
        raise BadInput(f"{where}: a constant of shape {constant.shape} does not fit an activation {shape}") from None
    flat = full.reshape(shape[0], -1) if constant.size > 1 else np.broadcast_to(constant.ravel(), (shape[0], 1))
    if np.any(flat != flat[:, :1]):
        raise NoRule(
            "its constant differs from position to position, and a bias or factor here is one per channel",
            "use one value per channel, (C, 1, 1)",
        )
    return flat[:, 0].copy()


def scaled(place: Place, x: Activation, scale: np.ndarray | float, shift: np.ndarray | float) -> Activation:
    """scale * x + shift, each broadcast over a batch."""
    factors = per_channel(np.asarray(scale), x.shape, place.where)
    return place.add(Affine(scale=factors, shift=per_channel(np.asarray(shift), x.shape, place.where)), x)


def batch_norm(
    place: Place, x: Activation, gain: np.ndarray, shift: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float
) -> Activation:
    """A batch norm with its running statistics: gain (x - mean) / sqrt(var + eps) + shift, all (C,)."""
    gain, shift, mean, var = (floats(values) for values in (gain, shift, mean, var))
    if len({values.shape for values in (gain, shift, mean, var)}) > 1 or gain.ndim != 1:
        raise BadInput(f"{place.where}: scale, bias, mean and variance differ in shape; give (C,) each")
    if not np.all(var + eps > 0):
        raise BadInput(f"{place.where}: a variance of {var.min()} with epsilon {eps}; it must be positive")
    scale = gain / np.sqrt(var + eps)
    return place.add(Affine(scale=scale, shift=shift - mean * scale), x)


def summed(place: Place, values: Sequence[Value]) -> Value:
    """The sum of activations and constants."""
    acts = [value for value in values if isinstance(value, Activation)]
    constants = [floats(value) for value in values if isinstance(value, np.ndarray)]
    if len(acts) + len(constants) < len(values):
        raise NoRule("it adds to a padded map", "let a convolution or pool do the padding")
    if not acts:
        return np.sum(constants, axis=0)
    if any(act.shape != acts[0].shape for act in acts):
        raise NoRule(
            f"it adds activations of shapes {', '.join(str(act.shape) for act in acts)}, repeating one of them",
            "give both the same shape, by a 1 x 1 convolution if need be",
        )
    total = acts[0] if len(acts) == 1 else place.add(Add(), *acts)
    for constant in constants:
        total = scaled(place, total, 1.0, constant)
    return total


def relu(place: Place, x: Activation, low: float, high: float) -> Activation:
    """A ReLU, or one with a ceiling: x limited to low..high, where low must be 0."""
    if low != 0 or not high > 0:
        raise NoRule(
            f"it limits its input to {low:g}..{high:g}, and a firing rate begins at 0", "use ReLU or Clip(0, c)"
        )
    return place.add(Relu(ceiling=None if high == np.inf else float(high)), x)


def flattened(place: Place, x: Activation) -> Activation:
    """(C, H, W) -> (C H W,)."""
    return x if len(x.shape) == 1 else place.add(Flatten(), x)


def reshaped(place: Place, x: Activation, target: Sequence[int]) -> Activation:
    """A reshape that flattens or changes nothing. target: with the batch; -1 is inferred, `BATCH` the open batch."""
    if len(target) < 2:
        raise NoRule(f"it gives the shape {tuple(target)} without a batch axis", "flatten from axis 1 on")
    first, *rest = (int(n) for n in target)
    inferred = [axis for axis, n in enumerate(rest) if n == -1]
    size, known = math.prod(x.shape), math.prod(n for n in rest if n != -1)
    if len(inferred) == 1 and known > 0 and size % known == 0:
        rest[inferred[0]] = size // known
    keeps_batch = first in (BATCH, place.growing.batch) or (first == -1 and not inferred)
    if not keeps_batch or len(inferred) > 1 or min(rest) < 1 or math.prod(rest) != size:
        shown = tuple("batch" if n == BATCH else n for n in target)
        raise NoRule(
            f"it reshapes {('batch', *x.shape)} to {shown}, which does not keep each sample by itself",
            "flatten from axis 1 on",
        )
    if tuple(rest) == x.shape:
        return x
    if len(rest) > 1:
        raise NoRule(f"it reshapes {x.shape} to {tuple(rest)}; only flattening has a rule", "flatten from axis 1 on")
    return flattened(place, x)


def mean(place: Place, x: Activation, axes: Sequence[int], keepdims: bool) -> Activation:
    """The mean over H and W. axes: counted with the batch, from either end."""
    rank = len(x.shape) + 1
    if rank != 4 or sorted(axis % rank for axis in axes) != [2, 3]:
        raise NoRule(f"it averages {x.shape} over axes {tuple(axes)}", "average over height and width, axes (2, 3)")
    if not keepdims:
        return place.add(GlobalAverage(), x)
    window = (x.shape[1], x.shape[2])
    return place.add(Pool(kind="average", kernel=window, stride=window), x)


def adaptive_average(place: Place, x: Activation, out: Pair) -> Activation:
    """An average pool to a given output size, where every window is of the same size."""
    if len(x.shape) != 3:
        raise BadInput(f"{place.where}: a pool reads (C, H, W), its input has shape {x.shape}")
    height, width = x.shape[1:]
    if min(out) < 1 or height % out[0] or width % out[1]:
        raise NoRule(
            f"it averages {height} x {width} positions into {out[0]} x {out[1]} windows of unequal size",
            "choose an output size that divides the input's, 1 at best",
        )
    window = (height // out[0], width // out[1])
    return place.add(Pool(kind="average", kernel=window, stride=window), x)


def conv(
    place: Place,
    x: Activation | Padded,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    stride: Pair = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Activation:
    """A convolution. pads: top, left, bottom, right; where sides differ the kernel gets rows or columns of zeros."""
    source, pads = _padding(x, pads)
    weight = floats(weight)
    if weight.ndim != 4:
        raise NoRule(f"it convolves over {weight.ndim - 2} axes", "use 2-D convolutions")
    if min(pads) < 0 or max(pads) > CONSTANT_MAX or min(dilation) < 1:
        raise BadInput(f"{place.where}: pads {pads} and dilation {dilation}; give 0 or more, and 1 or more")
    grow, padding = [(0, 0), (0, 0)], []
    for axis in range(2):
        before, after = pads[axis], pads[axis + 2]
        extra, rest = divmod(abs(after - before), dilation[axis])
        if rest or extra > 64:
            raise NoRule(f"it pads {before} positions on one side and {after} on the other", "pad both sides alike")
        grow.append((extra, 0) if after > before else (0, extra))
        padding.append(max(before, after))
    op = Conv(
        weight=np.pad(weight, grow) if any(map(any, grow)) else weight,
        bias=None if bias is None else floats(bias),
        stride=stride,
        padding=(padding[0], padding[1]),
        dilation=dilation,
        groups=groups,
    )
    return place.add(op, source)


def linear(place: Place, x: Activation, weight: np.ndarray, bias: np.ndarray | None) -> Activation:
    """A matrix (out, in) on the last axis of a vector. Raises NoRule on a map (C, H, W)."""
    if len(x.shape) != 1:
        raise NoRule(f"it applies a matrix to the last axis of {x.shape}", "flatten first, or use a 1 x 1 convolution")
    weight = floats(weight)
    return place.add(Linear(weight=weight, bias=None if bias is None else floats(bias)), x)


def average_pool(
    place: Place,
    x: Activation | Padded,
    kernel: Pair,
    stride: Pair,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    *,
    count_pads: bool = True,
    ceil: bool = False,
) -> Activation:
    """An average over the whole window. count_pads: whether zeros around the map count in the divisor."""
    if any(pads) and not count_pads:
        raise NoRule(
            "its divisor is smaller at the border (count_include_pad is off)",
            "set count_include_pad, or padding 0, and train again",
        )
    return _pool(place, x, "average", kernel, stride, pads, ceil=ceil)


def max_pool(
    place: Place,
    x: Activation | Padded,
    kernel: Pair,
    stride: Pair,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    *,
    ceil: bool = False,
) -> Activation:
    """A maximum over the window; nothing outside the map is looked at."""
    if isinstance(x, Padded):
        raise NoRule("it takes the maximum with zeros around the map", "let the pool do the padding")
    return _pool(place, x, "max", kernel, stride, pads, ceil=ceil)


def _pool(
    place: Place,
    x: Activation | Padded,
    kind: Literal["average", "max"],
    kernel: Pair,
    stride: Pair,
    pads: tuple[int, int, int, int],
    *,
    ceil: bool,
) -> Activation:
    source, pads = _padding(x, pads)
    if pads[:2] != pads[2:]:
        raise NoRule(f"it pads {pads[:2]} before and {pads[2:]} after the map", "pad both sides alike")
    op = Pool(kind=kind, kernel=kernel, stride=stride, padding=(pads[0], pads[1]))
    if ceil and len(source.shape) == 3 and min(stride) > 0:
        rooms = [source.shape[1 + i] + 2 * op.padding[i] - kernel[i] for i in range(2)]
        if any(room % step for room, step in zip(rooms, stride, strict=True)):
            raise NoRule("rounding its size up (ceil_mode) lets windows reach over the border", "turn ceil_mode off")
    return place.add(op, source)


def _padding(x: Activation | Padded, pads: tuple[int, int, int, int]) -> tuple[Activation, tuple[int, int, int, int]]:
    if isinstance(x, Activation):
        return x, pads
    a, b = x.pads, pads
    return x.inner, (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])


def last_softmax(place: Place, x: Activation) -> Activation:
    """A softmax at the output is left out; anywhere else it has no rule."""
    if not place.final:
        raise place.no_rule()
    place.growing.assumed.append(
        f"{place.where}: the {place.kind} at the output is left out; the largest value stays the largest"
    )
    return x

"""Chains of linear maps made into one: a convolution, a matrix, or a factor.

A pool of averages is a convolution with ones, a scaling one with a 1 x 1 kernel, so one rule composes them all. With
inner kernel `a`, stride s, padding p and outer kernel `b`, stride S, padding P, per axis,

    y[j] = sum_m b[m] sum_k a[k] x[s (S j + D m - P) + d k - p]

is a convolution with taps at s D m + d k, stride s S and padding p + s P. That is exact as long as every position that
the outer padding replaces by zero would have been zero anyway: where one reads data, composing is refused. What leads
to a flat population becomes a matrix instead, pulled back through the chain from its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F

from ...export.floatgraph import Affine, Conv, Flatten, GlobalAverage, Linear, Pair, Pool
from ...export.floatgraph_shapes import PRODUCTS_MAX, out_shape
from ...hw import Shape, UnsupportedLayer
from .evaluate import tensor
from .folded import Same

Map = Conv | Linear | Affine | Pool | GlobalAverage | Flatten
"""A linear map: biases and shifts are kept apart, a Pool is one of averages or sums."""

WEIGHTS_MAX = 1 << 26
"""Most weights one composed map may have: 0.5 GiB in float64."""


class CannotFold(UnsupportedLayer):
    """A chain that no single map equals. reason, way_out: the two halves of a message. step: which map stands in the
    way, counted in the chain, if one does."""

    def __init__(self, reason: str, way_out: str, step: int | None = None) -> None:
        super().__init__(f"{reason}; {way_out}")
        self.reason, self.way_out, self.step = reason, way_out, step


def reduce_chain(maps: Sequence[Map], source: Shape) -> Conv | Linear | Same:
    """The one map that equals a chain, first map first. source: the shape it reads.

    Raises CannotFold where there is none, or where it would have more than `WEIGHTS_MAX` weights.
    """
    shapes = [source]
    for step in maps:
        shapes.append(out_shape(step, [shapes[-1]], "fold"))
    if all(isinstance(step, Affine) and np.ptp(step.scale) == 0 for step in maps):
        return Same(scale=math.prod(float(step.scale[0]) for step in maps if isinstance(step, Affine)))
    if len(shapes[-1]) == 3:
        return _as_conv(maps, shapes)
    if isinstance(maps[-1], Linear) and all(_reorders(step) for step in maps[:-1]):
        return Linear(weight=maps[-1].weight)
    return _as_matrix(maps, shapes)


def _reorders(step: Map) -> bool:
    """Whether every value passes a map unchanged and in its place."""
    if isinstance(step, Pool):
        return (step.kernel, step.stride, step.padding) == ((1, 1), (1, 1), (0, 0))
    return isinstance(step, Flatten)


def conv_of(step: Map, channels: int) -> Conv:
    """A map between spatial shapes as a convolution. channels: of what it reads."""
    if isinstance(step, Conv):
        return step
    if isinstance(step, Affine):
        return Conv(weight=step.scale.reshape(-1, 1, 1, 1), groups=channels)
    assert isinstance(step, Pool)
    assert step.kind != "max"
    value = 1.0 if step.kind == "sum" else 1.0 / math.prod(step.kernel)
    weight = np.full((channels, 1, *step.kernel), value)
    return Conv(weight=weight, stride=step.stride, padding=step.padding, groups=channels)


def _as_conv(steps: Sequence[Map], shapes: Sequence[Shape]) -> Conv:
    joint = conv_of(steps[0], shapes[0][0])
    for index, (step, shape) in enumerate(zip(steps[1:], shapes[1:], strict=False), start=1):
        if isinstance(step, Affine):
            joint = _with_weight(joint, joint.weight * step.scale.reshape(-1, 1, 1, 1))
            continue
        try:
            joint = compose(joint, conv_of(step, shape[0]), shapes[0])
        except CannotFold as error:
            raise CannotFold(error.reason, error.way_out, step=index) from None
    return _with_weight(joint, joint.weight)


def _with_weight(conv: Conv, weight: np.ndarray) -> Conv:
    return Conv(weight=weight, stride=conv.stride, padding=conv.padding, dilation=conv.dilation, groups=conv.groups)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """One axis of a composed convolution. inner, outer: where each pair of taps lands is inner[k] + outer[m]."""

    stride: int
    padding: int
    dilation: int
    taps: int
    inner: tuple[int, ...]
    outer: tuple[int, ...]


def compose(inner: Conv, outer: Conv, source: Shape) -> Conv:
    """The convolution that equals `outer` after `inner` on a source (C, H, W); biases are not looked at.

    Raises CannotFold where the outer padding hides data that a composed kernel would read.
    """
    between = out_shape(inner, [source], "fold")
    after = out_shape(outer, [between], "fold")
    axes = [_axis(inner, outer, source[i + 1], between[i + 1], after[i + 1], i) for i in range(2)]
    groups = math.gcd(inner.groups, outer.groups)
    rows, middle, columns = outer.weight.shape[0], inner.weight.shape[0], source[0]
    taps = axes[0].taps * axes[1].taps
    products = math.prod((*inner.weight.shape[2:], *outer.weight.shape[2:], rows, middle // groups, columns // groups))
    if rows * (columns // groups) * taps > WEIGHTS_MAX or products > PRODUCTS_MAX:
        raise CannotFold(
            f"composed, its kernel would be {axes[0].taps} x {axes[1].taps} over {columns} channels",
            "put a ReLU between the two maps",
        )
    a = _regrouped(inner.weight, inner.groups, groups).reshape(groups, middle // groups, -1, *inner.weight.shape[2:])
    b = _regrouped(outer.weight, outer.groups, groups).reshape(groups, rows // groups, -1, *outer.weight.shape[2:])
    joint = _joined(a, b, axes)
    return Conv(
        weight=joint.reshape(rows, columns // groups, axes[0].taps, axes[1].taps),
        stride=(axes[0].stride, axes[1].stride),
        padding=(axes[0].padding, axes[1].padding),
        dilation=(axes[0].dilation, axes[1].dilation),
        groups=groups,
    )


def _joined(a: np.ndarray, b: np.ndarray, axes: Sequence[_Axis]) -> np.ndarray:
    """Sum of b[m] a[k] at the taps where each pair lands; one loop over the smaller kernel.

    a: (groups, middle, in, kH, kW), inner; b: (groups, out, middle, kH, kW), outer; gives (groups, out, in, kH, kW).
    """
    joint = np.zeros((len(a), b.shape[1], a.shape[2], axes[0].taps, axes[1].taps))
    loop_outer = math.prod(b.shape[3:]) <= math.prod(a.shape[3:])
    fixed, spread = ([axis.outer for axis in axes], [axis.inner for axis in axes])
    if not loop_outer:
        fixed, spread = spread, fixed
    for y, x in np.ndindex(*(b if loop_outer else a).shape[3:]):
        if loop_outer:
            part = np.einsum("grm,gmcyx->grcyx", b[..., y, x], a, optimize=True)
        else:
            part = np.einsum("grmyx,gmc->grcyx", b, a[..., y, x], optimize=True)
        at = np.ix_([fixed[0][y] + n for n in spread[0]], [fixed[1][x] + n for n in spread[1]])
        joint[..., at[0], at[1]] += part
    return joint


def _axis(inner: Conv, outer: Conv, size: int, between: int, after: int, axis: int) -> _Axis:
    s, d, p, k = inner.stride[axis], inner.dilation[axis], inner.padding[axis], inner.weight.shape[2 + axis]
    big_s, big_d, big_p, m = outer.stride[axis], outer.dilation[axis], outer.padding[axis], outer.weight.shape[2 + axis]
    read = big_s * np.arange(after)[:, None] + big_d * np.arange(m) - big_p
    hidden = np.unique(read[(read < 0) | (read >= between)])
    reached = s * hidden[:, None] + d * np.arange(k) - p
    if np.any((reached >= 0) & (reached < size)):
        raise CannotFold(
            f"a padding of {big_p} after a window of {k} with stride {s} over {size} positions replaces sums of real "
            "values by zeros, which one kernel cannot do",
            "put a ReLU between the two, set the second one's padding to 0, or choose sizes that the stride divides",
        )
    stride, padding = s * big_s, p + s * big_p
    offsets = (s * big_d * np.arange(m)[:, None] + d * np.arange(k)).ravel()
    for dilation in (math.gcd(*map(int, offsets)) or 1, 1):
        reach = int(offsets.max()) + 1
        # The same number of outputs as in two steps: taps of zero in front move the frame, behind they shorten it.
        for front, back in ((i, 0) if i >= 0 else (0, -i) for i in _outwards(2 * stride)):
            pad = padding + dilation * front
            room = size + 2 * pad - reach - dilation * (front + back)
            if room >= 0 and room // stride + 1 == after:
                return _Axis(
                    stride=stride,
                    padding=pad,
                    dilation=dilation,
                    taps=(reach - 1) // dilation + 1 + front + back,
                    inner=tuple(int(n) for n in d * np.arange(k) // dilation),
                    outer=tuple(int(n) for n in s * big_d * np.arange(m) // dilation + front),
                )
    raise CannotFold(
        f"no padding gives one kernel of stride {stride} the {after} outputs of the two maps over {size} positions",
        "choose sizes that the strides divide",
    )


def _outwards(limit: int) -> list[int]:
    """0, 1, -1, 2, -2, ... up to the limit."""
    return sorted(range(-limit, limit + 1), key=abs)


def _regrouped(weight: np.ndarray, groups: int, fewer: int) -> np.ndarray:
    """The same map written with fewer groups, zeros in between: (out, in / fewer, kH, kW)."""
    rows, per_group = weight.shape[:2]
    merged = groups // fewer
    full = np.zeros((rows, per_group * merged, *weight.shape[2:]))
    for group in range(groups):
        span = slice(group * rows // groups, (group + 1) * rows // groups)
        start = (group % merged) * per_group
        full[span, start : start + per_group] = weight[span]
    return full


def _as_matrix(steps: Sequence[Map], shapes: Sequence[Shape]) -> Linear:
    """The matrix of a chain that ends flat: its last map's rows, carried back to the source step by step."""
    outputs = math.prod(shapes[-1])
    if outputs * max(math.prod(shape) for shape in shapes[:-1]) > WEIGHTS_MAX:
        raise CannotFold(
            f"as one matrix it would have {outputs} rows over up to {max(math.prod(s) for s in shapes[:-1])} values, "
            f"more than {WEIGHTS_MAX} weights",
            "put a ReLU between its maps, or reduce the size before it",
        )
    rest = list(zip(steps, shapes[:-1], strict=True))
    rows = np.eye(outputs)
    while rest:
        step, shape = rest.pop()
        rows = _pulled_back(rows, step, shape)
    return Linear(weight=np.ascontiguousarray(rows.reshape(outputs, -1)))


def _pulled_back(rows: np.ndarray, step: Map, shape: Shape) -> np.ndarray:
    """The transpose of one map applied to each row. rows: (out, *what the map gives); returns (out, *shape)."""
    match step:
        case Linear():
            return (rows @ step.weight).reshape(-1, *shape)
        case Flatten():
            return rows.reshape(-1, *shape)
        case GlobalAverage():
            return np.broadcast_to(rows[:, :, None, None] / (shape[1] * shape[2]), (len(rows), *shape))
        case Affine():
            return rows * step.scale.reshape(-1, *[1] * (len(shape) - 1))
        case Conv() | Pool():
            return _transposed_conv(rows, conv_of(step, shape[0]), shape)


def _transposed_conv(rows: np.ndarray, conv: Conv, shape: Shape) -> np.ndarray:
    def left_over(axis: int) -> int:
        reach = conv.dilation[axis] * (conv.weight.shape[2 + axis] - 1) + 1
        return (shape[1 + axis] + 2 * conv.padding[axis] - reach) % conv.stride[axis]

    extra: Pair = (left_over(0), left_over(1))
    args = (conv.stride, conv.padding, extra, conv.groups, conv.dilation)
    return F.conv_transpose2d(tensor(rows), tensor(conv.weight), None, *args).numpy()

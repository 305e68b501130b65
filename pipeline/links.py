"""Linear maps between populations, and two of them in a row as one: the algebra behind `simplify`.

An average pool is folded into what reads it. With u the pooled map and k x k its windows, on one axis:

    (W * u)(i) = sum_j W(j) u(s i + j - p),   u(i) = 1/k sum_{m < k} x(k i + m)
               = (W' * x)(i),   kernel K k, stride s k, padding p k,   W'(k j + m) = W(j) / k

which is exact where k divides the side of x: then the zeros around x are those around u.

A matrix of a convolution's result is a matrix of the convolution's source: its rows, as maps, go back through the
kernel, (M * W^T), which is the transposed convolution, zeros around the source included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..export.lowering_links import most_groups
from ..export.netx_chain import GROUPS_MAX
from ..hw import NotRepresentable, Shape
from ..models import ConvWire, IdentityWire, LinearWire
from ..models.architecture import is_plain

Weighted = ConvWire | LinearWire | IdentityWire


@dataclass(frozen=True)
class Link:
    """A wire without batch norm, average pool or added channels, and its numbers.

    weight: (O, I / groups, h, w), (O, I), or () for an identity. bias: None, (O,) or (O, H, W).
    """

    wire: Weighted
    weight: Tensor
    bias: Tensor | None = None

    def of(self, bias: Tensor, shape: Shape) -> Tensor:
        """What this map makes of a constant input: a bias (C,) or (C, H, W) of a population of `shape`."""
        if isinstance(self.wire, IdentityWire):
            return self.weight * bias
        whole = bias.reshape(*bias.shape, *[1] * (len(shape) - bias.ndim)).expand(shape)
        if isinstance(self.wire, LinearWire):
            return self.weight @ (whole.mean(dim=(1, 2)) if self.wire.mean else whole.flatten())
        _, stride, padding, dilation = self.wire.window
        per_channel = bias.ndim == 1 and _is_pointwise(self.wire)
        whole = whole[:, :1, :1] if per_channel else whole
        out = functional.conv2d(whole[None], self.weight, None, stride, padding, dilation, self.wire.groups)[0]
        return out.flatten() if per_channel else out


def link_of(wire: Weighted, synapses: nn.Module, source: Shape, channels: int, like: Tensor) -> Link:
    """A wire of a folded network with its numbers, its average pool folded into them.

    source: shape of what it reads. channels: of its unit. like: of the network's dtype and device. Raises
    NotRepresentable where the fold is not exact.
    """
    found = dict(synapses.named_parameters())
    weight = next((p.detach() for name, p in found.items() if name.endswith("weight")), None)
    bias = next((p.detach() for name, p in found.items() if name.endswith("bias")), None)
    if any(size % wire.pool for size in source[1:]):
        raise NotRepresentable(
            f"{wire.source}: an average pool of {wire.pool} x {wire.pool} leaves a part of its {source[1]} x "
            f"{source[2]} positions out, so no one convolution does the same; use an input whose sides it divides"
        )
    if isinstance(wire, IdentityWire):
        gain = like.new_full((), wire.scale) if weight is None else weight
        return (
            Link(IdentityWire(source=wire.source), gain)
            if is_plain(wire)
            else _diagonal(wire, gain, bias, source, channels)
        )
    assert weight is not None
    return _dense(wire, weight, bias, source) if isinstance(wire, LinearWire) else _convolution(wire, weight, bias)


def join(outer: Link, inner: Link, shapes: Mapping[str, Shape]) -> Link | None:
    """`outer` of `inner` as one link from the inner's source, without biases; None if they are not one.

    A convolution of a convolution is not: the zeros around the inner one's result are none of its own. shapes: of the
    two sources.
    """
    first, second = inner.wire, outer.wire
    if isinstance(first, IdentityWire):
        return Link(replace(second, source=first.source), outer.weight * inner.weight)
    if isinstance(second, IdentityWire):
        return Link(first, outer.weight * inner.weight)
    if isinstance(first, LinearWire):
        return Link(first, outer.weight @ inner.weight) if isinstance(second, LinearWire) else None
    if isinstance(second, LinearWire):
        return _back_through(second, outer.weight, shapes[second.source], first, inner.weight, shapes[first.source])
    after, before = with_groups(outer.weight, second.groups, 1), with_groups(inner.weight, first.groups, 1)
    if _is_pointwise(second):
        weight = torch.einsum("om,mikl->oikl", after[:, :, 0, 0], before)
        (high, wide), (down, right) = first.window.stride, second.window.stride
        return Link(replace(first, stride=(high * down, wide * right), groups=1), weight)
    if _is_pointwise(first) and first.window.stride == (1, 1):
        weight = torch.einsum("omkl,mi->oikl", after, before[:, :, 0, 0])
        return Link(replace(second, source=first.source, groups=1), weight)
    return None


def _back_through(
    matrix: LinearWire, rows: Tensor, between: Shape, conv: ConvWire, kernel: Tensor, source: Shape
) -> Link:
    """A matrix of a convolution's result as a matrix of its source. rows: (O, C H W), or (O, C) of a spatial mean.

    between, source: shapes of the result and of what is convolved.
    """
    maps = rows[:, :, None, None].expand(-1, *between) / (between[1] * between[2]) if matrix.mean else rows
    _, stride, padding, dilation = conv.window
    reached = conv.window.reach
    left_over = [
        size - ((out - 1) * s - 2 * p + r)
        for size, out, s, p, r in zip(source[1:], between[1:], stride, padding, reached, strict=True)
    ]
    weight = functional.conv_transpose2d(
        maps.reshape(-1, *between), kernel, None, stride, padding, left_over, conv.groups, dilation
    )
    return Link(replace(matrix, source=conv.source, mean=False), weight.flatten(1))


def with_groups(weight: Tensor, groups: int, fewer: int) -> Tensor:
    """A kernel (O, I / groups, h, w) over fewer groups, which divide its own, with zeros across the old ones."""
    merged, rows, per_group = groups // fewer, weight.shape[0] // groups, weight.shape[1]
    wide = weight.new_zeros(weight.shape[0], per_group * merged, *weight.shape[2:])
    for group in range(groups):
        at = (group % merged) * per_group
        wide[group * rows : (group + 1) * rows, at : at + per_group] = weight[group * rows : (group + 1) * rows]
    return wide


def _is_pointwise(wire: ConvWire) -> bool:
    return wire.window.kernel == (1, 1) and wire.window.padding == (0, 0)


def _spread(weight: Tensor, pool: int) -> Tensor:
    """Each weight of (..., h, w) over the pool x pool positions of its window, (..., h pool, w pool)."""
    return weight.repeat_interleave(pool, -2).repeat_interleave(pool, -1) / pool**2


def _diagonal(wire: IdentityWire, gain: Tensor, bias: Tensor | None, source: Shape, channels: int) -> Link:
    """An identity with a gain per channel, an average pool or added channels, as a convolution."""
    kept = source[0]
    kernel = _spread(gain.reshape(-1, 1, 1, 1).expand(kept, 1, 1, 1), wire.pool)
    groups = most_groups(kept, GROUPS_MAX) if channels == kept else 1
    kernel = with_groups(kernel, kept, groups)
    kernel = torch.cat([kernel, kernel.new_zeros(channels - kept, *kernel.shape[1:])])
    if bias is not None:
        bias = torch.cat([bias, bias.new_zeros(channels - kept)])
    plain = ConvWire(
        source=wire.source,
        kernel=(wire.pool, wire.pool),
        stride=(wire.pool, wire.pool),
        padding=(0, 0),
        groups=groups,
        norm=False,
        bias="channel",
    )
    return Link(plain, kernel, bias)


def _dense(wire: LinearWire, weight: Tensor, bias: Tensor | None, source: Shape) -> Link:
    """A matrix over the source itself; where one window is the whole map, over its spatial mean."""
    plain = replace(wire, pool=1)
    if wire.pool == 1 or wire.mean:
        return Link(plain, weight, bias)
    if source[1:] == (wire.pool, wire.pool):
        return Link(replace(plain, mean=True), weight, bias)
    maps = weight.unflatten(1, (source[0], source[1] // wire.pool, source[2] // wire.pool))
    return Link(plain, _spread(maps, wire.pool).flatten(1), bias)


def _convolution(wire: ConvWire, weight: Tensor, bias: Tensor | None) -> Link:
    """A convolution over the source itself."""
    window = wire.window
    if wire.pool > 1:
        apart = weight.new_zeros(*weight.shape[:2], *window.reach)
        apart[:, :, :: window.dilation[0], :: window.dilation[1]] = weight
        weight = _spread(apart, wire.pool)
    plain = replace(
        wire,
        kernel=(weight.shape[2], weight.shape[3]),
        stride=(window.stride[0] * wire.pool, window.stride[1] * wire.pool),
        padding=(window.padding[0] * wire.pool, window.padding[1] * wire.pool),
        dilation=window.dilation if wire.pool == 1 else 1,
        norm=False,
        pool=1,
        norm_bias=False,
    )
    return Link(plain, weight, bias)

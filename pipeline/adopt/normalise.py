"""A teacher that expects normalised images, fed with raw pixels: the normalisation folded into its first layer.

A chip's payload is the pixel itself, in [0, 1] of its range, while many networks were trained on (pixel - mean) / std
per channel. With W the weights that read the input:

    W' = W / std,        b' = b - W * (mean / std)

Where such a network pads, it pads normalised zeros, which are pixels of value `mean`; the chip pads pixels of value 0.
So near the border fewer taps of W meet the mean, and b' is computed for each neuron apart. This is exact everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from ...export.floatgraph import Conv, Linear
from ...hw import BadInput, Shape, UnsupportedLayer
from .folded import Edge, Folded, Folding, Unit


def with_raw_pixels(folded: Folded, mean: Sequence[float], std: Sequence[float]) -> Folded:
    """The network on pixels, which computes what `folded` computes on (pixels - mean) / std.

    mean, std: one per channel of the input, or one for all. Raises BadInput for other lengths and for a std that is not
    positive, UnsupportedLayer where something other than a weighted layer reads the input.
    """
    channels = folded.source_shape[0]
    constants: list[np.ndarray] = []
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise BadInput(
                f"model.{name} has {len(values)} values, the input has {channels} channels; give 1 per channel"
            )
        constants.append(np.broadcast_to(np.asarray(values, np.float64), (channels,)))
    if not (np.isfinite(constants).all() and (constants[1] > 0).all()):
        raise BadInput(f"model.mean {list(mean)} and model.std {list(std)}: give finite numbers, std above 0")
    units, foldings = [], list(folded.foldings)
    for unit in folded.units:
        reads_input = any(edge.source == folded.source for edge in unit.edges)
        units.append(_on_pixels(unit, folded, constants[0], constants[1]) if reads_input else unit)
        if reads_input:
            what = f"input normalised by mean {list(mean)}, std {list(std)} folded into its weights and biases"
            foldings.append(Folding(node=folded.source, into=unit.name, what=what, exact=True, checked=0.0))
    return replace(folded, units=tuple(units), foldings=tuple(foldings))


def _on_pixels(unit: Unit, folded: Folded, mean: np.ndarray, std: np.ndarray) -> Unit:
    bias = _over(unit.bias, unit.shape)
    edges: list[Edge] = []
    for edge in unit.edges:
        if edge.source != folded.source:
            edges.append(edge)
            continue
        op = edge.op
        gain = _over(1 / std, folded.source_shape)
        shift = torch.from_numpy(_over(mean / std, folded.source_shape))[None]
        if isinstance(op, Conv):
            per_group = op.weight.shape[1]
            rows = np.arange(op.weight.shape[0]) // (op.weight.shape[0] // op.groups)
            read = rows[:, None] * per_group + np.arange(per_group)  # the input channel behind weight[out, in]
            conv = (torch.from_numpy(op.weight), None, op.stride, op.padding, op.dilation, op.groups)
            bias = bias - functional.conv2d(shift, *conv)[0].numpy()
            edges.append(replace(edge, op=replace(op, weight=op.weight / std[read][:, :, None, None])))
        elif isinstance(op, Linear):
            bias = bias - op.weight @ shift.flatten().numpy()
            edges.append(replace(edge, op=replace(op, weight=op.weight * gain.reshape(1, -1))))
        else:
            raise UnsupportedLayer(
                f"{unit.where}: {unit.name} reads the input through a {type(op).__name__}, into which model.mean and "
                "model.std cannot be folded; let a convolution or a dense layer read the input"
            )
    return replace(unit, edges=tuple(edges), bias=_narrow(bias))


def _over(values: np.ndarray, shape: Shape) -> np.ndarray:
    """Values per channel (C,), or of the whole shape, as an array of the whole shape."""
    values = np.asarray(values, np.float64)
    if values.ndim == 1 and len(shape) == 3:
        values = values[:, None, None]
    return np.array(np.broadcast_to(values, shape))


def _narrow(bias: np.ndarray) -> np.ndarray:
    """A bias over a whole shape as one per channel, if that is all it says, up to float64 rounding."""
    if bias.ndim == 1:
        return bias
    flat = bias.reshape(len(bias), -1)
    same = np.allclose(flat, flat[:, :1], rtol=1e-12, atol=1e-12 * float(np.abs(flat).max(initial=0)))
    return flat[:, 0].copy() if same else bias

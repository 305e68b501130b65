"""The torch modules, functions and methods that have a rule: how each becomes nodes of a float graph.

A rule takes its place in the graph and then the arguments of the function it stands for, by torch's own names.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...export.floatgraph import Pair
from ...export.reading import BATCH, Activation, NoRule, Padded, Place, Value
from ...export.reading_rules import (
    adaptive_average,
    average_pool,
    batch_norm,
    conv,
    flattened,
    last_softmax,
    linear,
    max_pool,
    mean,
    relu,
    reshaped,
    scaled,
    summed,
)

Rule = Callable[..., Any]
Pads = tuple[int, int, int, int]


def _activation(place: Place, x: Any) -> Activation:
    if isinstance(x, Padded):
        raise NoRule(f"{place.kind} reads a padded map", "let a convolution or pool do the padding")
    if not isinstance(x, Activation):
        raise NoRule("it does not read the network's activations", "leave it out")
    return x


def _window_input(place: Place, x: Any) -> Activation | Padded:
    return x if isinstance(x, Padded) else _activation(place, x)


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    values = [n for n in value if isinstance(n, int)] if isinstance(value, Sequence) else []
    if len(values) == 1:
        return values[0], values[0]
    if len(values) != 2:
        raise NoRule(f"{value} is no pair of integers", "give the sizes for height and width")
    return values[0], values[1]


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().to("cpu", torch.float64).numpy()
    if isinstance(values, int | float):
        return np.asarray(float(values))
    raise NoRule("its weights are computed in forward", "keep weights as parameters or buffers")


def _optional(values: Any) -> np.ndarray | None:
    return None if values is None else _array(values)


def _conv2d(
    place: Place, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Value:  # fmt: skip
    kernel = _array(weight)
    spread = _pair(dilation)
    if padding == "valid":
        padding = 0
    if padding == "same":
        totals = [spread[i] * (kernel.shape[2 + i] - 1) for i in range(2)]
        pads: Pads = (totals[0] // 2, totals[1] // 2, totals[0] - totals[0] // 2, totals[1] - totals[1] // 2)
    else:
        pads = (*_pair(padding), *_pair(padding))
    source = _window_input(place, x)
    return conv(place, source, kernel, _optional(bias), stride=_pair(stride), pads=pads, dilation=spread, groups=groups)


def _linear(place: Place, x: Any, weight: Any, bias: Any = None) -> Value:
    return linear(place, _activation(place, x), _array(weight), _optional(bias))


def _batch_norm(
    place: Place, x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Value:  # fmt: skip
    if training or running_mean is None or running_var is None:
        raise NoRule("it uses the batch's own statistics", "keep running statistics, and call eval() before")
    centre, var = _array(running_mean), _array(running_var)
    gain = np.ones_like(centre) if weight is None else _array(weight)
    shift = np.zeros_like(centre) if bias is None else _array(bias)
    return batch_norm(place, _activation(place, x), gain, shift, centre, var, eps)


def _relu(place: Place, x: Any, inplace: bool = False) -> Value:
    return relu(place, _activation(place, x), 0.0, np.inf)


def _relu6(place: Place, x: Any, inplace: bool = False) -> Value:
    return relu(place, _activation(place, x), 0.0, 6.0)


def _hardtanh(place: Place, x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    return relu(place, _activation(place, x), float(min_val), float(max_val))


def _clamp(place: Place, x: Any, min: Any = None, max: Any = None) -> Value:  # noqa: A002  torch's own names
    low = -math.inf if min is None else float(_array(min))
    return relu(place, _activation(place, x), low, math.inf if max is None else float(_array(max)))


def _add(place: Place, input: Any, other: Any, *, alpha: float = 1) -> Any:  # noqa: A002  torch's own names
    if isinstance(input, int | float) and isinstance(other, int | float):
        return input + other
    if alpha != 1:
        raise NoRule(f"it adds {alpha} times its second input (alpha)", "multiply first, then add")
    values = [value if isinstance(value, Activation | Padded) else _array(value) for value in (input, other)]
    return summed(place, values)


def _sub(place: Place, input: Any, other: Any, *, alpha: float = 1) -> Any:  # noqa: A002  torch's own names
    if isinstance(input, int | float) and isinstance(other, int | float):
        return input - other
    if alpha != 1 or (isinstance(other, Activation) and isinstance(input, Activation)):
        raise NoRule("it subtracts one activation from another", "put the minus sign into the weights before, and add")
    if isinstance(other, Activation):
        return scaled(place, other, -1.0, _array(input))
    return scaled(place, _activation(place, input), 1.0, -_array(other))


def _mul(place: Place, input: Any, other: Any) -> Any:  # noqa: A002  torch's own names
    if isinstance(input, int | float) and isinstance(other, int | float):
        return input * other
    if isinstance(input, Activation | Padded) and isinstance(other, Activation | Padded):
        raise place.no_rule()
    x, factor = (input, other) if isinstance(input, Activation | Padded) else (other, input)
    return scaled(place, _activation(place, x), _array(factor), 0.0)


def _div(place: Place, input: Any, other: Any) -> Any:  # noqa: A002  torch's own names
    if isinstance(input, int | float) and isinstance(other, int | float):
        return input / other
    if isinstance(other, Activation | Padded):
        raise NoRule("it divides by an activation; synapses only add", "use a constant factor")
    return scaled(place, _activation(place, input), 1.0 / _array(other), 0.0)


def _floor_divide(place: Place, a: Any, b: Any) -> Any:
    if not (isinstance(a, int) and isinstance(b, int)):
        raise place.no_rule()
    return a // b


def _avg_pool2d(
    place: Place, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Value:  # fmt: skip
    if divisor_override is not None:
        raise NoRule(f"it divides by {divisor_override} (divisor_override)", "average over the window")
    kernel, pads = _pair(kernel_size), (*_pair(padding), *_pair(padding))
    source, step = _window_input(place, x), _pair(stride or kernel)
    return average_pool(place, source, kernel, step, pads, count_pads=count_include_pad, ceil=ceil_mode)


def _max_pool2d(
    place: Place, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Value:  # fmt: skip
    if _pair(dilation) != (1, 1) or return_indices:
        raise NoRule("its window is dilated, or its indices are asked for", "use a plain max pool")
    kernel, pads = _pair(kernel_size), (*_pair(padding), *_pair(padding))
    return max_pool(place, _window_input(place, x), kernel, _pair(stride or kernel), pads, ceil=ceil_mode)


def _adaptive_avg_pool2d(place: Place, x: Any, output_size: Any) -> Value:
    source = _activation(place, x)
    sizes = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
    if len(source.shape) == 3 and len(sizes) == 2:
        sizes = [own if size is None else size for size, own in zip(sizes, source.shape[1:], strict=True)]
    return adaptive_average(place, source, _pair(sizes))


def _flatten(place: Place, x: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    source = _activation(place, x)
    rank = len(source.shape) + 1
    if start_dim % rank != 1 % rank or end_dim % rank != rank - 1:
        raise NoRule(f"it flattens axes {start_dim} to {end_dim}", "flatten from axis 1 on, the batch apart")
    return flattened(place, source)


def _reshape(place: Place, x: Any, *shape: Any) -> Value:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    if not all(isinstance(n, int) for n in sizes):
        raise NoRule(f"it reshapes to {tuple(sizes)}, which is no list of integers", "flatten from axis 1 on")
    return reshaped(place, _activation(place, x), [int(n) for n in sizes])


def _mean(place: Place, x: Any, dim: Any = None, keepdim: bool = False) -> Value:
    axes = (dim,) if isinstance(dim, int) else dim
    if axes is None:
        raise NoRule("it averages over all axes, the batch among them", "average over height and width, dim=(2, 3)")
    return mean(place, _activation(place, x), tuple(axes), keepdim)


def _pad(place: Place, x: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Value:
    source = _window_input(place, x)
    inner, before = (source.inner, source.pads) if isinstance(source, Padded) else (source, (0, 0, 0, 0))
    if mode != "constant" or value or len(pad) != 4 or min(pad) < 0 or len(inner.shape) != 3:
        raise NoRule(f"it pads by {tuple(pad)}, mode {mode!r}, value {value}", "pad height and width with zeros")
    left, right, top, bottom = pad
    top, left, bottom, right = (a + b for a, b in zip(before, (top, left, bottom, right), strict=True))
    return Padded(inner=inner, pads=(top, left, bottom, right))


def _unchanged(place: Place, x: Any, *options: Any, **more: Any) -> Value:
    return _window_input(place, x)


def _softmax(place: Place, x: Any, *options: Any, **more: Any) -> Value:
    return last_softmax(place, _activation(place, x))


def _size(place: Place, x: Any, dim: int | None = None) -> Any:
    sizes = (BATCH, *_activation(place, x).shape)
    return sizes if dim is None else sizes[dim]


def _getattr(place: Place, x: Any, name: str) -> Any:
    if name != "shape":
        raise NoRule(f"it reads the attribute {name!r} of an activation", "use its shape alone")
    return _size(place, x)


def _getitem(place: Place, x: Any, index: Any) -> Any:
    if isinstance(x, tuple) and isinstance(index, int | slice):
        return x[index]
    raise place.no_rule()


FUNCTIONS: dict[Any, Rule] = {
    F.conv2d: _conv2d,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    **dict.fromkeys((F.relu, torch.relu, F.relu_, torch.relu_), _relu),
    F.relu6: _relu6,
    **dict.fromkeys((F.hardtanh, F.hardtanh_), _hardtanh),
    **dict.fromkeys((torch.clamp, torch.clip, torch.clamp_), _clamp),
    **dict.fromkeys((operator.add, operator.iadd, torch.add), _add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), _sub),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), _mul),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), _div),
    operator.floordiv: _floor_divide,
    F.avg_pool2d: _avg_pool2d,
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pool2d),
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    torch.flatten: _flatten,
    torch.reshape: _reshape,
    torch.mean: _mean,
    F.pad: _pad,
    **dict.fromkeys((F.dropout, F.dropout2d, torch.dropout), _unchanged),
    **dict.fromkeys((F.softmax, F.log_softmax, torch.softmax, torch.log_softmax), _softmax),
    getattr: _getattr,
    operator.getitem: _getitem,
}

METHODS: dict[str, Rule] = {
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _clamp),
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("sub", "sub_"), _sub),
    **dict.fromkeys(("mul", "mul_"), _mul),
    **dict.fromkeys(("div", "div_"), _div),
    "flatten": _flatten,
    **dict.fromkeys(("view", "reshape"), _reshape),
    "mean": _mean,
    "size": _size,
    **dict.fromkeys(("contiguous", "detach", "clone", "float", "double", "requires_grad_"), _unchanged),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
}


def _of_conv(place: Place, x: Any, module: nn.Conv2d) -> Value:
    if module.padding_mode != "zeros":
        raise NoRule(f"it pads by {module.padding_mode!r}", "pad with zeros")
    return _conv2d(place, x, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups)


def _of_norm(place: Place, x: Any, module: nn.BatchNorm2d | nn.BatchNorm1d) -> Value:
    return _batch_norm(place, x, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps)


MODULES: dict[type[nn.Module], Callable[[Place, Any, Any], Any]] = {
    nn.Conv2d: _of_conv,
    nn.Linear: lambda place, x, m: _linear(place, x, m.weight, m.bias),
    nn.BatchNorm2d: _of_norm,
    nn.BatchNorm1d: _of_norm,
    nn.ReLU: lambda place, x, m: _relu(place, x),
    nn.ReLU6: lambda place, x, m: _relu6(place, x),
    nn.Hardtanh: lambda place, x, m: _hardtanh(place, x, m.min_val, m.max_val),
    nn.AvgPool2d: lambda place, x, m: _avg_pool2d(
        place, x, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override
    ),
    nn.MaxPool2d: lambda place, x, m: _max_pool2d(
        place, x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices
    ),
    nn.AdaptiveAvgPool2d: lambda place, x, m: _adaptive_avg_pool2d(place, x, m.output_size),
    nn.Flatten: lambda place, x, m: _flatten(place, x, m.start_dim, m.end_dim),
    nn.Identity: lambda place, x, m: _unchanged(place, x),
    nn.Dropout: lambda place, x, m: _unchanged(place, x),
    nn.Dropout1d: lambda place, x, m: _unchanged(place, x),
    nn.Dropout2d: lambda place, x, m: _unchanged(place, x),
    nn.ZeroPad2d: lambda place, x, m: _pad(place, x, m.padding),
    nn.Softmax: lambda place, x, m: _softmax(place, x),
    nn.LogSoftmax: lambda place, x, m: _softmax(place, x),
}

"""The ONNX operations that have a rule: how each becomes nodes of a float graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import AttributeProto

from ..hw import BadInput
from .floatgraph import Pair
from .onnx_call import Call
from .onnx_constants import RULES, Rule, arithmetic
from .reading import BATCH, Activation, NoRule, Padded, Value
from .reading_rules import (
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

Pads = tuple[int, int, int, int]
ScaleShift = Callable[[np.ndarray], tuple[np.ndarray | float, np.ndarray | float]]


def _conv(call: Call) -> Value:
    x, weight = call.window_input(), call.constant(1)
    if weight.ndim != 4:
        raise NoRule(f"it convolves over {weight.ndim - 2} axes", "use 2-D convolutions")
    kernel = (weight.shape[2], weight.shape[3])
    if call.pair("kernel_shape", kernel) != kernel:
        raise BadInput(f"{call.place.where}: kernel_shape contradicts its weight {weight.shape}; the file is damaged")
    stride, dilation = call.pair("strides", (1, 1)), call.pair("dilations", (1, 1))
    pads, groups = _pads(call, x, kernel, stride, dilation), call.integer("group", 1)
    return conv(call.place, x, weight, call.optional(2), stride=stride, pads=pads, dilation=dilation, groups=groups)


def _pads(call: Call, x: Activation | Padded, kernel: Pair, stride: Pair, dilation: Pair) -> Pads:
    """Top, left, bottom, right; `auto_pad` worked out."""
    auto = call.attribute("auto_pad", AttributeProto.STRING)
    mode = b"NOTSET" if auto is None else auto.s
    if mode in (b"NOTSET", b""):
        pads = call.integers("pads") or (0, 0, 0, 0)
        if len(pads) != 4:
            raise NoRule(f"its pads {pads} are for {len(pads) // 2} axes", "use 2-D convolutions and pools")
        return pads[0], pads[1], pads[2], pads[3]
    if mode == b"VALID":
        return 0, 0, 0, 0
    if mode not in (b"SAME_UPPER", b"SAME_LOWER") or isinstance(x, Padded) or min(stride) < 1:
        raise NoRule(f"its auto_pad is {mode.decode(errors='replace')!r}", "export explicit pads")
    if len(x.shape) != 3:
        raise BadInput(f"{call.place.where}: it reads (C, H, W), its input has shape {x.shape}")
    less, more = [], []
    for axis in range(2):
        size = x.shape[1 + axis]
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach - size, 0)
        less.append(total // 2)
        more.append(total - total // 2)
    first, last = (less, more) if mode == b"SAME_UPPER" else (more, less)
    return first[0], first[1], last[0], last[1]


def _gemm(call: Call) -> Value:
    x, weight, bias = call.activation(), call.constant(1), call.optional(2)
    if call.integer("transA", 0):
        raise NoRule("it transposes the activation, so that samples mix", "export without transA")
    if weight.ndim != 2:
        raise BadInput(f"{call.place.where}: a weight of shape {weight.shape}; a Gemm has (in, out)")
    weight = weight if call.integer("transB", 0) else weight.T
    if bias is not None:
        if bias.size not in (1, weight.shape[0]) or bias.ndim > 2:
            raise BadInput(f"{call.place.where}: a bias of shape {bias.shape} for {weight.shape[0]} outputs")
        bias = np.broadcast_to(bias.ravel(), (weight.shape[0],)) * call.number("beta", 1.0)
    return linear(call.place, x, weight * np.float64(call.number("alpha", 1.0)), bias)


def _matmul(call: Call) -> Value:
    if isinstance(call.given(0), Activation | Padded) and isinstance(call.given(1), Activation | Padded):
        raise call.place.no_rule()
    if not isinstance(call.given(1), np.ndarray):
        raise NoRule("its matrix stands before the activation, so that samples mix", "multiply as x @ W")
    weight = call.constant(1)
    if weight.ndim != 2:
        raise NoRule(f"its weight has shape {weight.shape}", "multiply by one matrix (in, out)")
    return linear(call.place, call.activation(), weight.T, None)


def _batch_norm(call: Call) -> Value:
    if call.integer("training_mode", 0):
        raise NoRule("it uses the batch's own statistics (training_mode)", "export in evaluation mode")
    gain, shift, centre, var = (call.constant(index) for index in range(1, 5))
    return batch_norm(call.place, call.activation(), gain, shift, centre, var, call.number("epsilon", 1e-5))


def _clip(call: Call) -> Value:
    return relu(call.place, call.activation(), call.limit(1, "min", -np.inf), call.limit(2, "max", np.inf))


def _add(call: Call) -> Value:
    values = [value for value in call.inputs if isinstance(value, Activation | Padded | np.ndarray)]
    if all(isinstance(value, np.ndarray) for value in values):
        return arithmetic(call)
    return summed(call.place, values)


def _sub(call: Call) -> Value:
    return _affine_of_two(call, lambda constant: (1.0, -constant), lambda constant: (-1.0, constant))


def _mul(call: Call) -> Value:
    return _affine_of_two(call, lambda constant: (constant, 0.0), lambda constant: (constant, 0.0))


def _div(call: Call) -> Value:
    def by(constant: np.ndarray) -> tuple[np.ndarray, float]:
        if not np.all(constant):
            raise BadInput(f"{call.place.where}: it divides by zero")
        return 1.0 / constant.astype(np.float64), 0.0

    return _affine_of_two(call, by, None)


def _affine_of_two(call: Call, second, first) -> Value:
    """x op constant, or constant op x, as scale and shift; of two constants the result."""
    a, b = call.given(0), call.given(1)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return arithmetic(call)
    if isinstance(b, np.ndarray):
        return scaled(call.place, call.activation(0), *second(b))
    if isinstance(a, np.ndarray) and first is not None:
        return scaled(call.place, call.activation(1), *first(a))
    raise call.place.no_rule()


def _average_pool(call: Call) -> Value:
    x, kernel, stride, pads = _pool_window(call)
    counted = bool(call.integer("count_include_pad", 0))
    return average_pool(
        call.place, x, kernel, stride, pads, count_pads=counted, ceil=bool(call.integer("ceil_mode", 0))
    )


def _max_pool(call: Call) -> Value:
    x, kernel, stride, pads = _pool_window(call)
    return max_pool(call.place, x, kernel, stride, pads, ceil=bool(call.integer("ceil_mode", 0)))


def _pool_window(call: Call) -> tuple[Activation | Padded, Pair, Pair, Pads]:
    x, kernel, stride = call.window_input(), call.pair("kernel_shape"), call.pair("strides", (1, 1))
    if call.pair("dilations", (1, 1)) != (1, 1):
        raise NoRule("its window is dilated", "use a pool without dilation")
    return x, kernel, stride, _pads(call, x, kernel, stride, (1, 1))


def _global_average(call: Call) -> Value:
    return mean(call.place, call.activation(), (2, 3), keepdims=True)


def _global_max(call: Call) -> Value:
    x = call.activation()
    if len(x.shape) != 3:
        raise BadInput(f"{call.place.where}: it reads (C, H, W), its input has shape {x.shape}")
    window = (x.shape[1], x.shape[2])
    return max_pool(call.place, x, window, window)


def _reduce_mean(call: Call) -> Value:
    axes = call.axes()
    if axes is None:
        raise NoRule("it averages over all axes, the batch among them", "average over height and width, axes (2, 3)")
    return mean(call.place, call.activation(), axes, keepdims=bool(call.integer("keepdims", 1)))


def _flatten(call: Call) -> Value:
    x, axis = call.activation(), call.integer("axis", 1)
    if axis not in (1, -len(x.shape)):
        raise NoRule(f"it flattens from axis {axis} on", "flatten from axis 1 on, the batch apart")
    return flattened(call.place, x)


def _reshape(call: Call) -> Value:
    given = call.given(0)
    old = call.integers("shape")
    target = call.ints(1) if old is None else old
    if isinstance(given, np.ndarray):
        if target.count(-1) > 1 or 0 in target:
            raise BadInput(f"{call.place.where}: it reshapes a constant to {target}")
        try:
            return given.reshape(target)
        except (ValueError, OverflowError):
            raise BadInput(f"{call.place.where}: it reshapes a constant of {given.shape} to {target}") from None
    x = call.activation()
    if not call.integer("allowzero", 0):
        whole = (call.place.growing.batch if call.place.growing.batch is not None else -1, *x.shape)
        if 0 in target[len(whole) :]:
            raise BadInput(f"{call.place.where}: it keeps an axis {target} that its input {x.shape} does not have")
        if target[:1] == (0,) and -1 in target[1:] and call.place.growing.batch is None:
            target = (BATCH, *target[1:])
        target = tuple(whole[axis] if n == 0 else n for axis, n in enumerate(target))
    return reshaped(call.place, x, target)


def _squeeze(call: Call) -> Value:
    given, axes = call.given(0), call.axes()
    if isinstance(given, np.ndarray):
        return _with_axes(call, given, axes, np.squeeze)
    x = call.activation()
    rank = len(x.shape) + 1
    named = {axis % rank for axis in axes or ()}
    if rank == 4 and x.shape[1:] == (1, 1) and named == {2, 3}:
        return flattened(call.place, x)
    raise NoRule(f"it drops axes {axes} of {('batch', *x.shape)}", "flatten from axis 1 on")


def _unsqueeze(call: Call) -> Value:
    if not isinstance(call.given(0), np.ndarray):
        raise NoRule("it adds an axis to an activation", "keep activations as (N, C, H, W) or (N, F)")
    return _with_axes(call, call.constant(0), call.axes(), np.expand_dims)


def _with_axes(call: Call, values: np.ndarray, axes: tuple[int, ...] | None, change) -> np.ndarray:
    try:
        return change(values, axes) if axes is not None else np.squeeze(values)
    except (ValueError, IndexError, OverflowError) as error:
        raise BadInput(f"{call.place.where}: {error}; the file is damaged") from None


def _transpose(call: Call) -> Value:
    given, order = call.given(0), call.integers("perm")
    if isinstance(given, np.ndarray):
        order = tuple(reversed(range(given.ndim))) if order is None else order
        if sorted(order) != list(range(given.ndim)):
            raise BadInput(f"{call.place.where}: perm {order} is no order of {given.ndim} axes")
        return given.transpose(order)
    x = call.activation()
    if order is not None and order == tuple(range(len(x.shape) + 1)):
        return x
    raise call.place.no_rule()


def _pad(call: Call) -> Value:
    x = call.window_input()
    pads = call.integers("pads") or call.ints(1)
    mode = call.attribute("mode", AttributeProto.STRING)
    if mode is not None and mode.s != b"constant":
        raise NoRule(f"it pads by {mode.s.decode(errors='replace')!r}", "pad with zeros")
    if call.limit(2, "value", 0.0) != 0:
        raise NoRule("it pads with a value that is not zero", "pad with zeros")
    inner, before = (x.inner, x.pads) if isinstance(x, Padded) else (x, (0, 0, 0, 0))
    if call.optional(3) is not None or len(inner.shape) != 3 or len(pads) != 8 or any((*pads[:2], *pads[4:6])):
        raise NoRule(f"it pads {('batch', *inner.shape)} by {pads}", "pad height and width alone")
    if min(pads) < 0:
        raise NoRule(f"it cuts the map by {pads}", "read the whole map")
    top, left, bottom, right = (a + b for a, b in zip(before, (*pads[2:4], *pads[6:8]), strict=True))
    return Padded(inner=inner, pads=(top, left, bottom, right))


def _dropout(call: Call) -> Value:
    training = call.optional(2)
    if training is not None and np.any(training):
        raise NoRule("it drops values (training_mode)", "export in evaluation mode")
    return _identity(call)


def _identity(call: Call) -> Value:
    value = call.given(0)
    if not isinstance(value, Activation | Padded | np.ndarray):
        raise BadInput(f"{call.place.where}: its input is missing; the file is damaged")
    return value


OPS: dict[str, Rule] = {
    **RULES,
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "Relu": lambda call: relu(call.place, call.activation(), 0.0, np.inf),
    "Clip": _clip,
    "Add": _add,
    "Sum": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "ReduceMean": _reduce_mean,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Pad": _pad,
    "Dropout": _dropout,
    "Identity": _identity,
    "Softmax": lambda call: last_softmax(call.place, call.activation()),
    "LogSoftmax": lambda call: last_softmax(call.place, call.activation()),
}

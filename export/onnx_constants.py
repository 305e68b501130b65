"""Rules for ONNX operations on constants: exporters write shapes, pads and limits as small graphs of their own.

The batch is a known integer in shapes, or `BATCH`. Nothing is filled beyond `FILL_MAX` elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from onnx import AttributeProto, TensorProto

from ..hw import BadInput
from .onnx_call import Call
from .onnx_file import array
from .reading import BATCH, Activation, NoRule, Padded, Value

FILL_MAX = 1 << 22
"""Most elements that an operation makes out of fewer."""

Rule = Callable[[Call], Value]

_TYPES: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float32,
    TensorProto.BFLOAT16: np.float32,
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int64,
    TensorProto.BOOL: np.bool_,
}


def constant(call: Call) -> np.ndarray:
    """A `Constant` node's value, in any of its spellings."""
    where = call.place.where
    for attribute in call.node.attribute:
        match attribute.name, attribute.type:
            case "value", AttributeProto.TENSOR:
                return array(attribute.t, call.folder, where)
            case "value_int", AttributeProto.INT:
                return np.array(attribute.i, np.int64)
            case "value_ints", AttributeProto.INTS:
                return np.array(attribute.ints, np.int64)
            case "value_float", AttributeProto.FLOAT:
                return np.array(attribute.f, np.float32)
            case "value_floats", AttributeProto.FLOATS:
                return np.array(attribute.floats, np.float32)
            case _:
                raise BadInput(f"{where}: a constant given as {attribute.name!r}; give a tensor, integers or floats")
    raise BadInput(f"{where}: a constant without a value; the file is damaged")


def shape_of(call: Call) -> np.ndarray:
    """`Shape`: of a constant, or of an activation with the batch in front."""
    value = call.given(0)
    if isinstance(value, Padded):
        raise NoRule("it asks for the shape of a padded map", "let a convolution or pool do the padding")
    if isinstance(value, Activation):
        batch = call.place.growing.batch
        sizes = [BATCH if batch is None else batch, *value.shape]
    else:
        sizes = list(call.constant(0).shape)
    end = call.attribute("end", AttributeProto.INT)
    return np.array(sizes[slice(call.integer("start", 0), None if end is None else end.i)], np.int64)


def constant_of_shape(call: Call) -> np.ndarray:
    """`ConstantOfShape`: one value, repeated."""
    sizes = _bounded(call, call.ints(0))
    value = call.attribute("value", AttributeProto.TENSOR)
    fill = np.zeros(1, np.float32) if value is None else array(value.t, call.folder, call.place.where)
    if fill.size != 1:
        raise BadInput(f"{call.place.where}: its value has {fill.size} elements, expected 1; the file is damaged")
    return np.full(sizes, fill.ravel()[0])


def expand(call: Call) -> np.ndarray:
    """`Expand` of a constant."""
    given = call.constant(0)
    return _tried(call, lambda: np.broadcast_to(given, _bounded(call, np.broadcast_shapes(given.shape, call.ints(1)))))


def gather(call: Call) -> np.ndarray:
    """`Gather` from a constant; from an activation there is no rule."""
    values, indices = _only_constant(call), call.constant(1)
    _bounded(call, (values.size, indices.size) if values.size > 64 else (indices.size,))
    return _tried(call, lambda: np.take(values, indices.astype(np.int64), axis=call.integer("axis", 0)))


def concat(call: Call) -> np.ndarray:
    """`Concat` of constants; of activations there is no rule."""
    parts = [_only_constant(call, index) for index in range(len(call.inputs))]
    _bounded(call, (sum(part.size for part in parts),))
    return _tried(call, lambda: np.concatenate(parts, axis=call.integer("axis", 0)))


def slice_of(call: Call) -> np.ndarray:
    """`Slice` of a constant; of an activation there is no rule."""
    values = _only_constant(call)
    if call.integers("starts") is not None:
        starts, ends, axes, steps = (
            call.integers("starts") or (),
            call.integers("ends") or (),
            call.integers("axes"),
            None,
        )
    else:
        starts, ends = call.ints(1), call.ints(2)
        axes = None if call.optional(3) is None else call.ints(3)
        steps = None if call.optional(4) is None else call.ints(4)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise BadInput(f"{call.place.where}: its starts, ends, axes and steps do not agree; the file is damaged")
    index = [slice(None)] * values.ndim

    def cut() -> np.ndarray:
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            index[axis] = slice(start, end if step > 0 or end >= -values.shape[axis] else None, step)
        return values[tuple(index)]

    return _tried(call, cut)


def cast(call: Call) -> Value:
    """`Cast`: of a constant to the nearest type there is; an activation stays what it is if it stays a float."""
    to = call.integer("to", 0)
    if to not in _TYPES:
        raise NoRule(f"it casts to the ONNX type {to}", "keep activations in floats")
    if not isinstance(call.given(0), np.ndarray):
        if not issubclass(_TYPES[to], np.floating):
            raise NoRule("it casts activations to integers", "keep activations in floats")
        return call.activation()
    return _cast(call, call.constant(0), _TYPES[to])


def cast_like(call: Call) -> Value:
    """`CastLike`: a constant becomes the other input's type, a float if that is an activation."""
    like = call.given(1)
    if not isinstance(call.given(0), np.ndarray):
        return call.activation()
    return _cast(call, call.constant(0), like.dtype.type if isinstance(like, np.ndarray) else np.float32)


def _cast(call: Call, values: np.ndarray, to: type[np.generic]) -> np.ndarray:
    rounds = issubclass(to, np.integer) and np.issubdtype(values.dtype, np.floating)
    if rounds and not np.all(np.abs(values) < 2.0**62):
        raise BadInput(f"{call.place.where}: it casts numbers to integers that cannot hold them")
    return values.astype(to)


def arithmetic(call: Call) -> np.ndarray:
    """`Add`, `Sub`, `Mul`, `Div` or `Sum` where every input is a constant."""
    kind = call.place.kind
    total = call.constant(0)
    for index in range(1, len(call.inputs)):
        other = call.constant(index)
        if kind == "Div" and not np.all(other):
            raise BadInput(f"{call.place.where}: a division by zero; the file is damaged")
        try:
            _bounded(call, np.broadcast_shapes(total.shape, other.shape))
        except (ValueError, OverflowError) as error:
            raise BadInput(f"{call.place.where}: {error}; the file is damaged") from None
        if kind == "Div":
            whole = np.issubdtype(total.dtype, np.integer) and np.issubdtype(other.dtype, np.integer)
            total = total // other if whole else total / other
        else:
            total = {"Add": np.add, "Sum": np.add, "Sub": np.subtract, "Mul": np.multiply}[kind](total, other)
    return np.asarray(total)


def _only_constant(call: Call, index: int = 0) -> np.ndarray:
    if isinstance(call.given(index), Activation | Padded):
        raise call.place.no_rule()
    return call.constant(index)


def _bounded(call: Call, sizes: tuple[int, ...]) -> tuple[int, ...]:
    if min(sizes, default=1) < 0 or math.prod(sizes) > FILL_MAX:
        raise BadInput(f"{call.place.where}: makes a constant of shape {sizes}, at most {FILL_MAX} values are made")
    return sizes


def _tried(call: Call, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The result of indexing or joining, or BadInput where the arrays do not allow it."""
    try:
        return np.asarray(compute())
    except (ValueError, IndexError, OverflowError) as error:
        raise BadInput(f"{call.place.where}: {error}; the file is damaged") from None


RULES: dict[str, Rule] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Shape": shape_of,
    "Expand": expand,
    "Gather": gather,
    "Concat": concat,
    "Slice": slice_of,
    "Cast": cast,
    "CastLike": cast_like,
}

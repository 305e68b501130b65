"""Read plain data from a pickle without running it.

A pickle is a program, and `pickle` runs it: a forged one executes what it likes, a damaged one can exhaust the memory.
So the program is taken apart by `pickletools` and only the steps that build dicts, lists, tuples, numbers, bytes and
text are followed, plus the three names by which numpy pickles an array. Those names call nothing: an array is
collected as its shape and bytes, which are checked here. Everything else is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...hw import BadInput

ARRAY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),
}
"""The names in a pickled array of bytes; Python 3 gives bytes to an old pickle as `_codecs.encode(text, "latin1")`."""


def read_pickle(path: Path, size_max: int) -> dict[bytes, Any]:
    """The dict in a pickle of Python 2 or 3: its keys as bytes, its arrays as uint8, text of Python 2 as bytes.

    size_max: the largest file that is read at all, in bytes. Raises BadInput naming what was found.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; put it there")
    size = path.stat().st_size
    if size > size_max:
        raise BadInput(f"{path}: {size} bytes, expected at most {size_max}; it is another file, fetch the right one")
    try:
        value = _Reader().read(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__}, expected a dict")
        return {_as_bytes(key): item.read() if isinstance(item, _Array) else item for key, item in value.items()}
    except _Refused as refused:
        raise BadInput(
            f"{path}: the pickle asks for {refused}, and only plain data and byte arrays are read; "
            "do not trust this file, fetch it again from its source"
        ) from None
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise BadInput(
            f"{path}: not a readable pickle of plain data ({error}); it is damaged or truncated, fetch it again"
        ) from error


class _Refused(Exception):
    """A pickle asks for something outside the short list."""


class _Name:
    """A name of `ARRAY_NAMES`, which stands for itself and calls nothing."""

    def __init__(self, module: Any, name: Any) -> None:
        if (module, name) not in ARRAY_NAMES:
            raise _Refused(f"{module}.{name}")
        self.name = name

    def called(self, arguments: Any) -> Any:
        """What numpy or Python would have made of it, as far as plain data needs."""
        if not isinstance(arguments, tuple) or self.name == "ndarray":
            raise ValueError(f"a call of {self.name} that numpy does not write")
        if self.name == "_reconstruct":
            return _Array()
        if self.name == "dtype":
            return _Dtype(arguments[0])
        text, encoding = arguments
        if _as_bytes(encoding) != b"latin1" or not isinstance(text, str):
            raise _Refused(f"_codecs.encode with {encoding!r}")
        return text.encode("latin1")


class _Dtype:
    """numpy's dtype, as far as a pickle describes it. Byte order means nothing for single bytes."""

    def __init__(self, code: Any) -> None:
        self.code = code
        self.state: Any = None


class _Array:
    """numpy's array, as a pickle describes it: (version, shape, dtype, column order, bytes)."""

    def __init__(self) -> None:
        self.state: Any = None

    def read(self) -> np.ndarray:
        """The array as uint8; raises ValueError for any other type and for a shape that does not match its bytes."""
        _version, shape, dtype, columns, raw = self.state
        if not isinstance(dtype, _Dtype) or dtype.code not in ("u1", b"u1", "|u1", b"|u1", "B", b"B"):
            raise ValueError(f"an array of type {getattr(dtype, 'code', dtype)!r}, expected unsigned bytes")
        if not isinstance(raw, bytes) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            raise ValueError("an array without its shape or its bytes")
        if min(shape, default=0) < 0 or max(shape, default=0) > len(raw) or prod(shape) != len(raw):
            raise ValueError(f"an array of shape {shape} with {len(raw)} bytes")
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if columns else "C")


class _Reader:
    """The pickle machine without its dangerous half: a stack, its marks, and a memo of what was built."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        """The value a pickle describes. Raises _Refused, ValueError, TypeError or LookupError."""
        for operation, argument, _position in pickletools.genops(content):
            if operation.name not in _STEPS:
                raise _Refused(f"the operation {operation.name}")
            _STEPS[operation.name](self, argument)
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Take everything above the latest mark off the stack."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def take(self, count: int) -> list[Any]:
        """Take the top `count` values off the stack, the topmost last."""
        if len(self.stack) < count:
            raise ValueError(f"{count} values needed, {len(self.stack)} there")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def mark(self, _argument: Any) -> None:
        """Remember where the stack stands."""
        self.marks.append(len(self.stack))

    def extend(self, items: list[Any]) -> None:
        """Append to the list on top."""
        if not isinstance(self.stack[-1], list):
            raise ValueError(f"items for a {type(self.stack[-1]).__name__}, expected a list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        """Set keys and values, in turn, of the dict on top."""
        if not isinstance(self.stack[-1], dict):
            raise ValueError(f"keys for a {type(self.stack[-1]).__name__}, expected a dict")
        self.stack[-1].update(_pairs(items))

    def keep(self, place: int | None) -> None:
        """Remember the top of the stack under a number, or the next number."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def build(self, _argument: Any) -> None:
        """Give an array or a dtype its description."""
        made, state = self.take(2)
        if not isinstance(made, _Array | _Dtype):
            raise _Refused(f"a change to a {type(made).__name__}")
        made.state = state
        self.stack.append(made)

    def call(self, _argument: Any) -> None:
        """Call a name, which is always one of ours."""
        name, arguments = self.take(2)
        if not isinstance(name, _Name):
            raise _Refused(f"a call of a {type(name).__name__}")
        self.stack.append(name.called(arguments))


def _push(make: Callable[[_Reader, Any], Any]) -> Callable[[_Reader, Any], None]:
    def step(reader: _Reader, argument: Any) -> None:
        reader.stack.append(make(reader, argument))

    return step


def _ignore(_reader: _Reader, _argument: Any) -> None:
    """Protocol numbers, frame sizes and the end describe the stream, not the value."""


_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _ignore),
    **dict.fromkeys(
        ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"), _push(lambda _, value: value)
    ),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _push(lambda _, value: value)),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push(lambda _, value: value)),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _push(lambda _, text: text.encode("latin1"))),
    "NONE": _push(lambda *_: None),
    "NEWTRUE": _push(lambda *_: True),
    "NEWFALSE": _push(lambda *_: False),
    "EMPTY_LIST": _push(lambda *_: []),
    "EMPTY_DICT": _push(lambda *_: {}),
    "EMPTY_TUPLE": _push(lambda *_: ()),
    "LIST": _push(lambda reader, _: reader.since_mark()),
    "DICT": _push(lambda reader, _: _pairs(reader.since_mark())),
    "TUPLE": _push(lambda reader, _: tuple(reader.since_mark())),
    "TUPLE1": _push(lambda reader, _: tuple(reader.take(1))),
    "TUPLE2": _push(lambda reader, _: tuple(reader.take(2))),
    "TUPLE3": _push(lambda reader, _: tuple(reader.take(3))),
    "MARK": _Reader.mark,
    "APPEND": lambda reader, _: reader.extend(reader.take(1)),
    "APPENDS": lambda reader, _: reader.extend(reader.since_mark()),
    "SETITEM": lambda reader, _: reader.update(reader.take(2)),
    "SETITEMS": lambda reader, _: reader.update(reader.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reader.keep),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _push(lambda reader, place: reader.memo[place])),
    "GLOBAL": _push(lambda _, names: _Name(*names.split(" ", 1))),
    "STACK_GLOBAL": _push(lambda reader, _: _Name(*reader.take(2))),
    "REDUCE": _Reader.call,
    "BUILD": _Reader.build,
}


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2 or not all(isinstance(key, str | bytes) for key in items[::2]):
        raise ValueError("a dict whose keys are not names")
    return dict(zip(items[::2], items[1::2], strict=True))


def _as_bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise ValueError(f"a {type(text).__name__} where a name is expected")

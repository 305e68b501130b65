"""Named things that are found, not listed: one file adds one chip, method, neuron profile or data set."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Generic, TypeVar

from .errors import BadInput, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names to values of one kind; an unknown name is an error that says the nearest one.

    >>> colours = Registry("colour")
    >>> _ = colours.register("red", 1)
    >>> colours["red"]
    1
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str, value: T) -> T:
        """Add `value` under `name` and return it. A name is given once."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = value
        return value

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            raise BadInput(f"unknown {self.kind} {name!r}: {did_you_mean(name, self._items)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)


def import_siblings(package: ModuleType) -> None:
    """Import every module of `package`, so that each can register itself. A failing import raises."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")

"""One node of an ONNX graph, with the values of its inputs: what the rules for operations read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto

from ..hw import BadInput
from .floatgraph import Pair
from .reading import Activation, NoRule, Padded, Place, Value

FLOAT32_MAX = float(np.finfo(np.float32).max)


class Lost:
    """A value that cannot be known, because an operation without a rule lies before it."""


LOST = Lost()

Given = Value | Lost | None
"""An input of a node; None where an optional one is left out."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One node with the values of its inputs."""

    place: Place
    inputs: Sequence[Given]
    node: onnx.NodeProto
    folder: Path

    def given(self, index: int) -> Given:
        """An input, None where the node leaves it out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def activation(self, index: int = 0) -> Activation:
        """An input that must be an activation without zeros around it."""
        value = self.given(index)
        if isinstance(value, Padded):
            raise NoRule(f"{self.place.kind} reads a padded map", "let a convolution or pool do the padding")
        if not isinstance(value, Activation):
            raise NoRule(f"its input {index} does not depend on the network's input", "leave it out")
        return value

    def window_input(self) -> Activation | Padded:
        """The first input, with zeros around it or without."""
        value = self.given(0)
        return value if isinstance(value, Padded) else self.activation(0)

    def constant(self, index: int) -> np.ndarray:
        """An input that must be a constant."""
        value = self.given(index)
        if value is None:
            raise BadInput(f"{self.place.where}: its input {index} is missing; the file is damaged")
        if not isinstance(value, np.ndarray):
            raise NoRule(f"its input {index} is computed from data, and must be a constant", "use fixed weights")
        return value

    def optional(self, index: int) -> np.ndarray | None:
        """A constant input, None where the node leaves it out."""
        return None if self.given(index) is None else self.constant(index)

    def attribute(self, name: str, kind: int) -> AttributeProto | None:
        """An attribute, None where the node leaves it out. Raises BadInput if it is of another kind."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                if attribute.type != kind:
                    raise BadInput(f"{self.place.where}: attribute {name} has the wrong type; the file is damaged")
                return attribute
        return None

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self.attribute(name, AttributeProto.INT)
        return default if found is None else found.i

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        found = self.attribute(name, AttributeProto.FLOAT)
        if found is not None and not math.isfinite(found.f):
            raise BadInput(f"{self.place.where}: attribute {name} is {found.f}; the file is damaged")
        return default if found is None else found.f

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, None where the node leaves it out."""
        found = self.attribute(name, AttributeProto.INTS)
        return None if found is None else tuple(found.ints)

    def pair(self, name: str, default: Pair | None = None) -> Pair:
        """Two integers, (H, W). Without a default the attribute must be there."""
        found = self.integers(name) or default
        if found is None:
            raise BadInput(f"{self.place.where}: attribute {name} is missing; the file is damaged")
        if len(found) != 2:
            raise NoRule(f"its {name} {found} is for {len(found)} axes", "use 2-D convolutions and pools")
        return found[0], found[1]

    def axes(self, index: int = 1) -> tuple[int, ...] | None:
        """The axes of a reduction: an attribute in old operator sets, an input in new ones."""
        found = self.integers("axes")
        constant = self.optional(index)
        return found if constant is None else self._ints(constant)

    def ints(self, index: int) -> tuple[int, ...]:
        """A constant input that lists integers."""
        return self._ints(self.constant(index))

    def _ints(self, values: np.ndarray) -> tuple[int, ...]:
        if values.ndim > 1 or values.size > 64 or not np.issubdtype(values.dtype, np.integer):
            raise BadInput(
                f"{self.place.where}: expected a list of integers, got {values.dtype} of shape {values.shape}"
            )
        return tuple(int(n) for n in values.ravel())

    def limit(self, index: int, name: str, default: float) -> float:
        """One number: an input in new operator sets, an attribute in old ones. What float32 cannot pass is infinite."""
        constant = self.optional(index)
        value = self.number(name, default) if constant is None else self._scalar(constant)
        return math.copysign(math.inf, value) if abs(value) >= FLOAT32_MAX else value

    def _scalar(self, values: np.ndarray) -> float:
        if values.size != 1 or np.isnan(values).any():
            raise BadInput(f"{self.place.where}: expected one number, got an array of shape {values.shape}")
        return float(values.ravel()[0])


def _is_of(attribute: AttributeProto, legal: onnx.defs.OpSchema.Attribute) -> bool:
    kind = getattr(onnx.defs.OpSchema.AttrType, AttributeProto.AttributeType.Name(attribute.type), None)
    return kind is not None and legal.type == kind


def check_attributes(node: onnx.NodeProto, opset: int, where: str) -> None:
    """Raise BadInput for an attribute that the operation does not have, or has twice, or with another type.

    A misspelt stride would otherwise be a silent 1. Source: the schemas in the onnx package.
    """
    try:
        known = onnx.defs.get_schema(node.op_type, opset, "").attributes
    except onnx.defs.SchemaError:
        raise BadInput(f"{where}: {node.op_type} does not exist in operator set {opset}; export it again") from None
    seen: set[str] = set()
    for attribute in node.attribute:
        legal = known.get(attribute.name)
        if legal is None or attribute.name in seen or not _is_of(attribute, legal):
            raise BadInput(
                f"{where}: its attribute {attribute.name!r} is unknown, of the wrong type, or given twice; it has "
                f"{', '.join(sorted(known)) or 'none'}; the file is damaged"
            )
        seen.add(attribute.name)

"""What a refinement method is: a loss between a spiking student and its frozen teacher. One file adds one method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ...hw import Registry
from ...models import GraphNet


class Distiller(Protocol):
    """A method at work on one student."""

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """x: images (B, C, H, W) in [0, 1], y: labels (B,). Returns (loss, student logits (B, K), parts to log)."""
        ...

    def report(self) -> dict[str, Any]:
        """What the method measured about the network, as JSON."""
        ...


@dataclass(frozen=True, kw_only=True)
class Method:
    """One refinement method. config: its frozen dataclass of settings.

    build: (student, teacher, calibration batches (B, C, H, W), settings) -> Distiller. Both networks are GraphNets over
    the same architecture; the teacher is in evaluation mode.
    """

    summary: str
    config: type[Any]
    build: Callable[[GraphNet, GraphNet, Sequence[Tensor], Any], Distiller]


METHODS: Registry[Method] = Registry("refinement method")

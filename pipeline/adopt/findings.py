"""What preflight finds: one operation, what will happen to it, and a fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["refused", "approximated", "rewritten", "assumed"]
"""refused: no rule, nothing is deployed. approximated: the spiking network computes something near. rewritten: the same
numbers in another form. assumed: the file leaves it open."""

Stage = Literal["conversion", "netx", "core"]
"""Where it happens: on the way to spikes, in a netx file, or in a core of the chip."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One operation that does not survive as it is.

    node: its name in the graph. where: its place in the user's file or code. position: its number in the graph.
    """

    node: str
    where: str
    severity: Severity
    stage: Stage
    what: str
    fix: str
    position: int

"""A network of floats as other tools describe it: one operation per node, before anything is folded or quantized.

ONNX, NIR and torch modules are read into this one form; folding, preflight and quantization know nothing else. Shapes
are (C, H, W) or (F,), without a batch axis. Weights are float64 in torch's layout.

A graph may hold loops, each through at least one `Spike`: what a neuron sends back to itself arrives one timestep
later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..hw import BadInput, Shape, did_you_mean

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Input:
    """What comes from outside. shape: (C, H, W) or (F,)."""

    shape: Shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv:
    """Cross-correlation. weight: (out, in / groups, kH, kW); bias: (out,) or None. Pairs are (H, W)."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A matrix on the source flattened in C, H, W order. weight: (out, in); bias: (out,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """scale * x + shift, per channel, (C,): a batch norm in evaluation, or any constant scaling."""

    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Relu:
    """max(x, 0), or min(max(x, 0), ceiling)."""

    ceiling: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Spike:
    """A population of integrate-and-fire neurons in discrete time, per timestep:

        u <- (1 - i_decay) u + input          (i_decay 1: u is the input itself)
        v <- (1 - v_decay) v + gain u + offset
        z  = v > threshold                     (>= unless `strict`)
        v <- v_reset where z, or v - threshold z if reset is "subtract"

    gain, offset, threshold, v_reset, i_decay, v_decay: float64, shape () or the population's own. late_reset: the reset
    takes effect in the next timestep, after the decay (snnTorch's default) instead of at once. assumed: what the file
    left open and how it was read, one sentence each; reports repeat them.
    """

    threshold: np.ndarray
    v_decay: np.ndarray
    i_decay: np.ndarray = field(default_factory=lambda: np.ones(()))
    gain: np.ndarray = field(default_factory=lambda: np.ones(()))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    v_reset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    reset: Literal["value", "subtract"] = "value"
    late_reset: bool = False
    strict: bool = True
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Integrate:
    """A lossless integrator that never fires: a read-out by membrane potential."""


@dataclass(frozen=True, kw_only=True)
class Add:
    """The sum of all inputs."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Pooling over a window. padding adds zeros (minus infinity for max). An average divides by the whole window."""

    kind: Literal["average", "sum", "max"]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True, kw_only=True)
class GlobalAverage:
    """The mean over H and W: (C, H, W) -> (C,)."""


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """(C, H, W) -> (C H W,) in that order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Delay:
    """Spikes held back. steps: whole timesteps, int64, shape () or the source's own."""

    steps: np.ndarray


Op = Input | Conv | Linear | Affine | Relu | Spike | Integrate | Add | Pool | GlobalAverage | Flatten | Delay


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operation. inputs: names of the nodes it reads. where: the place in the user's file or code, for messages."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    where: str


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatGraph:
    """Nodes in topological order, except that a loop's way back may name a later node. output: the node that answers.

    n_steps: timesteps of a sample if the file says so. assumed: what was left open about the whole graph.
    Raises BadInput for names that are not unique or not there, and for a graph without exactly one Input.
    """

    name: str
    nodes: tuple[Node, ...]
    output: str
    n_steps: int | None = None
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counted = Counter(node.name for node in self.nodes)
        names = counted.keys()
        twice = sorted(name for name, count in counted.items() if count > 1)
        if twice:
            raise BadInput(f"{self.name}: node names are not unique: {', '.join(twice)}")
        for node in self.nodes:
            for source in node.inputs:
                if source not in names:
                    raise BadInput(f"{node.where}: {node.name} reads {source!r}; {did_you_mean(source, names)}")
        if self.output not in names:
            raise BadInput(f"{self.name}: the output {self.output!r} is no node; {did_you_mean(self.output, names)}")
        sources = [node.name for node in self.nodes if isinstance(node.op, Input)]
        if len(sources) != 1:
            raise BadInput(f"{self.name}: it has {len(sources)} inputs ({', '.join(sources) or 'none'}), expected 1")

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def source(self) -> Node:
        """The one input."""
        return next(node for node in self.nodes if isinstance(node.op, Input))


def reachable(start: str, steps: Mapping[str, Sequence[str]]) -> set[str]:
    """A node and all that one gets to from it. steps: by node, the nodes one step away."""
    found, waiting = {start}, [start]
    while waiting:
        for name in steps[waiting.pop()]:
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found

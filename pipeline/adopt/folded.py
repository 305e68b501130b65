"""A float graph after folding: populations joined by linear maps, and nothing in between.

Batch norms, scalings, average pools, flattens and chains of linear maps are gone into the weights; what is left has the
form of `hw.Network`, in floats.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...export.floatgraph import Conv, Integrate, Linear, Pool, Relu, Spike
from ...hw import Shape


@dataclass(frozen=True, kw_only=True)
class Same:
    """Each neuron to the neuron of the same index, times `scale`: an identity shortcut."""

    scale: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Edge:
    """A linear map from a population. Its `op` has no bias (the unit holds it). A max pool is a map as well.

    delay: whole timesteps, int64, shape () or one per source neuron (flat). An edge from the unit to itself is
    recurrent and arrives one timestep later.
    """

    source: str
    op: Conv | Linear | Same | Pool
    delay: np.ndarray = field(default_factory=lambda: np.zeros((), np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """One population. shape: (C, H, W) or (F,).

    op: its activation; None for a max pool, whose only edge is a `Pool`, and for a linear output. bias: float64 (C,) or
    (F,), or the unit's shape. members: names of the graph's nodes in it, in order. where: as of its activation.
    """

    name: str
    shape: Shape
    op: Relu | Spike | Integrate | None
    edges: tuple[Edge, ...]
    bias: np.ndarray
    members: tuple[str, ...]
    where: str


@dataclass(frozen=True, kw_only=True)
class Folding:
    """One rewrite: the node that is gone, the unit it went into, what was done, and what it cost.

    exact: whether the folded map equals the nodes it replaces up to float rounding. checked: largest relative
    difference between the two on random inputs.
    """

    node: str
    into: str
    what: str
    exact: bool
    checked: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """Units in topological order, the last one answers. source, source_shape: the input's name and shape."""

    name: str
    source: str
    source_shape: Shape
    units: tuple[Unit, ...]
    foldings: tuple[Folding, ...]
    n_steps: int | None
    assumed: tuple[str, ...]

    def __getitem__(self, name: str) -> Unit:
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

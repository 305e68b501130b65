"""What the readers of foreign networks share: a graph that grows node by node, and a list of what has no rule.

A reader goes on after an operation without a rule, with a ReLU in its place, so that one reading names every such
operation. What then no longer fits together is not reported: it may be the consequence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np

from ..hw import BadInput, Shape, UnsupportedLayer
from .floatgraph import FloatGraph, Node, Op, Relu
from .floatgraph_shapes import out_shape, shapes
from .no_rule import why_not
from .problems import Problem

BATCH = -(1 << 40)
"""Stands for a batch size that is open, in shapes that a network computes."""

CONSTANT_MAX = 1 << 28
"""Most elements of one constant: 1 GiB in float32, twenty times VGG-16's largest matrix."""


class NoRule(UnsupportedLayer):
    """An operation, or one use of it, that cannot be taken over. reason, way_out: the two halves of a message."""

    def __init__(self, reason: str, way_out: str) -> None:
        super().__init__(f"{reason}; {way_out}")
        self.reason, self.way_out = reason, way_out


@dataclass(frozen=True, kw_only=True)
class Activation:
    """What a node gives per sample. certain: no operation without a rule lies before it."""

    node: str
    shape: Shape
    certain: bool = True


@dataclass(frozen=True, kw_only=True)
class Padded:
    """An activation with zeros around it, until a window reads it. pads: top, left, bottom, right."""

    inner: Activation
    pads: tuple[int, int, int, int]


Value = Activation | Padded | np.ndarray
"""Constants, shapes among them, are arrays."""


@dataclass(frozen=True)
class Survey:
    """What was read: the graph as far as it goes (None if nothing was), and all that has no rule.

    In the graph a ReLU of its name stands for each operation without a rule.
    """

    graph: FloatGraph | None
    problems: tuple[Problem, ...]


@dataclass
class Growing:
    """A graph being read. batch: the batch size the source fixes, None if open."""

    name: str
    batch: int | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    def free_name(self, wanted: str) -> str:
        """The name, with a number behind it if it is taken."""
        name, count = wanted, 1
        while name in self.nodes:
            count += 1
            name = f"{wanted}_{count}"
        return name

    def survey(self, answer: Value | None) -> Survey:
        """The finished reading. answer: what the network gives. Raises BadInput if it is none, or too large."""
        if isinstance(answer, Padded) or (answer is not None and not isinstance(answer, Activation)):
            raise BadInput(f"{self.name}: its output depends on no input; export the whole network")
        last = answer.node if answer is not None else next(reversed(self.nodes), None)
        graph = None
        if last is not None:
            nodes = tuple(self.nodes.values())
            graph = FloatGraph(name=self.name, nodes=nodes, output=last, assumed=tuple(self.assumed))
            shapes(graph)
        return Survey(graph, tuple(self.problems))


@dataclass(frozen=True, kw_only=True)
class Place:
    """One operation of the source while it is read. final: only the network's output reads it."""

    growing: Growing
    name: str
    kind: str
    where: str
    final: bool = False

    def add(self, op: Op, *inputs: Activation) -> Activation:
        """A node of the graph. Raises BadInput if it cannot read such inputs."""
        for values in vars(op).values():
            if isinstance(values, np.ndarray) and not np.isfinite(values).all():
                raise BadInput(f"{self.where}: its weights hold NaN or infinity; export a network that is trained well")
        shape = out_shape(op, [value.shape for value in inputs], self.where)
        name = self.growing.free_name(self.name)
        self.growing.nodes[name] = Node(
            name=name, op=op, inputs=tuple(value.node for value in inputs), where=self.where
        )
        return Activation(node=name, shape=shape, certain=all(value.certain for value in inputs))

    def note(self, error: NoRule) -> None:
        """Remember that this operation cannot be taken over."""
        self.growing.problems.append(
            Problem(
                node=self.name,
                kind=self.kind,
                where=self.where,
                reason=error.reason,
                way_out=error.way_out,
                position=len(self.growing.nodes),
            )
        )

    def stand_in(self, x: Activation) -> Activation:
        """A ReLU in the place of an operation without a rule; what follows is no longer certain."""
        return replace(self.add(Relu(), x), certain=False)

    def no_rule(self) -> NoRule:
        """The error for an operation of this kind."""
        return NoRule(*why_not(self.kind))


def source_line(stack: str) -> str | None:
    """The user's line in a Python stack: the innermost one outside torch, as `file.py:12`."""
    frames = re.findall(r'File "([^"]{1,500})", line (\d{1,7})', stack)
    own = [frame for frame in frames if "/torch/" not in frame[0].replace("\\", "/")]
    if not own:
        return None
    path, line = own[-1]
    return f"{path.replace(chr(92), '/').rsplit('/', 1)[-1]}:{line}"

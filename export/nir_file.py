"""A NIR file as it lies on disk: nodes with their arrays, and edges. Nothing is interpreted yet.

Layout (HDF5): `version`, and the group `node` with `type` NIRGraph, `edges` (n, 2) and `nodes/<name>`, each with `type`
and the fields of its kind. A graph may hold graphs; they are opened up here, their nodes named `<graph>.<node>`.
Source: nir 1.0.8, nir/serialization.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..hw import BadInput, did_you_mean
from .hdf5_fields import Fields

MAX_NODES = 4096
MAX_EDGES = 1 << 15
MAX_DEPTH = 8
"""Largest graphs read: ten times the deepest published networks. They stop forged files before allocating."""


class NirFields(Fields):
    """Fields of one NIR node: what `Fields` gives, and floats."""

    def group(self, field: str) -> NirFields:
        """A sub-group."""
        inner = super().group(field)
        return NirFields(inner.where, inner._group)

    def floats(self, field: str) -> np.ndarray:
        """Finite numbers of any shape and dtype, as float64."""
        with np.errstate(all="ignore"):
            values = self._values(field, self._dataset(field), kinds="iuf").astype(np.float64)
        if not np.isfinite(values).all():
            raise self.fail(field, "NaN or infinity", "finite numbers")
        return values

    def precision(self, field: str) -> str:
        """The dtype a field is stored with, such as `float32`."""
        return self._dataset(field).dtype.name

    def whole(self, field: str) -> tuple[int, ...]:
        """Whole numbers, one or several: a pair given as one number, a shape, an index."""
        values = self._values(field, self._dataset(field), kinds="iuf")
        if values.size > 8 or not np.isfinite(values).all() or np.any(values != np.floor(values)):
            raise self.fail(field, f"{values.dtype} {values.shape}", "up to 8 whole numbers")
        if values.size and np.abs(values.astype(np.float64)).max() > 2**31:
            raise self.fail(field, np.abs(values).max(), "numbers below 2^31")
        return tuple(int(n) for n in values.reshape(-1))

    def is_text(self, field: str) -> bool:
        """Whether a field holds a string."""
        return self._is_text(self._dataset(field))

    def pairs_of_text(self, field: str) -> list[tuple[str, str]]:
        """An (n, 2) array of strings."""
        dataset = self._dataset(field)
        if dataset.shape == (0,):
            return []
        if len(dataset.shape) != 2 or dataset.shape[1] != 2 or dataset.shape[0] > MAX_EDGES:
            raise self.fail(field, f"shape {dataset.shape}", f"(n, 2), n at most {MAX_EDGES}")
        if not self._is_text(dataset):
            raise self.fail(field, f"dtype {dataset.dtype}", "strings")
        self._check_strings(field, dataset)
        rows = self._guard(field, lambda: dataset[()].tolist())
        return [(self._name(field, a), self._name(field, b)) for a, b in rows]

    def _name(self, field: str, value: object) -> str:
        try:
            return value.decode("utf-8") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            raise self.fail(field, repr(value), "UTF-8 text") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class RawNode:
    """One primitive of the file. kind: its NIR type. where: file and node, for messages."""

    name: str
    kind: str
    where: str
    fields: NirFields


@dataclass(frozen=True, kw_only=True, eq=False)
class RawGraph:
    """All primitives of a file, sub-graphs opened, and the edges between them, each once.

    Only the outermost graph keeps its Input and Output. subgraphs: names of the sub-graphs that were opened.
    """

    path: Path
    version: str
    nodes: dict[str, RawNode]
    edges: tuple[tuple[str, str], ...]
    subgraphs: tuple[str, ...]

    def of_kind(self, *kinds: str) -> list[RawNode]:
        """Nodes of the kinds named, in the file's order."""
        return [node for node in self.nodes.values() if node.kind in kinds]

    def sources(self, name: str) -> list[str]:
        """Names of the nodes that lead to a node."""
        return [a for a, b in self.edges if b == name]

    def targets(self, name: str) -> list[str]:
        """Names of the nodes a node leads to."""
        return [b for a, b in self.edges if a == name]


def root_of(file: h5py.File, path: Path) -> NirFields:
    """The fields of the outermost group, `node`."""
    top = NirFields(str(path), file)
    if "node" not in top:
        raise BadInput(f"{path}: no group `node`, so not NIR; it holds {', '.join(top.names()[:8]) or 'nothing'}")
    root = top.group("node")
    kind = root.text("type")
    if kind != "NIRGraph":
        raise BadInput(f"{path}: the outermost node is a {kind}, expected a NIRGraph; wrap it with Input and Output")
    return NirFields(str(path), root._group)


def read_raw(file: h5py.File, path: Path) -> RawGraph:
    """The primitives and edges of an open file. They read their arrays from it, so it must stay open.

    Raises BadInput for a damaged or incomplete file, edges to nowhere, edges given twice, and too large graphs.
    """
    top = NirFields(str(path), file)
    version = top.text("version") if "version" in top else "unknown"
    nodes, edges, subgraphs = _graph(root_of(file, path), "", str(path), 0)
    graph = RawGraph(path=path, version=version, nodes=nodes, edges=tuple(edges), subgraphs=tuple(subgraphs))
    for kind in ("Input", "Output"):
        found = [node.name for node in graph.of_kind(kind)]
        if len(found) != 1:
            raise BadInput(
                f"{path}: it has {len(found)} {kind} nodes ({', '.join(found) or 'none'}), expected 1; "
                "split or join the graph first"
            )
    return graph


def _graph(
    fields: NirFields, prefix: str, where: str, depth: int
) -> tuple[dict[str, RawNode], list[tuple[str, str]], list[str]]:
    """Nodes, edges and sub-graphs of one graph, every name prefixed."""
    if depth > MAX_DEPTH:
        raise BadInput(f"{where}: graphs within graphs, more than {MAX_DEPTH} deep; flatten the file first")
    group = fields.group("nodes")
    names = group.names()
    if len(names) > MAX_NODES:
        raise BadInput(f"{where}: {len(names)} nodes, at most {MAX_NODES} are read")
    nodes: dict[str, RawNode] = {}
    edges = list(_edges(fields, names, prefix, where))
    subgraphs: list[str] = []
    for name in names:
        inner, full = group.group(name), prefix + name
        kind = inner.text("type")
        here = f"{where}: {full}"
        inner.where = here
        if kind != "NIRGraph":
            _insert(nodes, {full: RawNode(name=full, kind=kind, where=here, fields=inner)}, where)
            continue
        deeper, inside, below = _graph(inner, f"{full}.", here, depth + 1)
        edges = _joined(full, deeper, edges + inside, here)
        _insert(nodes, deeper, where)
        subgraphs += [full, *below]
    if len(nodes) > MAX_NODES:
        raise BadInput(f"{where}: {len(nodes)} nodes, at most {MAX_NODES} are read")
    return nodes, edges, subgraphs


def _insert(nodes: dict[str, RawNode], more: dict[str, RawNode], where: str) -> None:
    for name, node in more.items():
        if name in nodes:
            raise BadInput(f"{where}: two nodes are called {name!r} once sub-graphs are opened; rename one")
        nodes[name] = node


def _edges(fields: NirFields, names: list[str], prefix: str, where: str) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for edge in fields.pairs_of_text("edges"):
        for end in edge:
            if end not in names:
                raise BadInput(f"{where}: the edge {edge[0]} -> {edge[1]} names {end!r}; {did_you_mean(end, names)}")
        if edge in seen:
            raise BadInput(f"{where}: the edge {edge[0]} -> {edge[1]} is there twice; remove one")
        seen.add(edge)
        yield prefix + edge[0], prefix + edge[1]


def _joined(name: str, inner: dict[str, RawNode], edges: list[tuple[str, str]], where: str) -> list[tuple[str, str]]:
    """Edges of a graph and its sub-graph `name` once the sub-graph's own Input and Output are taken out of `inner`."""
    doors: dict[str, str] = {}
    for kind in ("Input", "Output"):
        found = [n for n, node in inner.items() if node.kind == kind]
        if len(found) != 1:
            raise BadInput(f"{where}: a sub-graph with {len(found)} {kind} nodes, expected 1; give it one of each")
        doors[kind] = found[0]
        del inner[found[0]]
    gone = {name, *doors.values()}
    first = [b for a, b in edges if a == doors["Input"] and b not in gone]
    last = [a for a, b in edges if b == doors["Output"] and a not in gone]
    feeding = [a for a, b in edges if b == name and a != name]
    fed = [b for a, b in edges if a == name and b != name]
    if (doors["Input"], doors["Output"]) in edges:
        raise BadInput(f"{where}: its Input leads straight to its Output; put the connection into the graph outside")
    if (name, name) in edges:
        feeding = feeding + last
    kept = [edge for edge in edges if not gone & set(edge)]
    through = [(a, b) for a in feeding for b in first] + [(a, b) for a in last for b in fed]
    return list(dict.fromkeys(kept + through))

"""In which order the nodes of a NIR graph can be built, loops included."""

from __future__ import annotations

from collections.abc import Collection

from ..hw import BadInput
from .floatgraph import reachable
from .nir_file import RawGraph, RawNode


def leading_to(graph: RawGraph, source: RawNode, sink: RawNode) -> set[str]:
    """Names of the nodes between the input and the output, both included.

    Raises BadInput if nothing leads from one to the other, and for a node on the way to the output that the input does
    not reach.
    """
    reads, readers = _neighbours(graph)
    reached = reachable(source.name, readers)
    if sink.name not in reached:
        raise BadInput(f"{graph.path}: no path leads from {source.name} to {sink.name}; the edges are incomplete")
    kept = reachable(sink.name, reads)
    if lost := sorted(kept - reached):
        raise BadInput(f"{graph.path}: {lost[0]} leads to the output, but nothing leads to it; connect it to the input")
    return kept


def in_order(graph: RawGraph, kept: Collection[str], source: str) -> list[str]:
    """The names in `kept`, each after what it reads, except where a loop comes back to its beginning.

    A loop begins at its first node that something outside the loop leads to.
    """
    reads, readers = _neighbours(graph)
    waiting = [name for name in graph.nodes if name in kept]
    done: dict[str, None] = {}
    while waiting:
        ready = [name for name in waiting if all(a in done for a in reads[name] if a in kept)]
        if not ready:
            ready = [_beginning(graph, waiting, done, reads, readers)]
        for name in ready:
            done[name] = None
        waiting = [name for name in waiting if name not in done]
    assert next(iter(done)) == source
    return list(done)


def _beginning(
    graph: RawGraph,
    waiting: list[str],
    done: Collection[str],
    reads: dict[str, list[str]],
    readers: dict[str, list[str]],
) -> str:
    """The first waiting node that reads something done, and waits for nothing but its own loop."""
    for name in waiting:
        missing = {a for a in reads[name] if a not in done}
        if len(missing) < len(reads[name]) and missing <= reachable(name, readers):
            return name
    raise BadInput(f"{graph.path}: {waiting[0]} waits for a loop that nothing leads to; connect it to the input")


def _neighbours(graph: RawGraph) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    reads: dict[str, list[str]] = {name: [] for name in graph.nodes}
    readers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        reads[b].append(a)
        readers[a].append(b)
    return reads, readers

"""Two networks side by side: structure, parameters, weights, and where their behaviour parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...export.lava import Divergence
from ...hw import Connection, Conv, Cuba, Dense, Network, Population, Source
from .compare import compare
from .recording import record


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that differs, both values as text. where: a layer, a connection `source -> target`, or `network`.

    what: `layer` (a or b is None), `shape`, `type`, `connection` (a or b is None), `geometry`, a parameter's name
    (`v_th_mant`, `i_decay`, `v_decay`, `bias_exp`, `payload`, `n_steps`, `readout`).
    """

    where: str
    what: str
    a: str | None
    b: str | None


@dataclass(frozen=True, kw_only=True)
class ArrayChange:
    """An array of equal shape with other numbers. what: `weight`, `bias` or `delay`.

    differing of total: how many. largest: of |a - b|. index: the first one, in C order; a, b: both values there.
    """

    where: str
    what: Literal["weight", "bias", "delay"]
    differing: int
    total: int
    largest: int
    index: tuple[int, ...]
    a: int
    b: int


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Both networks on the same inputs. inputs: where they are from. first: where u, v or spikes differ first.

    In `first`, `expected` is of the first network and `found` of the second; layers have the first network's names.
    """

    inputs: str
    samples: int
    n_steps: int
    values: int
    mismatches: int
    first: Divergence | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All that differs. matched_by: how layers were paired. pairs: (name in a, name in b).

    behaviour: None where it was not, or could not be, compared; `not_run` says why.
    """

    matched_by: Literal["name", "position"]
    pairs: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]
    arrays: tuple[ArrayChange, ...]
    behaviour: Behaviour | None
    not_run: str | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs; names alone do not count."""
        ran_apart = self.behaviour is not None and self.behaviour.mismatches > 0
        return not (self.changes or self.arrays or ran_apart)


def diff(a: Network, b: Network, inputs: np.ndarray | None = None, inputs_from: str = "") -> Difference:
    """Compare two networks. inputs: integers (B, *S) or (T, B, *S) both are run on; None leaves behaviour out.

    Layers are matched by name if the two share any name beside the source's, else by position.
    """
    pairs, matched_by = matched(a, b)
    renamed = _renamed(b, {theirs: ours for ours, theirs in pairs})
    changes = (*_network(a, renamed), *_layers(a, renamed), *_connections(a, renamed))
    arrays = (*_biases(a, renamed), *_weights(a, renamed))
    behaviour, not_run = None, "no inputs were given"
    if inputs is not None:
        not_run = _cannot_run(a, renamed, inputs)
        behaviour = _behaviour(a, renamed, inputs, inputs_from) if not_run is None else None
    return Difference(
        matched_by=matched_by,
        pairs=pairs,
        changes=changes,
        arrays=arrays,
        behaviour=behaviour,
        not_run=not_run,
    )


def matched(a: Network, b: Network) -> tuple[tuple[tuple[str, str], ...], Literal["name", "position"]]:
    """Pairs (name in a, name in b) of the populations that correspond, sources first."""
    ours, theirs = ([p.name for p, _ in network.neurons] for network in (a, b))
    sources = [(x.name, y.name) for x, y in zip(a.sources, b.sources, strict=False)]
    shared = [name for name in ours if name in theirs]
    if shared:
        return (*sources, *((name, name) for name in shared)), "name"
    return (*sources, *zip(ours, theirs, strict=False)), "position"


def _renamed(network: Network, names: dict[str, str]) -> Network:
    """The network with some populations renamed; what is left over keeps its name, primed where that is taken."""
    taken = set(names.values())
    full: dict[str, str] = {}
    for population in network.populations:
        name = names.get(population.name, population.name)
        while population.name not in names and name in taken:
            name += "'"
        taken.add(name)
        full[population.name] = name
    return replace(
        network,
        populations=tuple(replace(p, name=full[p.name]) for p in network.populations),
        connections=tuple(replace(c, source=full[c.source], target=full[c.target]) for c in network.connections),
        readout=replace(network.readout, population=full[network.readout.population]),
    )


def _network(a: Network, b: Network) -> Iterator[Change]:
    if a.n_steps != b.n_steps:
        yield Change(where="network", what="n_steps", a=str(a.n_steps), b=str(b.n_steps))
    left, right = (f"{n.readout.population} by {n.readout.kind}" for n in (a, b))
    if left != right:
        yield Change(where="network", what="readout", a=left, b=right)


def _layers(a: Network, b: Network) -> Iterator[Change]:
    names = [p.name for p in a.populations]
    others = [p.name for p in b.populations]
    for name in (*names, *(name for name in others if name not in names)):
        if name not in others:
            yield Change(where=name, what="layer", a=_described(a[name]), b=None)
        elif name not in names:
            yield Change(where=name, what="layer", a=None, b=_described(b[name]))
        else:
            yield from _layer(a[name], b[name])


def _layer(a: Population, b: Population) -> Iterator[Change]:
    if a.shape != b.shape:
        yield Change(where=a.name, what="shape", a=str(a.shape), b=str(b.shape))
    left, right = a.neuron, b.neuron
    if isinstance(left, Cuba) and isinstance(right, Cuba):
        for field in ("v_th_mant", "i_decay", "v_decay", "bias_exp"):
            one, two = getattr(left, field), getattr(right, field)
            if one != two:
                yield Change(where=a.name, what=field, a=str(one), b=str(two))
    elif isinstance(left, Source) and isinstance(right, Source):
        one, two = (f"{n.payload_bits} bits{', signed' if n.signed else ''}" for n in (left, right))
        if one != two:
            yield Change(where=a.name, what="payload", a=one, b=two)
    else:
        yield Change(where=a.name, what="type", a=type(left).__name__, b=type(right).__name__)


def _described(population: Population) -> str:
    return f"{type(population.neuron).__name__} {population.shape}"


def _paired(a: Network, b: Network) -> Iterator[tuple[str, Connection | None, Connection | None]]:
    """Connections of the same two populations, in order; None where one side has no more of them."""
    for source, target in dict.fromkeys((c.source, c.target) for c in (*a.connections, *b.connections)):
        left, right = (
            [c for c in network.connections if (c.source, c.target) == (source, target)] for network in (a, b)
        )
        for i in range(max(len(left), len(right))):
            one, two = (side[i] if i < len(side) else None for side in (left, right))
            yield f"{source} -> {target}", one, two


def _connections(a: Network, b: Network) -> Iterator[Change]:
    for where, left, right in _paired(a, b):
        if left is None or right is None:
            texts = [None if c is None else f"{type(c).__name__} {c.weight.shape}" for c in (left, right)]
            yield Change(where=where, what="connection", a=texts[0], b=texts[1])
            continue
        if type(left) is not type(right):
            yield Change(where=where, what="type", a=type(left).__name__, b=type(right).__name__)
        one, two = _geometry(left), _geometry(right)
        if one != two:
            yield Change(where=where, what="geometry", a=one, b=two)


def _geometry(c: Connection) -> str:
    weight = f"weight {c.weight.shape}"
    if isinstance(c, Conv):
        return f"{weight}, stride {c.stride}, padding {c.padding}, dilation {c.dilation}, groups {c.groups}"
    return weight


def _biases(a: Network, b: Network) -> Iterator[ArrayChange]:
    others = {p.name: p for p in b.populations}
    for population, neuron in a.neurons:
        other = others.get(population.name)
        if other is None or other.shape != population.shape or not isinstance(other.neuron, Cuba):
            continue
        biases = (n.bias_over(population.shape) for n in (neuron, other.neuron))
        yield from _array(population.name, "bias", *biases)


def _weights(a: Network, b: Network) -> Iterator[ArrayChange]:
    for where, left, right in _paired(a, b):
        if left is None or right is None or left.weight.shape != right.weight.shape:
            continue
        yield from _array(where, "weight", left.weight, right.weight)
        if isinstance(left, Dense) and isinstance(right, Dense):
            delays = (np.broadcast_to(c.delay, c.weight.shape) for c in (left, right))
            yield from _array(where, "delay", *delays)


def _array(where: str, what: Literal["weight", "bias", "delay"], a: np.ndarray, b: np.ndarray) -> Iterator[ArrayChange]:
    gap = np.abs(a.astype(np.int64) - b.astype(np.int64))
    if not gap.any():
        return
    first = tuple(int(n) for n in np.unravel_index(int((gap != 0).argmax()), gap.shape))
    yield ArrayChange(
        where=where,
        what=what,
        differing=int(np.count_nonzero(gap)),
        total=gap.size,
        largest=int(gap.max()),
        index=first,
        a=int(a[first]),
        b=int(b[first]),
    )


def _cannot_run(a: Network, b: Network, inputs: np.ndarray) -> str | None:
    """Why the two cannot be run on the same inputs; None if they can."""
    if len(a.sources) != 1 or len(b.sources) != 1:
        return "only networks of one source are run"
    if a.sources[0].shape != b.sources[0].shape:
        return f"their inputs have different shapes, {a.sources[0].shape} and {b.sources[0].shape}"
    low, high = int(inputs.min(initial=0)), int(inputs.max(initial=0))
    for network in (a, b):
        neuron = network.sources[0].neuron
        if isinstance(neuron, Source) and not neuron.min_payload <= low <= high <= neuron.max_payload:
            return f"the inputs are {low}..{high}, one of the two takes {neuron.min_payload}..{neuron.max_payload}"
    return None if _alike(a, b) else "no layer of one has a layer of the same shape in the other"


def _alike(a: Network, b: Network) -> list[str]:
    """Populations that compute and have one shape in both."""
    shapes = {p.name: p.shape for p, _ in b.neurons}
    return [p.name for p, _ in a.neurons if shapes.get(p.name) == p.shape]


def _behaviour(a: Network, b: Network, inputs: np.ndarray, inputs_from: str) -> Behaviour:
    steps = min(a.n_steps, b.n_steps)
    if inputs.ndim == len(a.sources[0].shape) + 2:
        inputs = inputs[:steps]
    left, right = (record(replace(network, n_steps=steps), inputs, inputs_from) for network in (a, b))
    outcome = compare(left.values, right.values, _alike(a, b))
    return Behaviour(
        inputs=inputs_from,
        samples=outcome.samples,
        n_steps=steps,
        values=outcome.values,
        mismatches=outcome.mismatches,
        first=outcome.first,
    )

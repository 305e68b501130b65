"""What the chip runs: populations of neurons joined by connections, integers only, frozen.

`Network` is the hinge of the pipeline. Training ends in one, a `.net` file holds one, the simulator runs one and the
energy report prices one. It is a graph, so residual networks are representable; a file format that holds only a chain
(netx) is the writer's problem.

Time is layer-synchronous: within timestep t a population sees the spikes its sources emit at their own timestep t, or
`delay` steps earlier; its own, through a recurrent connection, one step later. The chip is pipelined (each hop costs
one step); with every path of equal length the two give the same integers. Every sample starts from zero: `u`, `v` and
the spikes still on their way.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .arithmetic import STATE_SHIFT
from .connections import Connection, Conv, Dense, Shape
from .errors import BadInput, UnsupportedLayer
from .neurons import Cuba

PAYLOAD_BITS_MAX = 24
"""Lava's synapses accumulate in 24 bits; no payload can be wider."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A population that receives its spikes from outside.

    payload_bits: 0 for binary spikes; 0 < b <= 24 for graded spikes that carry an integer of b bits. signed: whether
    that integer is in two's complement; it takes 2 bits or more.
    """

    payload_bits: int = 0
    signed: bool = False

    def __post_init__(self) -> None:
        if self.signed and self.payload_bits < 2:
            raise BadInput(
                f"source: a signed payload of {self.payload_bits} bits holds no positive number; give 2 bits or more"
            )
        if not 0 <= self.payload_bits <= PAYLOAD_BITS_MAX:
            raise BadInput(
                f"source: payload_bits is {self.payload_bits}, a spike carries 0..{PAYLOAD_BITS_MAX} bits; quantize "
                "the inputs to fewer"
            )

    @property
    def max_payload(self) -> int:
        """The largest value one spike can carry."""
        return (1 << (self.payload_bits - self.signed)) - 1 if self.payload_bits else 1

    @property
    def min_payload(self) -> int:
        """The smallest value one spike can carry: 0 (no spike), or negative if signed."""
        return -(1 << (self.payload_bits - 1)) if self.signed else 0


@dataclass(frozen=True, kw_only=True)
class Population:
    """Neurons of one kind. shape: (C, H, W), or (F,) for a vector."""

    name: str
    shape: Shape
    neuron: Cuba | Source

    def __post_init__(self) -> None:
        # Plain ints: equal shapes must print alike, or equal networks would have different fingerprints.
        shape = tuple(int(n) for n in self.shape)
        if min(shape, default=0) < 1:
            raise BadInput(f"{self.name}: shape {shape} must hold positive sizes, (C, H, W) or (F,)")
        object.__setattr__(self, "shape", shape)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Which population answers, and how.

    kind `membrane`: its `v` after the last timestep (the population must never fire, so `v` is the sum of its input);
    kind `spike_count`: its number of spikes over the sample. The largest value is the predicted class.
    """

    population: str
    kind: Literal["membrane", "spike_count"] = "membrane"


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Populations in topological order, their connections, the read-out, and the sample length.

    n_steps: timesteps per sample; every `u` and `v` is zero when a sample begins.

    Raises BadInput when names or shapes do not fit together and UnsupportedLayer for a loop over several populations.
    """

    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    readout: Readout
    n_steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "populations", tuple(self.populations))
        object.__setattr__(self, "connections", tuple(self.connections))
        if self.n_steps < 1:
            raise BadInput(f"network: n_steps is {self.n_steps}; a sample lasts at least 1 timestep")
        names = [p.name for p in self.populations]
        if len(set(names)) != len(names):
            raise BadInput(f"network: population names are not unique: {names}")
        if self.readout.population not in names:
            raise BadInput(f"network: the read-out population {self.readout.population!r} is not one of {names}")
        for connection in self.connections:
            for end in (connection.source, connection.target):
                if end not in names:
                    raise BadInput(f"network: a connection names {end!r}, which is not one of {names}")
        seen: set[str] = set()
        for population in self.populations:
            self._check_population(population, seen)
            seen.add(population.name)

    def _check_population(self, population: Population, earlier: set[str]) -> None:
        incoming = self.incoming(population.name)
        if isinstance(population.neuron, Source):
            if incoming:
                raise BadInput(f"{population.name}: a source population cannot have incoming connections")
            return
        if all(connection.source == population.name for connection in incoming):
            raise BadInput(f"{population.name}: no connection leads to it; connect it or leave it out")
        for connection in incoming:
            recurrent = connection.source == population.name
            if recurrent and not isinstance(connection, Dense):
                raise UnsupportedLayer(
                    f"{population.name} -> {population.name}: only dense connections may be recurrent; write the "
                    f"{type(connection).__name__} as a dense matrix"
                )
            if not recurrent and connection.source not in earlier:
                raise UnsupportedLayer(
                    f"{connection.source} -> {population.name}: the source must come before its target; list the "
                    "populations in topological order, and join populations that form a loop into one with a "
                    "recurrent connection"
                )
            shape = connection.out_shape(self[connection.source].shape)
            if shape != population.shape:
                raise BadInput(f"{connection.source} -> {population.name}: gives {shape}, expected {population.shape}")
        try:
            population.neuron.bias_over(population.shape)
        except ValueError:
            raise BadInput(
                f"{population.name}: a bias of shape {population.neuron.bias_mant.shape} does not cover "
                f"{population.shape}; give (), (C,) or the full shape"
            ) from None

    def __getitem__(self, name: str) -> Population:
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)

    def incoming(self, name: str) -> tuple[Connection, ...]:
        """Connections that lead to a population."""
        return tuple(c for c in self.connections if c.target == name)

    def outgoing(self, name: str) -> tuple[Connection, ...]:
        """Connections that leave a population."""
        return tuple(c for c in self.connections if c.source == name)

    def recurrent(self, name: str) -> tuple[Dense, ...]:
        """Connections of a population to itself; they are among `incoming` and `outgoing` too."""
        return tuple(c for c in self.connections if isinstance(c, Dense) and c.source == c.target == name)

    @property
    def sources(self) -> tuple[Population, ...]:
        """Populations fed from outside."""
        return tuple(p for p in self.populations if isinstance(p.neuron, Source))

    @property
    def neurons(self) -> Iterator[tuple[Population, Cuba]]:
        """Every population that computes, with its neuron parameters."""
        return ((p, p.neuron) for p in self.populations if isinstance(p.neuron, Cuba))

    def fingerprint(self) -> str:
        """SHA-256 over everything that decides what the network computes. Equal networks have equal fingerprints."""
        digest = hashlib.sha256()
        for part in _canonical(self):
            digest.update(part)
        return digest.hexdigest()


def same(a: Network, b: Network) -> bool:
    """Whether two networks are equal in every number, name and order."""
    return a.fingerprint() == b.fingerprint()


def _canonical(network: Network) -> Iterable[bytes]:
    def array(values: np.ndarray) -> bytes:
        return repr(values.shape).encode() + np.ascontiguousarray(values, "<i4").tobytes()

    yield f"network {network.n_steps} {network.readout}".encode()
    for p in network.populations:
        yield f"population {p.name} {p.shape}".encode()
        if isinstance(p.neuron, Source):
            yield f"source {p.neuron.payload_bits}{' signed' if p.neuron.signed else ''}".encode()
        else:
            n = p.neuron
            exponent = "" if n.bias_exp == STATE_SHIFT else f" {n.bias_exp}"
            yield f"cuba {n.v_th_mant} {n.i_decay} {n.v_decay}{exponent}".encode()
            yield array(n.bias_over(p.shape))
    for c in network.connections:
        extra = f"{c.stride} {c.padding} {c.dilation} {c.groups}" if isinstance(c, Conv) else ""
        yield f"{type(c).__name__} {c.source} {c.target} {extra}".encode()
        yield array(c.weight)
        if isinstance(c, Dense) and c.delay.any():
            yield array(c.delay)

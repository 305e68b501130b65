"""Bytes a network needs, by formulas that are printed beside the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...hw import Cuba, Dense, Network, Population
from ...hw.placement.weights import needed_bits

BIAS_BITS = 16
STATE_BITS = 24
DELAY_BITS = 6

FORMULAS = (
    "weights: stored weights (a kernel once) x the bits their range needs, zeros included",
    f"delays: stored delays that differ x {DELAY_BITS} bits",
    f"biases: stored bias mantissas x {BIAS_BITS} bits (none where all are zero)",
    f"states: neurons x 2 (u and v) x {STATE_BITS} bits",
    f"in flight: neurons x longest incoming delay x {STATE_BITS} bits (sums that wait for their timestep)",
)
"""How the bytes are counted; each part is rounded up to whole bytes. Axons, routing and core limits are not in them."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one layer, or of a network."""

    weights: int
    delays: int
    biases: int
    states: int
    in_flight: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.delays + self.biases + self.states + self.in_flight

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            weights=self.weights + other.weights,
            delays=self.delays + other.delays,
            biases=self.biases + other.biases,
            states=self.states + other.states,
            in_flight=self.in_flight + other.in_flight,
        )


NONE = Memory(weights=0, delays=0, biases=0, states=0, in_flight=0)


def of_population(network: Network, population: Population) -> Memory:
    """Memory of a population and of the connections that lead to it."""
    incoming = network.incoming(population.name)
    neuron = population.neuron
    if not isinstance(neuron, Cuba):
        return NONE
    delays = [c for c in incoming if isinstance(c, Dense) and c.delay.ndim]
    longest = max((c.max_delay for c in incoming if isinstance(c, Dense)), default=0)
    return Memory(
        weights=sum(_bytes(c.weight.size * needed_bits(c.weight)) for c in incoming),
        delays=sum(_bytes(c.delay.size * DELAY_BITS) for c in delays),
        biases=_bytes(neuron.bias_mant.size * BIAS_BITS) if neuron.bias_mant.any() else 0,
        states=_bytes(population.size * 2 * STATE_BITS),
        in_flight=_bytes(population.size * longest * STATE_BITS),
    )


def _bytes(bits: int) -> int:
    return math.ceil(bits / 8)

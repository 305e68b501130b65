"""What would make a network fit, or fit on fewer cores: every line was tried and says what it gave."""

from __future__ import annotations

from collections.abc import Iterator

from ..chip import CHIPS, Chip
from ..errors import DoesNotFit
from ..network import Network
from .place import Placement, place
from .usage import RESOURCES
from .weights import BitsOf, weight_bits

FEWEST_BITS = 2
"""Below this a weight has no two magnitudes; fewer bits are not advised."""


def place_or_advise(network: Network, chip: Chip, *, rule: str | None = None, chips: int | None = None) -> Placement:
    """`place`, whose refusal also says what would help. Raises DoesNotFit with every change that was found to fit."""
    try:
        return place(network, chip, rule=rule, chips=chips)
    except DoesNotFit as refusal:
        ways = list(_ways_out(network, chip, rule, chips))
        told = "; ".join(ways) if ways else "no fewer weight bits, other chip or more chips would hold it"
        raise DoesNotFit(f"{refusal}; {told}") from None


def advice(placement: Placement) -> tuple[str, ...]:
    """Fewer weight bits for the population on most cores, if it is synaptic memory that is fullest there.

    The widest weights that save a core are named, with what they give. The network must then be quantized anew; what
    that costs in accuracy is not known here.
    """
    network = placement.network
    largest = max((p.name for p, _ in network.neurons), key=lambda name: len(placement.of(name)))
    cores = len(placement.of(largest))
    if cores < 2 or placement.bottleneck(largest) != "synapse_words":
        return ()
    for bits in _fewer_bits(network, largest):
        fewer = place(network, placement.chip, rule=placement.rule, bits=bits)
        if len(fewer.cores) < len(placement.cores):
            n = len(fewer.of(largest))
            told = (
                f"{largest}: {max(bits.values())}-bit weights would take {n} core{'s' * (n > 1)} instead of {cores}; "
                f"{len(fewer.cores)} in all instead of {len(placement.cores)}"
            )
            return (told,)
    return ()


def _ways_out(network: Network, chip: Chip, rule: str | None, chips: int | None) -> Iterator[str]:
    if chips is not None:
        more = _tried(network, chip, rule=rule)
        if more is not None:
            yield f"{more.n_chips} chips would hold it"
    widths = list(_fewer_bits(network))
    if widths and _tried(network, chip, rule=rule, chips=chips, bits=widths[-1]) is not None:
        for bits in widths:
            fewer = _tried(network, chip, rule=rule, chips=chips, bits=bits)
            if fewer is not None:
                yield f"{max(bits.values())}-bit weights would fit on {_size(fewer)}"
                break
    for name in CHIPS:
        if name != chip.name:
            other = _tried(network, CHIPS[name], chips=chips)
            if other is not None:
                unknown = ", ".join(RESOURCES[field] for field in other.unknown)
                yield f"{name} would hold it on {_size(other)}" + (f" (not published: {unknown})" if unknown else "")


def _tried(
    network: Network, chip: Chip, *, rule: str | None = None, chips: int | None = None, bits: BitsOf | None = None
) -> Placement | None:
    try:
        return place(network, chip, rule=rule, chips=chips, bits=bits or {})
    except DoesNotFit:
        return None


def _fewer_bits(network: Network, population: str | None = None) -> Iterator[BitsOf]:
    """Every smaller width of the weights into one population, or of all weights, the widest first."""
    connections = network.connections if population is None else network.incoming(population)
    own = {connection: weight_bits(connection, {}) for connection in connections}
    for most in range(max(own.values()) - 1, FEWEST_BITS - 1, -1):
        yield {connection: min(bits, most) for connection, bits in own.items()}


def _size(placement: Placement) -> str:
    cores, chips = len(placement.cores), placement.n_chips
    return f"{cores} core{'s' * (cores > 1)} of {chips} chip{'s' * (chips > 1)}"

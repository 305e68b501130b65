"""Why two runs differ, found by experiment: the first differing layer, run alone under semantics that may be wrong.

The layer is driven with the reference's own input spikes, so that what went wrong before it, or after it, does not
matter. Every variant (`variants.py`) that then gives every number the reference recorded is a likely cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...export.lava import Divergence, Quantity
from ...export.traces import Recording
from ...hw import Cuba, Network
from .recording import first_samples, over_time
from .semantics import CHIP, LayerAlone, Memo, Semantics, simulate
from .variants import variants

SAMPLES = 8
"""Samples a cause is tried on, if the first difference is not in a later one. Bounds the work."""

SAMPLES_UNRECORDED = 2
"""The same where layers before the differing one were not recorded, each of which may be at fault."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Something under which the reference's numbers come out.

    layer: where it is. key: stable name. sentence: for the user.
    """

    layer: str
    key: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What explains the first difference.

    layer: where it shows. tried: number of variants. causes: those that give every number the reference recorded of the
    layer, none, one or several. values: how many numbers that is. unrecorded: populations before it whose spikes the
    reference lacks, so that they may be at fault as well and were tried too.
    """

    layer: str
    tried: int
    causes: tuple[Cause, ...]
    values: int
    unrecorded: tuple[str, ...]

    def __str__(self) -> str:
        if self.causes:
            parts = [("" if c.layer == self.layer else f"in {c.layer}: ") + c.sentence for c in self.causes]
            text = f"likely cause: {'; or '.join(parts)} (gives all {self.values} numbers of {self.layer}; "
            text += f"{self.tried} causes tried)"
        else:
            text = f"likely cause: none of the {self.tried} tried gives the reference's numbers of {self.layer}"
        if self.unrecorded:
            text += f"; the reference has no spikes of {', '.join(self.unrecorded)}, record them to be sure"
        return text


INPUT_DIFFERS = "input-differs"
_INPUT_DIFFERS = (
    "the layer is right: on the reference's own input spikes it gives the reference's numbers, so the two differ in "
    "what feeds it"
)


def diagnose(network: Network, reference: Recording, ours: Recording, first: Divergence) -> Diagnosis:
    """Find what explains `first`, the first difference between a reference and our run of `network`.

    Both recordings are of the same inputs, which one of them at least holds.
    """
    before = _unrecorded(network, reference, first.layer)
    count = max(SAMPLES_UNRECORDED if before else SAMPLES, first.sample + 1)
    inputs = ours.inputs if reference.inputs is None else reference.inputs
    assert inputs is not None  # a run of ours holds them
    reference = first_samples(
        Recording(where=reference.where, inputs=inputs, values=reference.values), count, len(network.sources[0].shape)
    )
    bench = _Bench(network, reference, before, first.layer)
    wanted = reference.values[first.layer]
    values = sum(array.size for array in wanted.values())
    causes = []
    tried = 0
    if bench.fits(first.layer, CHIP):
        causes.append(Cause(layer=first.layer, key=INPUT_DIFFERS, sentence=_INPUT_DIFFERS))
    else:
        for suspect in (first.layer, *before):
            for variant in variants(bench.alone(suspect, bench.spikes)):
                tried += 1
                if any(bench.fits(suspect, reading) for reading in variant.semantics):
                    causes.append(Cause(layer=suspect, key=variant.key, sentence=variant.sentence))
    return Diagnosis(layer=first.layer, tried=tried, causes=tuple(causes), values=values, unrecorded=before)


def _unrecorded(network: Network, reference: Recording, name: str) -> tuple[str, ...]:
    """Populations that feed a layer and whose spikes the reference lacks, nearest first, back to recorded ones."""
    found: list[str] = []
    front = [name]
    while front:
        sources = {c.source for n in front for c in network.incoming(n)} - {name, *found}
        front = [
            p.name for p, _ in network.neurons if p.name in sources and "spikes" not in reference.values.get(p.name, {})
        ]
        found += front
    return tuple(found)


class _Bench:
    """The differing layer and the unrecorded ones before it, to be run with one of them changed."""

    def __init__(self, network: Network, reference: Recording, before: tuple[str, ...], target: str) -> None:
        assert reference.inputs is not None  # diagnose saw to it
        self.network, self.target = network, target
        self.wanted = reference.values[target]
        self.spikes = {network.sources[0].name: over_time(reference.inputs, network)}
        self.spikes |= {name: q["spikes"] for name, q in reference.values.items() if "spikes" in q and name != target}
        self.order = [p.name for p in network.populations if p.name in before]
        self._memos: dict[str, Memo] = {}
        for name in self.order:
            self.spikes[name] = self._simulated(name, self.spikes, CHIP)["spikes"]

    def alone(self, name: str, spikes: Mapping[str, np.ndarray]) -> LayerAlone:
        """A layer with what drives it."""
        population = self.network[name]
        neuron = population.neuron
        assert isinstance(neuron, Cuba)  # a source does not differ
        incoming = [c for c in self.network.incoming(name) if c.source != name]
        return LayerAlone(
            population=population,
            neuron=neuron,
            drive=tuple((c, spikes[c.source]) for c in incoming),
            recurrent=self.network.recurrent(name),
        )

    def fits(self, suspect: str, reading: Semantics) -> bool:
        """Whether every number of the target comes out if `suspect` computes as `reading` says."""
        if suspect == self.target:
            return _fits(self.wanted, self._simulated(suspect, self.spikes, reading), reading)
        if reading.recorded:  # what was not recorded was not recorded late
            return False
        spikes = dict(self.spikes)
        spikes[suspect] = self._simulated(suspect, spikes, reading)["spikes"]
        if np.array_equal(spikes[suspect], self.spikes[suspect]):
            return False
        for name in self.order[self.order.index(suspect) + 1 :]:
            spikes[name] = simulate(self.alone(name, spikes))["spikes"]
        return _fits(self.wanted, simulate(self.alone(self.target, spikes)), CHIP)

    def _simulated(self, name: str, spikes: Mapping[str, np.ndarray], reading: Semantics) -> dict[Quantity, np.ndarray]:
        """A layer on the spikes that never change, its synaptic sums kept."""
        return simulate(self.alone(name, spikes), reading, self._memos.setdefault(name, {}))


def _fits(wanted: Mapping[Quantity, np.ndarray], found: Mapping[Quantity, np.ndarray], reading: Semantics) -> bool:
    """Whether a simulated layer has every number that was recorded, (T, B, *shape) each."""
    late = reading.recorded
    something = False
    for quantity, recorded in wanted.items():
        given = found[quantity]
        # Where the recording itself is late, its ends are unknown to the other side.
        if late > 0:
            recorded, given = recorded[late:], given[:-late]
        elif late < 0:
            recorded, given = recorded[:late], given[-late:]
        something = something or bool(recorded.any())
        if not (np.array_equal(recorded, given) or (given.dtype.kind == "f" and _rounded_alike(recorded, given))):
            return False
    # What is zero throughout fits anything that does nothing.
    return something or late == 0


def _rounded_alike(recorded: np.ndarray, given: np.ndarray) -> bool:
    """Whether recorded integers are the given floats, brought to integers in one of the usual ways."""
    return any(np.array_equal(recorded, how(given)) for how in (np.rint, np.trunc, np.floor))

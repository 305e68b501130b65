"""The values of a report that say where the network lies on a chip: cores, traffic, a latency bound, static energy."""

from __future__ import annotations

from pydantic import model_validator

from .values import Amount, Count, Positive, Text, Value


class PopulationOnChip(Value):
    """How one population is cut. share: of its bottleneck, on its fullest core."""

    name: Text
    neurons: Positive
    cores: Positive
    cut: Text
    bottleneck: Text
    share: Amount


class CoreSquare(Value):
    """One core of the map. share: of its own fullest known resource."""

    chip: Count
    population: Text
    share: Amount


class Messages(Value):
    """Means per sample. messages: one per spike and destination core, those from the host included; off_chip: of them,
    to another chip. hops: steps between tiles; null where the mesh is not published."""

    messages: Amount
    off_chip: Amount
    hops_ew: Amount | None
    hops_ns: Amount | None


class TimeBound(Value):
    """A lower bound on time, from published times of single events. constants: whose.

    step_s: of a mean step of one sample's way through the pipeline: the busiest core, its synapses and its neurons
    side by side, then the barrier. busiest: the population of that core, most often. steps: from the first input to
    the answer, T and the pipeline's depth. latency_s: of one sample. interval_s: between two answers, samples one
    after the other.
    """

    constants: Text
    step_s: Amount
    barrier_s: Amount
    busiest: Text
    steps: Positive
    latency_s: Amount
    interval_s: Amount
    scope: Text


class TotalEnergy(Value):
    """Dynamic, static and total energy of one sample in pJ, always apart.

    dynamic_pj: under the convention, messages and hops included where it prices them. static_pj: static power times
    the time bound, for the cores in use alone and for whole chips; null where no static power is published.
    """

    convention: Text
    constants: Text
    dynamic_pj: Amount
    static_pj: tuple[Amount, Amount] | None
    source: Text

    @model_validator(mode="after")
    def _cores_cost_less_than_chips(self) -> TotalEnergy:
        if self.static_pj is not None and self.static_pj[0] > self.static_pj[1]:
            raise ValueError(f"{self.convention}: static energy {self.static_pj} must be (cores alone, whole chips)")
        return self


class OnChip(Value):
    """A placement on one chip. rule: by which memory and axons are counted. shares: largest use of each resource.

    unknown: resources whose limit is not published. advice: checked by placing again.
    """

    chip: Text
    rule: Text
    cores: Positive
    cores_per_chip: Positive
    chips: Positive
    bottleneck: Text
    shares: dict[str, Amount]
    unknown: tuple[Text, ...]
    populations: tuple[PopulationOnChip, ...]
    layout: tuple[CoreSquare, ...]
    traffic: Messages
    times: tuple[TimeBound, ...] = ()
    energies: tuple[TotalEnergy, ...] = ()
    advice: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _cores_add_up(self) -> OnChip:
        cut = sum(population.cores for population in self.populations)
        if not cut == len(self.layout) == self.cores:
            raise ValueError(f"{self.chip}: {self.cores} cores, {cut} by population, {len(self.layout)} on the map")
        return self


class Refusal(Value):
    """Why the network does not fit a chip: the resource, the amount, the limit, and what would make it fit."""

    chip: Text
    why: Text

"""The values of a report that say how far its energies can be trusted: counts, spread, sensitivity, fair baselines."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import model_validator

from .values import Amount, Count, Positive, Score, Text, Value, equal


class Events(Value):
    """Events of one kind in one layer, means per sample: in total, and sent or done at each timestep.

    what: a countable's name. per: one event in words. source: of a connection, null for the neurons' own events.
    by_step: T numbers, or one for a pass of the ANN.
    """

    side: Literal["snn", "ann"]
    what: Text
    per: Text
    population: Text
    source: Text | None
    total: Amount
    by_step: tuple[Amount, ...]

    @model_validator(mode="after")
    def _steps_add_up(self) -> Events:
        if not equal(self.total, sum(self.by_step)):
            raise ValueError(f"{self.population}: {self.what}: total {self.total}, steps add up to {sum(self.by_step)}")
        return self


class Histogram(Value):
    """Samples in equal bins from low_pj to high_pj."""

    low_pj: Amount
    high_pj: Amount
    samples: tuple[Count, ...]


class Spread(Value):
    """Energy of single samples under one convention, in pJ. ci95_pj: of the mean over samples like these.

    worst_sample: the index, among the counted samples, of the one that costs most.
    """

    convention: Text
    samples: Positive
    mean_pj: Amount
    ci95_pj: tuple[Amount, Amount]
    p5_pj: Amount
    median_pj: Amount
    p95_pj: Amount
    worst_pj: Amount
    worst_sample: Count
    histogram: Histogram

    @model_validator(mode="after")
    def _in_order(self) -> Spread:
        order = (self.p5_pj, self.median_pj, self.p95_pj, self.worst_pj)
        if list(order) != sorted(order) or not self.ci95_pj[0] <= self.mean_pj <= self.ci95_pj[1]:
            raise ValueError(f"{self.convention}: p5, median, p95, worst {order}, mean {self.mean_pj} are out of order")
        if sum(self.histogram.samples) != self.samples:
            raise ValueError(f"{self.convention}: the histogram holds {sum(self.histogram.samples)} of {self.samples}")
        return self


class Swing(Value):
    """One bar of a tornado: the SNN's energy per mean sample, and ANN / SNN, with one setting low and high.

    low, high: the two settings in words. ratio: null without an ANN.
    """

    what: Text
    kind: Literal["constant", "choice"]
    low: Text
    high: Text
    low_pj: Amount
    high_pj: Amount
    low_ratio: float | None
    high_ratio: float | None


class Sensitivity(Value):
    """What moves the energy under one convention, the largest swing first. snn_pj: with everything as published."""

    convention: Text
    snn_pj: Amount
    ratio: float | None
    swings: tuple[Swing, ...]

    @model_validator(mode="after")
    def _largest_first(self) -> Sensitivity:
        widths = [abs(swing.high_pj - swing.low_pj) for swing in self.swings]
        if any(b > a and not equal(a, b) for a, b in pairwise(widths)):
            raise ValueError(f"{self.convention}: swings {widths} are not in falling order")
        return self


class Baseline(Value):
    """An ANN of the same graph to compare with. bits: null for float32. how: how its numbers came to be, in words.

    energy_pj: of one inference, by convention. score: null where it was not measured.
    """

    key: Text
    title: Text
    weight_bits: Positive | None
    activation_bits: Positive | None
    how: Text
    score: Score | None
    energy_pj: dict[str, Amount]


class Threshold(Value):
    """A published or derived limit beside what was measured. low: null where the source gives one number alone."""

    what: Text
    measured: Amount
    low: Amount | None
    high: Amount
    unit: Text
    source: Text


class Margin(Value):
    """By which factor all spikes may grow until the SNN costs as much as a baseline; null if even silence costs more.

    spikes_per_synapse: synaptic operations per synapse and inference at that point.
    """

    convention: Text
    baseline: Text
    factor: Amount | None
    spikes_per_synapse: Amount | None


class BreakEven(Value):
    """Where spiking stops to pay. matched_bits: ceil(log2(T + 1)), the activations of the fair quantized twin.

    spikes_per_synapse: synaptic operations / (synapses * inferences). spikes_per_step: mean spikes of a neuron that
    sends, per timestep. dense_ratio: T / matched_bits, the SNN's cost over the twin's where moving data is all.
    """

    matched_bits: Positive
    spikes_per_synapse: Amount
    spikes_per_step: Amount
    dense_ratio: Amount
    thresholds: tuple[Threshold, ...]
    margins: tuple[Margin, ...]

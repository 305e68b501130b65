"""Where spiking stops to pay: published limits beside what was measured, and how far each baseline is away.

None of it is a verdict. A published limit holds for the hardware, the widths and the dataflow of its source; a margin
for the events that its convention prices.

A **margin** is the factor by which all spikes of the network's own neurons may grow until it costs what a baseline
does; what comes from outside stays as it is. With E(k) the energy at k times those spikes, and E a straight line,

    E(factor) = baseline,    factor = (baseline - E(0)) / (E(1) - E(0)).

Every convention that prices a baseline of ours is such a line. It is checked all the same, at the next whole number:
sums of straight lines and of maxima of them that meet a line in three points lie on it in between. A neuron spikes at
most once per timestep, so that a factor above 1 / spikes_per_step cannot happen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..hw import BadInput, Network
from .baselines import convention_of, matched_bits, multiply_by
from .bill import Bill, bill
from .choices import Choices
from .constants import HOROWITZ, INT8_ADD
from .convention import Convention
from .counts import Counts, Pair, n_synapses
from .workload import Workload


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A published or derived limit beside what was measured. low: None where the source gives one number alone."""

    what: str
    measured: float
    low: float | None
    high: float
    unit: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Margin:
    """By which factor the network's own spikes may grow until it costs as much as a baseline under a convention.

    factor: below 1 where it costs more already; None if even its silence does. spikes_per_synapse: synaptic operations
    per synapse and inference at that point.
    """

    convention: str
    baseline: str
    factor: float | None
    spikes_per_synapse: float | None


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """Where spiking stops to pay. matched_bits: of the activations of the fair quantized twin, ceil(log2(T + 1)).

    spikes_per_synapse: synaptic operations / (synapses * inferences), those of the input included; zero weights count
    as chosen. spikes_per_step: mean spikes per timestep of the network's own neurons that send to others, 0 where only
    the input sends. dense_ratio: see `dense_ratio`. margins: where no spike costs anything and silence costs less than
    the baseline, no factor leads there, and there is no margin.
    """

    matched_bits: int
    spikes_per_synapse: float
    spikes_per_step: float
    dense_ratio: float
    thresholds: tuple[Threshold, ...]
    margins: tuple[Margin, ...]


def dense_ratio(n_steps: int) -> float:
    """T / ceil(log2(T + 1)): what the SNN costs over its fair twin where moving data is all that costs.

    Both dense: T timesteps of one bit against one pass of so many. Source: Yan et al., arXiv 2409.08290.
    """
    return n_steps / matched_bits(n_steps)


def break_even(
    network: Network,
    counts: Counts,
    baselines: Mapping[str, Mapping[str, float]],
    choices: Choices | None = None,
) -> BreakEven:
    """Limits and margins of a run. baselines: pJ per inference by baseline and convention (`baseline_energies`).

    choices: of all prices. Raises what `price` does, and BadInput for a convention whose energy is no straight line in
    the spikes.
    """
    wanted = choices or Choices()
    activity = _Activity(network, counts, wanted.synops)
    margins = (
        _margin(_Line(network, counts, convention_of(name, network), wanted), activity, baseline, pj)
        for baseline, energies in baselines.items()
        for name, pj in energies.items()
    )
    return BreakEven(
        matched_bits=matched_bits(network.n_steps),
        spikes_per_synapse=activity.spikes_per_synapse(1.0),
        spikes_per_step=activity.spikes_per_step,
        dense_ratio=dense_ratio(network.n_steps),
        thresholds=tuple(_thresholds(network.n_steps, activity)),
        margins=tuple(margin for margin in margins if margin is not None),
    )


def _multiplied(network: Network, counts: Counts, factor: int) -> Counts:
    """The counts if every neuron of the network sent so many times the spikes; what comes from outside is unchanged."""
    outside = {source.name for source in network.sources}

    def pairs(table: Mapping[Pair, torch.Tensor]) -> dict[Pair, torch.Tensor]:
        return {pair: events if pair[0] in outside else events * factor for pair, events in table.items()}

    return Counts(
        spikes={name: events if name in outside else events * factor for name, events in counts.spikes.items()},
        synops=pairs(counts.synops),
        synops_effective=pairs(counts.synops_effective),
    )


class _Activity:
    """How often synapses and neurons are active, means per sample."""

    def __init__(self, network: Network, counts: Counts, synops: str) -> None:
        effective = synops == "effective"
        outside = {source.name for source in network.sources}
        reached = counts.synops_per_sample(effective=effective)
        self._synapses = sum(n_synapses(network, effective=effective).values())
        self._given = sum(number for (source, _), number in reached.items() if source in outside)
        self._own = sum(reached.values()) - self._given
        senders = {connection.source for connection in network.connections} - outside
        neurons = sum(network[name].size for name in senders)
        spikes = sum(int(counts.spikes[name].sum()) for name in senders)
        cells = neurons * counts.n_steps * counts.n_samples
        self.spikes_per_step = spikes / cells if cells else 0.0

    def spikes_per_synapse(self, factor: float) -> float:
        """With so many times the spikes of the network's own neurons."""
        return (self._given + factor * self._own) / self._synapses if self._synapses else 0.0


class _Line:
    """Energy of a mean sample under one convention by the factor of its own spikes: silent + factor * slope."""

    def __init__(self, network: Network, counts: Counts, prices: Convention, choices: Choices) -> None:
        self.prices = prices
        self._network, self._counts, self._choices = network, counts, choices.only(prices.reads)
        silence, run = self._bill(0), self._bill(1)
        self.silent = silence.total_pj()
        events = (
            (line.total - rest.total, line.constant) for line, rest in zip(run.side(), silence.side(), strict=True)
        )
        self.slope = sum(more * constant.value for more, constant in events) / counts.n_samples

    def factor(self, pj: float) -> float:
        """Where the line costs so much."""
        factor = (pj - self.silent) / self.slope
        beyond = max(2, math.ceil(factor))
        expected, found = self.silent + beyond * self.slope, self._bill(beyond).total_pj()
        if not math.isclose(found, expected, rel_tol=1e-6):
            raise BadInput(
                f"break_even: under {self.prices.name} {beyond} times the spikes cost {found:.6g} pJ, a straight line "
                f"gives {expected:.6g}; leave its baselines out, or choose active='never' or 'fired'"
            )
        return factor

    def _bill(self, factor: int) -> Bill:
        counts = _multiplied(self._network, self._counts, factor)
        return bill(Workload(network=self._network, counts=counts, choices=self._choices), self.prices)


def _margin(line: _Line, activity: _Activity, baseline: str, pj: float) -> Margin | None:
    factor = None
    if pj >= line.silent:
        if line.slope <= 0:
            return None
        factor = line.factor(pj)
    return Margin(
        convention=line.prices.name,
        baseline=baseline,
        factor=factor,
        spikes_per_synapse=None if factor is None else activity.spikes_per_synapse(factor),
    )


def _thresholds(n_steps: int, activity: _Activity) -> Iterator[Threshold]:
    per_synapse = activity.spikes_per_synapse(1.0)
    yield Threshold(
        what="spikes per synapse and inference up to which an SNN of IF neurons competes, by the ANN's accelerator",
        measured=per_synapse,
        low=0.15,
        high=1.38,
        unit="spikes per synapse",
        source="Dampfhoffer et al., IEEE TETCI 7(3) (2023) 731, abstract",
    )
    yield Threshold(
        what="spikes per synapse and inference up to which an SNN competes",
        measured=per_synapse,
        low=None,
        high=1.72,
        unit="spikes per synapse",
        source="Davidson & Furber, Front. Neurosci. 15 (2021) 651141; known through papers that quote it",
    )
    bits = matched_bits(n_steps)  # T s_r <= (1 - zeros) MAC / AC
    low, high = sorted(multiply_by(width).value / INT8_ADD.value for width in (bits, 8))
    yield Threshold(
        what="spikes per neuron and inference up to which additions cost no more than the products of a twin without "
        "zero activations (with some, fewer in proportion); arithmetic alone",
        measured=n_steps * activity.spikes_per_step,
        low=low,
        high=high,
        unit="spikes per neuron",
        source=f"Yan et al., arXiv 2409.08290v4, known through notes that quote it; {HOROWITZ}: MAC of {bits} and of 8 "
        "bits, the first derived",
    )
    if n_steps == 5:
        yield Threshold(
            what="spikes per neuron and timestep below which an SNN costs less than its twin, data movement included; "
            "published for T = 5, 4-bit weights, 4096 inputs per neuron",
            measured=activity.spikes_per_step,
            low=None,
            high=0.057,
            unit="spikes per neuron and timestep",
            source="Yan et al., arXiv 2409.08290v4",
        )

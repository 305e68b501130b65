"""The scale of one population: as many mantissas per threshold as the chip's limits allow and its spikes like best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...hw import (
    NEVER_FIRES,
    Chip,
    Cuba,
    Network,
    NotRepresentable,
    Population,
    Readout,
    Source,
    sum_limit,
    worst_sum,
)
from ...hw.arithmetic import DECAY_ONE
from .ptq_form import Form
from .ptq_layer import Rounded, largest_by_weight, neuron_run, rounded, synaptic_sums

FACTORS = (1.3, 1.15, 1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Parts of the largest scale that are tried. Above 1 the largest weights are cut, which can pay where they are few."""

MARGIN = 1.25
"""Room left above the largest synaptic sum of the calibration data."""

EXACT_MOST = 4096  # scales looked through for one at which all weights are on the grid
CLOSE = 1e-6  # of a weight step
TIE = 5e-4  # of agreement; below it a scale that is exact, or bounded by its weights alone, is preferred


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A population at the scale chosen. agreement: with the float network, fed with its spikes. limit: what holds the
    scale down."""

    rounded: Rounded
    agreement: float
    limit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidate:
    rounded: Rounded
    agreement: float
    exact: bool
    bounded: bool


def choose(
    form: Form, spikes: Mapping[str, Tensor], reference: Tensor, sources: Mapping[str, Population], chip: Chip
) -> Choice:
    """The scale at which a population reproduces the float network best on its own inputs.

    spikes: what it reads, (T, B, *shape) each, payloads for the network's source. reference: the float network's spikes
    of this population, or potentials where it never fires. sources: the populations it reads, by name.

    Raises NotRepresentable if no scale fits the chip.
    """
    if not form.edges:
        raise NotRepresentable(
            f"{form.unit.where}: all weights into it are zero, which the chip's synapses cannot hold; "
            "leave the population out"
        )
    shapes = {name: population.shape for name, population in sources.items()} | {form.unit.name: form.unit.shape}
    start = largest_by_weight(form, chip)
    first = rounded(form, start, shapes, chip)
    assert first is not None  # at this scale the largest weight is on the grid
    network = _alone(first, sources, len(reference))
    peak = float(synaptic_sums(first.connections, spikes, form.unit.shape).abs().max()) / start
    limits = _limits(form, network, peak, start, chip)
    limit = min(limits, key=lambda name: limits[name])
    others = min(value for name, value in limits.items() if name != WEIGHTS)
    worst = sum(worst_sum(network, c) for c in network.incoming(form.unit.name)).max() / start  # pyright: ignore
    bounded = min(limits[limit], sum_limit(network, form.unit.name, chip) / worst)
    exact = _exact_scale(form, limits[limit], chip)
    found = []
    for scale in _scales(form, limits[limit], others, bounded, exact):
        made = rounded(form, scale, shapes, chip)
        if made is not None:
            agreement = _agreement(form, made, spikes, reference)
            found.append(_Candidate(rounded=made, agreement=agreement, exact=scale == exact, bounded=scale <= bounded))
    if not found:
        raise NotRepresentable(
            f"{form.unit.where}: it fits {chip.name} at no scale, because of {limit}; make its weights, "
            "bias and threshold more alike in size"
        )
    best = max(candidate.agreement for candidate in found)
    kept = max(
        (candidate for candidate in found if candidate.agreement >= best - TIE),
        key=lambda candidate: (candidate.exact, candidate.bounded, candidate.rounded.scale),
    )
    why = "nothing: all weights are exact" if kept.exact else limit
    return Choice(rounded=kept.rounded, agreement=kept.agreement, limit=why)


WEIGHTS = "the weight grid"


def _limits(form: Form, network: Network, peak: float, scale: float, chip: Chip) -> dict[str, float]:
    """The largest scale each limit of the chip allows. peak: largest synaptic sum at scale 1."""
    neuron = network[form.unit.name].neuron
    assert isinstance(neuron, Cuba)
    limits = {WEIGHTS: scale}
    if peak:
        limits["synaptic sums on the calibration data"] = sum_limit(network, form.unit.name, chip) / (peak * MARGIN)
    if form.bias.any():
        limits["the bias"] = min(-chip.bias_min, chip.bias_max) / float(np.abs(form.bias).max())
    if form.fires:
        limits["the threshold"] = chip.v_th_max
    else:
        reach = float(np.abs(form.bias).max()) + peak * MARGIN * _memory(form.i_decay, network.n_steps)
        limits["the read-out's register"] = (NEVER_FIRES - 1) / max(
            reach * _memory(form.v_decay, network.n_steps), 1e-9
        )
    return limits


def _memory(decay: int, n_steps: int) -> float:
    """How many times its largest input a decaying register can hold."""
    return min(n_steps, DECAY_ONE / decay) if decay else n_steps


def _alone(made: Rounded, sources: Mapping[str, Population], n_steps: int) -> Network:
    """The population with everything it reads as sources, for the bounds of `hw`."""
    reads = dict.fromkeys(c.source for c in made.connections if c.source != made.population.name)
    feeding = []
    for name in reads:
        neuron = sources[name].neuron
        spikes = neuron if isinstance(neuron, Source) else Source()
        feeding.append(Population(name=name, shape=sources[name].shape, neuron=spikes))
    return Network(
        populations=(*feeding, made.population),
        connections=made.connections,
        readout=Readout(population=made.population.name, kind="spike_count"),
        n_steps=n_steps,
    )


def _scales(form: Form, largest: float, others: float, bounded: float, exact: float | None) -> list[float]:
    """Scales to try, each once; whole ones for neurons that fire, because the scale is the threshold."""
    tried = [largest * factor for factor in FACTORS if factor <= 1 or largest * factor <= others]
    tried += [bounded] + ([exact] if exact is not None else [])
    if not form.fires:
        tried = [scale for scale in tried if scale <= largest]
        return sorted({largest, *(scale for scale in tried if scale in (bounded, exact))})
    least = 2 if form.whole_states and not form.strict else 1
    return sorted({float(np.floor(scale)) for scale in tried if np.floor(scale) >= least})


def _exact_scale(form: Form, largest: float, chip: Chip) -> float | None:
    """The largest whole scale, up to `EXACT_MOST`, at which every weight and bias is on the grid; None without one."""
    scales = np.arange(1, int(min(largest, EXACT_MOST)) + 1, dtype=np.float64)
    fits = np.ones(len(scales), bool)
    for values, step in [*((e.weight, _step(e.weight, chip)) for e in form.edges), (form.bias, 1)]:
        some = np.unique(values)[:256] / step
        for value in some:
            scaled = value * scales
            fits &= np.abs(scaled - np.round(scaled)) < CLOSE * np.maximum(1, np.abs(scaled))
        if not fits.any():
            return None
    for scale in scales[fits][::-1][:8]:
        if all(_whole(e.weight * scale / _step(e.weight, chip)) for e in form.edges) and _whole(form.bias * scale):
            return float(scale)
    return None


def _step(weight: np.ndarray, chip: Chip) -> int:
    return chip.weight_step if weight.min() < 0 < weight.max() else 1


def _whole(values: np.ndarray) -> bool:
    return bool(np.all(np.abs(values - np.round(values)) < CLOSE * np.maximum(1, np.abs(values))))


def _agreement(form: Form, made: Rounded, spikes: Mapping[str, Tensor], reference: Tensor) -> float:
    """Part of all spikes that are as the float network's; of a read-out, part of the samples with its answer."""
    own, v = neuron_run(made.population, synaptic_sums(made.connections, spikes, form.unit.shape))
    if form.fires:
        return float((own == (reference > 0)).double().mean())
    last = reference[-1].flatten(1)
    chosen = v.flatten(1).argmax(dim=1, keepdim=True)
    return float((last.gather(1, chosen)[:, 0] >= last.max(dim=1).values - 1e-9).double().mean())

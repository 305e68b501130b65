"""Price counted events: counts first, picojoules second, under a named convention.

    E_SNN = E_MAC * (synaptic operations of graded connections) + E_AC * (synaptic operations of all others)
    E_ANN = E_MAC * (dense multiply-accumulates of the same graph)

the operation-count model of the SNN literature (Spikformer family, syops), with counted events where papers multiply
a mean firing rate by a dense count. The choices that change the result are arguments and stand in the report:

    first_layer   per_step: a graded input multiplies at every timestep, as the deployed network does
                  once:     its products are made once and reused, as most papers assume; for inputs that never change
    first_macs    events: a pixel of value zero sends no spike and costs nothing
                  dense:  every pixel is charged, as papers do
    synops        stored: a synapse of weight zero is reached and paid for;   effective: it is not
    ann_macs      edge_exact: no products with padding;   formula: kH kW H_out W_out C_in C_out / groups
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..hw import BadInput, Network, did_you_mean
from .constants import CONVENTIONS, Convention
from .counts import Counts, DenseMacs, Pair, dense_macs, is_graded, n_synapses, neuron_updates

FirstLayer = Literal["per_step", "once"]
FirstMacs = Literal["events", "dense"]
Synops = Literal["stored", "effective"]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The flags of one price; see the module for what each means. Raises BadInput for an unknown one."""

    first_layer: FirstLayer = "per_step"
    first_macs: FirstMacs = "events"
    synops: Synops = "stored"
    ann_macs: DenseMacs = "edge_exact"

    def __post_init__(self) -> None:
        kinds = {"first_layer": FirstLayer, "first_macs": FirstMacs, "synops": Synops, "ann_macs": DenseMacs}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                raise BadInput(f"energy: unknown {name} {value!r}; {did_you_mean(value, get_args(kind))}")


@dataclass(frozen=True, kw_only=True)
class ConnectionRow:
    """One connection over all samples: exact counts, and the energy of one mean sample in pJ.

    operation: MAC for a graded source, AC otherwise. operations: what is priced, summed over samples and timesteps.
    n_synapses: stored synapses. dense_macs: of one pass of the ANN, counted as `ann_macs` says.
    """

    source: str
    target: str
    operation: Literal["AC", "MAC"]
    operations: int
    operations_per_sample: float
    n_synapses: int
    dense_macs: int
    snn_pj: float
    ann_pj: float


@dataclass(frozen=True, kw_only=True)
class PopulationRow:
    """One population over all samples. spikes: total. spikes_per_neuron: of a mean sample, over all its timesteps.

    neuron_updates: per sample, counted but not priced.
    """

    name: str
    neurons: int
    spikes: int
    spikes_per_neuron: float
    neuron_updates: int


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """What a network costs under one convention, per sample in pJ, beside the ANN of the same graph.

    ratio: E_ANN / E_SNN, None where no operation was counted. spikes_per_synapse: synaptic operations / (synapses *
    samples), the number by which the literature compares SNNs; with `synops="effective"` both count non-zero weights.
    scope: what the figures leave out, to be printed with them.
    """

    convention: Convention
    choices: Choices
    n_samples: int
    n_steps: int
    connections: tuple[ConnectionRow, ...]
    populations: tuple[PopulationRow, ...]
    macs_per_sample: float
    acs_per_sample: float
    dense_macs: int
    snn_pj: float
    ann_pj: float
    ratio: float | None
    spikes_per_synapse: float
    scope: str


def price(
    network: Network,
    counts: Counts,
    convention: str | Convention = "op_count_fp32",
    *,
    first_layer: FirstLayer = "per_step",
    first_macs: FirstMacs = "events",
    synops: Synops = "stored",
    ann_macs: DenseMacs = "edge_exact",
) -> EnergyReport:
    """Price the counts of a run of `network`.

    convention: a name in CONVENTIONS, or one of your own. The flags are explained in the module.

    Raises BadInput for unknown names, for counts of another network, and for `first_layer="once"` with an input that
    changes over time.
    """
    choices = Choices(first_layer=first_layer, first_macs=first_macs, synops=synops, ann_macs=ann_macs)
    prices = CONVENTIONS[convention] if isinstance(convention, str) else convention
    _check_counts(network, counts)
    pairs = dict.fromkeys((c.source, c.target) for c in network.connections)
    rows = tuple(_connection_row(network, counts, prices, choices, pair) for pair in pairs)
    per_sample = {kind: sum(r.operations_per_sample for r in rows if r.operation == kind) for kind in ("MAC", "AC")}
    snn_pj, ann_pj = sum(row.snn_pj for row in rows), sum(row.ann_pj for row in rows)
    synapses = sum(n_synapses(network, effective=synops == "effective").values())
    reached = sum(int(table.sum()) for table in _table(counts, choices).values())
    return EnergyReport(
        convention=prices,
        choices=choices,
        n_samples=counts.n_samples,
        n_steps=counts.n_steps,
        connections=rows,
        populations=_population_rows(network, counts),
        macs_per_sample=per_sample["MAC"],
        acs_per_sample=per_sample["AC"],
        dense_macs=sum(row.dense_macs for row in rows),
        snn_pj=snn_pj,
        ann_pj=ann_pj,
        ratio=ann_pj / snn_pj if snn_pj else None,
        spikes_per_synapse=reached / (synapses * counts.n_samples) if synapses else 0.0,
        scope=_scope(network, prices, choices),
    )


def _connection_row(
    network: Network, counts: Counts, prices: Convention, choices: Choices, pair: Pair
) -> ConnectionRow:
    source, target = pair
    graded = is_graded(network, source)
    dense = _dense(network, pair, choices.ann_macs)
    macs_or_acs = _graded_macs(network, counts, choices, pair) if graded else int(_table(counts, choices)[pair].sum())
    per_sample = macs_or_acs / counts.n_samples
    return ConnectionRow(
        source=source,
        target=target,
        operation="MAC" if graded else "AC",
        operations=macs_or_acs,
        operations_per_sample=per_sample,
        n_synapses=_dense(network, pair, "edge_exact"),
        dense_macs=dense,
        snn_pj=per_sample * (prices.mac if graded else prices.ac).value,
        ann_pj=dense * prices.mac.value,
    )


def _graded_macs(network: Network, counts: Counts, choices: Choices, pair: Pair) -> int:
    """Multiply-accumulates of a graded connection over all samples, as the flags say."""
    once = choices.first_layer == "once"
    if once:
        for events in (counts.synops[pair], counts.synops_effective[pair]):
            if bool((events != events[:1]).any()):
                raise BadInput(
                    f"{pair[0]} -> {pair[1]}: first_layer='once' is for an input that never changes, and this one "
                    "sends different spikes at different timesteps; use first_layer='per_step'"
                )
    if choices.first_macs == "events":
        table = _table(counts, choices)[pair]
        return int(table[0].sum() if once else table.sum())
    if choices.synops == "effective":
        passes = n_synapses(network, effective=True)[pair]
    else:
        passes = _dense(network, pair, choices.ann_macs)
    return passes * (1 if once else counts.n_steps) * counts.n_samples


def _table(counts: Counts, choices: Choices) -> dict[Pair, torch.Tensor]:
    return counts.synops_effective if choices.synops == "effective" else counts.synops


def _dense(network: Network, pair: Pair, how: DenseMacs) -> int:
    joined = (c for c in network.connections if (c.source, c.target) == pair)
    return sum(dense_macs(network, connection, how) for connection in joined)


def _population_rows(network: Network, counts: Counts) -> tuple[PopulationRow, ...]:
    updates = neuron_updates(network)
    rows = []
    for population in network.populations:
        spikes = int(counts.spikes[population.name].sum())
        rows.append(
            PopulationRow(
                name=population.name,
                neurons=population.size,
                spikes=spikes,
                spikes_per_neuron=spikes / (population.size * counts.n_samples),
                neuron_updates=updates.get(population.name, 0),
            )
        )
    return tuple(rows)


def _check_counts(network: Network, counts: Counts) -> None:
    populations = {p.name for p in network.populations}
    pairs = {(c.source, c.target) for c in network.connections}
    if counts.spikes.keys() != populations or counts.synops.keys() != pairs or counts.synops_effective.keys() != pairs:
        raise BadInput(
            f"counts: they are of populations {sorted(counts.spikes)}, the network has {sorted(populations)}; "
            "price the counts of a run of this network"
        )
    if counts.n_steps != network.n_steps:
        raise BadInput(
            f"counts: they cover {counts.n_steps} timesteps, the network's sample lasts {network.n_steps}; "
            "price the counts of a run of this network"
        )
    if counts.n_samples == 0:
        raise BadInput("counts: they hold no samples; run at least one")


def _scope(network: Network, prices: Convention, choices: Choices) -> str:
    first = "at every timestep" if choices.first_layer == "per_step" else "once per sample"
    zero_pixels = "zero payloads free" if choices.first_macs == "events" else "zero payloads charged"
    zero_weights = "zero weights included" if choices.synops == "stored" else "zero weights left out"
    sources = "Binary input: its spikes are accumulated as all others"
    if any(is_graded(network, source.name) for source in network.sources):
        sources = f"Graded input as MAC {first}, {zero_pixels}"
    padding = "padding left out" if choices.ann_macs == "edge_exact" else "padding included"
    return (
        f"{prices.name}: arithmetic of synaptic operations only, {prices.ac.value:g} pJ per AC and "
        f"{prices.mac.value:g} pJ per MAC ({prices.ac.node} nm, {prices.ac.voltage:g} V). "
        f"{sources}; {zero_weights}; ANN: one MAC per synapse of the same graph, "
        f"{padding}. Excluded: neuron updates and biases, memory access, spike routing, input and output, static power."
    )

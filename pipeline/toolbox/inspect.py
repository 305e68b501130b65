"""What a network file holds, layer by layer, against the limits of a chip."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...export import netx
from ...export.netx_chain import check_numbers
from ...hw import (
    Chip,
    Connection,
    Conv,
    Cuba,
    Dense,
    Network,
    NotRepresentable,
    OneToOne,
    Population,
    Source,
    UnsupportedLayer,
    rests_on_calibration,
    sum_limit,
    violations,
    worst_sum,
)
from ...hw.arithmetic import DECAY_ONE
from ...hw.placement.weights import needed_bits
from .memory import FORMULAS, NONE, Memory, of_population
from .opening import AS_STORED, Reading, open_network


@dataclass(frozen=True, kw_only=True)
class SynapsesSummary:
    """One connection. kind: conv, dense, recurrent or one_to_one.

    stored, nonzero: weights in the file. bits: that their range needs. low, high: smallest and largest. even: the
    fraction of them that is even. kernel, stride, padding, dilation (H, W) and groups: of a convolution, else None.
    delay: shortest and longest, in timesteps.
    """

    source: str
    kind: str
    stored: int
    nonzero: int
    bits: int
    low: int
    high: int
    even: float
    kernel: tuple[int, int] | None
    stride: tuple[int, int] | None
    padding: tuple[int, int] | None
    dilation: tuple[int, int] | None
    groups: int | None
    delay: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class NeuronSummary:
    """Parameters of a CUBA neuron. tau_u, tau_v: time constants in timesteps, 0 without memory, None without decay.

    bias: smallest and largest mantissa. worst_sum: largest synaptic sum the weights allow, for any input. sum_limit:
    what the chip holds. utilisation: their ratio. rests_on_calibration: whether only data can keep the sum in range.
    """

    v_th_mant: int
    i_decay: int
    v_decay: int
    tau_u: float | None
    tau_v: float | None
    bias: tuple[int, int]
    bias_exp: int
    worst_sum: int
    sum_limit: int
    utilisation: float
    rests_on_calibration: bool


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One population with what leads to it; neuron is None for a source."""

    index: int
    name: str
    shape: tuple[int, ...]
    neurons: int
    synapses: tuple[SynapsesSummary, ...]
    neuron: NeuronSummary | None
    memory: Memory


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A network at a glance. violations: what the chip cannot hold. notes: what netx would refuse, ignore or change.

    n_steps: None if the file does not say; limits are then those of one timestep. payload: bits and range of the input.
    readout: population and kind. memory_formulas: how bytes are counted.
    """

    file: str
    chip: str
    layers: tuple[LayerSummary, ...]
    neurons: int
    stored: int
    nonzero: int
    memory: Memory
    memory_formulas: tuple[str, ...]
    n_steps: int | None
    payload_bits: int
    payload: tuple[int, int]
    readout: tuple[str, str]
    fingerprint: str
    violations: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A file at a glance: the summary of its network, or, where it cannot be run, what its layers say.

    survey: of a `.net` file, layer by layer as it is stored; None for `.nir`. summary: None where `survey.refused` says
    why there is none.
    """

    survey: netx.Survey | None
    summary: Summary | None


def inspect(path: Path, chip: Chip, reading: Reading = AS_STORED) -> Inspection:
    """Look at a `.net` or `.nir` file. reading: what other people's files do not say.

    Raises BadInput for a file that is not netx or NIR at all.
    """
    if path.suffix != ".net" or not path.is_file():
        return Inspection(survey=None, summary=summarise(open_network(path, reading), path, chip))
    survey = netx.survey(path)
    if survey.refused is not None and reading.num_layers is None:
        return Inspection(survey=survey, summary=None)
    ours = survey.ours and reading.num_layers is None
    unknown = reading.n_steps is None and not ours
    network = open_network(path, replace(reading, n_steps=1) if unknown else reading)
    summary = summarise(network, path, chip, _stored_notes(survey))
    if unknown:
        note = "the file does not say how long a sample lasts; the limits shown are for one timestep, give --steps"
        summary = replace(summary, n_steps=None, notes=(note, *summary.notes))
    return Inspection(survey=survey, summary=summary)


def _stored_notes(survey: netx.Survey) -> tuple[str, ...]:
    """What netx ignores of the file's fields, or cuts."""
    notes = []
    for layer in survey.layers:
        where = f"layer {layer.index} ({layer.type})"
        if layer.ignored:
            notes.append(f"{where}: netx ignores {', '.join(layer.ignored)}")
        cut = [name for name, array in layer.arrays.items() if not array.integral]
        if cut:
            notes.append(f"{where}: {', '.join(cut)} holds fractions, which netx cuts towards zero")
    return tuple(notes)


def summarise(network: Network, file: Path, chip: Chip, notes: tuple[str, ...] = ()) -> Summary:
    """The summary of a network, on a chip. notes: what reading the file has already found."""
    calibrated = rests_on_calibration(network, chip)
    layers = tuple(
        LayerSummary(
            index=index,
            name=population.name,
            shape=population.shape,
            neurons=population.size,
            synapses=tuple(_synapses(c) for c in network.incoming(population.name)),
            neuron=_neuron(network, population, chip, calibrated),
            memory=of_population(network, population),
        )
        for index, population in enumerate(network.populations)
    )
    computing = [layer for layer in layers if layer.neuron is not None]
    connections = [row for layer in layers for row in layer.synapses]
    source = network.sources[0].neuron
    assert isinstance(source, Source)  # Network.sources holds nothing else
    return Summary(
        file=str(file),
        chip=chip.name,
        layers=layers,
        neurons=sum(layer.neurons for layer in computing),
        stored=sum(row.stored for row in connections),
        nonzero=sum(row.nonzero for row in connections),
        memory=sum((layer.memory for layer in layers), NONE),
        memory_formulas=FORMULAS,
        n_steps=network.n_steps,
        payload_bits=source.payload_bits,
        payload=(source.min_payload, source.max_payload),
        readout=(network.readout.population, network.readout.kind),
        fingerprint=network.fingerprint(),
        violations=tuple(violations(network, chip)),
        notes=(*notes, *_netx_notes(network)),
    )


def time_constant(decay: int) -> float | None:
    """Timesteps in which a state falls to 1/e: -1 / ln(1 - decay / 4096); 0 without memory, None without decay."""
    if decay <= 0:
        return None
    return 0.0 if decay >= DECAY_ONE else -1 / math.log(1 - decay / DECAY_ONE)


def _neuron(network: Network, population: Population, chip: Chip, calibrated: tuple[str, ...]) -> NeuronSummary | None:
    neuron = population.neuron
    if not isinstance(neuron, Cuba):
        return None
    worst = int(np.max(sum(worst_sum(network, c) for c in network.incoming(population.name))))
    limit = sum_limit(network, population.name, chip)
    return NeuronSummary(
        v_th_mant=neuron.v_th_mant,
        i_decay=neuron.i_decay,
        v_decay=neuron.v_decay,
        tau_u=time_constant(neuron.i_decay),
        tau_v=time_constant(neuron.v_decay),
        bias=(int(neuron.bias_mant.min()), int(neuron.bias_mant.max())),
        bias_exp=neuron.bias_exp,
        worst_sum=worst,
        sum_limit=limit,
        utilisation=worst / limit if limit else math.inf,
        rests_on_calibration=population.name in calibrated,
    )


def _synapses(connection: Connection) -> SynapsesSummary:
    weight = connection.weight
    conv = connection if isinstance(connection, Conv) else None
    kind = "conv"
    if isinstance(connection, OneToOne):
        kind = "one_to_one"
    elif isinstance(connection, Dense):
        kind = "recurrent" if connection.recurrent else "dense"
    delay = connection.delay if isinstance(connection, Dense) else np.zeros((), np.uint8)
    return SynapsesSummary(
        source=connection.source,
        kind=kind,
        stored=weight.size,
        nonzero=int(np.count_nonzero(weight)),
        bits=needed_bits(weight),
        low=int(weight.min()),
        high=int(weight.max()),
        even=float(np.mean(weight % 2 == 0)),
        kernel=(weight.shape[2], weight.shape[3]) if conv else None,
        stride=conv.stride if conv else None,
        padding=conv.padding if conv else None,
        dilation=conv.dilation if conv else None,
        groups=conv.groups if conv else None,
        delay=(int(delay.min()), int(delay.max())),
    )


def _netx_notes(network: Network) -> tuple[str, ...]:
    """What stock netx could not hold, or would compute with other numbers."""
    try:
        chain = netx.as_chain(network)
    except UnsupportedLayer as error:
        return (str(error),)
    notes = []
    for connection, population in chain:
        try:
            check_numbers(connection, population, next(iter(network.recurrent(population.name)), None))
        except (NotRepresentable, UnsupportedLayer) as error:
            notes.append(f"netx: {error}")
    return tuple(notes)

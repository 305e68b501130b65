"""Quantization after training: a folded spiking network of floats becomes an integer one, population by population.

Each population is rounded at several scales and fed with the float network's own spikes; the scale whose integer spikes
agree best is kept. Inputs that are no spikes are rounded with several numbers of bits, and what serves the populations
behind them best is kept. Then the whole network runs by itself, and both agreements are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ... import sim
from ...export.floatgraph import Pool, Spike
from ...hw import BadInput, Chip, Connection, Network, NotRepresentable, Population, Readout, UnsupportedLayer, check
from .evaluate import Neurons, apply, bias_of, held_back, run_spiking
from .folded import Folded, Unit
from .input_grid import InputGrid, input_grid
from .ptq_form import Form, bias_rises, to_form
from .ptq_layer import or_pool
from .ptq_report import PtqReport, float_scores, report_on
from .ptq_scale import TIE, Choice, choose

__all__ = ["PtqReport", "float_scores", "over_time", "potentials", "quantize"]

FEWER_BITS = (7, 6, 5, 4, 3)
"""Payload widths tried beside the widest: coarser inputs leave more of the weights' range, where a bias limits it."""


@torch.no_grad()
def quantize(
    folded: Folded,
    calibration: Tensor,
    chip: Chip,
    *,
    n_steps: int,
    payload_bits: int | None = None,
    hard_reset: bool = False,
) -> tuple[Network, PtqReport]:
    """The network in the chip's integers, and what that changed.

    calibration: float (B, *shape), the same at every timestep, or (T, B, *shape) with T = n_steps; spikes (0 and 1)
    stay spikes, other values become payloads of `payload_bits` (None: as many, up to 8, as serve best).
    hard_reset: take a network that subtracts its threshold with a reset to 0 instead, see the report for the price.

    The network answers by the spike count of its last population, or by its membrane where that never fires.

    Raises UnsupportedLayer for neurons and edges the chip has no equal for, NotRepresentable where no scale fits, and
    BadInput for calibration data of another shape.
    """
    x = over_time(folded, calibration, n_steps)
    work = _Work(folded=folded, x=x, expected=run_spiking(folded, x), chip=chip, hard_reset=hard_reset)
    grid = work.best_grid(calibration, payload_bits)
    populations = [Population(name=folded.source, shape=folded.source_shape, neuron=grid.source)]
    connections: list[Connection] = []
    choices: dict[str, Choice | None] = {}
    forms: dict[str, Form] = {}
    for unit in folded.units:
        if unit.op is None and isinstance(unit.edges[0].op, Pool):
            made, link = _pooled(unit, folded, grid, chip)
            populations.append(made)
            connections.append(link)
            choices[unit.name] = None
            continue
        forms[unit.name], choice = work.choose(unit, grid, {p.name: p for p in populations})
        choices[unit.name] = choice
        populations.append(choice.rounded.population)
        connections += choice.rounded.connections
    answering = folded.units[-1]
    kind = "spike_count" if answering.name not in forms or forms[answering.name].fires else "membrane"
    network = Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=Readout(population=answering.name, kind=kind),
        n_steps=n_steps,
    )
    encoded = grid.encode(calibration)
    observed = sim.largest_sums(network, encoded)
    check(network, chip, observed)
    return network, report_on(folded, network, chip, grid, encoded, work.expected, choices, forms, observed)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """One network being quantized. x: (T, B, *shape). expected: what the float network does with it, by unit; of a
    read-out that never fires its potentials, once it was quantized."""

    folded: Folded
    x: Tensor
    expected: dict[str, Tensor]
    chip: Chip
    hard_reset: bool

    def best_grid(self, calibration: Tensor, payload_bits: int | None) -> InputGrid:
        """The encoding of the inputs that serves the spiking populations behind them best; of equals the finest."""
        first = input_grid(calibration, self.chip, payload_bits)
        readers = [
            unit
            for unit in self.folded.units
            if isinstance(unit.op, Spike) and {edge.source for edge in unit.edges} <= {self.folded.source, unit.name}
        ]
        if payload_bits is not None or not first.source.payload_bits or not readers:
            return first
        kept, best = first, -1.0
        fewer = [bits for bits in FEWER_BITS if bits < first.source.payload_bits]
        for grid in (first, *(input_grid(calibration, self.chip, bits) for bits in fewer)):
            source = Population(name=self.folded.source, shape=self.folded.source_shape, neuron=grid.source)
            try:
                found = [self.choose(unit, grid, {source.name: source})[1].agreement for unit in readers]
            except NotRepresentable:
                continue  # another width may fit; if none does, the first one's error is raised later
            if sum(found) / len(found) > best + TIE:
                kept, best = grid, sum(found) / len(found)
        return kept

    def choose(self, unit: Unit, grid: InputGrid, before: Mapping[str, Population]) -> tuple[Form, Choice]:
        """A unit's form and scale. before: the populations it may read, by name."""
        ways = (False, True) if bias_rises(unit) else (False,)
        steps = {self.folded.source: grid.steps}
        tried = [to_form(unit, steps, len(self.x), hard_reset=self.hard_reset, settled=settled) for settled in ways]
        if not tried[0].fires:
            self.expected[unit.name] = potentials(unit, self.expected, self.x)
        spikes = {**self.expected, self.folded.source: grid.encode(self.x)}
        found = [(form, choose(form, spikes, self.expected[unit.name], before, self.chip)) for form in tried]
        return max(found, key=lambda pair: pair[1].agreement)


def over_time(folded: Folded, calibration: Tensor, n_steps: int) -> Tensor:
    """Inputs (T, B, *shape) of data that may be (B, *shape). Raises BadInput for other shapes."""
    shape, given = tuple(folded.source_shape), tuple(calibration.shape)
    if given[1:] == shape and given[0] > 0:
        return calibration.to(torch.float64).expand(n_steps, *given)
    if given[2:] == shape and len(given) == len(shape) + 2 and given[0] == n_steps and given[1] > 0:
        return calibration.to(torch.float64)
    sizes = ", ".join(map(str, shape))
    raise BadInput(
        f"calibration data: shape {given}; {folded.name} takes (B, {sizes}), or (T, B, {sizes}) with T={n_steps} steps"
    )


def potentials(unit: Unit, values: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Potentials of a read-out after every timestep, float64 (T, B, *shape), from the float values of what it reads.

    A linear output without a neuron is added up over the sample, which keeps its order.
    """
    if not isinstance(unit.op, Spike):
        steps = values[unit.name]
        return steps if unit.op is not None else steps.cumsum(dim=0)
    neurons, kept = Neurons(unit.op), []
    for t in range(len(x)):
        current = bias_of(unit).expand(x.shape[1], *unit.shape)
        for edge in unit.edges:
            history = list(values[edge.source][: t + 1])
            delay = edge.delay.reshape(history[-1].shape[1:]) if edge.delay.ndim else edge.delay
            current = current + apply(edge.op, [held_back(history, delay)]).reshape(current.shape)
        neurons.step(current)
        kept.append(neurons.v)
    return torch.stack(kept)


def _pooled(unit: Unit, folded: Folded, grid: InputGrid, chip: Chip) -> tuple[Population, Connection]:
    edge = unit.edges[0]
    pool = edge.op
    assert isinstance(pool, Pool)
    if edge.source == folded.source and grid.source.payload_bits:
        raise UnsupportedLayer(
            f"{unit.where}: it is a max pool of inputs with payloads; only a maximum over spikes exists on "
            "the chip, so pool the data before they enter"
        )
    if edge.delay.any():
        raise UnsupportedLayer(f"{unit.where}: it is a max pool behind a delay; put the delay after the pool")
    return or_pool(unit, edge.source, pool, chip)

"""What quantization after training did, population by population, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ... import sim
from ...hw import Chip, Cuba, Network, rests_on_calibration
from .folded import Folded
from .input_grid import InputGrid
from .ptq_form import Form
from .ptq_scale import Choice


@dataclass(frozen=True, kw_only=True)
class PopulationReport:
    """What quantization did to one population.

    agreement: part of all (timestep, sample, neuron) in which the integer network, run by itself, fires as the float
    network does; of a read-out by membrane the part of samples with the same answer. common: see `common_spikes`.
    alone: the agreement of this population fed with the float network's spikes. spikes_per_step: of the float network.
    weight_error: root mean square, relative. decay_error: absolute, of 1. limit: what keeps the scale from being
    larger. clipped: weights cut to the grid. notes: changes and approximations.
    """

    name: str
    agreement: float
    common: float
    alone: float
    spikes_per_step: float
    scale: float
    v_th_mant: int
    limit: str
    weight_error: float
    decay_error: float
    clipped: int
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PtqReport:
    """What quantization after training did. samples: of the calibration data.

    answers: part of the samples with the float network's answer. populations: in order. input: how inputs are encoded.
    observed: largest synaptic sum of each population on the calibration data, and calibrated: the populations that
    rely on it because their weights alone do not bound the sums.
    """

    samples: int
    n_steps: int
    answers: float
    input: InputGrid
    populations: tuple[PopulationReport, ...]
    observed: Mapping[str, int]
    calibrated: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "samples": self.samples,
            "n_steps": self.n_steps,
            "answers": self.answers,
            "input": self.input.text,
            "populations": [asdict(row) for row in self.populations],
            "observed": dict(self.observed),
            "calibrated": list(self.calibrated),
        }


def report_on(
    folded: Folded,
    network: Network,
    chip: Chip,
    grid: InputGrid,
    encoded: Tensor,
    expected: Mapping[str, Tensor],
    choices: Mapping[str, Choice | None],
    forms: Mapping[str, Form],
    observed: Mapping[str, int],
) -> PtqReport:
    """Run the integer network by itself and compare."""
    trace = sim.run(network, encoded, record=("spikes",))
    answers = same_answers(trace.readout, expected[network.readout.population], network.readout.kind)
    rows = []
    for unit in folded.units:
        choice, fires = choices[unit.name], unit.name not in forms or forms[unit.name].fires
        reference, neuron = expected[unit.name], network[unit.name].neuron
        assert isinstance(neuron, Cuba)
        agreement = float((trace.spikes[unit.name] == (reference > 0)).double().mean()) if fires else answers
        rows.append(
            PopulationReport(
                name=unit.name,
                agreement=agreement,
                common=common_spikes(trace.spikes[unit.name], reference) if fires else answers,
                alone=1.0 if choice is None else choice.agreement,
                spikes_per_step=float(reference.mean()) if fires else 0.0,
                scale=choice.rounded.scale if choice else 1.0,
                v_th_mant=neuron.v_th_mant,
                limit=choice.limit if choice else "none: a max pool is exact",
                weight_error=choice.rounded.weight_error if choice else 0.0,
                decay_error=forms[unit.name].decay_error if choice else 0.0,
                clipped=choice.rounded.clipped if choice else 0,
                notes=forms[unit.name].notes if choice else (),
            )
        )
    return PtqReport(
        samples=trace.n_samples,
        n_steps=network.n_steps,
        answers=answers,
        input=grid,
        populations=tuple(rows),
        observed=observed,
        calibrated=rests_on_calibration(network, chip),
    )


def common_spikes(found: Tensor, expected: Tensor) -> float:
    """Spikes that both fire at the same time, of the mean of the two numbers of spikes; 1 if neither fires."""
    a, b = found > 0, expected > 0
    spikes = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / spikes if spikes else 1.0


def same_answers(readout: Tensor, expected: Tensor, kind: str) -> float:
    """Part of the samples in which the integer network's largest output is (one of) the float network's largest.

    readout: (B, K). expected: float spikes or potentials, (T, B, *shape).
    """
    scores = float_scores(expected, kind)
    chosen = readout.argmax(dim=1, keepdim=True)
    return float((scores.gather(1, chosen)[:, 0] >= scores.max(dim=1).values - 1e-9).double().mean())


def float_scores(expected: Tensor, kind: str) -> Tensor:
    """Answers of the float network, (B, K): spikes counted, or the potential after the last timestep."""
    scores = expected.sum(dim=0) if kind == "spike_count" else expected[-1]
    return scores.flatten(1).to(torch.float64)

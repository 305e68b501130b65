"""A file against a reference that is not Lava: a recorded trace, or another file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...export.lava import Divergence, Quantity
from ...export.traces import Recording
from ...hw import BadInput, Network
from .compare import compare
from .diagnose import Diagnosis, diagnose
from .diff import matched
from .inputs import checked_inputs
from .recording import EVERYTHING, first_samples, fitted, record


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Outcome. layers: populations compared. values: numbers compared. mismatches: how many differ.

    first: where the reference (expected) and the file (found) differ first. states: u, v and spikes of that neuron at
    that timestep as (reference, file), as far as they were recorded. diagnosis: why; None if nothing differs.
    """

    file: str
    reference: str
    samples: int
    layers: tuple[str, ...]
    values: int
    mismatches: int
    first: Divergence | None
    states: Mapping[Quantity, tuple[int, int]]
    diagnosis: Diagnosis | None

    @property
    def agrees(self) -> bool:
        """Whether every number is equal."""
        return self.mismatches == 0


def verify_against(
    network: Network, file: str, reference: Recording, *, inputs: np.ndarray | None = None, samples: int | None = None
) -> Verification:
    """Run a network on the reference's inputs and compare every number the reference recorded.

    inputs: given where the reference holds none. samples: the first so many; all if None. Raises BadInput if there are
    no inputs, and for a reference that does not fit the network.
    """
    given = reference.inputs if inputs is None else inputs
    if given is None:
        raise BadInput(f"{reference.where}: it holds no inputs; give the ones it was recorded on with --inputs")
    given = checked_inputs(np.asarray(given), network, reference.where)
    whole = fitted(Recording(where=reference.where, inputs=given, values=reference.values), network)
    rank = len(network.sources[0].shape)
    driven = given.shape[given.ndim - rank - 1]
    if driven != whole.n_samples:
        raise BadInput(f"{reference.where}: {whole.n_samples} samples recorded, {driven} inputs; give those it is of")
    reference = whole if samples is None else first_samples(whole, samples, rank)
    assert reference.inputs is not None
    ours = record(network, reference.inputs, file)
    outcome = compare(reference.values, ours.values, [p.name for p in network.populations])
    return Verification(
        file=file,
        reference=reference.where,
        samples=outcome.samples,
        layers=outcome.layers,
        values=outcome.values,
        mismatches=outcome.mismatches,
        first=outcome.first,
        states={} if outcome.first is None else _states(reference, ours, outcome.first),
        diagnosis=None if outcome.first is None else diagnose(network, reference, ours, outcome.first),
    )


def _states(reference: Recording, ours: Recording, at: Divergence) -> dict[Quantity, tuple[int, int]]:
    """Both sides of one neuron at one timestep."""
    where = (at.timestep, at.sample, *at.neuron)
    recorded = reference.values[at.layer]
    return {
        quantity: (int(recorded[quantity][where]), int(ours.values[at.layer][quantity][where]))
        for quantity in EVERYTHING
        if quantity in recorded
    }


def recorded_like(other: Network, network: Network, inputs: np.ndarray, where: str) -> Recording:
    """What another network does on the same inputs, its layers under the names of `network`'s.

    Layers are matched by name, or by position where no name is shared. Raises BadInput if the sample lengths differ.
    """
    if other.n_steps != network.n_steps:
        raise BadInput(
            f"{where}: its sample lasts {other.n_steps} timesteps, the file's {network.n_steps}; `spikeport diff` "
            "compares them, or give --steps"
        )
    theirs = record(other, checked_inputs(inputs, other, where), where)
    pairs, _ = matched(network, other)
    values = {ours: theirs.values[name] for ours, name in pairs if name in theirs.values}
    return Recording(where=where, inputs=inputs, values=values)

"""Recordings of our own simulator, and recordings from elsewhere made to fit a network."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from ... import sim
from ...export.lava import Quantity
from ...export.traces import Recording
from ...hw import BadInput, Network, did_you_mean

EVERYTHING: tuple[Quantity, ...] = ("u", "v", "spikes")


def record(
    network: Network, inputs: np.ndarray, where: str, quantities: Collection[Quantity] = EVERYTHING
) -> Recording:
    """Run a network in the bit-accurate simulator and keep what every population that computes did.

    inputs: integers (B, *S) or (T, B, *S). quantities: any of u, v, spikes. where: the recording's name in messages.
    Raises BadInput for inputs the source cannot send.
    """
    trace = sim.run(network, torch.from_numpy(np.ascontiguousarray(inputs)), record=tuple(quantities))
    values: dict[str, dict[Quantity, np.ndarray]] = {
        population.name: {quantity: getattr(trace, quantity)[population.name].numpy() for quantity in quantities}
        for population, _ in network.neurons
    }
    return Recording(where=where, inputs=inputs, values=values)


def fitted(recording: Recording, network: Network) -> Recording:
    """The recording, once every population it names is in the network with its shape and sample length.

    Raises BadInput for an unknown population, another shape, another number of timesteps.
    """
    known = [population.name for population, _ in network.neurons]
    for name, quantities in recording.values.items():
        if name not in known:
            raise BadInput(f"{recording.where}: no population {name!r} in the network; {did_you_mean(name, known)}")
        for quantity, values in quantities.items():
            if values.shape[0] != network.n_steps:
                raise BadInput(
                    f"{recording.where}: {name}.{quantity} has {values.shape[0]} timesteps, a sample of the network "
                    f"lasts {network.n_steps}; give --steps {values.shape[0]} if the recording is right"
                )
            if values.shape[2:] != network[name].shape:
                raise BadInput(
                    f"{recording.where}: {name}.{quantity} has neurons of shape {values.shape[2:]}, the network's "
                    f"{name} has {network[name].shape}; shapes are (C, H, W) or (F,)"
                )
    return recording


def first_samples(recording: Recording, count: int, source_rank: int) -> Recording:
    """The first `count` samples of a recording. source_rank: axes of the network's source, 1 or 3."""
    inputs = recording.inputs
    if inputs is not None:
        inputs = inputs[:count] if inputs.ndim == source_rank + 1 else inputs[:, :count]
    values: dict[str, dict[Quantity, np.ndarray]] = {
        name: {quantity: array[:, :count] for quantity, array in quantities.items()}
        for name, quantities in recording.values.items()
    }
    return Recording(where=recording.where, inputs=inputs, values=values)


def over_time(inputs: np.ndarray, network: Network) -> np.ndarray:
    """Inputs at every timestep: integers (T, B, *S), from (B, *S) or (T, B, *S)."""
    held = inputs.ndim == len(network.sources[0].shape) + 1
    return np.broadcast_to(inputs, (network.n_steps, *inputs.shape)) if held else inputs

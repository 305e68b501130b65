"""What a run is asked for, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch

from ..hw import BadInput, Network, Population, Source, UnsupportedLayer, did_you_mean
from .exact import FLOAT64_EXACT

Tallies = Mapping[str, Mapping[str, np.ndarray]]
"""By population, by name of the tally: what each spike of a neuron adds to it. Integers of the population's shape."""

RECORDABLE = ("spikes", "u", "v", "readout", "activity")
INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def only_source(network: Network) -> Population:
    """The population that takes the inputs; raises UnsupportedLayer if there are several or none."""
    sources = network.sources
    if len(sources) != 1:
        raise UnsupportedLayer(
            f"network: it has {len(sources)} sources ({', '.join(p.name for p in sources)}), and one input tensor "
            "feeds exactly one; join them into one source of more channels"
        )
    return sources[0]


def device_of(device: str | torch.device) -> torch.device:
    """The device; raises BadInput for one that is unknown, absent or not exact."""
    try:
        place = torch.device(device)
    except RuntimeError:
        raise BadInput(f"device: {device!r} is not one torch knows; use 'cpu' or 'cuda'") from None
    if place.type not in ("cpu", "cuda"):
        raise BadInput(f"device: {device!r} has no exact integer path here; use 'cpu' or 'cuda'")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"device: {device!r} was asked for, but torch finds no CUDA device; use 'cpu'")
    return place


def check_network(network: Network) -> None:
    """Raise BadInput if a source is asked to answer."""
    readout = network[network.readout.population]
    if isinstance(readout.neuron, Source):
        raise BadInput(f"{readout.name}: a source cannot be the read-out; name a population that computes")


def check_tallies(network: Network, tallies: Tallies) -> None:
    """Raise BadInput for tallies of something else than this network's neurons, or that cannot be added up exactly."""
    shapes = {population.name: population.shape for population in network.populations}
    for name, table in tallies.items():
        if name not in shapes:
            raise BadInput(f"tallies: unknown population {name!r}; {did_you_mean(name, shapes)}")
        for tally, values in table.items():
            who = f"tallies: {tally!r} of {name}"
            if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
                kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
                raise BadInput(f"{who} is of {kind}, and events are whole; give a numpy array of integers")
            if values.shape != shapes[name]:
                raise BadInput(f"{who} has shape {values.shape}, expected {shapes[name]}; give a number per neuron")
            if int(values.min()) < 0:
                raise BadInput(f"{who} holds {values.min()}; give numbers of 0 or more")
            if (total := values.sum(dtype=np.float64)) >= FLOAT64_EXACT:
                raise BadInput(f"{who} adds up to {total:.3g}, and only sums below 2^53 are exact here; give less")


def check_run(batch_size: int, record: Collection[str]) -> None:
    """Raise BadInput for a batch of no samples, or for something that cannot be recorded."""
    if batch_size < 1:
        raise BadInput(f"batch_size: {batch_size} is below 1; give the number of samples to run at once")
    if isinstance(record, str):
        raise BadInput(f'record: {record!r} is a string; give a collection of names, such as ("{record}",)')
    for name in record:
        if name not in RECORDABLE:
            raise BadInput(f"record: unknown name {name!r}; {did_you_mean(name, RECORDABLE)}")


def check_inputs(network: Network, source: Population, inputs: torch.Tensor) -> int:
    """The number of samples; raises BadInput for anything the source could not send."""
    if not isinstance(inputs, torch.Tensor):
        raise BadInput(f"inputs: expected a torch tensor of integers, got {type(inputs).__name__}; convert it first")
    if inputs.dtype not in INTEGERS:
        raise BadInput(
            f"inputs: spikes are integers, got {inputs.dtype}; quantize the images to payloads, as one of "
            f"{', '.join(str(dtype) for dtype in INTEGERS)}"
        )
    shape, given = source.shape, tuple(inputs.shape)
    sizes = ", ".join(map(str, shape))
    if given[-len(shape) :] != shape or inputs.ndim - len(shape) not in (1, 2):
        raise BadInput(f"inputs: shape {given} does not feed {source.name}; expected (B, {sizes}) or (T, B, {sizes})")
    if inputs.ndim - len(shape) == 2 and given[0] != network.n_steps:
        raise BadInput(
            f"inputs: {given[0]} timesteps given, the network's sample lasts n_steps={network.n_steps}; give "
            f"({network.n_steps}, B, {sizes}), or (B, {sizes}) to hold one input"
        )
    n_samples = given[-len(shape) - 1]
    if n_samples == 0:
        raise BadInput(f"inputs: shape {given} holds no samples; give at least one")
    assert isinstance(source.neuron, Source)  # network.sources holds nothing else
    low, high = int(inputs.min()), int(inputs.max())
    least, most = source.neuron.min_payload, source.neuron.max_payload
    if low < least or high > most:
        signed = ", signed" if source.neuron.signed else ""
        raise BadInput(
            f"inputs: value {low if low < least else high} is outside {source.name}'s payload {least}..{most} "
            f"(payload_bits={source.neuron.payload_bits}{signed}); clip or requantize the inputs"
        )
    return n_samples

"""What a network is run on: an array from a file, or random payloads from a stated seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...export.traces import NPY_ERRORS
from ...hw import BadInput, Network, Population, Source, UnsupportedLayer


def read_inputs(path: Path, network: Network) -> np.ndarray:
    """Inputs from a `.npy` file: int32 (B, *S), held for every timestep, or (T, B, *S).

    Integers, or floats that hold whole numbers. Raises BadInput for another kind of file, shape or range.
    """
    try:
        # Mapped, so that a forged shape is found to be longer than the file before anything is allocated.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file; give the inputs as a .npy array") from None
    except NPY_ERRORS as error:
        raise BadInput(f"{path}: not a readable .npy file: {error}") from None
    if not isinstance(values, np.ndarray):
        raise BadInput(f"{path}: holds several arrays; give one .npy array, or a trace with --against")
    return checked_inputs(np.array(values), network, str(path))


def checked_inputs(values: np.ndarray, network: Network, where: str) -> np.ndarray:
    """Inputs as int32, once they fit the network's source; where: their name in messages."""
    source, neuron = only_source(network)
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise BadInput(f"{where}: the inputs are fractions, spikes carry integers; quantize them to payloads")
    if values.dtype.kind not in "biuf":
        raise BadInput(f"{where}: the inputs are {values.dtype}, spikes carry integers")
    sizes = ", ".join(map(str, source.shape))
    axes = values.ndim - len(source.shape)
    timed = axes == 2 and len(values) == network.n_steps
    if values.shape[-len(source.shape) :] != source.shape or not (axes == 1 or timed):
        raise BadInput(
            f"{where}: inputs of shape {values.shape}, expected (B, {sizes}) or ({network.n_steps}, B, {sizes})"
        )
    low, high = (int(n) for n in (values.min(initial=0), values.max(initial=0)))
    if low < neuron.min_payload or high > neuron.max_payload or not values.size:
        found = f"{low}..{high}" if values.size else "no samples"
        raise BadInput(
            f"{where}: the inputs hold {found}, {source.name} carries {neuron.min_payload}..{neuron.max_payload}; "
            "quantize them, or say how wide they are with --payload-bits"
        )
    return values.astype(np.int32)


def random_inputs(network: Network, samples: int, seed: int) -> np.ndarray:
    """Payloads drawn evenly over the whole range of the source, new at every timestep: int32 (T, B, *S)."""
    source, neuron = only_source(network)
    rng = np.random.default_rng(seed)
    shape = (network.n_steps, samples, *source.shape)
    return rng.integers(neuron.min_payload, neuron.max_payload, shape, endpoint=True).astype(np.int32)


def only_source(network: Network) -> tuple[Population, Source]:
    """The one source of a network. Raises UnsupportedLayer for several."""
    if len(network.sources) != 1:
        names = ", ".join(p.name for p in network.sources)
        raise UnsupportedLayer(f"network: it has {len(network.sources)} sources ({names}), and inputs feed exactly one")
    source = network.sources[0]
    assert isinstance(source.neuron, Source)  # Network.sources holds nothing else
    return source, source.neuron


def first_inputs(values: np.ndarray, network: Network, count: int) -> np.ndarray:
    """The first `count` samples of inputs (B, *S) or (T, B, *S). Raises BadInput if there are fewer."""
    source, _ = only_source(network)
    axis = values.ndim - len(source.shape) - 1
    if count > values.shape[axis]:
        raise BadInput(f"inputs: {count} samples asked for, there are {values.shape[axis]}; ask for fewer")
    return values[:count] if axis == 0 else values[:, :count]

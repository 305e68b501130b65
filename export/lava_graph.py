"""A network graph built directly from Lava's processes, without a file: skips are real connections.

Each connection becomes a Conv, Dense or DelayDense, each population a LIFReset; several connections into one population
are summed in its `a_in`. In Lava a connection takes one timestep, so a population works `level` steps late, `level`
being its longest path from the source; a shorter path waits in relay neurons (threshold 1, weight 2, no memory), and
one from the source in a source of its own, shifted in time. What a netx file cannot hold is possible here: a bias
exponent other than 6, recurrence with any delays, and any skip.

The result equals `sim.run`'s, number by number. The graph travels to the Lava environment as JSON and arrays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..hw import (
    Connection,
    Conv,
    Cuba,
    Dense,
    Network,
    NotRepresentable,
    Source,
    UnsupportedLayer,
)
from ..hw.connections import OneToOne
from .lava_compare import LavaTrace
from .lava_jobs import checked_inputs, lava_order, run_jobs
from .lava_process import RUNNER_FOLDER
from .lowering_links import identity
from .netx_chain import BIAS_LIMITS, GEOMETRY_MAX, GROUPS_MAX

RUNNER = RUNNER_FOLDER / "graph.py"
DENSE_LIMITS = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
"""Weights that Lava's Dense keeps, by the sign mode it derives from them (lava/proc/dense/models.py)."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One graph and its inputs, for `run_many`. Fields as the arguments of `run`."""

    inputs: np.ndarray
    network: Network


def run(
    inputs: np.ndarray,
    *,
    network: Network,
    timeout_s: float = 600.0,
    python: str | os.PathLike[str] | None = None,
    fast_conv: bool = False,
) -> LavaTrace:
    """Run a network graph in real Lava, all samples in one pipelined run, recording every neuron at every timestep.

    inputs: integers, (B, *source shape) held for every timestep, or (T, B, *source shape). fast_conv: replace Lava's
    scipy convolution by exact matrix products; the stock one is the stricter judge. `layers_built` of the trace counts
    populations; the relays that align paths are not among them, nor is what they do.

    Raises BadInput for inputs of another shape, type or range, UnsupportedLayer for several sources, NotRepresentable
    for numbers Lava would change, and OracleFailed if Lava is missing, fails, or is not done after `timeout_s` seconds.
    """
    job = Job(inputs=inputs, network=network)
    return run_many([job], timeout_s=timeout_s, python=python, fast_conv=fast_conv)[0]


def run_many(
    jobs: Sequence[Job],
    *,
    timeout_s: float = 600.0,
    python: str | os.PathLike[str] | None = None,
    fast_conv: bool = False,
) -> list[LavaTrace]:
    """`run` for several graphs in one Lava process, which saves its start (about 1 s) for all but the first."""
    return run_jobs(
        RUNNER,
        jobs,
        lambda job, folder: _prepare(job, folder, fast_conv),
        lambda job: [population for population, _ in job.network.neurons],
        lambda job: "the graph",
        timeout_s=timeout_s,
        python=python,
    )


def levels(network: Network) -> dict[str, int]:
    """By how many timesteps each population lags the source in Lava: its longest path. The source has 0."""
    found: dict[str, int] = {}
    for population in network.populations:
        behind = [found[c.source] + 1 for c in network.incoming(population.name) if c.source != population.name]
        found[population.name] = max(behind, default=0)
    return found


def _prepare(job: Job, folder: Path, fast_conv: bool) -> dict[str, Any]:
    """Write a graph and its inputs in Lava's order and return what the runner must know."""
    network = job.network
    if len(network.sources) != 1:
        raise UnsupportedLayer(f"lava: the graph has {len(network.sources)} sources, one input feeds exactly 1")
    source = network.sources[0]
    inputs = checked_inputs(job.inputs, source, network.n_steps)
    inputs = np.broadcast_to(inputs, (network.n_steps, *inputs.shape[1:])).swapaxes(0, 1)
    level = levels(network)
    arrays: dict[str, np.ndarray] = {"inputs": np.ascontiguousarray(lava_order(inputs), dtype=np.int32)}
    populations = []
    for index, (population, neuron) in enumerate(network.neurons):
        _check_neuron(population.name, neuron)
        arrays[f"bias.{index}"] = np.ascontiguousarray(lava_order(neuron.bias_over(population.shape)[None, None])[0, 0])
        populations.append(
            {
                "name": population.name,
                "shape": list(reversed(population.shape)),
                "level": level[population.name],
                "du": neuron.i_decay - 1,
                "dv": neuron.v_decay,
                "vth": neuron.v_th_mant,
                "bias_exp": neuron.bias_exp,
            }
        )
    connections = []
    for index, connection in enumerate(network.connections):
        row, weights = _connection(network, connection)
        arrays |= {f"{field}.{index}": array for field, array in weights.items()}
        connections.append(row)
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    assert isinstance(source.neuron, Source)
    return {
        "arrays": str(folder / "arrays.npz"),
        "fast_conv": fast_conv,
        "n_steps": network.n_steps,
        "source": {"name": source.name, "payload_bits": source.neuron.payload_bits},
        "populations": populations,
        "connections": connections,
    }


def _check_neuron(name: str, neuron: Cuba) -> None:
    """Raise NotRepresentable for what Lava's LIF would wrap."""
    low, high = int(neuron.bias_mant.min()), int(neuron.bias_mant.max())
    if low < BIAS_LIMITS[0] or high > BIAS_LIMITS[1]:
        raise NotRepresentable(
            f"{name}: a bias mantissa of {low}..{high} leaves the 16 bits Lava keeps; raise bias_exp"
        )


def _connection(network: Network, connection: Connection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the runner builds for one connection, and its arrays (`weight`, `delay`), in Lava's order."""
    source, target = network[connection.source], network[connection.target]
    if isinstance(connection, OneToOne):
        connection = identity(connection, source.shape, GROUPS_MAX)
    row: dict[str, Any] = {"source": source.name, "target": target.name}
    if isinstance(connection, Conv):
        _check_conv(connection)
        # Lava convolves where torch correlates, over (W, H) for (H, W): both axes turn, and swap.
        weight = connection.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
        row |= {"kind": "conv", "groups": connection.groups, "input_shape": list(reversed(source.shape))}
        row |= {name: list(reversed(getattr(connection, name))) for name in ("stride", "padding", "dilation")}
        return row, {"weight": np.ascontiguousarray(weight, np.int32)}
    mode = _sign_mode(connection)
    columns = _flat_order(source.shape)
    rows = _flat_order(target.shape)
    arrays: dict[str, np.ndarray] = {"weight": connection.weight[rows][:, columns].astype(np.int32)}
    row |= {"kind": "dense", "num_weight_bits": 9 if mode == "mixed" else 8}
    if connection.max_delay:
        delay = np.broadcast_to(connection.delay, connection.weight.shape)
        row["kind"] = "delay_dense"
        arrays["delay"] = delay[rows][:, columns].astype(np.int64)
    return row, arrays


def _check_conv(connection: Conv) -> None:
    reach = max(*connection.weight.shape[2:], *connection.stride, *connection.padding, *connection.dilation)
    where = f"{connection.source} -> {connection.target}"
    if connection.groups > GROUPS_MAX:
        raise NotRepresentable(
            f"{where}: {connection.groups} groups exceed {GROUPS_MAX}, which Lava keeps in 8 bits; merge groups with "
            "zero cross weights"
        )
    if reach > GEOMETRY_MAX:
        raise NotRepresentable(f"{where}: kernel, stride, padding or dilation {reach} exceeds Lava's {GEOMETRY_MAX}")


def _sign_mode(connection: Dense) -> str:
    """The sign mode Lava's Dense derives; raises NotRepresentable for weights it would clip.

    Dense then drops the `8 - num_weight_bits` lowest bits of a mantissa, one more of mixed signs; so with 9 bits for
    mixed signs, else 8, every weight in range is multiplied by as it is (lava/utils/weightutils.py).
    """
    low, high = int(connection.weight.min()), int(connection.weight.max())
    mode = "excitatory" if low >= 0 else "inhibitory" if high <= 0 else "mixed"
    least, most = DENSE_LIMITS[mode]
    if low < least or high > most:
        raise NotRepresentable(
            f"{connection.source} -> {connection.target}: weights {low}..{high}, Lava's Dense keeps {least}..{most} of "
            f"an {mode} matrix; scale the layer down"
        )
    return mode


def _flat_order(shape: tuple[int, ...]) -> np.ndarray:
    """For each neuron in Lava's flat order of a population, its index in ours. int64 (n,)."""
    return np.arange(int(np.prod(shape))).reshape(shape).transpose().reshape(-1)

"""Real Lava as the judge: run a `.net` file in it, and compare every neuron at every timestep.

Lava runs as a subprocess in an environment of its own (`lava_process`); data go through files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hw import Dense, Network, OneToOne, Source
from .lava_compare import Divergence, LavaTrace, Quantity, Verdict, compare
from .lava_jobs import checked_inputs, lava_order, run_jobs
from .lava_process import PYTHON_VARIABLE, RUNNER_FOLDER, WAY_OUT, available, find_python
from .netx_chain import as_chain, file_bias

__all__ = [
    "PYTHON_VARIABLE",
    "WAY_OUT",
    "Divergence",
    "Job",
    "LavaTrace",
    "Quantity",
    "Verdict",
    "available",
    "compare",
    "find_python",
    "run",
    "run_many",
]

RUNNER = RUNNER_FOLDER / "run.py"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file and its inputs, for `run_many`. Fields as the arguments of `run`."""

    path: str | os.PathLike[str]
    inputs: np.ndarray
    network: Network
    num_layers: int | None = None


def run(
    path: str | os.PathLike[str],
    inputs: np.ndarray,
    *,
    network: Network,
    timeout_s: float = 600.0,
    python: str | os.PathLike[str] | None = None,
    fast_conv: bool = False,
    num_layers: int | None = None,
) -> LavaTrace:
    """Run a `.net` file in real Lava, all samples in one pipelined run, recording every neuron at every timestep.

    inputs: integers, (B, *source shape) held for every timestep, or (T, B, *source shape). network: what the file
    holds, for names, shapes, sample length and payload. fast_conv: replace Lava's scipy convolution by exact matrix
    products, about 7 times faster; the stock one is the stricter judge. num_layers: as in `netx.read`.

    An input layer with neurons is fed through its neurons' `a_in`: see `netx.read` for what a payload is there.

    Raises BadInput for inputs of another shape or type, and OracleFailed if Lava is missing, fails, builds another
    number of layers than the network has, or is not done after `timeout_s` seconds.
    """
    job = Job(path=path, inputs=inputs, network=network, num_layers=num_layers)
    return run_many([job], timeout_s=timeout_s, python=python, fast_conv=fast_conv)[0]


def run_many(
    jobs: Sequence[Job],
    *,
    timeout_s: float = 600.0,
    python: str | os.PathLike[str] | None = None,
    fast_conv: bool = False,
) -> list[LavaTrace]:
    """`run` for several files in one Lava process, which saves its start (about 1 s) for all but the first."""
    return run_jobs(
        RUNNER,
        jobs,
        lambda job, folder: _prepare(job, folder, fast_conv),
        lambda job: [population for _, population in as_chain(job.network)],
        lambda job: str(job.path),
        timeout_s=timeout_s,
        python=python,
    )


def _prepare(job: Job, folder: Path, fast_conv: bool) -> dict[str, object]:
    """Write a job's inputs in Lava's order and return what the runner must know."""
    chain = as_chain(job.network)
    source = job.network.sources[0]
    rows = checked_inputs(job.inputs, source, job.network.n_steps).swapaxes(0, 1)
    first, population = chain[0]
    bias = None
    if isinstance(first, OneToOne):  # an input layer with neurons, for which netx leaves the transform to us
        rows = rows.astype(np.int64) * int(first.weight)
        bias = int(file_bias(population).flat[0])
    # netx's own input port is flat where a dense layer comes first
    flat = len(population.shape) == 1
    rows = rows.reshape(*rows.shape[:2], -1) if flat else lava_order(rows)
    np.save(folder / "inputs.npy", np.ascontiguousarray(rows, dtype=np.int32))
    return {
        "net": str(Path(job.path).resolve()),
        "inputs": str(folder / "inputs.npy"),
        "n_steps": job.network.n_steps,
        "payload_bits": source.neuron.payload_bits if isinstance(source.neuron, Source) else 0,
        "input_bias": bias,
        "gap": int(_remembers(job.network)),
        "num_layers": job.num_layers,
        "layers": len(chain),
        "fast_conv": fast_conv,
    }


def _remembers(network: Network) -> bool:
    """Whether spikes of a sample can be on their way when it ends, beyond the one step of every layer."""
    dense = [connection for connection in network.connections if isinstance(connection, Dense)]
    return any(connection.recurrent or connection.max_delay for connection in dense)

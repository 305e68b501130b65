"""Real Lava as the judge: run a `.net` file in it, and compare every neuron at every timestep.

Lava runs as a subprocess in an environment of its own (`lava_process`); data go through files.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hw import BadInput, Dense, Network, OneToOne, OracleFailed, Population, Source
from .lava_compare import DTYPES, QUANTITIES, Divergence, LavaTrace, Quantity, Verdict, compare
from .lava_process import PYTHON_VARIABLE, RUNNER_FOLDER, WAY_OUT, available, execute, find_python, log_tail
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
    interpreter = find_python(python)
    with tempfile.TemporaryDirectory(prefix="spikeport-lava-") as folder:
        orders = [_prepare(job, Path(folder) / str(i), fast_conv) for i, job in enumerate(jobs)]
        jobs_file = Path(folder) / "jobs.json"
        jobs_file.write_text(json.dumps(orders))
        log = Path(folder) / "log.txt"
        execute([str(interpreter), "-I", str(RUNNER), str(jobs_file)], log=log, timeout_s=timeout_s)
        return [_collect(job, Path(folder) / str(i), log) for i, job in enumerate(jobs)]


def _prepare(job: Job, folder: Path, fast_conv: bool) -> dict[str, object]:
    """Write a job's inputs in Lava's order and return what the runner must know."""
    chain = as_chain(job.network)
    folder.mkdir()
    source = job.network.sources[0]
    rows = _checked_inputs(job.inputs, source, job.network.n_steps).swapaxes(0, 1)
    first, population = chain[0]
    bias = None
    if isinstance(first, OneToOne):  # an input layer with neurons, for which netx leaves the transform to us
        rows = rows.astype(np.int64) * int(first.weight)
        bias = int(file_bias(population).flat[0])
    # netx's own input port is flat where a dense layer comes first
    flat = len(population.shape) == 1
    rows = rows.reshape(*rows.shape[:2], -1) if flat else _reversed_axes(rows)
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
        "out": str(folder),
        "fast_conv": fast_conv,
    }


def _remembers(network: Network) -> bool:
    """Whether spikes of a sample can be on their way when it ends, beyond the one step of every layer."""
    dense = [connection for connection in network.connections if isinstance(connection, Dense)]
    return any(connection.recurrent or connection.max_delay for connection in dense)


def _checked_inputs(inputs: np.ndarray, source: Population, n_steps: int) -> np.ndarray:
    """Inputs as (T or 1, B, *shape), or BadInput."""
    inputs = np.asarray(inputs)
    held, stepped = 1 + len(source.shape), 2 + len(source.shape)
    timed = inputs.ndim == stepped and len(inputs) == n_steps
    if inputs.shape[-len(source.shape) :] != source.shape or not (inputs.ndim == held or timed):
        raise BadInput(
            f"lava: inputs of shape {inputs.shape}, expected (B, *{source.shape}) or ({n_steps}, B, *{source.shape})"
        )
    if not np.issubdtype(inputs.dtype, np.integer):
        raise BadInput(f"lava: inputs are {inputs.dtype}, spikes carry integers; quantize the inputs first")
    assert isinstance(source.neuron, Source)
    least, most = source.neuron.min_payload, source.neuron.max_payload
    if inputs.size == 0 or inputs.min() < least or inputs.max() > most:
        found = f"{inputs.min()}..{inputs.max()}" if inputs.size else "no samples"
        raise BadInput(f"lava: inputs hold {found}, {source.name} carries {least}..{most}")
    return inputs if timed else inputs[None]


def _collect(job: Job, folder: Path, log: Path) -> LavaTrace:
    try:
        result = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        raise OracleFailed(f"lava: no result for {job.path}; the log ends:\n{log_tail(log)}") from None
    chain = as_chain(job.network)
    records: dict[str, dict[str, np.ndarray]] = {quantity: {} for quantity in QUANTITIES}
    for i, (_, population) in enumerate(chain):
        for quantity in QUANTITIES:
            values = np.load(folder / f"{i}.{quantity}.npy", allow_pickle=False)
            values = np.ascontiguousarray(_reversed_axes(values), dtype=DTYPES[quantity])
            if values.shape[2:] != population.shape:
                raise OracleFailed(
                    f"lava: {job.path}: layer {i} has shape {values.shape[2:]} in Lava, but {population.name} has "
                    f"{population.shape}; the file holds another network"
                )
            records[quantity][population.name] = values
    return LavaTrace(
        **records,
        layers_written=len(chain),
        layers_built=result["layers_built"],
        seconds=result["seconds"],
        versions=result["versions"],
    )


def _reversed_axes(values: np.ndarray) -> np.ndarray:
    """Swap (.., C, H, W) and Lava's (.., W, H, C), either way; (.., F) stays."""
    return values.swapaxes(2, 4) if values.ndim == 5 else values

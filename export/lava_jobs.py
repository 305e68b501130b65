"""What runs of files and of graphs in real Lava share: inputs checked, jobs through one process, records collected."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..hw import BadInput, OracleFailed, Population, Source
from .lava_compare import DTYPES, QUANTITIES, LavaTrace
from .lava_process import execute, find_python, log_tail

Job = TypeVar("Job")


def run_jobs(
    runner: Path,
    jobs: Sequence[Job],
    prepare: Callable[[Job, Path], Mapping[str, Any]],
    recorded: Callable[[Job], Sequence[Population]],
    named: Callable[[Job], str],
    *,
    timeout_s: float,
    python: str | os.PathLike[str] | None,
) -> list[LavaTrace]:
    """Run several jobs in one Lava process, which saves its start (about 1 s) for all but the first.

    runner: the script, which takes a JSON list of jobs and leaves its records in the folder of each. prepare: writes a
    job's data into a folder and returns what the runner must know. recorded: the populations it records, in order.
    named: the job, for messages.

    Raises OracleFailed if Lava is missing, fails, or is not done after `timeout_s` seconds.
    """
    interpreter = find_python(python)
    with tempfile.TemporaryDirectory(prefix="spikeport-lava-") as name:
        folders = [Path(name) / str(i) for i in range(len(jobs))]
        for folder in folders:
            folder.mkdir()
        orders = [
            {**prepare(job, folder), "out": str(folder)} for job, folder in zip(jobs, folders, strict=True)
        ]  # fmt: skip
        jobs_file, log = Path(name) / "jobs.json", Path(name) / "log.txt"
        jobs_file.write_text(json.dumps(orders))
        execute([str(interpreter), "-I", str(runner), str(jobs_file)], log=log, timeout_s=timeout_s)
        return [_collect(named(job), recorded(job), folder, log) for job, folder in zip(jobs, folders, strict=True)]


def checked_inputs(inputs: np.ndarray, source: Population, n_steps: int) -> np.ndarray:
    """Inputs as (T, B, *shape), or (1, B, *shape) where they are held; BadInput for what the source cannot send."""
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


def lava_order(values: np.ndarray) -> np.ndarray:
    """Swap (.., .., C, H, W) and Lava's (.., .., W, H, C), either way; (.., .., F) stays."""
    return values.swapaxes(2, 4) if values.ndim == 5 else values


def _collect(name: str, populations: Sequence[Population], folder: Path, log: Path) -> LavaTrace:
    try:
        result = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        raise OracleFailed(f"lava: no result for {name}; the log ends:\n{log_tail(log)}") from None
    records: dict[str, dict[str, np.ndarray]] = {quantity: {} for quantity in QUANTITIES}
    for index, population in enumerate(populations):
        for quantity in QUANTITIES:
            values = lava_order(np.load(folder / f"{index}.{quantity}.npy", allow_pickle=False))
            if values.shape[2:] != population.shape:
                raise OracleFailed(
                    f"lava: {name}: layer {index} has shape {values.shape[2:]} in Lava, but {population.name} has "
                    f"{population.shape}; it is another network"
                )
            records[quantity][population.name] = np.ascontiguousarray(values, dtype=DTYPES[quantity])
    return LavaTrace(
        **records,
        layers_written=len(populations),
        layers_built=result["layers_built"],
        seconds=result["seconds"],
        versions=result["versions"],
    )

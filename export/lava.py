"""Real Lava as the judge: run a `.net` file in it, and compare every neuron at every timestep.

Lava lives in an environment of its own and runs as a subprocess that cannot hang us: it gets its own session, no
standard input, a log file for output, a time limit, and at the end, however it ends, signals to every process it
started. Data go through files. Set the environment up with `make lava`; nothing else of Spikeport needs it.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..hw import BadInput, Network, OracleFailed, Population, Source
from .netx_chain import as_chain

PYTHON_VARIABLE = "SPIKEPORT_LAVA"
"""Environment variable that names the Python of the Lava environment."""

ROOT = Path(__file__).resolve().parent.parent
RUNNER = Path(__file__).resolve().parent / "lava_runner" / "run.py"
WAY_OUT = f"set the Lava environment up with `make lava`, or name its Python in {PYTHON_VARIABLE}"
TERM_GRACE_S = 1.5  # long enough for Python's resource tracker to remove shared memory
LOG_LINES = 15

Quantity = Literal["u", "v", "spikes"]
QUANTITIES: tuple[Quantity, ...] = ("u", "v", "spikes")
DTYPES = {"u": np.int32, "v": np.int32, "spikes": np.uint8}


@dataclass(frozen=True, kw_only=True)
class LavaTrace:
    """What Lava's neurons did.

    u, v: int32, spikes: uint8, by population, each (T, B, *shape) with shape (C, H, W) or (F,); v is after the reset.
    layers_written: layers with neurons in the file. layers_built: what netx made of them. seconds: Lava's own time.
    """

    u: Mapping[str, np.ndarray]
    v: Mapping[str, np.ndarray]
    spikes: Mapping[str, np.ndarray]
    layers_written: int
    layers_built: int
    seconds: float
    versions: Mapping[str, str]

    @property
    def n_samples(self) -> int:
        """Samples that went through."""
        return next(iter(self.v.values())).shape[1]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file and its inputs, for `run_many`. Fields as the arguments of `run`."""

    path: str | os.PathLike[str]
    inputs: np.ndarray
    network: Network


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first number that differs: of the earliest timestep, in the earliest layer, of the earliest sample.

    timestep: 0-based. neuron: index into the population's shape.
    """

    sample: int
    timestep: int
    layer: str
    neuron: tuple[int, ...]
    quantity: Quantity
    expected: int
    found: int

    def __str__(self) -> str:
        return (
            f"sample {self.sample}, timestep {self.timestep}, layer {self.layer}, neuron {self.neuron}: "
            f"{self.quantity} expected {self.expected}, Lava has {self.found}"
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Outcome of a comparison. values: numbers compared. mismatches: how many differ. first: where it begins."""

    samples: int
    layers_written: int
    layers_built: int
    values: int
    mismatches: int
    first: Divergence | None

    @property
    def agrees(self) -> bool:
        """Whether every number is equal and every layer was built."""
        return self.mismatches == 0 and self.layers_built == self.layers_written


def find_python(python: str | os.PathLike[str] | None = None) -> Path:
    """The Lava environment's Python: `python`, else what SPIKEPORT_LAVA names, else `.lava/bin/python` at the root.

    Raises OracleFailed if there is no such file.
    """
    named = python or os.environ.get(PYTHON_VARIABLE)
    path = Path(named) if named else ROOT / ".lava" / "bin" / "python"
    if not path.is_file():
        raise OracleFailed(f"lava: there is no Python at {path}; {WAY_OUT}")
    return path


def available(python: str | os.PathLike[str] | None = None) -> bool:
    """Whether a Lava environment is there and has Lava in it (looked for, not imported; takes about 0.1 s once)."""
    try:
        return _has_lava(str(find_python(python)))
    except OracleFailed:
        return False


@functools.cache
def _has_lava(python: str) -> bool:
    probe = "import importlib.metadata as m; m.version('lava-nc'); m.version('lava-dl')"
    try:
        done = subprocess.run(
            [python, "-c", probe], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def run(
    path: str | os.PathLike[str],
    inputs: np.ndarray,
    *,
    network: Network,
    timeout_s: float = 600.0,
    python: str | os.PathLike[str] | None = None,
    fast_conv: bool = False,
) -> LavaTrace:
    """Run a `.net` file in real Lava, all samples in one pipelined run, recording every neuron at every timestep.

    inputs: integers, (B, *source shape) held for every timestep, or (T, B, *source shape). network: what the file
    holds, for names, shapes, sample length and payload. fast_conv: replace Lava's scipy convolution by exact matrix
    products, about 7 times faster; the stock one is the stricter judge.

    Raises BadInput for inputs of another shape or type, and OracleFailed if Lava is missing, fails, builds another
    number of layers than the network has, or is not done after `timeout_s` seconds.
    """
    job = Job(path=path, inputs=inputs, network=network)
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
        _execute([str(interpreter), "-I", str(RUNNER), str(jobs_file)], log=log, timeout_s=timeout_s)
        return [_collect(job, Path(folder) / str(i), log) for i, job in enumerate(jobs)]


def compare(trace: LavaTrace, expected: Mapping[str, Mapping[str, np.ndarray]]) -> Verdict:
    """Compare Lava with what we expect, number by number.

    expected: by population, then by quantity (`u`, `v`, `spikes`, any of them), arrays (T, B, *shape). Raises BadInput
    for a population or quantity Lava did not record, a layer that is left out, or another shape.
    """
    missing = [name for name in trace.v if not expected.get(name)]
    unknown = [name for name in expected if name not in trace.v]
    if missing or unknown:
        raise BadInput(f"lava: expected values are missing for {missing}, and given for unknown layers {unknown}")
    values = mismatches = 0
    first: tuple[tuple[int, ...], Divergence] | None = None
    for depth, layer in enumerate(trace.v):
        for quantity, wanted in expected[layer].items():
            if quantity not in QUANTITIES:
                raise BadInput(f"lava: {layer}: {quantity!r} is not recorded; recorded: {', '.join(QUANTITIES)}")
            found = getattr(trace, quantity)[layer]
            wanted = np.asarray(wanted)
            if wanted.shape != found.shape:
                raise BadInput(f"lava: {layer}: {quantity} of shape {wanted.shape} given, Lava recorded {found.shape}")
            different = wanted != found
            values += found.size
            mismatches += int(different.sum())
            here = _first_difference(different, wanted, found, layer, quantity)
            if here is not None:
                rank = (here.timestep, depth, here.sample)
                if first is None or rank < first[0]:
                    first = (rank, here)
    return Verdict(
        samples=trace.n_samples,
        layers_written=trace.layers_written,
        layers_built=trace.layers_built,
        values=values,
        mismatches=mismatches,
        first=first[1] if first else None,
    )


def _first_difference(
    different: np.ndarray, expected: np.ndarray, found: np.ndarray, layer: str, quantity: Quantity
) -> Divergence | None:
    if not different.any():
        return None
    where = np.unravel_index(int(different.argmax()), different.shape)
    timestep, sample, *neuron = (int(n) for n in where)
    return Divergence(
        sample=sample,
        timestep=timestep,
        layer=layer,
        neuron=tuple(neuron),
        quantity=quantity,
        expected=int(expected[where]),
        found=int(found[where]),
    )


def _prepare(job: Job, folder: Path, fast_conv: bool) -> dict[str, object]:
    """Write a job's inputs in Lava's order and return what the runner must know."""
    chain = as_chain(job.network)
    folder.mkdir()
    source = job.network.sources[0]
    inputs = _checked_inputs(job.inputs, source, job.network.n_steps)
    flat = (
        len(job.network[chain[0][1].name].shape) == 1
    )  # netx's own input port is flat where a dense layer comes first
    rows = inputs.swapaxes(0, 1)
    rows = rows.reshape(*rows.shape[:2], -1) if flat else _reversed_axes(rows)
    np.save(folder / "inputs.npy", np.ascontiguousarray(rows, dtype=np.int32))
    return {
        "net": str(Path(job.path).resolve()),
        "inputs": str(folder / "inputs.npy"),
        "n_steps": job.network.n_steps,
        "payload_bits": source.neuron.payload_bits if isinstance(source.neuron, Source) else 0,
        "layers": len(chain),
        "out": str(folder),
        "fast_conv": fast_conv,
    }


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
    most = source.neuron.max_payload if isinstance(source.neuron, Source) else 1
    if inputs.size == 0 or inputs.min() < 0 or inputs.max() > most:
        found = f"{inputs.min()}..{inputs.max()}" if inputs.size else "no samples"
        raise BadInput(f"lava: inputs hold {found}, {source.name} carries 0..{most}")
    return inputs if timed else inputs[None]


def _collect(job: Job, folder: Path, log: Path) -> LavaTrace:
    try:
        result = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        raise OracleFailed(f"lava: no result for {job.path}; the log ends:\n{_tail(log)}") from None
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


def _execute(command: list[str], *, log: Path, timeout_s: float) -> None:
    """Run a command to its end and see that nothing it started is left; OracleFailed unless it succeeds in time."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    status: int | None = None
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _end_session(process)
    if status is None:
        raise OracleFailed(
            f"lava: not done after {timeout_s:g} s and stopped; allow more with timeout_s, or run fewer samples. "
            f"The log ends:\n{_tail(log)}"
        )
    if status != 0:
        raise OracleFailed(f"lava: ended with status {status}; {WAY_OUT}. The log ends:\n{_tail(log)}")


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End every process of the session. SIGTERM first: SIGKILL alone would leak Lava's shared memory."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + TERM_GRACE_S
        try:
            os.killpg(process.pid, signal_number)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.02)
        except ProcessLookupError:  # nobody is left
            break
    process.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:]) or "    (empty)"

"""Somebody else's trained network to a `.net` file: read, fold, quantize, check, lower, write, verify, report.

Nothing is trained. What was assumed, folded, rounded and rewritten is in the report, with what it changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ... import sim
from ...export import lava, netx, nir_read
from ...export.floatgraph import FloatGraph, Relu, Spike
from ...export.nir_neurons import Reset
from ...hw import (
    CHIPS,
    BadInput,
    Chip,
    Network,
    NotRepresentable,
    Source,
    UnsupportedLayer,
    check,
    rests_on_calibration,
    same,
)
from ..deploy import notices_of, proven_chain
from ..files import write_bytes, write_json
from ..metrics import accuracy
from ..progress import Progress
from ..sections import Verify
from ..verify import verify_payload
from .data import Samples, Supplied, supply
from .deploy_report import markdown
from .evaluate import evaluate, run_spiking
from .findings import Finding
from .fold import fold
from .folded import Folded
from .input_grid import InputGrid
from .preflight import preflight
from .ptq import float_scores, over_time, potentials, quantize

PROOF_SAMPLES = 16
"""Calibration samples on which a graph and its chain are compared."""

BATCH = 64

HARD = "--reset hard"

SUFFIXES = (".nir", ".onnx")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to deploy, and how.

    file: .nir or .onnx. data: see `data.supply`, with `root`. chip: its name. n_steps: timesteps of a sample, if
    neither file nor data say. samples, test: how many to calibrate and to test on. dt_s, framework, original_reset: how
    a NIR file is read (`nir_read.read`). hard_reset: accept a reset to zero for a network that subtracts.
    payload_bits: of graded inputs, None to choose. lava_samples: how many real Lava runs, if it is installed.
    """

    file: Path
    data: str
    chip: str
    n_steps: int | None = None
    samples: int = 128
    test: int = 1000
    dt_s: float | None = None
    framework: str = "auto"
    original_reset: Reset = "auto"
    hard_reset: bool = False
    payload_bits: int | None = None
    root: Path | None = None
    lava_samples: int = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantized:
    """A network in integers, how its inputs become integers, and what is reported about it."""

    network: Network
    grid: InputGrid
    report: dict[str, Any]
    notices: tuple[dict[str, str], ...]


def deploy(request: Request, out: Path, progress: Progress) -> dict[str, Any]:
    """Write `<name>.net`, `deploy.json` and `deploy.md` into the folder `out`, and return what deploy.json holds.

    Raises BadInput, UnsupportedLayer, NotRepresentable and OracleFailed, each saying where and the way out; nothing is
    written then but what a finished step wrote.
    """
    chip = CHIPS[request.chip]
    graph = read_graph(request)
    findings = preflight(_accepted(graph, request), chip)
    with _all_refusals(findings):
        folded = fold(graph)
    data = supply(request.data, folded.source_shape, samples=request.samples, test=request.test, root=request.root)
    n_steps = _steps(request, graph, data.calibration)
    progress.stage(f"deploy: {graph.name}: {len(folded.units)} populations, {n_steps} timesteps, {request.chip}")
    with _all_refusals(findings):
        made = _quantized(request, folded, data.calibration, chip, n_steps)
    payload = made.grid.encode(data.calibration.x)
    proof = payload[:, :PROOF_SAMPLES] if data.calibration.timed else payload[:PROOF_SAMPLES]
    progress.say("deploy: lowering to a chain")
    chain, rewrites = proven_chain(made.network, proof, chip)
    check(chain, chip, sim.largest_sums(chain, payload))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{request.file.stem}.net"
    _write(chain, path)
    document = {
        "file": str(request.file),
        "chip": request.chip,
        "n_steps": n_steps,
        "data": {"name": data.name, "calibration": len(data.calibration)},
        "assumed": list(folded.assumed),
        "folded": [
            {"node": row.node, "into": row.into, "what": row.what, "exact": row.exact, "checked": row.checked}
            for row in folded.foldings
        ],
        "approximated": [f"{row.node}: {row.what}" for row in findings if row.severity == "approximated"],
        "quantization": made.report,
        "notices": [*made.notices, *notices_of(rewrites)],
        "net": _of_file(chain, path),
        "calibrated": list(rests_on_calibration(chain, chip)),
        "test": _tested(folded, chain, chip, made.grid, data, n_steps, progress),
        "verification": _verified(path, chain, payload, request, progress, timed=data.calibration.timed),
    }
    write_json(out / "deploy.json", document)
    write_bytes(out / "deploy.md", markdown(document).encode())
    return document


def read_graph(request: Request) -> FloatGraph:
    """The float graph of a .nir or .onnx file. Raises BadInput for other files."""
    if request.file.suffix == ".nir":
        return nir_read.read(
            request.file,
            dt_s=request.dt_s,
            framework=request.framework,
            n_steps=request.n_steps,
            reset=request.original_reset,
        )
    if request.file.suffix == ".onnx":
        from ...export import onnx_read  # onnx is slow to import, and a NIR file needs none of it

        return onnx_read.read(request.file)
    raise BadInput(
        f"{request.file}: deploy takes {' and '.join(SUFFIXES)} files; `spikeport convert` turns .net to .nir"
    )


def _accepted(graph: FloatGraph, request: Request) -> FloatGraph:
    """The graph with the resets the caller accepted, for preflight."""
    if not request.hard_reset:
        return graph
    nodes = [
        replace(node, op=replace(node.op, reset="value", late_reset=False)) if isinstance(node.op, Spike) else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


@contextmanager
def _all_refusals(findings: Sequence[Finding]) -> Iterator[None]:
    """Where a step refuses one operation, name all that preflight found."""
    try:
        yield
    except UnsupportedLayer as error:
        lines = [f"{row.where}: {row.what}; {row.fix}" for row in findings if row.severity == "refused"]
        if lines and HARD in str(error):
            lines.append(f"{HARD} accepts a hard reset")
        raise UnsupportedLayer("\n".join(lines) if lines else str(error)) from None


def _steps(request: Request, graph: FloatGraph, samples: Samples) -> int:
    found = request.n_steps or graph.n_steps
    if samples.timed:
        if found is not None and found != len(samples.x):
            raise BadInput(f"{request.data}: its samples last {len(samples.x)} timesteps, --steps says {found}")
        return len(samples.x)
    if found is None:
        raise BadInput(f"{request.file}: neither file nor data say how many timesteps a sample lasts; give --steps")
    return found


def _quantized(request: Request, folded: Folded, samples: Samples, chip: Chip, n_steps: int) -> Quantized:
    """The network in integers: a spiking one as it is, an ANN converted first."""
    if any(isinstance(unit.op, Relu) for unit in folded.units):
        return _student(request, folded, samples, chip, n_steps)
    network, report = quantize(
        folded, samples.x, chip, n_steps=n_steps, payload_bits=request.payload_bits, hard_reset=request.hard_reset
    )
    return Quantized(
        network=network,
        grid=report.input,
        report=report.as_dict(),
        notices=(),
    )


def _student(request: Request, folded: Folded, samples: Samples, chip: Chip, n_steps: int) -> Quantized:
    from .student import quantized_student  # an ANN alone needs it

    if samples.timed:
        raise BadInput(f"{request.data}: an ANN takes images, not sequences; give x of shape (B, C, H, W)")
    network, adoption = quantized_student(
        folded, samples.x, chip, n_steps, payload_bits=request.payload_bits, levels=samples.levels or 255
    )
    neuron = network.sources[0].neuron
    assert isinstance(neuron, Source)
    grid = InputGrid(steps=float(neuron.max_payload), source=neuron, exact=samples.levels == neuron.max_payload)
    report = {
        "samples": adoption.images,
        "n_steps": n_steps,
        "answers": adoption.agreement,
        "input": grid.text,
        "thresholds": adoption.thresholds,
        "populations": [],
    }
    return Quantized(network=network, grid=grid, report=report, notices=adoption.notices)


def _write(network: Network, path: Path) -> None:
    """Write a network that was checked, and read it back as the same."""
    netx.write(network, path, chip=None)
    if not same(netx.read(path), network):
        path.unlink()
        raise NotRepresentable(f"{path}: the file reads back as another network and was removed; please report it")


def _of_file(network: Network, path: Path) -> dict[str, Any]:
    neurons = sum(population.size for population, _ in network.neurons)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "fingerprint": network.fingerprint(),
        "populations": len(network.populations),
        "neurons": neurons,
    }


def _tested(
    folded: Folded, network: Network, chip: Chip, grid: InputGrid, data: Supplied, n_steps: int, progress: Progress
) -> dict[str, Any]:
    """The original and the file on the same samples: answers alike, sums that left their range, accuracies."""
    samples, kind = (data.test, "other samples") if data.test else (data.calibration, "the calibration samples")
    hits = {"float": 0, "integer": 0}
    alike = overflows = 0
    with progress.task("deploy: test", len(samples)) as task:
        for start in range(0, len(samples), BATCH):
            batch = samples.subset(slice(start, start + BATCH))
            trace = sim.run(network, grid.encode(batch.x), chip=chip)
            scores = float_answers(folded, batch.x, network, n_steps)
            chosen = trace.predictions[:, None]
            alike += int((scores.gather(1, chosen)[:, 0] >= scores.max(dim=1).values - 1e-9).sum())
            overflows += sum(int(n.sum()) for n in trace.counts.overflows.values())
            if batch.y is not None:
                hits["integer"] += int((trace.predictions == batch.y).sum())
                hits["float"] += int((scores.argmax(dim=1) == batch.y).sum())
            task.advance(len(batch))
    tested: dict[str, Any] = {
        "on": kind,
        "n": len(samples),
        "alike": accuracy(alike, len(samples)),
        "overflows": overflows,
    }
    if samples.y is not None:
        tested |= {name: accuracy(count, len(samples)) for name, count in hits.items()}
    return tested


def float_answers(folded: Folded, x: Tensor, network: Network, n_steps: int) -> Tensor:
    """Answers of the float network, (B, K): of an ANN its outputs, else spikes counted or potentials."""
    last = folded.units[-1]
    if any(isinstance(unit.op, Relu) for unit in folded.units):
        return evaluate(folded, x)[last.name].flatten(1)
    timed = over_time(folded, x, n_steps)
    values = run_spiking(folded, timed)
    kind = network.readout.kind
    return float_scores(values[last.name] if kind == "spike_count" else potentials(last, values, timed), kind)


def _verified(
    path: Path, network: Network, payload: Tensor, request: Request, progress: Progress, *, timed: bool
) -> dict[str, Any]:
    """The file in real Lava, if it is installed; the simulator runs the network that was read back from it."""
    if not request.lava_samples:
        return {"skipped": "not asked for"}
    if not lava.available():
        return {"skipped": f"real Lava is not installed; {lava.WAY_OUT}"}
    chosen = payload[:, : request.lava_samples] if timed else payload[: request.lava_samples]
    settings = Verify(samples=chosen.shape[1] if timed else chosen.shape[0])
    return verify_payload(path, network, chosen.numpy(), settings, progress)

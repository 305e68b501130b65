"""How fast is the exact simulator?

    python benchmarks/simulator.py [--part dense|lava|all] [--pairs 9] [--quick]

dense: against T plain float32 forwards of the same layers (convolution, ReLU, no bias; the faster of the two memory
layouts), which is what a float simulation costs at least. VGG-11 and a chain of ResNet-20's widths, T = 4, random even
weights, thresholds found so that every layer fires at the stated rate. Ours counts all spikes and synaptic operations.

lava: against stock Lava on the same `.net` file, per sample and timestep: a CIFAR network of VGG-7's size, and the
PilotNet that ships in the lava-dl wheel. Lava's time is its pure run of one sample, without probes, on as many cores as
it takes (see `simulator_lava.py`); ours is a batch on one thread. Needs the Lava environment (`make lava`).

One thread, one process, A B A B; the numbers are medians of the ratios of neighbouring runs, with their quartiles.
Every variant must give the same integers, or nothing is written. Results: benchmarks/results/simulator-<part>.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numba
import numpy as np
import torch
import torch.nn.functional as F
from spikeport import hw, sim
from spikeport.export import lava_process, netx

T = 4
RATES = (0.02, 0.05, 0.10, 0.20)
V_DECAY = 410
RESULTS = Path(__file__).parent / "results"
VGG11 = ((64, 1), (128, 2), (256, 2), (256, 1), (512, 2), (512, 1), (512, 2), (512, 1))
RESNET20 = ((16, 1),) * 7 + ((32, 2),) + ((32, 1),) * 5 + ((64, 2),) + ((64, 1),) * 5
VGG7 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (256, 2))
"""(channels, stride) of each 3 x 3 convolution on 3 x 32 x 32."""

PILOTNET = Path("tests/lava/lib/dl/netx/gts/pilotnet_lif")  # in the Lava environment's site-packages
PILOTNET_STEPS = 16
LAVA_BATCH = 32
LAVA_TIMEOUT_S = 600

GOALS = {
    "G1": ("vgg11", 32, "int8", 0.10, 0.40),
    "G2": ("vgg11", 32, "auto", 0.10, 0.25),
    "G3": ("vgg11", 32, "float", 0.10, 1.15),
    "G4": ("vgg11", 32, "portable", 0.10, 1.80),
    "G5": ("resnet20", 32, "int8", 0.10, 0.55),
}
"""Name: network, batch, backend, rate, and the largest ratio to T float forwards that meets it."""

G6 = ("vgg11", 32, 0.10, 8.0)
"""Network, batch, rate, and how many times slower the naive loop must be than `auto`."""


@dataclass(frozen=True)
class Case:
    """A network, inputs for it, and its layers as float weights for the plain forward."""

    network: hw.Network
    images: torch.Tensor
    weights: list[torch.Tensor]
    strides: list[int]
    rates: list[float]


def build(layers: tuple[tuple[int, int], ...], batch: int, rate: float, largest: int = 80) -> Case:
    """The chain of convolutions, each with the threshold at which it fires at `rate`, and a dense membrane read-out."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (batch, 3, 32, 32)).astype(np.uint8))
    source = hw.Population(name="in", shape=(3, 32, 32), neuron=hw.Source(payload_bits=8))
    populations, connections, rates = [source], [], []
    spikes = images[:8]
    for i, (channels, stride) in enumerate(layers):
        weight = 2 * rng.integers(-largest // 2, largest // 2 + 1, (channels, populations[-1].shape[0], 3, 3))
        conv = hw.Conv(
            source=populations[-1].name, target=f"conv{i}", weight=weight, stride=(stride,) * 2, padding=(1, 1)
        )
        population, spikes, fired = with_rate(populations[-1], conv, spikes, rate)
        populations.append(population)
        connections.append(conv)
        rates.append(fired)
    last = populations[-1]
    populations.append(hw.Population(name="out", shape=(10,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)))
    connections.append(
        hw.Dense(
            source=last.name, target="out", weight=2 * rng.integers(-largest // 2, largest // 2 + 1, (10, last.size))
        )
    )
    network = hw.Network(
        populations=tuple(populations), connections=tuple(connections), readout=hw.Readout(population="out"), n_steps=T
    )
    weights = [torch.from_numpy(c.weight.astype(np.float32)) for c in connections]
    return Case(network, images, weights, [stride for _, stride in layers], rates)


def with_rate(
    source: hw.Population, conv: hw.Conv, spikes: torch.Tensor, rate: float
) -> tuple[hw.Population, torch.Tensor, float]:
    """The target with the threshold that comes nearest to `rate`, its spikes, and the rate it has."""
    low, high = 1, hw.NEVER_FIRES
    shape = conv.out_shape(source.shape)
    while True:
        middle = (low + high) // 2
        neuron = hw.Cuba(v_th_mant=middle, v_decay=V_DECAY)
        target = hw.Population(name=conv.target, shape=shape, neuron=neuron)
        start = source if isinstance(source.neuron, hw.Source) else hw.Population(
            name=source.name, shape=source.shape, neuron=hw.Source()
        )  # fmt: skip
        alone = hw.Network(
            populations=(start, target), connections=(conv,), readout=hw.Readout(population=conv.target), n_steps=T
        )
        fired = sim.run(alone, spikes, record=("spikes",)).spikes[conv.target]
        now = float(fired.float().mean())
        if high - low < 2 or abs(now - rate) < 0.01 * rate:
            return target, fired, now
        low, high = (middle, high) if now > rate else (low, middle)


def plain_forward(case: Case, layout: torch.memory_format) -> Callable[[], torch.Tensor]:
    """One float32 forward of a batch."""
    weights = [w.contiguous(memory_format=layout) if w.ndim == 4 else w for w in case.weights]
    images = (case.images.float() / 255).contiguous(memory_format=layout)

    def forward() -> torch.Tensor:
        x = images
        with torch.no_grad():
            for weight, stride in zip(weights, case.strides, strict=False):
                x = F.conv2d(x, weight, stride=stride, padding=1).relu_()
            return x.flatten(1) @ weights[-1].T

    return forward


def naive(case: Case) -> torch.Tensor:
    """The equations as they stand, one step after the other, states in int64; float32 holds these sums exactly."""
    state: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    limit = 1 << 23

    def decay(x: torch.Tensor, constant: int) -> torch.Tensor:
        return x.sign() * ((x.abs() * (4096 - constant)) >> 12)

    for _ in range(T):
        x = case.images.to(torch.int64)
        for connection, weight in zip(case.network.connections, case.weights, strict=True):
            population = case.network[connection.target]
            neuron = population.neuron
            assert isinstance(neuron, hw.Cuba)
            if isinstance(connection, hw.Conv):
                a = F.conv2d(x.float(), weight, stride=connection.stride, padding=connection.padding)
            else:
                a = x.float().flatten(1) @ weight.T
            zero = torch.zeros(a.shape, dtype=torch.int64)
            u, v = state.get(population.name, (zero, zero))
            u = decay(u, neuron.i_decay) + (a.to(torch.int64) << 6)
            u = torch.where(u > limit, u - 2 * limit, torch.where(u <= -limit, u + 2 * limit, u))
            v = (decay(v, neuron.v_decay) + u).clamp(-limit + 1, limit - 1)
            z = v > neuron.v_th_mant << 6
            state[population.name] = (u, torch.where(z, 0, v))
            x = z.to(torch.int64)
    return state["out"][1]


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratios(ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> dict[str, object]:
    """The ratios of neighbouring runs, after one run of each that warms up."""
    ours(), theirs()
    times = [(seconds(ours), seconds(theirs)) for _ in range(pairs)]
    found = sorted(a / b for a, b in times)
    quartiles = statistics.quantiles(found, n=4) if len(found) > 1 else [found[0]] * 3
    return {
        "median_ratio": statistics.median(found),
        "quartiles": [quartiles[0], quartiles[2]],
        "ours_ms": statistics.median(a for a, _ in times) * 1e3,
        "theirs_ms": statistics.median(b for _, b in times) * 1e3,
        "n": pairs,
    }


def measure(name: str, layers: tuple[tuple[int, int], ...], batch: int, rate: float, pairs: int) -> list[dict]:
    """Every variant on one network, checked to give the same integers, then timed."""
    case = build(layers, batch, rate)
    forwards = [plain_forward(case, layout) for layout in (torch.channels_last, torch.contiguous_format)]
    once = [min(seconds(forward) for _ in range(4)) for forward in forwards]
    forward = forwards[once.index(min(once))]

    def t_forwards() -> None:
        for _ in range(T):
            forward()

    expected = naive(case)
    rows = []
    for backend in ("auto", "int8", "float", "portable"):
        start = time.perf_counter()
        simulator = sim.Simulator(case.network, backend=backend)
        first = simulator.run(case.images, batch_size=batch)
        planned = time.perf_counter() - start
        if not torch.equal(first.readout, expected):
            raise SystemExit(f"{name} {backend}: another integer than the naive loop's; this is a bug")
        run = lambda simulator=simulator: simulator.run(case.images, batch_size=batch)  # noqa: E731
        row = {"network": name, "batch": batch, "rate": rate, "backend": backend, "first_run_ms": planned * 1e3}
        row |= ratios(run, t_forwards, pairs)
        row["plan"] = [way for ways in simulator.plan.values() for way in ways]
        row["rates"] = case.rates
        rows.append(row)
        print(f"{name:9s} B={batch:<3d} {rate:4.0%} {backend:9s} {row['median_ratio']:.3f} of {row['theirs_ms']:.0f} ms"
              f"  (first run {row['first_run_ms']:.0f} ms; {' '.join(row['plan'])})", flush=True)  # fmt: skip
    print(f"{'':9s} fires at {', '.join(f'{r:.3f}' for r in case.rates)}", flush=True)
    if (name, batch, rate) == G6[:3]:
        simulator = sim.Simulator(case.network)
        row = {"network": name, "batch": batch, "rate": rate, "backend": "naive loop / auto"}
        row |= ratios(lambda: naive(case), lambda: simulator.run(case.images, batch_size=batch), max(3, pairs // 2))
        rows.append(row)
        print(f"{name:9s} B={batch:<3d} {rate:4.0%} naive loop {row['median_ratio']:.1f} times auto", flush=True)
    return rows


def goals(rows: list[dict]) -> dict[str, dict]:
    """Each goal with what was measured, and whether it is met."""
    found = {}
    for goal, (network, batch, backend, rate, most) in GOALS.items():
        for row in rows:
            if (row["network"], row["batch"], row["backend"], row["rate"]) == (network, batch, backend, rate):
                met = row["median_ratio"] <= most
                found[goal] = {"ratio": row["median_ratio"], "at_most": most, "met": met}
    for row in rows:
        if row["backend"] == "naive loop / auto":
            met = row["median_ratio"] >= G6[3]
            found["G6"] = {"ratio": row["median_ratio"], "at_least": G6[3], "met": met}
    return found


def dense(pairs: int, quick: bool) -> dict[str, object]:
    """All networks, batch sizes and rates; `quick`: only those of the goals."""
    rows = []
    for batch in (32,) if quick else (32, 8):
        for rate in (0.10,) if quick else RATES:
            rows += measure("vgg11", VGG11, batch, rate, pairs)
    for rate in (0.10,) if quick else RATES:
        rows += measure("resnet20", RESNET20, 32, rate, pairs)
    met = goals(rows)
    print(json.dumps(met, indent=1))
    return {"question": "exact simulation / T float32 forwards of the same layers", "T": T, "goals": met, "rows": rows}


@dataclass(frozen=True)
class LavaCase:
    """One `.net` file, read back, and inputs (B, C, H, W) for it."""

    name: str
    path: Path
    network: hw.Network
    inputs: torch.Tensor
    payload_bits: int
    has_neurons: bool
    goal: float


def vgg7(folder: Path) -> LavaCase:
    """Random weights, every layer firing at 10 %, written and read back."""
    case = build(VGG7, LAVA_BATCH, 0.10, largest=16)  # small enough for every limit of the chip
    path = folder / "vgg7.net"
    netx.write(case.network, path)
    return LavaCase("vgg7", path, netx.read(path), case.images, 8, False, 200.0)


def pilotnet() -> LavaCase:
    """The wheel's trained network and its picture, moved sideways to make a batch."""
    folder = next(lava_process.find_python().parents[1].glob("lib/*/site-packages")) / PILOTNET
    path = folder / "network.net"
    read = netx.read(path, n_steps=PILOTNET_STEPS)
    last = read.populations[-1].name
    network = netx.read(path, n_steps=PILOTNET_STEPS, readout=hw.Readout(population=last, kind="membrane"))
    picture = torch.from_numpy(np.load(folder / "image.npy").transpose(2, 1, 0).astype(np.int32))
    moved = torch.stack([picture.roll(i, dims=2) for i in range(LAVA_BATCH)])
    return LavaCase("pilotnet_lif", path, network, moved, 0, True, 150.0)


def lava_run(case: LavaCase, folder: Path) -> dict:
    """One run of stock Lava on the first sample."""
    inputs, out, job = folder / "inputs.npy", folder / "out.json", folder / "job.json"
    np.save(inputs, np.ascontiguousarray(case.inputs[0].numpy().transpose(2, 1, 0).astype(np.int32)))
    job.write_text(
        json.dumps(
            {
                "net": str(case.path),
                "inputs": str(inputs),
                "n_steps": case.network.n_steps,
                "payload_bits": case.payload_bits,
                "has_neurons": case.has_neurons,
                "runner": str(lava_process.RUNNER_FOLDER),
                "out": str(out),
            }
        )
    )
    script = Path(__file__).with_name("simulator_lava.py")
    command = [str(lava_process.find_python()), str(script), str(job)]
    lava_process.execute(command, log=folder / "log.txt", timeout_s=LAVA_TIMEOUT_S)
    return json.loads(out.read_text())


def lava(pairs: int, _quick: bool) -> dict[str, object]:
    """Both files, Lava and ours in turn; the read-out of the first sample must be Lava's."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in (vgg7(folder), pilotnet()):
            simulator = sim.Simulator(case.network)
            once = lambda case=case, simulator=simulator: simulator.run(case.inputs, batch_size=LAVA_BATCH)  # noqa: E731
            trace = once()
            found = []
            for _ in range(pairs):
                theirs = lava_run(case, folder)
                if trace.readout[0].tolist() != theirs["v"]:
                    raise SystemExit(f"{case.name}: another membrane than Lava's after the last step; this is a bug")
                ours = statistics.median(seconds(once) for _ in range(5)) / (LAVA_BATCH * case.network.n_steps)
                found.append((theirs["seconds_per_step"], ours))
            ratio = statistics.median(a / b for a, b in found)
            sizes = {p.name: p.size * case.network.n_steps * LAVA_BATCH for p in case.network.populations}
            row = {
                "network": case.name,
                "batch": LAVA_BATCH,
                "n_steps": case.network.n_steps,
                "median_ratio": ratio,
                "ratios": sorted(a / b for a, b in found),
                "lava_ms": statistics.median(a for a, _ in found) * 1e3,
                "ours_ms": statistics.median(b for _, b in found) * 1e3,
                "goal": {"at_least": case.goal, "met": ratio >= case.goal},
                "rates": {name: int(table.sum()) / sizes[name] for name, table in trace.counts.spikes.items()},
                "plan": [way for ways in simulator.plan.values() for way in ways],
                "n": pairs,
            }
            rows.append(row)
            print(f"{case.name}: {ratio:.0f} times Lava ({row['lava_ms']:.1f} ms against {row['ours_ms']:.3f} ms)")
    return {"question": "stock Lava / ours, time of one sample and timestep of the same .net file", "rows": rows}


def about() -> dict[str, object]:
    """Machine, versions, threads, and this script's own hash."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    return {
        "machine": {
            "cpu": fields.get("model name", platform.processor()),
            "family": fields.get("cpu family"),
            "flags": [flag for flag in wanted if flag in fields.get("flags", "").split()],
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "system": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numba": numba.__version__,
            "numpy": np.__version__,
        },
        "threads": torch.get_num_threads(),
        "script_sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
    }


def main() -> None:
    """Measure the parts asked for and write a result file for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("dense", "lava", "all"), default="all")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="only what the goals need")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "dense": lambda: dense(arguments.pairs, arguments.quick),
        "lava": lambda: lava(min(arguments.pairs, 5), arguments.quick),
    }
    RESULTS.mkdir(exist_ok=True)
    for part in parts if arguments.part == "all" else (arguments.part,):
        result = about() | parts[part]()
        path = RESULTS / f"simulator-{part}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(path)


if __name__ == "__main__":
    main()

"""What does a training step cost: time, bytes saved for the backward pass, and peak memory, against the peers?

    python benchmarks/training_accuracy.py                     first: ratios are printed beside accuracies only
    python benchmarks/training.py [--steps 2 4 8 16 32] [--networks vgg11_thin resnet20_widths] [--pairs 9] [--stock]

One step is forward, cross-entropy and backward of 32 images of 3 x 32 x 32, without the optimizer. Networks: a VGG-11
of half width (8 x convolution, batch norm, LIF; a dense read-out) and a chain of ResNet-20's widths (19 convolutions,
T = 4 and 16 only). Ours: `bptt`, `rate`, and `rate_dense`, which is `rate` without event-driven convolutions. Peers, as
their documentation uses them: SpikingJelly (multi-step), snnTorch and Norse (a loop over T). See `training_nets.py`.

All are the same function of the same weights, or nothing is written. That is checked in float64, because at random
weights one spike flipped by a rounding moves thousands further on: in training mode where the batch norm's statistics
are over all timesteps (ours, SpikingJelly), and with the statistics held for all. The loops over T take statistics per
timestep, so in training mode their losses differ; the losses in float32 are in the rows.

One process, one thread, A B C A B C; ratios are medians over rounds of ours / the peer with the smallest median, with
their quartiles. Saved bytes: what autograd packs, each memory once, parameters left out. Peak memory: resident set of
a process of its own over two steps, above what it had after its network was built (what a step loads and compiles is
in it) / above what it had after a step of two images.

All variants run with pages kept mapped between steps, as `spikeport`'s command line trains (`pipeline/allocator.py`):
it favours those that make large tensors, SpikingJelly and `bptt` most. --stock leaves glibc as it is: tensors above 32
MiB are then paid for page by page, and loops over T, whose tensors are smaller, come out better.

The peers are wanted by this script alone. An environment for it, from the root of the repository:

    python3 -m venv build/bench
    build/bench/bin/pip install -c constraints.txt -e '.[fast]' -r benchmarks/requirements-training.txt
    build/bench/bin/pip install --no-deps snntorch==1.0.0 spikingjelly==2.0.0

Results: benchmarks/results/training.json (with --stock: training-stock.json), with machine, versions and the scripts.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import torch
import training_nets
from spikeport.models import ENGINES, rate_conv
from spikeport.pipeline.allocator import keep_pages
from torch.nn import functional
from training_nets import PEERS, Variant

BATCH = 32
MIB = 1 << 20
RESULTS = Path(__file__).parent / "results"
ACCURACY = RESULTS / "training-accuracy.json"
SCRIPTS = ("training.py", "training_nets.py")
STEPS = {"vgg11_thin": (2, 4, 8, 16, 32), "resnet20_widths": (4, 16)}
OURS = ("bptt", "rate", "rate_dense")
AGREE = 1e-6
"""Largest difference of losses that rounding is allowed: networks in float64, the logits of `bptt` in float32."""

# Goal: network, variant, and the largest ratio of step times to the fastest peer at each T.
TIME_GOALS = {
    "bptt": ("vgg11_thin", "bptt", dict.fromkeys((2, 4, 8, 16, 32), 1.0)),
    "G7": ("vgg11_thin", "rate", {4: 0.40, 8: 0.30, 16: 0.25, 32: 0.22}),
    "G8": ("vgg11_thin", "rate_dense", {4: 0.55, 8: 0.50, 16: 0.45, 32: 0.42}),
    "G12": ("resnet20_widths", "rate", {4: 0.45, 16: 0.40}),
}


def build(network: str, n_steps: int, name: str) -> Variant:
    """A variant by its name."""
    if name in PEERS:
        return PEERS[name](network, n_steps)
    if name != "rate_dense":
        return training_nets.ours(network, n_steps, name)
    variant = training_nets.ours(network, n_steps, "rate")

    def forward(images: torch.Tensor) -> torch.Tensor:
        with dense_only():
            return variant.forward(images)

    return Variant(name, variant.net, forward)


@contextlib.contextmanager
def dense_only() -> Iterator[None]:
    """Spike passes without event-driven convolutions."""
    chosen = rate_conv.way_of
    rate_conv.way_of = lambda conv, positions, rate: "dense"
    try:
        yield
    finally:
        rate_conv.way_of = chosen


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, training_nets.SIZE, training_nets.SIZE, generator=rng)
    return images, torch.randint(0, training_nets.N_CLASSES, (BATCH,), generator=rng)


def train_step(variant: Variant, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One step; returns the loss."""
    variant.net.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(variant.forward(images), labels)
    loss.backward()
    return loss.detach()


def check_agreement(network: str, n_steps: int, names: list[str]) -> dict[str, dict[str, float]]:
    """Losses in float64 of eight images, in training mode and with the statistics held; exits where they must agree and
    do not."""
    images, labels = (x[:8] for x in batch())
    images = images.double()
    held = statistics_of(network, n_steps, images)
    losses: dict[str, dict[str, float]] = {}
    for name in names:
        variant = build(network, n_steps, name)
        variant.net.double()
        with torch.no_grad():
            training = functional.cross_entropy(variant.forward(images), labels).item()
            norms = [m for m in variant.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            for norm, state in zip(norms, held, strict=True):
                norm.load_state_dict(state)
            variant.net.eval()
            losses[name] = {
                "training": training,
                "held": functional.cross_entropy(variant.forward(images), labels).item(),
            }
    for mode, without in (("training", ("snntorch", "norse")), ("held", ())):
        found = {name: loss[mode] for name, loss in losses.items() if name not in without}
        if max(found.values()) - min(found.values()) > AGREE:
            raise SystemExit(
                f"{network} T={n_steps}: the losses differ in {mode} mode, so not the same network: {found}"
            )
    return losses


def statistics_of(network: str, n_steps: int, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """The state of every batch norm that has seen the images and nothing else."""
    net = build(network, n_steps, "bptt").net.double()
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net(images)
    return [norm.state_dict() for norm in norms]


def spike_rates(network: str, n_steps: int) -> list[float]:
    """Spikes per neuron and timestep of each layer, in training mode."""
    net = training_nets.reference(network, n_steps)
    taps = [unit.name for unit in net.architecture.units[:-1]]
    with torch.no_grad():
        _, spikes = net(batch()[0], taps)
    return [float(spikes[name].mean()) for name in taps]


def saved_bytes(variant: Variant) -> int:
    """What autograd keeps for the backward pass of one step."""
    images, labels = batch()
    kept: dict[int, int] = {}
    known = {p.untyped_storage().data_ptr() for p in variant.net.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = functional.cross_entropy(variant.forward(images), labels)
    found = sum(kept.values())
    loss.backward()
    return found


def peak_rss(network: str, n_steps: int, name: str, stock: bool) -> tuple[int, int] | None:
    """What `probe` finds in a process of its own; None where Linux is not."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    flags = ["--stock"] if stock else []
    command = [sys.executable, "-W", "ignore", __file__, *flags, "--probe", network, str(n_steps), name]
    cold, warm = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return int(cold), int(warm)


def probe(network: str, n_steps: int, name: str) -> tuple[int, int]:
    """Peak resident bytes of two steps: above the built network, and above the same after a step of two images."""
    variant = build(network, n_steps, name)
    images, labels = batch()
    gc.collect()
    built = status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    train_step(variant, images[:2], labels[:2])
    loaded = status_bytes("VmRSS")
    for _ in range(2):
        train_step(variant, images, labels)
    peak = status_bytes("VmHWM")
    return peak - built, peak - loaded


def status_bytes(field: str) -> int:
    """A number of this process, from the kernel."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def timed(variants: list[Variant], pairs: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of every step of every variant, in turn, after one that warms up; and the losses in float32."""
    images, labels = batch()
    losses = {variant.name: float(train_step(variant, images, labels)) for variant in variants}
    seconds: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for _ in range(pairs):
        for variant in variants:
            start = time.perf_counter()
            train_step(variant, images, labels)
            seconds[variant.name].append(time.perf_counter() - start)
    return seconds, losses


def measure(network: str, n_steps: int, arguments: argparse.Namespace) -> dict[str, object]:
    """One network at one T: every variant."""
    pairs = arguments.pairs
    mine = [name for name in OURS if name.removesuffix("_dense") in ENGINES]
    names = [*mine, *PEERS]
    losses64 = check_agreement(network, n_steps, names)
    seconds, losses = timed([build(network, n_steps, name) for name in names], pairs)
    fastest = min(PEERS, key=lambda name: statistics.median(seconds[name]))
    rows = {}
    for name in names:
        ratios = [a / b for a, b in zip(seconds[name], seconds[fastest], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if pairs > 1 else ratios * 3
        rows[name] = {
            "median_ms": 1e3 * statistics.median(seconds[name]),
            "p25_ms": 1e3 * statistics.quantiles(seconds[name], n=4)[0] if pairs > 1 else 1e3 * seconds[name][0],
            "min_ms": 1e3 * min(seconds[name]),
            "median_ratio": statistics.median(ratios),
            "quartiles": [low, high],
            "loss_float32": losses[name],
            "loss_float64": losses64[name],
            "saved_mib": saved_bytes(build(network, n_steps, name)) / MIB,
        }
        peaks = None if arguments.quick else peak_rss(network, n_steps, name, arguments.stock)
        rows[name]["peak_mib"], rows[name]["peak_loaded_mib"] = (
            [peak / MIB for peak in peaks] if peaks else (None, None)
        )
    return {
        "network": network,
        "T": n_steps,
        "n": pairs,
        "fastest_peer": fastest,
        "spike_rates": spike_rates(network, n_steps),
        "variants": rows,
    }


def show(cell: dict, accuracy: dict[str, dict]) -> None:
    """Print one network at one T; ratios of ours only beside an accuracy."""
    rate = statistics.mean(cell["spike_rates"])
    print(f"\n{cell['network']}, T = {cell['T']}, {rate:.0%} of neurons spike per timestep; n = {cell['n']}")
    for name, row in cell["variants"].items():
        scored = accuracy.get(name.removesuffix("_dense"))
        peak = "" if row["peak_mib"] is None else f"  peak {row['peak_mib']:5.0f} / {row['peak_loaded_mib']:5.0f} MiB"
        line = f"  {name:13s} {row['median_ms']:7.0f} ms  saved {row['saved_mib']:7.1f} MiB{peak}"
        if name == cell["fastest_peer"]:
            line += "  fastest peer"
        elif scored is not None:
            line += f"  x {row['median_ratio']:.2f} ({row['quartiles'][0]:.2f} to {row['quartiles'][1]:.2f})"
            line += "".join(f"  {task} {by['mean']:.1%} +- {by['std']:.1%}" for task, by in scored.items())
        print(line, flush=True)


def goals(cells: list[dict]) -> dict[str, list[dict]]:
    """Each goal with what was measured, and whether it is met."""
    found: dict[str, list[dict]] = {}
    at = {(cell["network"], cell["T"]): cell["variants"] for cell in cells}

    def judge(goal: str, where: dict[str, object], value: Callable[[], float | None], at_most: float) -> None:
        with contextlib.suppress(KeyError, TypeError):  # not measured this time
            ratio = value()
            found.setdefault(goal, []).append(where | {"ratio": ratio, "at_most": at_most, "met": ratio <= at_most})

    for goal, (network, name, limits) in TIME_GOALS.items():
        for n_steps, limit in limits.items():
            judge(goal, {"T": n_steps}, lambda: at[network, n_steps][name]["median_ratio"], limit)  # noqa: B023
    vgg = "vgg11_thin"
    judge("G9", {"T": "32 / 2"}, lambda: at[vgg, 32]["rate"]["saved_mib"] / at[vgg, 2]["rate"]["saved_mib"], 1.02)
    judge("G10", {"T": 16}, lambda: at[vgg, 16]["rate"]["saved_mib"] / at[vgg, 16]["spikingjelly"]["saved_mib"], 0.06)
    judge(
        "G11",
        {"T": 16},
        lambda: at[vgg, 16]["rate"]["peak_mib"] / min(at[vgg, 16][name]["peak_mib"] for name in PEERS),
        0.25,
    )
    return found


def about() -> dict[str, object]:
    """Machine, versions, threads, scripts."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    packages = ("torch", "numba", "numpy", "spikingjelly", "snntorch", "norse")
    return {
        "machine": {
            "cpu": fields.get("model name", platform.processor()),
            "family": fields.get("cpu family"),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "threads": torch.get_num_threads(),
        "batch": BATCH,
        "scripts": {name: Path(__file__).with_name(name).read_text() for name in SCRIPTS},
    }


def main() -> None:
    """Measure what is asked for and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=tuple(STEPS), default=list(STEPS))
    parser.add_argument("--steps", nargs="+", type=int, default=None, help="timesteps T (default: all of a network)")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="no peak memory, and nothing is written")
    parser.add_argument("--stock", action="store_true", help="leave the C library's allocator as it is")
    parser.add_argument("--probe", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = not arguments.stock and keep_pages()
    if arguments.probe:
        network, n_steps, name = arguments.probe
        print(*probe(network, int(n_steps), name))
        return
    accuracy = json.loads(ACCURACY.read_text())["accuracy"] if ACCURACY.exists() else {}
    if not accuracy:
        print(f"{ACCURACY.name} is missing: run training_accuracy.py; no ratio of ours is printed without it")
    before = about() | {"allocator": "pages kept" if kept else "the C library's own settings"}
    cells = []
    for network in arguments.networks:
        for n_steps in arguments.steps or STEPS[network]:
            cells.append(measure(network, n_steps, arguments))
            show(cells[-1], accuracy)
    met = goals(cells)
    if accuracy:
        print(json.dumps(met, indent=1))
    if arguments.quick:
        return
    RESULTS.mkdir(exist_ok=True)
    question = "forward and backward of one training step / the fastest peer's"
    result = {"question": question} | before | {"accuracy": accuracy, "goals": met, "rows": cells}
    path = RESULTS / ("training-stock.json" if arguments.stock else "training.json")
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()

"""How accurate are the two engines after equal epochs? A time ratio means nothing without it.

    python benchmarks/training_accuracy.py [--tasks digits cifar10] [--seeds 3]

The same network, neuron (`training_nets.LIF`), optimizer, learning rates, batches and initial weights for both engines;
only the gradient differs. From scratch, cross-entropy on the mean of the logits, AdamW with one learning rate cycle.
The test accuracy is that of the last epoch: nothing is selected. Both engines' networks are evaluated by their spikes.

    digits     1 x 8 x 8, three convolutions, all training images
    cifar10    3 x 32 x 32, five convolutions, the first 5000 training images, 2000 of the test set; needs the files

Neither is a published number: they say whether an engine learns, and how far apart the two are. Results:
benchmarks/results/training-accuracy.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import training_nets
from spikeport.models import ARCHITECTURES, ENGINES, GraphNet, as_spiking, build_ann
from spikeport.models.datasets import Images, batches, load
from torch.nn import functional

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Task:
    """What is learned, by what, for how long. n_train, n_test: images used, from the first."""

    architecture: str
    n_steps: int
    epochs: int
    batch: int
    learning_rate: float
    n_train: int | None = None
    n_test: int | None = None


TASKS = {
    "digits": Task("digits_conv", n_steps=4, epochs=15, batch=64, learning_rate=4e-3),
    "cifar10": Task("vgg_small", n_steps=4, epochs=10, batch=64, learning_rate=4e-3, n_train=5000, n_test=2000),
}


def train(task: Task, engine: str, seed: int, images: Images) -> tuple[GraphNet, float]:
    """(the trained network, seconds it took)."""
    ann = build_ann(ARCHITECTURES[task.architecture](), torch.Generator().manual_seed(seed))
    net = as_spiking(ann, training_nets.LIF, task.n_steps)
    optimizer = torch.optim.AdamW(net.parameters(), lr=task.learning_rate, weight_decay=1e-3)
    per_epoch = -(-len(images) // task.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, task.learning_rate, total_steps=task.epochs * per_epoch)
    rng = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    for _ in range(task.epochs):
        for index in batches(len(images), task.batch, rng):
            optimizer.zero_grad(set_to_none=True)
            logits = ENGINES[engine].run(net, images.floats(index), ()).logits
            functional.cross_entropy(logits, images.y[index]).backward()
            optimizer.step()
            cycle.step()
    return net, time.perf_counter() - start


def score(net: GraphNet, images: Images, batch: int = 250) -> float:
    """Share of images classified right, by the mean of the logits over the spiking timesteps."""
    net.eval()
    right = 0
    with torch.no_grad():
        for index in batches(len(images), batch):
            logits, _ = net(images.floats(index))
            right += int((logits.mean(0).argmax(1) == images.y[index]).sum())
    return right / len(images)


def compare(name: str, seeds: int) -> dict[str, dict]:
    """Each engine's accuracy on one task."""
    task = TASKS[name]
    train_images, test_images = load(name)
    train_images, test_images = train_images.subset(slice(task.n_train)), test_images.subset(slice(task.n_test))
    found: dict[str, dict] = {}
    for engine in ("bptt", "rate"):
        scores, seconds = [], []
        for seed in range(seeds):
            net, took = train(task, engine, seed, train_images)
            scores.append(score(net, test_images))
            seconds.append(took)
        found[engine] = {
            "mean": statistics.mean(scores),
            "std": statistics.stdev(scores) if seeds > 1 else 0.0,
            "scores": scores,
            "seconds": seconds,
            "n_train": len(train_images),
            "n_test": len(test_images),
        }
        row = found[engine]
        print(
            f"{name:8s} {engine:5s} {row['mean']:.2%} +- {row['std']:.2%} (n = {seeds} seeds, {row['n_test']} images)"
            f"  {statistics.median(seconds):.0f} s",
            flush=True,
        )
    return found


def main() -> None:
    """Measure the tasks asked for and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=["digits"])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    accuracy: dict[str, dict] = {}
    for name in arguments.tasks:
        for engine, row in compare(name, arguments.seeds).items():
            accuracy.setdefault(engine, {})[name] = row
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    result = {
        "question": "test accuracy of both engines after equal epochs",
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "tasks": {name: vars(TASKS[name]) for name in arguments.tasks},
        "accuracy": accuracy,
        "script": Path(__file__).read_text(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "training-accuracy.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()

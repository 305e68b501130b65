"""What do the two ways of carrying shortcuts cost? Training with small thresholds, or copies in the exported file.

    OMP_NUM_THREADS=1 python benchmarks/relays.py [--seeds 3] [--out FOLDER]

A ResNet-20 on digits, trained, refined and quantized with `quantize.relays=rescale` (layers that host relays keep their
threshold below 254) and `copies` (they keep their scale; the export adds biases and copies). Per seed both start from
the same refined network. Reported per seed are the integer network's test accuracies with n and 95 % interval, the
images that only one of the two gets right, the thresholds of the hosts, and the neurons and stored synapses that the
chain has beyond the graph; chain and graph are simulated and equal. All seeds answer the same test images, so their
answers are not pooled into one interval: over seeds there are the mean and every difference. Writes
benchmarks/results/relays.json.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from spikeport.export.lowering import to_chain
from spikeport.export.lowering_rewrite import RelayRewrite, stored_synapses
from spikeport.pipeline.artefacts import load_network
from spikeport.pipeline.chain import opened
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.quantize import PREDICTIONS
from spikeport.pipeline.recipe import load

ROOT = Path(__file__).parent.parent
SETTINGS = ["model.architecture=resnet20", "train.epochs=6", "refine.epochs=4", "quantize.epochs=2"]
STAGES = ("train", "convert", "refine", "quantize", "export")
WAYS = ("rescale", "copies")


def measure(seed: int, way: str, out: Path) -> tuple[dict[str, Any], torch.Tensor]:
    """One run up to its exported file: its numbers, and which test images its integer network gets right."""
    recipe = load(ROOT / "recipes" / "digits.yaml", [*SETTINGS, f"seed={seed}", f"quantize.relays={way}"])
    with opened(recipe, out, Progress(quiet=True)) as run:
        done = {stage: run.finish(stage) for stage in STAGES}
    graph = load_network(done["quantize"].folder)
    chain, rewrites = to_chain(graph)
    relays = [rewrite for rewrite in rewrites if isinstance(rewrite, RelayRewrite)]
    thresholds = {relay.layer: graph[relay.layer].neuron.v_th_mant for relay in relays}
    drives = Counter(f"{relay.inputs} synapses, bias {relay.bias}" for relay in relays)
    answers = read_tensors(done["quantize"].folder / PREDICTIONS)["test"][-1]
    return {
        "seed": seed,
        "way": way,
        "test": done["quantize"].manifest["metrics"]["test"],
        "host_thresholds": thresholds,
        "drives": dict(drives),
        "graph": {"neurons": sum(p.size for p, _ in graph.neurons), "synapses": stored_synapses(graph)},
        "added": done["export"].manifest["metrics"]["added"],
        "chain_synapses": stored_synapses(chain),
    }, answers == load_splits(recipe).test.y


def compared(rows: dict[str, dict[str, Any]], right: dict[str, torch.Tensor]) -> dict[str, Any]:
    """One seed: how the ways differ. right: bool (N,) by way."""
    rescaled, copied = (right[way] for way in WAYS)
    return {
        "seed": rows["copies"]["seed"],
        "accuracy_copies_minus_rescale": rows["copies"]["test"]["accuracy"] - rows["rescale"]["test"]["accuracy"],
        "right_only_rescaled": int((rescaled & ~copied).sum()),
        "right_only_with_copies": int((copied & ~rescaled).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where runs are kept; a temporary folder if left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        rows, differences = [], []
        for seed in range(arguments.seeds):
            measured = {way: measure(seed, way, out) for way in WAYS}
            rows += [row for row, _ in measured.values()]
            both = {way: row for way, (row, _) in measured.items()}
            differences.append(compared(both, {way: right for way, (_, right) in measured.items()}))
    result = {
        "question": "accuracy and size of a residual network whose shortcuts are carried with and without copies",
        "mean_accuracy": {
            way: statistics.mean(row["test"]["accuracy"] for row in rows if row["way"] == way) for way in WAYS
        },
        "differences": differences,
        "runs": rows,
        "settings": SETTINGS,
        "threads": torch.get_num_threads(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "script": Path(__file__).read_text(),
    }
    path = Path(__file__).parent / "results" / "relays.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path, result["mean_accuracy"], differences)


if __name__ == "__main__":
    main()

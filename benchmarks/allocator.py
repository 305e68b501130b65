"""What is keeping pages mapped worth in a training step on the CPU? (`spikeport/pipeline/allocator.py`)

    python benchmarks/allocator.py

Two processes of the same step, one with and one without the setting, alternate pair by pair. Each makes a few forward
and backward passes of the strided VGG at T = 4 and reports the median of all but the first. The result is the median of
the pairwise ratios, with all of them, in benchmarks/results/allocator.json.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

PAIRS, STEPS, BATCH = 5, 4, 128


def step_seconds(keep: bool) -> float:
    """The median training step in this process."""
    import torch
    from spikeport.models import ARCHITECTURES, PROFILES, as_spiking, build_ann
    from spikeport.pipeline.allocator import keep_pages

    if keep and not keep_pages():
        raise SystemExit("this C library has no mallopt; there is nothing to measure")
    torch.manual_seed(0)
    architecture = ARCHITECTURES["vgg_strided"]((3, 32, 32), 10)
    net = as_spiking(build_ann(architecture), PROFILES["loihi"], 4)
    x = torch.rand(BATCH, 3, 32, 32)
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            logits, _ = net(x)
        logits.float().mean().backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Measure alternating pairs and write the result file."""
    import torch

    pairs = []
    for _ in range(PAIRS):
        seconds = [
            float(subprocess.run([sys.executable, __file__, flag], check=True, capture_output=True, text=True).stdout)
            for flag in ("--keep", "--stock")
        ]
        pairs.append({"keep_s": seconds[0], "stock_s": seconds[1], "ratio": seconds[0] / seconds[1]})
        print(pairs[-1])
    result = {
        "question": "training step with pages kept / training step with glibc's default",
        "median_ratio": statistics.median(pair["ratio"] for pair in pairs),
        "pairs": pairs,
        "steps_per_process": STEPS,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "script": Path(__file__).read_text(),
    }
    path = Path(__file__).parent / "results" / "allocator.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path, result["median_ratio"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(step_seconds(sys.argv[1] == "--keep"))
    else:
        main()

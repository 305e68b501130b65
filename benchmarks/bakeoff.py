"""Which refinement method is best, under one teacher and one budget? Runs a comparison and keeps its result.

    python benchmarks/bakeoff.py recipes/compare-cifar10.yaml [--out runs] [--jobs 2] [--deploy]

Writes benchmarks/results/compare-<name>.json, .svg and .png: the result (docs/compare.md), the machine, the compare
file, and this script. What is finished is reused, so the script can be started after the comparison, or again.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from spikeport.pipeline.compare.spec import load

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, object]:
    """The processor and the accelerator, as far as the system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": model, "cores": os.cpu_count(), "gpu": gpu, "system": platform.platform()}


def main() -> None:
    """Run the comparison to its end and write the result files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--deploy", action="store_true")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "spikeport", "compare", str(arguments.file), "--out", str(arguments.out)]
    command += ["--jobs", str(arguments.jobs), *(["--deploy"] if arguments.deploy else [])]
    subprocess.run(command, check=True)
    name = load(arguments.file).name
    folder = arguments.out / name
    result = {
        "question": "accuracy of the refinement methods under one teacher and one budget, with what each costs",
        "machine": machine(),
        "jobs": arguments.jobs,
        "result": json.loads((folder / "compare.json").read_text()),
        "file": arguments.file.read_text(),
        "script": Path(__file__).read_text(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"compare-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    for kind in ("svg", "png"):
        shutil.copyfile(folder / f"compare.{kind}", path.with_suffix(f".{kind}"))
    print(path)


if __name__ == "__main__":
    main()

"""What does the whole chain cost in accuracy, operations and time? Runs a recipe and keeps its report as a result.

    python benchmarks/waterfall.py recipes/cifar10.yaml [--out runs] [--name cifar10]

Writes benchmarks/results/waterfall-<name>.json, by default of the recipe's name: the run's report, the seconds and test
accuracy of each stage, the recipe, machine and versions, and this script. A finished run is reused, so the script can
be started after the run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import yaml
from spikeport.pipeline.recipe import load
from spikeport.pipeline.runs import folder_of, read_manifest

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, object]:
    """The processor, as far as the operating system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform()}


def main() -> None:
    """Run the recipe to its end and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--name")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "spikeport", "run", str(arguments.recipe), "--out", str(arguments.out)]
    subprocess.run(command, check=True)
    recipe = load(arguments.recipe)
    folder = folder_of(recipe, arguments.out)
    stages = {path.parent.name: read_manifest(path.parent) for path in sorted(folder.glob("*/manifest.json"))}
    report = json.loads((folder / "report" / "report.json").read_text())
    result = {
        "question": "accuracy, synaptic operations and energy at every step of the chain",
        "machine": machine(),
        "versions": report["versions"],
        "recipe": yaml.safe_load((folder / "report" / "recipe.yaml").read_text()),
        "stages": {
            name: {
                "seconds": manifest["seconds"],
                "continued": manifest["continued"],
                "test": manifest["metrics"].get("test"),
                "validation": manifest["metrics"].get("validation"),
            }
            for name, manifest in stages.items()
        },
        "report": report,
        "script": Path(__file__).read_text(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"waterfall-{arguments.name or recipe.name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()

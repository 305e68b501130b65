"""How closely do other people's networks survive? What two tests of the suite measure, kept.

    make peers && python benchmarks/foreign.py

frameworks: deployed files against the spikes that snnTorch, SpikingJelly and Norse recorded of their own networks.
onnx: a ResNet that torch exported, converted with soft reset, at growing T against the ANN (digits).

The tests measure and assert floors; the lines they print go to benchmarks/results/<question>.json. One thread.
"""

import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = {
    "frameworks": ("tests/peers/test_nir_frameworks.py", r"^\.?(snntorch|spikingjelly|norse) "),
    "onnx": ("tests/pipeline/adopt/test_student.py", r"^ANN .*converted"),
}
"""By name: the test that measures, and what its lines look like."""


def measure(name: str) -> None:
    """Run one test and write the result file."""
    test, pattern = QUESTIONS[name]
    command = [sys.executable, "-m", "pytest", "-s", "-q", test]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    lines = [line.lstrip(".") for line in done.stdout.splitlines() if re.match(pattern, line)]
    if done.returncode or not lines:
        raise SystemExit(done.stdout[-3000:])
    requirements = [ROOT / "tests" / "peers" / file for file in ("requirements.txt", "requirements-nodeps.txt")]
    result = {
        "measured": lines,
        "outcome": done.stdout.splitlines()[-1],
        "peers": [line for path in requirements for line in path.read_text().splitlines() if line],
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "versions": {package: version(package) for package in ("torch", "norse", "nir", "onnx", "numpy")},
        "test": (ROOT / test).read_text(),
        "script": Path(__file__).read_text(),
    }
    (ROOT / "benchmarks" / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    for question in QUESTIONS:
        measure(question)

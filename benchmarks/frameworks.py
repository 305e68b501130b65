"""How closely do deployed files fire as the networks that snnTorch, SpikingJelly and Norse wrote?

    make peers && python benchmarks/frameworks.py

The test tests/peers/test_nir_frameworks.py measures it against the frameworks' own recorded spikes and asserts floors;
this keeps what it measured, line by line, in benchmarks/results/frameworks.json.
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
TEST = ROOT / "tests" / "peers" / "test_nir_frameworks.py"
MEASURED = re.compile(r"^\.?(snntorch|spikingjelly|norse) ")


def main() -> None:
    """Run the test and write the result file."""
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:randomly", str(TEST)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.lstrip(".") for line in done.stdout.splitlines() if MEASURED.match(line)]
    if done.returncode or not lines:
        raise SystemExit(done.stdout[-3000:])
    requirements = [ROOT / "tests" / "peers" / name for name in ("requirements.txt", "requirements-nodeps.txt")]
    result = {
        "question": "spikes of networks written by other frameworks, their own against ours: float, then integer file",
        "measured": lines,
        "outcome": done.stdout.splitlines()[-1],
        "peers": [line for path in requirements for line in path.read_text().splitlines() if line],
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "versions": {name: version(name) for name in ("torch", "norse", "nir", "numpy")},
        "test": TEST.read_text(),
        "script": Path(__file__).read_text(),
    }
    out = ROOT / "benchmarks" / "results" / "frameworks.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

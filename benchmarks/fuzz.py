"""Does any damaged file crash, hang, overfill or silently mislead the readers?

    python benchmarks/fuzz.py [--files 100000] [--workers 2]

Small valid `.net`, `.nir` and `.onnx` files are damaged (`tests/property/mutations.py`) and read in worker processes
(`tests/property/judges.py` says what came of it). A worker that ends with an exception, dies, or is silent for longer
than the limit is replaced, and the file it was reading is counted. The result is benchmarks/results/fuzz.json: per kind
of file how many were refused, read unchanged, read as changed (a second, naive reading agrees), and what must be zero:
wrong silences, other exceptions, crashes, hangs. Every file can be made again from its number.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEED = 20261121
HANG_S = 20.0
BLOCK = 5000
"""Files one worker process reads."""

NEVER = ("wrong silence", "exception", "crash", "hang")


def work(folder: Path, start: int, stop: int) -> None:
    """In a worker: damage and read files start..stop, one line of outcome each."""
    sys.path[:0] = [str(ROOT / "tests" / "property")]
    import numpy as np
    from judges import judge, read
    from mutations import mutate

    seeds = sorted((folder / "seeds").iterdir())
    intact = [read(path) for path in seeds]
    print(f"ready {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)
    for number in range(start, stop):
        choice = number % len(seeds)
        path = folder / f"{os.getpid()}{seeds[choice].suffix}"
        path.write_bytes(seeds[choice].read_bytes())
        mutate(path, np.random.default_rng([SEED, number]))
        print(f"file {number} {path}", flush=True)
        outcome = judge(path, intact[choice])
        print(f"done {number} {outcome}", flush=True)
        path.unlink()
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)


class Worker:
    """One process and the numbers it is to read."""

    def __init__(self, folder: Path, start: int, stop: int) -> None:
        command = [sys.executable, "-W", "ignore", __file__, "--work", str(folder), str(start), str(stop)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the worker
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=environment)
        self.start, self.stop = start, stop
        self.size, self.changed = 0, time.monotonic()

    def lines(self) -> list[str]:
        """What it has said so far."""
        self.log.seek(0)
        return self.log.read().splitlines()

    def hangs(self) -> bool:
        """Whether it has said nothing for too long."""
        size = os.fstat(self.log.fileno()).st_size
        if size != self.size:
            self.size, self.changed = size, time.monotonic()
        return time.monotonic() - self.changed > HANG_S


def main() -> None:
    """Read `--files` damaged files and write the summary."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "fuzz.json")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        sys.path[:0] = [str(ROOT / "tests" / "property")]
        from seeds import write_seeds

        write_seeds(folder / "seeds")
        seeds = [path.name for path in sorted((folder / "seeds").iterdir())]
        counts, troubles, growth = _run(folder, options.files, options.workers, seeds)
    result = {
        "question": "what comes of reading damaged files",
        "files": options.files,
        "seed": SEED,
        "seed_files": seeds,
        "outcomes": {kind: dict(sorted(table.items())) for kind, table in sorted(counts.items())},
        "must_be_zero": {what: sum(table[what] for table in counts.values()) for what in NEVER},
        "troubles": troubles[:50],
        "largest_memory_growth_mb": growth,
        "hang_limit_s": HANG_S,
        "seconds": round(time.monotonic() - began),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "versions": {name: version(name) for name in ("h5py", "onnx", "nir", "numpy")},
        "script": Path(__file__).read_text(),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("outcomes", "must_be_zero", "troubles", "seconds")}, indent=1))


def _run(folder: Path, files: int, workers: int, seeds: list[str]) -> tuple[dict[str, Counter], list[str], float]:
    waiting = [(start, min(start + BLOCK, files)) for start in range(0, files, BLOCK)]
    running: list[Worker] = []
    counts = {Path(name).suffix: Counter() for name in seeds}
    troubles: list[str] = []
    growth = 0.0

    def count(number: int, outcome: str) -> None:
        kind = Path(seeds[number % len(seeds)]).suffix
        counts[kind][next((what for what in NEVER if outcome.startswith(what)), outcome)] += 1
        if outcome.startswith(NEVER):
            troubles.append(f"{number} {seeds[number % len(seeds)]}: {outcome}")
            print(troubles[-1], flush=True)

    while waiting or running:
        while waiting and len(running) < workers:
            running.append(Worker(folder, *waiting.pop()))
        time.sleep(0.2)
        for worker in list(running):
            hung = worker.process.poll() is None and worker.hangs()
            if worker.process.poll() is None and not hung:
                continue
            if hung:
                worker.process.kill()
            status = worker.process.wait()
            lines = worker.lines()
            running.remove(worker)
            last = worker.start - 1
            memory = [int(line.split()[1]) for line in lines if line.startswith(("ready", "peak"))]
            growth = max(growth, (memory[-1] - memory[0]) / 1024 if memory else 0.0)
            for line in lines:
                if line.startswith("done"):
                    last = int(line.split()[1])
                    count(last, line.split(maxsplit=2)[2])
            if status != 0:
                if not any(line.startswith("ready") for line in lines):
                    raise SystemExit(f"a worker could not start (status {status})")
                died = f"exception: {lines[-1]}" if status == 1 else f"crash with status {status}"
                count(last + 1, "hang" if hung else died)
                if last + 2 < worker.stop:
                    waiting.append((last + 2, worker.stop))
            print(
                f"{sum(sum(t.values()) for t in counts.values())} of {files} files, {len(troubles)} troubles",
                flush=True,
            )
    return counts, troubles, round(growth, 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()

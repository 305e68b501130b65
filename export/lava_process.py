"""Lava in its own environment: where its Python is, and a subprocess of it that cannot hang or outlive us.

The subprocess gets its own session, no standard input, a log file for output, a time limit, and at the end, however it
ends, signals to every process it started. Set the environment up with `make lava`; nothing else of Spikeport needs it.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from pathlib import Path

from ..hw import OracleFailed

PYTHON_VARIABLE = "SPIKEPORT_LAVA"
"""Environment variable that names the Python of the Lava environment."""

ROOT = Path(__file__).resolve().parent.parent
RUNNER_FOLDER = Path(__file__).resolve().parent / "lava_runner"
"""Scripts the Lava environment's Python executes."""

WAY_OUT = f"set the Lava environment up with `make lava`, or name its Python in {PYTHON_VARIABLE}"
TERM_GRACE_S = 1.5  # long enough for Python's resource tracker to remove shared memory
LOG_LINES = 15


def find_python(python: str | os.PathLike[str] | None = None) -> Path:
    """The Lava environment's Python: `python`, else what SPIKEPORT_LAVA names, else `.lava/bin/python` at the root.

    Raises OracleFailed if there is no such file.
    """
    named = python or os.environ.get(PYTHON_VARIABLE)
    path = Path(named) if named else ROOT / ".lava" / "bin" / "python"
    if not path.is_file():
        raise OracleFailed(f"lava: there is no Python at {path}; {WAY_OUT}")
    return path


def available(python: str | os.PathLike[str] | None = None) -> bool:
    """Whether a Lava environment is there and has Lava in it (looked for, not imported; takes about 0.1 s once)."""
    try:
        return _has_lava(str(find_python(python)))
    except OracleFailed:
        return False


@functools.cache
def _has_lava(python: str) -> bool:
    probe = "import importlib.metadata as m; m.version('lava-nc'); m.version('lava-dl')"
    try:
        done = subprocess.run(
            [python, "-c", probe], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def execute(command: list[str], *, log: Path, timeout_s: float) -> None:
    """Run a command to its end and see that nothing it started is left; OracleFailed unless it succeeds in time."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    status: int | None = None
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _end_session(process)
    if status is None:
        raise OracleFailed(
            f"lava: not done after {timeout_s:g} s and stopped; allow more with timeout_s, or run fewer samples. "
            f"The log ends:\n{log_tail(log)}"
        )
    if status != 0:
        raise OracleFailed(f"lava: ended with status {status}; {WAY_OUT}. The log ends:\n{log_tail(log)}")


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End every process of the session. SIGTERM first: SIGKILL alone would leak Lava's shared memory."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + TERM_GRACE_S
        try:
            os.killpg(process.pid, signal_number)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.02)
        except ProcessLookupError:  # nobody is left
            break
    process.wait()


def log_tail(log: Path) -> str:
    """The last lines of a log, indented, for a message."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:]) or "    (empty)"

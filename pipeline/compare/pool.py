"""Several cells at a time, each in a process of its own; a failing one is told and the others go on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import IO

from ..progress import Progress
from .cells import LOG, RECIPE, Cell

POLL_S = 0.05
SHOWN_LINES = 40

Command = Callable[[Cell, str], list[str]]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A cell that did not come to its end. code: of its process. said: the end of its output."""

    cell: Cell
    code: int
    said: str


def worker(cell: Cell, last: str) -> list[str]:
    """The command that runs a cell up to the stage `last`."""
    module = f"{__name__.rpartition('.')[0]}.worker"
    return [sys.executable, "-m", module, str(cell.root / RECIPE), str(cell.root), last]


def run_cells(
    cells: Sequence[Cell], last: str, jobs: int, progress: Progress, command: Command = worker
) -> list[Failure]:
    """Run prepared cells up to a stage, `jobs` at a time, in order. Returns those that failed.

    A cell's process gets a pipe as its standard input, which closes when this one ends, whatever ends it. An exception
    here (an interrupt, say) stops the processes; their cells continue next time.
    """
    waiting, failures = list(cells), list[Failure]()
    running: dict[subprocess.Popen[bytes], tuple[Cell, float]] = {}
    try:
        with progress.task("cells", total=len(cells)) as bar:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell = waiting.pop(0)
                    running[_start(command(cell, last), cell)] = cell, time.monotonic()
                for process in [p for p in running if p.poll() is not None]:
                    cell, started = running.pop(process)
                    _close(process.stdin)
                    failures += _told(cell, process.returncode, time.monotonic() - started, progress)
                    bar.advance(1)
                time.sleep(POLL_S)
    finally:
        for process in running:
            _stop(process)
    return failures


def _told(cell: Cell, code: int, seconds: float, progress: Progress) -> list[Failure]:
    """Say how a cell ended; the failure, if it is one."""
    if code == 0:
        progress.stage(f"{cell.name}: done in {seconds:.0f} s")
        return []
    text = (cell.root / LOG).read_text(encoding="utf-8", errors="replace")
    said = "\n".join(text.splitlines()[-SHOWN_LINES:])
    progress.stage(f"{cell.name}: FAILED after {seconds:.0f} s (exit code {code}):\n{indent(said, '  ')}")
    return [Failure(cell=cell, code=code, said=said)]


def _start(command: list[str], cell: Cell) -> subprocess.Popen[bytes]:
    with (cell.root / LOG).open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)


def _stop(process: subprocess.Popen[bytes]) -> None:
    _close(process.stdin)
    process.terminate()
    process.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()

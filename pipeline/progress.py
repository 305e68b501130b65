"""What a user sees of long work: a bar on a terminal, plain lines elsewhere, stage lines alone when quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.markup import escape

LABELS = {"loss": "loss {:.4f}", "acc": "acc {:.2%}", "spikes": "spikes/neuron {:.3f}"}
"""How the known values are shown; any other value is shown as `name 1.234`."""


class Task:
    """Progress of one piece of work. `advance` counts steps and takes the newest values of what is measured."""

    def __init__(self, show: Callable[[Task], None], name: str, total: int, clock: Callable[[], float]) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.values: dict[str, float] = {}
        self._show = show
        self._clock = clock
        self._started = clock()

    def advance(self, n: int = 1, **values: float) -> None:
        """Count `n` more steps; values (loss, acc, spikes, ...) replace the ones shown."""
        self.done += n
        self.values |= values
        self._show(self)

    @property
    def seconds(self) -> float:
        """Seconds since the task began."""
        return self._clock() - self._started

    @property
    def text(self) -> str:
        """The newest values, in words."""
        return "  ".join(LABELS.get(name, name + " {:.4g}").format(value) for name, value in self.values.items())


class Progress:
    """Shows tasks and lines on `console`. interval_s: seconds between a task's plain lines.

    quiet: only `stage` lines are shown.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        console: Console | None = None,
        interval_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quiet = quiet
        self.console = console or Console(stderr=True, highlight=False)
        self._interval_s = interval_s
        self._clock = clock

    def stage(self, text: str) -> None:
        """A line about a whole stage: always shown."""
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line within a stage: shown unless quiet."""
        if not self.quiet:
            self.stage(text)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """A piece of work of `total` steps."""
        if self.quiet:
            yield Task(lambda task: None, name, total, self._clock)
        elif self.console.is_terminal:
            with self._bar(name, total) as task:
                yield task
        else:
            with self._lines(name, total) as task:
                yield task

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Task]:
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[rate]}"),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[values]}"),
        )
        with bars.Progress(*columns, console=self.console, transient=True) as shown:
            handle = shown.add_task(escape(name), total=total, rate="", values="")

            def show(task: Task) -> None:
                shown.update(handle, completed=task.done, rate=_rate(task), values=escape(task.text))

            task = Task(show, name, total, self._clock)
            yield task
        self.stage(f"  {_line(task)}")

    @contextmanager
    def _lines(self, name: str, total: int) -> Iterator[Task]:
        last = self._clock()

        def show(task: Task) -> None:
            nonlocal last
            if self._clock() - last >= self._interval_s and task.done < task.total:
                last = self._clock()
                self.stage(f"  {_line(task)}")

        task = Task(show, name, total, self._clock)
        yield task
        self.stage(f"  {_line(task)}")


def _rate(task: Task) -> str:
    return f"{task.done / task.seconds:.3g}/s" if task.seconds > 0 else ""


def _line(task: Task) -> str:
    left = ""
    if 0 < task.done < task.total:
        left = f"{task.seconds / task.done * (task.total - task.done):.0f} s left"
    took = f"{task.seconds:.0f} s" if task.done >= task.total else left
    parts = (f"{task.name} {task.done}/{task.total}", _rate(task), took, task.text)
    return "  ".join(part for part in parts if part)

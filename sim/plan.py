"""Which way each bundle of synapses is summed: tried on the first spikes that are worth it, then kept.

    portable   plain torch for everything, neurons and counts included
    float      floating-point products by torch; compiled neurons, like all below
    int8       8-bit products where weights and payloads allow them and the machine gives the right integers
    event      gathered from the spikes that occurred, where they are binary
    auto       for each bundle whatever was fastest in a short trial on its own spikes

A forced way that a bundle cannot take is replaced by the next above it. No choice changes an integer, and a trial
compares them: a way that differs from the floating-point sums in any number is out.
"""

from __future__ import annotations

import time
from types import ModuleType
from typing import Literal, get_args

import torch

from ..hw import BadInput, did_you_mean
from . import selfcheck
from .synapses import Bundle, Sum

Backend = Literal["auto", "portable", "float", "int8", "event"]

WORTH_A_TRIAL = 1 << 24
"""Multiply-accumulates of one batch below which a trial costs more than it can save."""

TRIAL_MACS = 1 << 27
"""Multiply-accumulates of one trial, a millisecond or two of floating-point products."""

WORTH_COMPILING = 1 << 20
"""Neuron updates of one batch below which loading numba costs more than it saves."""


def check_backend(backend: str) -> None:
    """Raise BadInput for a backend that does not exist, naming the nearest."""
    if backend not in get_args(Backend):
        raise BadInput(f"backend: unknown name {backend!r}; {did_you_mean(backend, get_args(Backend))}")


class Plan:
    """The choices made for one network on one device."""

    def __init__(self, backend: Backend, device: torch.device) -> None:
        check_backend(backend)
        self.backend: Backend = backend if device.type == "cpu" else "portable"
        self.device = device
        self._loops: ModuleType | None = None

    def loops(self, updates: int) -> ModuleType | None:
        """The compiled loops, or None where plain torch is to be used. updates: neuron updates of the batch at hand."""
        if self.backend == "portable":
            return None
        if self._loops is None and (self.backend != "auto" or updates >= WORTH_COMPILING):
            self._loops = selfcheck.compiled()
        return self._loops


class Chooser:
    """How one bundle is summed. `chosen` is the name of the way once it is settled, until then `float`.

    most: the largest payload, None where payloads can be negative. dtype: float32 or float64, proven exact; sums that
    need float64 take the plain way.
    """

    def __init__(self, plan: Plan, bundle: Bundle, most: int | None, dtype: torch.dtype) -> None:
        self.plan = plan
        self.bundle = bundle
        self.most = most
        self.plain = bundle.plain(dtype, plan.device)
        self.chosen = "float"
        self._sum: Sum = self.plain
        self._settled = plan.backend in ("portable", "float") or dtype == torch.float64 or most is None
        if not self._settled and plan.backend != "auto":
            self._force(plan.backend)

    def sum(self, spikes: torch.Tensor, pictures: int) -> torch.Tensor:
        """Sums of `spikes`, (N, *inner shape of the source), of a batch that holds `pictures` of them in all."""
        taken = self.bundle.take(spikes)
        if not self._settled and pictures * self.bundle.macs >= WORTH_A_TRIAL:
            self._try(taken)
        return self._sum(taken if self._sum is self.plain else _bytes(taken))

    def _force(self, backend: str) -> None:
        ways = self._ways(events=backend == "event")
        for name in (backend, "int8"):
            if name in ways:
                self.chosen, self._sum = name, ways[name]
                break
        self._settled = True

    def _ways(self, *, events: bool) -> dict[str, Sum]:
        assert self.most is not None  # a bundle of negative payloads is settled from the start
        ways = {"int8": self.bundle.int8(self.most)}
        if events:
            ways["event"] = self.bundle.event(self.most == 1, selfcheck.compiled())
        return {name: way for name, way in ways.items() if way is not None}

    def _try(self, taken: torch.Tensor) -> None:
        """Keep the fastest of the ways that give the same integers on the spikes at hand."""
        some = _spread(taken, max(2, TRIAL_MACS // self.bundle.macs))
        expected, best = _timed(self.plain, some, runs=1)
        packed = _bytes(some)
        for name, way in self._ways(events=True).items():
            sums, seconds = _timed(way, packed)
            if seconds < best and torch.equal(sums, expected):
                self.chosen, self._sum, best = name, way, seconds
        self._settled = True


def _bytes(spikes: torch.Tensor) -> torch.Tensor:
    return spikes.to(torch.uint8).contiguous()


def _spread(spikes: torch.Tensor, n: int) -> torch.Tensor:
    """About `n` of the pictures, evenly spaced, because first timesteps are quieter than later ones."""
    return spikes[:: max(1, len(spikes) // n)][:n].contiguous()


def _timed(way: Sum, spikes: torch.Tensor, runs: int = 3) -> tuple[torch.Tensor, float]:
    """The sums, and the seconds of the fastest run."""
    seconds = []
    for _ in range(runs - 1):
        seconds.append(_seconds(way, spikes)[1])
    sums, last = _seconds(way, spikes)
    return sums, min([*seconds, last])


def _seconds(way: Sum, spikes: torch.Tensor) -> tuple[torch.Tensor, float]:
    start = time.perf_counter()
    sums = way(spikes)
    return sums, time.perf_counter() - start

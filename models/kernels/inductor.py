"""The neuron's loop over time under torch.compile: on a GPU one kernel for up to `LONGEST` timesteps.

The steps are those of `loops`, so its results are theirs up to rounding: a compiler may round a product and the sum it
goes into once instead of twice. The chip's integers are exact either way. With TORCHDYNAMO_DISABLE=1 in the environment
nothing is compiled and the same functions run as they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from .. import loops
from ..membrane import Membrane

LONGEST = 16
"""Timesteps of one kernel. Lengths are powers of two, so that every T is served by five compilations at most."""


def forward(
    current: Tensor, n_steps: int, membrane: Membrane, threshold: float, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """As `loops.forward`."""
    held = len(current) == 1 and n_steps > 1
    theta = torch.full((), threshold, dtype=current.dtype, device=current.device)
    v = torch.full_like(current[0], membrane.v_init * threshold)
    spikes: list[Tensor] = []
    potentials: list[Tensor] = []
    start = 0
    for length in _lengths(n_steps):
        part = current if held else current[start : start + length]
        z, u, v = _forward(membrane, length, held, keep)(v, part, theta)
        spikes.append(z)
        potentials.extend([u] if keep else [])
        start += length
    return _joined(spikes), _joined(potentials) if keep else None


def backward(grad: Tensor, potentials: Tensor, membrane: Membrane, threshold: float, static: bool) -> Tensor:
    """As `loops.backward`."""
    theta = torch.full((), threshold, dtype=grad.dtype, device=grad.device)
    dv, total = torch.zeros_like(grad[0]), torch.zeros_like(grad[0])
    parts: list[Tensor] = []
    stop = len(grad)
    for length in reversed(_lengths(stop)):
        part = slice(stop - length, stop)
        run = _backward(membrane, length, static)
        found, dv = run(dv, total, grad[part], potentials[part], theta)
        total = found if static else total
        parts.insert(0, found)
        stop -= length
    return (membrane.gain * total)[None] if static else _joined(parts)


@cache
def _forward(membrane: Membrane, length: int, held: bool, keep: bool) -> Callable[..., Any]:
    """(v, current, theta) -> (spikes, u or None, v) of `length` timesteps, compiled at its first call."""

    def run(v: Tensor, current: Tensor, theta: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        spikes, potentials = [], []
        for t in range(length):
            u, fired, v = loops.step(v, current[0 if held else t], membrane, theta)
            spikes.append(fired.to(u.dtype))
            potentials.append(u)
        return torch.stack(spikes), torch.stack(potentials) if keep else None, v

    return _compile(run, f"forward_{length}")


@cache
def _backward(membrane: Membrane, length: int, static: bool) -> Callable[..., Any]:
    """(dv, total, grad, u, theta) -> (the current's gradient, or its sum before the gain, dv), compiled."""

    def run(dv: Tensor, total: Tensor, grad: Tensor, potentials: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        steps = []
        for t in reversed(range(length)):
            du, dv = loops.step_back(dv, grad[t], potentials[t], membrane, theta)
            if static:
                total = total + du
            else:
                steps.append(membrane.gain * du)
        return total if static else torch.stack(steps[::-1]), dv

    return _compile(run, f"backward_{length}")


def _compile(function: FunctionType, name: str) -> Callable[..., Any]:
    """One graph for every number of neurons.

    torch counts the versions of a code object and stops compiling at eight, so each function gets one of its own.
    """
    code = function.__code__.replace(co_name=name)
    own = FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
    return torch.compile(own, dynamic=True, fullgraph=True)


def _lengths(n_steps: int) -> list[int]:
    """Powers of two up to `LONGEST` whose sum is n_steps, the longest first."""
    lengths, length = [LONGEST] * (n_steps // LONGEST), LONGEST
    while length > 1:
        length //= 2
        lengths += [length] if n_steps & length else []
    return lengths


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)

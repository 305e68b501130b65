"""A population run over a sample with one autograd node: the neuron's time loop, forward and backward (`membrane`).

Only u is kept for the backward pass. Whatever the layout of the current in memory (channels last, say), the loops see
(T, N), and the spikes get the current's layout. Which loop runs:

    float32 on a CPU, numba installed     `kernels.neuron`      the plain loop's spikes bit for bit; gradients rounded
    float32 on a GPU, Triton installed    `kernels.inductor`    the plain loop's, but for rounding (FMA)
    else                                  `loops`               plain torch
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import loops
from .membrane import Membrane
from .profiles import Profile


def scan(
    current: Tensor, static: bool, n_steps: int, threshold: float, profile: Profile, *, chip: bool = False
) -> Tensor:
    """Spikes (T, B, ...) in {0, 1} of current's dtype and memory format.

    current: (T, B, ...), or (B, ...) if `static`. n_steps: T of a static current; a sequence has its own. threshold: in
    membrane units. chip: the membrane takes up its current in the chip's integers, held in float32 or more in mantissa
    units (`membrane.decay`), instead of in floats.
    Low-precision currents (autocast) are to be widened by the caller: membranes are integrated in float32 or more.
    """
    return _Scan.apply(current, static, n_steps, threshold, Membrane.of(profile, chip=chip))  # pyright: ignore[reportReturnType]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, static: bool, n_steps: int, threshold: float, membrane: Membrane) -> Tensor:
        current = _compact(current.detach(), static)
        n_steps = n_steps if static else len(current)
        sample = current.numel() if static else current[0].numel()
        strides = (sample, *current.stride()) if static else current.stride()
        shape = torch.Size((n_steps, *current.shape)) if static else current.shape
        flat = current.as_strided((1 if static else n_steps, sample), (sample, 1))
        spikes, potentials = _loops(current).forward(flat, n_steps, membrane, threshold, ctx.needs_input_grad[0])
        ctx.settings = (static, threshold, membrane, shape, strides)
        ctx.save_for_backward(potentials)
        return _shaped(spikes, shape, strides)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (potentials,) = ctx.saved_tensors
        static, threshold, membrane, shape, strides = ctx.settings
        grad = grads[0]
        if grad.stride() != strides:
            grad = grad.new_empty_strided(shape, strides).copy_(grad)
        flat = grad.as_strided(potentials.shape, potentials.stride())
        out = _loops(grad).backward(flat, potentials, membrane, threshold, static)
        out = _shaped(out, shape[1:], strides[1:]) if static else _shaped(out, shape, strides)
        return out, None, None, None, None


def _loops(tensor: Tensor) -> ModuleType:
    """The module whose `forward` and `backward` suit a tensor."""
    if tensor.dtype is not torch.float32:
        return loops
    wanted = {"cpu": ("numba", ".kernels.neuron"), "cuda": ("triton", ".kernels.inductor")}.get(tensor.device.type)
    return _module(*wanted) or loops if wanted else loops


@cache
def _module(needs: str, name: str) -> ModuleType | None:
    """A module of loops, or None where the package that compiles them is missing or does not load."""
    try:
        importlib.import_module(needs)
    except ImportError:
        return None
    return importlib.import_module(name, __package__)


def _compact(current: Tensor, static: bool) -> Tensor:
    """The current, copied unless each element is once and without gaps in memory, time outermost."""
    like = torch.empty_like(current)  # of the same strides where they have no gaps
    if like.stride() != current.stride():
        current = like.copy_(current)
    return current if static or current.stride(0) == current[0].numel() else current.contiguous()


def _shaped(flat: Tensor, shape: torch.Size, strides: tuple[int, ...]) -> Tensor:
    """A compact tensor's memory as a tensor of another shape: not a view, so that it may be changed in place."""
    return flat.new_empty(0).set_(flat.untyped_storage(), 0, shape, strides)

"""Where a population's current comes from on the compiled path of the `rate` engine: streams of sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from .architecture import ConvWire
from .graph import Synapses
from .rate_backward import ConvBack
from .rate_conv import SpikeConv, convolved, settle, tiled
from .rate_memory import pool
from .rate_plain import uses_batch
from .rate_signal import Signal, Spikes

NOTHING = np.empty((0, 0), np.float32)


class OtherStream:
    """Currents that are there already, as they are. current: (T, B, *shape), or (B, *shape) at every step the same.

    ndim: of (B, *shape).
    """

    whole = True
    gain: Tensor | None = None
    shift: Tensor | None = None

    def __init__(self, current: Tensor, ndim: int) -> None:
        current = current[:, None] if current.ndim == ndim else current.transpose(0, 1)
        current = current.movedim(2, -1) if current.ndim == 5 else current
        self.current = current.flatten(2).contiguous()

    def wanted_mean(self) -> np.ndarray:
        """No backward pass needs its mean."""
        return NOTHING

    def values(self, chunk: slice) -> Tensor:
        """(B, T or 1, N) of some samples."""
        return self.current[chunk]

    def close(self) -> None:
        """Nothing was lent."""


class ConvStream:
    """The sums of a convolution, and what its batch norm makes of them: gain times sum plus shift.

    whole: whether all sums are there at once: those of a batch norm that takes its statistics from them, and those that
    are the same at every step. gain: float64 (C,), or None for 1. shift: float64 (C,) or (H, W, C), or None for 0.
    """

    def __init__(self, synapses: Synapses, source: Signal, n_steps: int) -> None:
        self.synapses, self.source = synapses, source
        self.conv, self.norm = cast(nn.Conv2d, synapses.weighted), synapses.norm
        self.n_steps = 1 if source.static else n_steps
        self.of_batch = uses_batch(self.norm)
        self.whole = self.of_batch or not isinstance(source.steps, Spikes)
        samples = len(source.rate)
        high, wide = source.rate.shape[2:]
        size = cast(ConvWire, synapses.wire).window.out_size((high, wide))
        self.out_shape = (samples, *size, self.conv.out_channels)
        self.size = math.prod(self.out_shape[1:])
        self.events: SpikeConv | None = None
        if isinstance(source.steps, Spikes):
            density = float(source.rate.detach().mean()) / source.steps.worth
            positions = samples * self.n_steps * size[0] * size[1]
            self.events = SpikeConv(self.conv, source.steps.worth, positions, density)
        self.sums: Tensor | None = None
        self.lent: Tensor | None = None
        self.mean: Tensor | None = None
        self.gain = self.shift = self.center = self.inverse = None
        if self.whole:
            self._run_whole()
        if isinstance(self.norm, nn.BatchNorm2d):
            self._read_norm(self.norm)
        self._add_biases()

    def wanted_mean(self) -> np.ndarray:
        """Where the mean of the sums over time is to be put, (B, N), or nothing."""
        if self.center is None or self.source.static:
            return NOTHING
        self.mean = torch.empty(len(self.source.rate), self.size)
        return self.mean.numpy()

    def values(self, chunk: slice) -> Tensor:
        """The sums of some samples, (B, T or 1, N)."""
        if self.sums is not None:
            return self.sums[chunk]
        count = chunk.stop - chunk.start
        if self.lent is None:
            self.lent = pool().take((count, self.n_steps, *self.out_shape[1:]), torch.float32)
        out = self.lent[:count]
        self._sum_spikes(chunk, out, None)
        return out.flatten(2)

    def close(self) -> None:
        """Called when the sums are not needed any more."""
        if self.lent is not None:
            pool().give(self.lent)

    def back(self) -> ConvBack:
        """What the backward pass needs."""
        mean = self.sums[:, 0] if self.sums is not None and self.source.static else self.mean
        kept = mean if self.center is not None else None
        return ConvBack(self.synapses, self.source.rate, kept, self.center, self.inverse, self.of_batch)

    def _run_whole(self) -> None:
        """All sums, and their moments if the batch norm wants them."""
        samples, *inner = self.out_shape
        moments = torch.empty(samples * self.n_steps, 2, inner[-1], dtype=torch.float64) if self.of_batch else None
        if isinstance(self.source.steps, Spikes):
            out = self.lent = pool().take((samples, self.n_steps, *inner), torch.float32)
            self._sum_spikes(slice(0, samples), out, moments)
        else:
            values = self.source.values()
            pictures = values if self.source.static else values.transpose(0, 1).flatten(0, 1)
            out = convolved(self.conv, pictures, self.conv.weight.detach())
            if moments is not None:
                settle(out, None, moments)
            out = out.unflatten(0, (samples, self.n_steps))
        self.sums = out.flatten(2)
        if moments is not None:
            self.count = moments.shape[0] * self.size // inner[-1]
            total = moments.sum(dim=0) / self.count
            self.moments = total[0], (total[1] - total[0].square()).clamp(min=0)

    def _sum_spikes(self, chunk: slice, out: Tensor, moments: Tensor | None) -> None:
        assert self.events is not None
        assert isinstance(self.source.steps, Spikes)
        self.events(self.source.steps.fired[chunk].flatten(0, 1), out.flatten(0, 1), moments)

    def _read_norm(self, norm: nn.BatchNorm2d) -> None:
        bias = 0 if self.conv.bias is None else self.conv.bias.detach().double()
        if self.of_batch:
            mean, var = self.moments
            _update(norm, mean + bias, var * self.count / max(1, self.count - 1))
        else:
            mean, var = cast(Tensor, norm.running_mean).double() - bias, cast(Tensor, norm.running_var).double()
        self.center, self.inverse = mean, torch.rsqrt(var + norm.eps)
        self.gain = self.inverse * norm.weight.detach() if norm.affine else self.inverse
        self.shift = (norm.bias.detach() if norm.affine else 0) - mean * self.gain

    def _add_biases(self) -> None:
        if self.center is None and self.conv.bias is not None:
            self.shift = self.conv.bias.detach()
        if self.synapses.bias is not None:
            own = self.synapses.bias.detach().permute(1, 2, 0)
            self.shift = own if self.shift is None else own + self.shift


@torch.no_grad()
def _update(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor) -> None:
    """Running statistics, as `nn.BatchNorm2d` updates them. var: without bias."""
    if not norm.training or norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    weight = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), weight)
    norm.running_var.lerp_(var.to(norm.running_var.dtype), weight)


def gains_of(streams: Sequence[ConvStream | OtherStream], inner: Sequence[int]) -> np.ndarray:
    """The gains of `rates.measure`. inner: (H, W, C) or (F,) of the population."""
    one = torch.ones(inner[-1], dtype=torch.float64)
    gains = [one if stream.gain is None else stream.gain for stream in streams] + [one] * (2 - len(streams))
    shifts = [stream.shift for stream in streams if stream.shift is not None]
    shift = sum(shifts, torch.zeros_like(one))
    rows = [*gains, shift]
    if shift.ndim == 3:
        rows = [row.expand(tuple(inner)).flatten() for row in rows]
    return tiled(torch.stack(rows), int(np.prod(inner)))

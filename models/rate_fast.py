"""One unit under the `rate` engine with compiled loops: float32 on a CPU, the values of `rate_plain` up to rounding.

Spikes are bytes, channels last. A convolution runs once over the spikes; on the rates it is not run at all, because the
mean over time of its sums is its value there. The neurons' loop takes all timesteps of a block of neurons at once and
leaves their rate, its slope, and those means. The backward pass of a unit is one autograd node.
"""

from __future__ import annotations

from functools import reduce
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import rate_plain
from .architecture import ConvWire, IdentityWire, PoolWire
from .graph import Accumulate, Node, Synapses
from .kernels import rates
from .kernels.native import parallel
from .membrane import Membrane
from .neurons import Spiking
from .rate_backward import unit_rate
from .rate_memory import pool
from .rate_plain import uses_batch
from .rate_signal import Signal, Spikes
from .rate_streams import ConvStream, OtherStream, gains_of

CHUNK_BYTES = 1 << 23
"""Of the sums of all timesteps at a time, where no batch statistics need them whole."""

NOTHING = np.empty((0, 0), np.float32)


def takes(node: Node, sources: list[Signal]) -> bool:
    """Whether this path knows the unit: at most two streams of sums, and one of spikes that are handed on."""
    if any(source.rate.dtype is not torch.float32 or source.rate.device.type != "cpu" for source in sources):
        return False
    if node.unit.pool is not None:
        return isinstance(sources[0].steps, Spikes)
    kinds = [_kind(synapses, source) for synapses, source in zip(node.synapses, sources, strict=True)]
    streams = kinds.count("conv") + ("other" in kinds)
    return isinstance(node.neuron, Spiking) and streams <= 2 and kinds.count("identity") <= 1


def is_linear(node: Node) -> bool:
    """Whether the mean of a unit's output is its output for the mean input: linear wires, no neurons, no batch."""
    linear = all(isinstance(synapses, Synapses) and not uses_batch(synapses.norm) for synapses in node.synapses)
    return linear and type(node.neuron) is Accumulate and node.unit.pool is None


def read_out(node: Node, sources: list[Signal]) -> Signal:
    """A unit that `is_linear` accepts and no unit reads: its mean, from the rates alone."""
    rate_plain.check(node)
    parts = [synapses(source.rate) for synapses, source in zip(node.synapses, sources, strict=True)]
    return Signal(reduce(torch.add, parts), None)


def respond(node: Node, sources: list[Signal], n_steps: int) -> Signal:
    """Run one unit that `takes` accepts; see `rate_plain.respond`."""
    rate_plain.check(node)
    if node.unit.pool is not None:
        return _pooled(node.synapses[0], node.unit.pool, sources[0])
    pairs = [(s, source, _kind(s, source)) for s, source in zip(node.synapses, sources, strict=True)]
    convs = [ConvStream(cast(Synapses, s), source, n_steps) for s, source, kind in pairs if kind == "conv"]
    through = [rate_plain.through(s, source) for s, source, kind in pairs if kind == "other"]
    handed = [(s, source) for s, source, kind in pairs if kind == "identity"]
    streams: list[ConvStream | OtherStream] = [*convs]
    others = [mean_current for _, mean_current in through] + [s(source.rate) for s, source in handed]
    if through:
        streams.append(OtherStream(reduce(torch.add, [current for current, _ in through]), others[0].ndim))
    neuron = cast(Spiking, node.neuron)
    shape = convs[0].out_shape if convs else _channels_last(others[0]).shape
    spikes, rate, slope = _measure(neuron, streams, handed, (shape[0], n_steps, *shape[1:]))
    out = unit_rate(rate, slope, [conv.back() for conv in convs], others)
    return Signal(out, Spikes(spikes, float(neuron.amplitude)))


def release(signal: Signal) -> None:
    """Take back the memory of spikes that no later unit reads."""
    if isinstance(signal.steps, Spikes):
        pool().give(signal.steps.fired)


def _kind(synapses: nn.Module, source: Signal) -> str:
    """`conv`: with no convolution on the rates; `identity`: spikes handed on; `other`: the way of `rate_plain`."""
    if type(synapses) is not Synapses:
        return "other"
    wire, weighted, norm = synapses.wire, synapses.weighted, synapses.norm
    if isinstance(wire, ConvWire):
        known = type(weighted) is nn.Conv2d and type(norm) in (nn.Identity, nn.BatchNorm2d)
        return "conv" if wire.pool == 1 and known else "other"
    scalar = isinstance(norm, nn.Identity) and all(p.numel() == 1 for p in synapses.parameters())
    simple = isinstance(wire, IdentityWire) and wire.pool == 1 and not wire.pad and scalar
    return "identity" if simple and isinstance(source.steps, Spikes) else "other"


def _measure(
    neuron: Spiking,
    streams: list[ConvStream | OtherStream],
    handed: list[tuple[nn.Module, Signal]],
    shape: tuple[int, ...],
) -> tuple[Tensor, Tensor, Tensor]:
    """(spikes, rate, slope) of a population. shape: of its spikes, (B, T, H, W, C) or (B, T, F)."""
    samples, steps, *inner = shape
    spikes = pool().take(shape, torch.uint8)
    rate, slope = torch.empty(samples, *inner), torch.empty(samples, *inner)
    size = rate[0].numel()
    z, r, s = spikes.view(samples, steps, size).numpy(), rate.view(samples, size).numpy(), slope.view(samples, size)
    s = s.numpy()
    fixed = (gains_of(streams, inner), *_handed(handed, samples, size))
    settings = _settings(neuron)
    means = [stream.wanted_mean() for stream in streams] + [NOTHING] * (2 - len(streams))
    none = np.empty((samples, 0, size), np.float32)
    whole = all(stream.whole for stream in streams)
    step = samples if whole else max(1, CHUNK_BYTES // (4 * steps * size))
    for start in range(0, samples, step):
        chunk = slice(start, min(start + step, samples))
        values = [stream.values(chunk) for stream in streams]
        arrays = [v.numpy() for v in values] + [none[chunk]] * (2 - len(values))

        def work(part: slice, chunk: slice = chunk, arrays: list[np.ndarray] = arrays) -> None:
            rows = slice(chunk.start + part.start, chunk.start + part.stop)
            gains, passed, worth = fixed
            kept = [mean[rows] if mean.size else mean for mean in means]
            first, second = (values[part] for values in arrays)
            filled = *kept, z[rows], r[rows], s[rows]
            rates.measure(first, second, gains, passed[rows], worth, *settings, *filled)

        parallel(work, chunk.stop - chunk.start)
    for stream in streams:
        stream.close()
    return spikes, rate, slope


def _settings(neuron: Spiking) -> tuple[np.ndarray, bool, bool, bool]:
    """The arguments of `rates.measure` that say what the neurons are."""
    membrane = Membrane.of(neuron.profile, chip=False)
    theta = np.float32(float(neuron.threshold))
    edge = theta if membrane.strict else np.nextafter(theta, np.float32(-np.inf))
    begin = membrane.v_init * float(neuron.threshold)
    kind, parameter = membrane.surrogate.kind, membrane.surrogate.parameter
    numbers = [begin, membrane.leak, membrane.gain, theta, edge, parameter, float(neuron.amplitude)]
    return np.array(numbers, np.float32), membrane.hard, not membrane.detach_reset, kind == "triangle"


def _handed(handed: list[tuple[nn.Module, Signal]], samples: int, size: int) -> tuple[np.ndarray, np.float32]:
    """(spikes that are handed on, (B, T or 0, N); what one of them is worth to the membrane)."""
    if not handed:
        return np.empty((samples, 0, size), np.uint8), np.float32(0)
    synapses, source = handed[0]
    spikes = cast(Spikes, source.steps)
    with torch.no_grad():
        scale = float(synapses(torch.ones(1)))
    return spikes.fired.view(*spikes.fired.shape[:2], size).numpy(), np.float32(scale * spikes.worth)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _pooled(synapses: nn.Module, wire: PoolWire, source: Signal) -> Signal:
    """A max pool of spikes: their OR, as bytes; its gradient is that of a max pool of the rates."""
    spikes = cast(Spikes, source.steps)
    through = synapses(source.rate)
    kernel, stride, padding, _ = wire.window
    samples, steps, height, width, channels = spikes.fired.shape
    fired = spikes.fired.flatten(0, 1)
    if any(padding):
        fired = functional.pad(fired, (0, 0, padding[1], padding[1], padding[0], padding[0]))
    high, wide = wire.window.out_size((height, width))
    out = pool().take((samples, steps, high, wide, channels), torch.uint8)
    flat = out.flatten(0, 1)
    for index in np.ndindex(*kernel):
        rows, columns = (
            slice(at, at + step * (size - 1) + 1, step)
            for at, step, size in zip(index, stride, (high, wide), strict=True)
        )
        part = fired[:, rows, columns]
        if index == (0, 0):
            flat.copy_(part)
        else:
            torch.maximum(flat, part, out=flat)
    rate = torch.empty(samples, high, wide, channels)
    z, r = out.flatten(2).numpy(), rate.flatten(1).numpy()
    parallel(lambda part: rates.tally(z[part], np.float32(spikes.worth), r[part]), samples)
    return Signal(rate_plain.measured(through, rate.permute(0, 3, 1, 2)), Spikes(out, spikes.worth))

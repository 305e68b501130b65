"""One unit under the `rate` engine in plain torch, on any device and in any floating type: the reference.

Spike pass, without autograd, over the timesteps of `membrane`, with x = (u - theta) / theta and the surrogate's h'(x):

    e(t) = du(t)/dI for a current that is constant in time:  e(0) = gain,  e(t+1) = gain + leak J(t) e(t),  J = dv/du
    slope = (1/T) sum_t e(t) h'(x(t)) / theta

Rate pass, one autograd node: the output is the measured rate, its derivative by the mean current is `slope`.
Source: Yu et al., "Advancing Training Efficiency of Deep Spiking Neural Networks through Rate-based Backpropagation",
NeurIPS 2024, with the threshold's factor in J, which matters where it is not 1, and a live hard reset.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..hw import BadInput
from .graph import Accumulate, Node, Rectify, Synapses
from .membrane import Membrane
from .neurons import Spiking
from .profiles import Profile
from .rate_signal import Signal

LOW_PRECISION = (torch.bfloat16, torch.float16)


class Sample(NamedTuple):
    """What a population did over the T steps of a sample.

    steps: its output (T, B, ...), or (B, ...) if it is the same at every step. rate: the mean over the steps (B, ...).
    slope: d rate / d I (B, ...), for a current I that is constant in time.
    """

    steps: Tensor
    rate: Tensor
    slope: Tensor


def respond(node: Node, sources: list[Signal], n_steps: int) -> Signal:
    """Run one unit: its spikes without autograd, then one node on the rates.

    Raises BadInput for a unit that is not a sum of wires into a neuron this engine knows.
    """
    check(node)
    if node.unit.pool is not None:
        return _pooled(node.synapses[0], sources[0])
    static = all(source.static for source in sources)
    pairs = [through(synapses, source) for synapses, source in zip(node.synapses, sources, strict=True)]
    current, mean_current = (functools.reduce(torch.add, parts) for parts in zip(*pairs, strict=True))
    with torch.no_grad():
        sample = measure(node.neuron, current, static, n_steps)
    held = static and not isinstance(node.neuron, Spiking)
    return Signal(measured(mean_current, sample.rate, sample.slope), None if held else sample.steps)


def check(node: Node) -> None:
    """Raise BadInput for a unit whose rate this engine has no derivative of."""
    kind, neuron = type(node), type(node.neuron)
    if node.unit.attention is not None:
        what = "attention multiplies its sources"
    elif kind.current is not Node.current or kind.forward is not Node.forward:
        what = f"a {kind.__name__} is not a plain sum of wires"
    elif neuron not in (Spiking, Accumulate, Rectify):
        what = f"its neuron is a {neuron.__name__}"
    else:
        return
    raise BadInput(
        f"{node.unit.name}: {what}; the engine rate differentiates sums of wires into Spiking, Rectify or Accumulate "
        "alone; use refine.engine: bptt"
    )


def measure(neuron: nn.Module, current: Tensor, static: bool, n_steps: int) -> Sample:
    """Run a population outside the graph. current: (T, B, ...), or (B, ...) if `static`; low precision is widened."""
    current = widened(current)
    if isinstance(neuron, Spiking):
        sample = spike_pass(current, static, n_steps, float(neuron.threshold), neuron.profile)
        worth = float(neuron.amplitude)
        return sample if worth == 1 else Sample(*(worth * part for part in sample))
    steps = neuron(current, static)
    slope = torch.ones_like(current)
    if isinstance(neuron, Rectify):
        inside = current > 0 if neuron.ceiling is None else (current >= 0) & (current <= neuron.ceiling)
        slope = inside.to(current.dtype)
    return Sample(steps, steps, slope) if static else Sample(steps, steps.mean(dim=0), slope.mean(dim=0))


@torch.no_grad()
def spike_pass(current: Tensor, static: bool, n_steps: int, threshold: float, profile: Profile) -> Sample:
    """Spikes {0, 1} (T, B, ...), their rate and its slope (B, ...), by the equations above.

    current: (T, B, ...), or (B, ...) if `static`, float32 or float64. threshold: in membrane units.
    """
    membrane = Membrane.of(profile, chip=False)
    first = current if static else current[0]
    # Folded into the batch axis, a 4-D tensor keeps its memory format (channels last).
    spikes = torch.empty_like(first.expand(n_steps, *first.shape).flatten(0, 1)).unflatten(0, (n_steps, len(first)))
    v = torch.full_like(first, profile.v_init * threshold)
    sensitivity, total = torch.full_like(first, profile.gain), torch.zeros_like(first)
    for t in range(n_steps):
        u = membrane.charge(v, first if static else current[t])
        fired = membrane.fires(u, threshold)
        spikes[t] = fired
        slope = profile.surrogate.slope((u - threshold) / threshold) / threshold
        total += sensitivity * slope
        sensitivity = profile.gain + profile.leak * membrane.reset_slope(u, slope, threshold) * sensitivity
        v = membrane.reset(u, fired, threshold)
    return Sample(spikes, spikes.mean(dim=0), total / n_steps)


def measured(through: Tensor, value: Tensor, slope: Tensor | None = None) -> Tensor:
    """`value` in the forward pass; in the backward pass, the gradient goes to `through`, times `slope` if given."""
    return cast(Tensor, _Measured.apply(through, value, slope))


class _Measured(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, through: Tensor, value: Tensor, slope: Tensor | None) -> Tensor:
        ctx.save_for_backward(slope)
        ctx.kind = through.dtype
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return (grads[0] if slope is None else grads[0] * slope).to(ctx.kind), None, None


def widened(x: Tensor) -> Tensor:
    """Low-precision values (autocast) as float32."""
    return x.float() if x.dtype in LOW_PRECISION else x


def uses_batch(norm: nn.Module) -> bool:
    """Whether this is a batch norm that takes its statistics from the batch."""
    return isinstance(norm, nn.BatchNorm2d) and (norm.training or norm.running_mean is None)


class _Recording(nn.Module):
    """A batch norm at work on the sums of all steps, and the (variance, mean) of its batch."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.moments = torch.empty(0), torch.empty(0)

    def forward(self, sums: Tensor) -> Tensor:
        """The batch norm's output; it updates its running statistics."""
        self.moments = _moments(sums)
        return self.norm(sums)


class _OnRates(nn.Module):
    """The same batch norm on the mean sums: mean and variance have the values that `recording` saw over all steps.

    Their gradients are those of the mean sums' own mean and variance. Running statistics are left alone.
    """

    def __init__(self, recording: _Recording) -> None:
        super().__init__()
        self.norm = recording.norm
        self.moments = recording.moments

    def forward(self, sums: Tensor) -> Tensor:
        """sums: (B, C, H, W), the mean over the steps."""
        sums = widened(sums)
        pairs = zip(_moments(sums), self.moments, strict=True)
        var, mean = (own + (by_step - own).detach() for own, by_step in pairs)
        out = (sums - mean) * torch.rsqrt(var + self.norm.eps)
        return out if not self.norm.affine else out * self.norm.weight[:, None, None] + self.norm.bias[:, None, None]


def _moments(sums: Tensor) -> tuple[Tensor, Tensor]:
    return torch.var_mean(widened(sums), (0, 2, 3), correction=0, keepdim=True)


def through(synapses: nn.Module, source: Signal) -> tuple[Tensor, Tensor]:
    """(the currents of each step outside the graph, the mean current inside it) of one wire."""
    norm = synapses.norm if isinstance(synapses, Synapses) else None
    if not isinstance(synapses, Synapses) or not isinstance(norm, nn.BatchNorm2d) or not uses_batch(norm):
        return _by_step(synapses, source), synapses(source.rate)
    recording = _Recording(norm)
    current = _by_step(_with_norm(synapses, recording), source)
    return current, _with_norm(synapses, _OnRates(recording))(source.rate)


@torch.no_grad()
def _by_step(synapses: nn.Module, source: Signal) -> Tensor:
    """What a wire makes of each step, (T, B, ...), or (B, ...) for a static source."""
    values = source.values()
    return synapses(values) if source.static else synapses(values.flatten(0, 1)).unflatten(0, values.shape[:2])


def _with_norm(synapses: Synapses, norm: nn.Module) -> Synapses:
    """The same wire, with the same parameters, through another norm."""
    twin = copy.copy(synapses)
    twin._modules = {**synapses._modules, "norm": norm}
    return twin


def _pooled(synapses: nn.Module, source: Signal) -> Signal:
    """A max pool: of every step outside the graph, of the rates inside it."""
    rates = synapses(source.rate)
    if source.static:
        return Signal(rates, None)
    steps = _by_step(synapses, source)
    return Signal(measured(rates, steps.mean(dim=0)), steps)

"""The network in the chip's arithmetic: integers forward, surrogate gradients backward.

Forward, every number is an integer (or a multiple of 1/64 in a leaking membrane) held exactly in float32: weights on
the chip's grid, thresholds, biases, and `hw.neurons.cuba` with a memoryless current (i_decay 4096), in mantissa units,
that is with `v / 64`. float32 holds 24 bits; sums stay below 2^18 in steps of 1/64, so nothing is ever rounded.
Backward, rounding is passed straight through and the spike uses the profile's surrogate.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..hw import BadInput
from .architecture import ConvWire, LinearWire, Pair, Unit, Wire
from .graph import GraphNet, Node
from .profiles import Profile
from .scan import scan

WEIGHT_STEP = 2
"""Mixed-sign 8-bit weights lose their lowest bit: they are even."""

WEIGHT_LIMIT = 254
"""Largest magnitude on both sides of the mixed-sign grid."""


class _Round(torch.autograd.Function):
    """Nearest multiple of `step` inside +-limit; gradient 1 inside, 0 beyond the limit."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, limit: float) -> Tensor:
        ctx.save_for_backward(x.abs() <= limit + step / 2)
        return (x / step).round().mul(step).clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None


class _ExactConv(torch.autograd.Function):
    """A convolution whose forward is exact float32; `low_precision` lets the backward run in bfloat16."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        low_precision: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = (stride, padding, dilation, groups, low_precision)
        with torch.autocast(x.device.type, enabled=False):
            return functional.conv2d(x, weight, None, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups, low_precision = ctx.settings
        # Spikes and grid weights (even, at most 254) are exact in bfloat16; only the incoming gradient is rounded.
        kind = torch.bfloat16 if low_precision else torch.float32
        x_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
            grads[0].to(kind),
            x.to(kind),
            weight.to(kind),
            None,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            groups,
            [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )
        x_grad = x_grad.float() if x_grad is not None else None
        weight_grad = weight_grad.float() if weight_grad is not None else None
        return x_grad, weight_grad, None, None, None, None, None


class IntegerSynapses(nn.Module):
    """One wire on the chip's grid. weight, bias: float, in thresholds of the target (the latent values that learn).

    scale: chip units per threshold, `w_int = grid(weight * scale)`; exact sums up to 2^24.
    """

    bias: nn.Parameter | None

    def __init__(self, wire: Wire, weight: Tensor, bias: Tensor | None, scale: float) -> None:
        super().__init__()
        self.wire = wire
        self.scale = scale
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @property
    def grid_weight(self) -> Tensor:
        """The integer weights, as float32 of the weight's shape."""
        return _Round.apply(self.weight * self.scale, WEIGHT_STEP, WEIGHT_LIMIT)  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor) -> Tensor:
        """Synaptic sums for spikes or payloads x, (N, *source) -> (N, *target), integers."""
        weight = self.grid_weight
        if isinstance(self.wire, ConvWire):
            low = torch.is_autocast_enabled(x.device.type)
            _, stride, padding, dilation = self.wire.window
            return _ExactConv.apply(x, weight, stride, padding, dilation, self.wire.groups, low)  # pyright: ignore[reportReturnType]
        with torch.autocast(x.device.type, enabled=False):
            if isinstance(self.wire, LinearWire):
                return functional.linear(x.sum(dim=(2, 3)) if self.wire.mean else x.flatten(1), weight)
            return x * weight


class IntegerPopulation(nn.Module):
    """A population of CUBA LIF neurons without current memory, in mantissa units.

    scale: the integer threshold (v_th_mant): chip units per threshold.
    """

    def __init__(self, profile: Profile, n_steps: int, scale: int) -> None:
        super().__init__()
        self.profile = replace(profile, gain=1.0)  # a gain is in the weights: sums enter the membrane as they are
        self.n_steps = n_steps
        self.scale = scale

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """current: integer sums with the bias, (T, B, ...) or static (B, ...). Returns spikes (T, B, ...) in {0, 1}."""
        return scan(current, static, self.n_steps, self.scale, self.profile, chip=True)


class IntegerReadout(nn.Module):
    """The read-out: integer sums per timestep (see `integer_logits`). scale: chip units per unit of a logit."""

    def __init__(self, n_steps: int, scale: int) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.scale = scale

    def forward(self, current: Tensor, static: bool) -> Tensor:
        """The current at each step, (T, B, K)."""
        return current.expand(self.n_steps, *current.shape) if static else current


class IntegerNode(Node):
    """One population of an integer network: sums of its wires, its bias on the grid, its neurons.

    bias_limit: largest magnitude of a bias mantissa.
    """

    def __init__(
        self,
        unit: Unit,
        synapses: Sequence[IntegerSynapses],
        neuron: IntegerPopulation | IntegerReadout,
        bias_limit: int,
    ) -> None:
        super().__init__(unit, list(synapses), neuron)
        self.wires = tuple(synapses)
        self.scale = neuron.scale
        self.bias_limit = bias_limit

    @property
    def latent_bias(self) -> Tensor:
        """The sum of the wires' biases, float, in thresholds: (C,), or (C, H, W) if one is per neuron."""
        biases = [wire.bias for wire in self.wires if wire.bias is not None]
        if not biases:
            return self.wires[0].weight.new_zeros(self.unit.channels)
        if any(bias.ndim == 3 for bias in biases):
            biases = torch.broadcast_tensors(*(b if b.ndim == 3 else b[:, None, None] for b in biases))
        return torch.stack(list(biases)).sum(dim=0)

    @property
    def grid_bias(self) -> Tensor:
        """The integer bias, float32 (C,) or (C, H, W)."""
        return _Round.apply(self.latent_bias * self.scale, 1, self.bias_limit)  # pyright: ignore[reportReturnType]

    def current(self, sources: list[Tensor], static: list[bool]) -> Tensor:
        """Sums and bias, integers: (T, B, ...) or, if every source is static, (B, ...)."""
        bias = self.grid_bias
        sums = super().current(sources, static)
        return sums + (bias[:, None, None] if sums.ndim >= 4 and bias.ndim == 1 else bias)


def integer_logits(net: GraphNet, sums: Tensor) -> tuple[Tensor, Tensor]:
    """(logits (B, K), exact membrane sums (B, K) int64) of an integer network's output (T, B, K)."""
    total = sums.sum(dim=0)
    readout = net.walk()[-1].neuron
    assert isinstance(readout, IntegerReadout)
    return total / (readout.scale * readout.n_steps), total.detach().to(torch.int64)


def as_integer(
    student: GraphNet, profile: Profile, scales: dict[str, int], gains: dict[tuple[str, str], float], bias_limit: int
) -> GraphNet:
    """The chip-arithmetic twin of a weight-form spiking network without batch norms. Max pools stay as they are.

    scales: chip units per threshold of each unit (its integer threshold). gains: per (source, unit), by how much
    larger than 1 a unit of the source arrives (largest payload of the input, positions under a spatial mean). Raises
    BadInput for a network with average pools, linear units or attention.
    """
    if not student.architecture.plain:
        raise BadInput(
            f"{student.architecture.name}: has average pools, linear units or attention, which the chip has not; give "
            "it to pipeline.simplify first"
        )
    twin = copy.deepcopy(student)
    for unit in twin.architecture.units:
        node = student.node(unit.name)
        if unit.pool is not None:
            continue
        scale = scales[unit.name]
        synapses = []
        for wire, old in zip(unit.wires, node.synapses, strict=True):
            found = dict(old.named_parameters())
            weight = next(p for name, p in found.items() if name.endswith("weight"))
            bias = next((p for name, p in found.items() if name.endswith("bias")), None)
            synapses.append(IntegerSynapses(wire, weight, bias, scale / gains[wire.source, unit.name]))
        last = unit is twin.architecture.units[-1]
        neuron = IntegerReadout(student.n_steps, scale) if last else IntegerPopulation(profile, student.n_steps, scale)
        twin.set_node(IntegerNode(unit, synapses, neuron, bias_limit))
    return twin

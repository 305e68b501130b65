"""One population of a network, prepared to run: its synaptic sums, then its neurons over all timesteps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..hw import Connection, Conv, Cuba, Network, NotRepresentable, Population, step, worst_sum
from ..hw.arithmetic import DECAY_ONE
from .exact import sum_dtype

SUM_LIMIT = 1 << 18
"""Lava wraps `u` once per step, which equals the 24-bit register while |a << 6| < 2^24."""

CHUNK = 1 << 15
"""Neurons a CPU steps at a time, so that their states stay in the cache. Found by timing 2^13 to 2^20 on one core."""


@dataclass(frozen=True, eq=False)
class Over:
    """What a population did over the timesteps of one batch.

    spikes: float32 0/1 (T, B, *shape). v_end: int32 (B, *shape). u, v: int32 (T, B, *shape) if asked for.
    """

    spikes: torch.Tensor
    v_end: torch.Tensor
    u: torch.Tensor | None
    v: torch.Tensor | None


class Layer:
    """A population that computes, its weights on the device, the type of its sums proven exact.

    Raises NotRepresentable for parameters beyond the arithmetic itself; `hw.check` has the limits of a given chip.
    """

    def __init__(self, network: Network, population: Population, neuron: Cuba, device: torch.device) -> None:
        self.population = population
        self.neuron = neuron
        self.n_steps = network.n_steps
        self.incoming = network.incoming(population.name)
        _check_parameters(population.name, neuron)
        bound = sum(int(worst_sum(network, connection).max()) for connection in self.incoming)
        self.may_overflow = bound >= SUM_LIMIT
        self.dtype = sum_dtype(bound, device, population.name)
        self.weights = [torch.from_numpy(c.weight.copy()).to(device, self.dtype) for c in self.incoming]
        self.bias = torch.from_numpy(neuron.bias_over(population.shape).copy()).to(device)

    def sums(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Synaptic sums `a` of all timesteps: integers in a floating type, (T, B, *shape).

        spikes: by source, (T, B, *shape), or (1, B, *shape) where every timestep is the same. The sums of what never
        changes are made once: T is 1 in the result if it is 1 in all the sources.
        """
        total: torch.Tensor | None = None
        for connection, weight in zip(self.incoming, self.weights, strict=True):
            part = _through(connection, weight, spikes[connection.source].to(self.dtype))
            total = part if total is None else total + part
        assert total is not None  # Network refuses a population that nothing leads to
        if self.dtype == torch.float64:
            total = total.round_()
        if self.may_overflow:
            self._check_sums(total)
        return total

    def run(self, sums: torch.Tensor, *, u: bool = False, v: bool = False) -> Over:
        """Step the neurons over all timesteps, from zero. sums: (T or 1, B, *shape). u, v: whether to keep them."""
        shape = (self.n_steps, *sums.shape[1:])
        spikes = torch.empty(shape, dtype=torch.float32, device=sums.device)
        v_end = torch.empty(shape[1:], dtype=torch.int32, device=sums.device)
        all_u = torch.empty(shape, dtype=torch.int32, device=sums.device) if u else None
        all_v = torch.empty(shape, dtype=torch.int32, device=sums.device) if v else None
        rows = max(1, CHUNK // self.population.size) if sums.device.type == "cpu" else shape[1]
        for start in range(0, shape[1], rows):
            part = slice(start, start + rows)
            self._scan(
                sums[:, part],
                Over(
                    spikes=spikes[:, part],
                    v_end=v_end[part],
                    u=None if all_u is None else all_u[:, part],
                    v=None if all_v is None else all_v[:, part],
                ),
            )
        return Over(spikes, v_end, all_u, all_v)

    def _scan(self, sums: torch.Tensor, out: Over) -> None:
        """Fill `out` with the timesteps of a few samples."""
        # A zero of no dimensions stands for a zero state, and for a current that is forgotten at every step.
        nothing = torch.zeros((), dtype=torch.int32, device=sums.device)
        forgets = self.neuron.i_decay == DECAY_ONE
        u, v = nothing, nothing
        a = sums[0].to(torch.int32)
        for t in range(self.n_steps):
            if t and sums.shape[0] > 1:
                a = sums[t].to(torch.int32)
            u, v, z = step(nothing if forgets else u, v, a, self.bias, self.neuron)
            out.spikes[t] = z
            if out.u is not None:
                out.u[t] = u
            if out.v is not None:
                out.v[t] = v
        out.v_end.copy_(v)

    def _check_sums(self, sums: torch.Tensor) -> None:
        worst = float(sums.abs().max())
        if worst >= SUM_LIMIT:
            raise NotRepresentable(
                f"{self.population.name}: a synaptic sum reached {worst:.0f}, and beyond {SUM_LIMIT - 1} the 24-bit "
                "current has no defined wrap; scale the layer down or lower payload_bits"
            )


def _through(connection: Connection, weight: torch.Tensor, spikes: torch.Tensor) -> torch.Tensor:
    steps, batch = spikes.shape[:2]
    if not isinstance(connection, Conv):
        return (spikes.reshape(steps * batch, -1) @ weight.T).reshape(steps, batch, -1)
    out = F.conv2d(
        spikes.flatten(0, 1),
        weight,
        stride=connection.stride,
        padding=connection.padding,
        dilation=connection.dilation,
        groups=connection.groups,
    )
    return out.reshape(steps, batch, *out.shape[1:])


def _check_parameters(name: str, neuron: Cuba) -> None:
    way = "hw.check(network, chip) lists every number a chip cannot hold"
    for field in ("i_decay", "v_decay"):
        value = getattr(neuron, field)
        if not 0 <= value <= DECAY_ONE:
            raise NotRepresentable(f"{name}: {field} is {value}, decay constants are 0..{DECAY_ONE}; {way}")
    for what, value in (("threshold", neuron.v_th_mant), ("bias", int(abs(neuron.bias_mant.astype("i8")).max()))):
        if abs(value) >= 1 << 24:
            raise NotRepresentable(f"{name}: {what} mantissa {value} leaves 32 bits once shifted by 6; {way}")

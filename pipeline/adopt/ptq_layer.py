"""One population at one scale: weights, bias and threshold rounded to the chip's grid, and what it then does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ... import hw
from ...export.floatgraph import Conv, Pool
from ...hw import NEVER_FIRES, Chip, Connection, Cuba, Dense, OneToOne, Population, Shape, UnsupportedLayer
from .folded import Edge, Same, Unit
from .ptq_form import Form, ScaledEdge


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounded:
    """A population in integers at one scale, with the connections into it.

    weight_error: root mean square of the rounding error over that of the weights. clipped: weights cut to the grid.
    """

    scale: float
    population: Population
    connections: tuple[Connection, ...]
    weight_error: float
    clipped: int


def rounded(form: Form, scale: float, sources: Mapping[str, Shape], chip: Chip) -> Rounded | None:
    """A form at `scale` mantissas per threshold, on the chip's grid; None if nothing of its weights is left.

    Where all states are whole, v >= V is v > V - 1. Raises UnsupportedLayer for edges the chip has no synapses for.
    """
    unit, made, squares, clipped = form.unit, [], np.zeros(2), 0
    for edge in form.edges:
        exact = edge.weight * scale
        weight = on_grid(exact, chip)
        squares += [np.square(exact - weight).sum(), np.square(exact).sum()]
        clipped += int((np.abs(exact - weight) > chip.weight_step).sum())
        if weight.any():
            made.append(_connection(form, edge, weight, sources[edge.edge.source], chip))
    if not made:
        return None
    threshold = NEVER_FIRES
    if form.fires:
        threshold = round(scale) - int(form.whole_states and not form.strict)
    bias = np.round(form.bias * scale).clip(chip.bias_min, chip.bias_max).astype(np.int64)
    neuron = Cuba(v_th_mant=max(threshold, 1), i_decay=form.i_decay, v_decay=form.v_decay, bias_mant=_compact(bias))
    return Rounded(
        scale=scale,
        population=Population(name=unit.name, shape=unit.shape, neuron=neuron),
        connections=tuple(made),
        weight_error=float(np.sqrt(squares[0] / squares[1])),
        clipped=clipped,
    )


def on_grid(weight: np.ndarray, chip: Chip) -> np.ndarray:
    """The nearest weights the chip holds, int64: even ones if both signs occur."""
    if not weight.min() < 0 < weight.max():
        return np.round(weight).clip(-chip.one_sided_max, chip.one_sided_max).astype(np.int64)
    step = chip.weight_step
    grid = (step * np.round(weight / step)).clip(chip.weight_min, chip.weight_max)
    if grid.max() <= 0:  # the few of the other sign became 0, and one sign reaches less far
        grid = grid.clip(min=-(chip.one_sided_max // step) * step)
    return grid.astype(np.int64)


def largest_by_weight(form: Form, chip: Chip) -> float:
    """The largest scale at which no weight leaves the grid."""
    mixed = min(-chip.weight_min, chip.weight_max)
    return min(
        (mixed if e.weight.min() < 0 < e.weight.max() else chip.one_sided_max) / np.abs(e.weight).max()
        for e in form.edges
    )


def _compact(bias: np.ndarray) -> np.ndarray:
    """() if all are equal, (C,) if all positions of a channel are, else the whole map."""
    if np.all(bias == bias.flat[0]):
        return bias.flat[0]
    flat = bias.reshape(bias.shape[0], -1)
    return flat[:, 0] if np.all(flat == flat[:, :1]) else bias


def _connection(form: Form, scaled: ScaledEdge, weight: np.ndarray, source: Shape, chip: Chip) -> Connection:
    edge, target = scaled.edge, form.unit.name
    ends: dict[str, Any] = {"source": edge.source, "target": target}
    if isinstance(edge.op, Same) and edge.source != target and not edge.delay.any():
        if np.all(weight == weight[0]):
            return OneToOne(**ends, weight=weight[0])
        if len(source) == 3:
            kernel, groups = _own_channel(weight, chip)
            return hw.Conv(**ends, weight=kernel, groups=groups)
    if isinstance(edge.op, Conv):
        if edge.delay.any():
            raise UnsupportedLayer(
                f"{form.unit.where}: a delay on the convolution {edge.source} -> {target}; only dense connections of "
                "the chip have delays, so put the delay before a dense layer"
            )
        op = edge.op
        geometry = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
        return hw.Conv(**ends, weight=weight, **geometry)
    if isinstance(edge.op, Same):
        positions = int(np.prod(source)) // len(weight)
        weight = np.diag(np.repeat(weight, positions))
    if len(form.unit.shape) == 3 and edge.source != target:
        raise UnsupportedLayer(
            f"{form.unit.where}: a delayed or dense connection {edge.source} -> {target} into a population with "
            "positions; put the delay before a dense layer"
        )
    return Dense(**ends, weight=weight, delay=_delay(edge, weight.shape))


def _own_channel(weight: np.ndarray, chip: Chip) -> tuple[np.ndarray, int]:
    """A 1 x 1 kernel in which every channel reads itself, weight (C,), and its number of groups."""
    channels = len(weight)
    groups = max(g for g in range(1, min(channels, chip.groups_max) + 1) if channels % g == 0)
    kernel = np.tile(np.eye(channels // groups, dtype=np.int64), (groups, 1)) * weight[:, None]
    return kernel[:, :, None, None], groups


def _delay(edge: Edge, shape: tuple[int, ...]) -> np.ndarray:
    if edge.delay.size and edge.delay.max() > hw.DELAY_MAX:
        raise UnsupportedLayer(
            f"{edge.source}: a delay of {edge.delay.max()} timesteps, a synapse holds a spike for {hw.DELAY_MAX}; use "
            "fewer, longer timesteps"
        )
    return np.broadcast_to(edge.delay, shape).astype(np.uint8) if edge.delay.ndim else edge.delay.astype(np.uint8)


def or_pool(unit: Unit, source: str, pool: Pool, chip: Chip) -> tuple[Population, Connection]:
    """A max pool of spikes as a population that fires where any neuron of its window does: weight 2, threshold 1."""
    centre, groups = _own_channel(np.full(unit.shape[0], 2), chip)
    link = hw.Conv(
        source=source,
        target=unit.name,
        weight=np.broadcast_to(centre, (*centre.shape[:2], *pool.kernel)),
        stride=pool.stride,
        padding=pool.padding,
        groups=groups,
    )
    return Population(name=unit.name, shape=unit.shape, neuron=Cuba(v_th_mant=1)), link


def synaptic_sums(connections: Sequence[Connection], spikes: Mapping[str, Tensor], shape: Shape) -> Tensor:
    """Sums `a` of a population for given spikes of everything it reads, its own included. float64 (T, B, *shape).

    spikes: (T, B, *source shape). Exact: integers below 2^53.
    """
    parts = [_sums(connection, spikes[connection.source].to(torch.float64), shape) for connection in connections]
    return torch.stack(parts).sum(dim=0)


def _sums(connection: Connection, x: Tensor, shape: Shape) -> Tensor:
    steps, batch = x.shape[:2]
    if isinstance(connection, OneToOne):
        return x * float(connection.weight)
    weight = torch.from_numpy(connection.weight.astype(np.float64))
    if isinstance(connection, hw.Conv):
        geometry = (connection.stride, connection.padding, connection.dilation, connection.groups)
        return F.conv2d(x.flatten(0, 1), weight, None, *geometry).unflatten(0, (steps, batch))
    late = int(connection.recurrent)
    flat = x.reshape(steps, batch, -1)
    delay = torch.from_numpy(np.broadcast_to(connection.delay, connection.weight.shape).copy())
    total = torch.zeros(steps, batch, weight.shape[0], dtype=torch.float64)
    for value in torch.unique(delay).tolist():
        part = F.linear(flat, torch.where(delay == value, weight, 0.0))
        lag = value + late
        total[lag:] += part[: max(steps - lag, 0)]
    return total.reshape(steps, batch, *shape)


def neuron_run(population: Population, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes (bool) and the last potential (int32) for given sums (T, B, *shape)."""
    neuron = population.neuron
    assert isinstance(neuron, Cuba)
    bias = torch.from_numpy(neuron.bias_over(population.shape).astype(np.int32))
    u = v = torch.zeros(sums.shape[1:], dtype=torch.int32)
    spikes = []
    for a in sums.to(torch.int32):
        u, v, z = hw.step(u, v, a, bias, neuron)
        spikes.append(z)
    return torch.stack(spikes), v

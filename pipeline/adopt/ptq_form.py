"""A folded spiking unit in the form the chip computes, still in floats: one threshold, one decay, no gain, reset to 0.

With w = v - v_reset and k = 1 / (threshold - v_reset), per neuron (per channel of a convolution):

    u <- (1 - i_decay) u + W s + b                 k w <- (1 - v_decay) k w + (k gain) u + k (offset - v_decay v_reset)
    v <- (1 - v_decay) v + gain u + offset   =>    fires where k w > 1, then k w <- 0

So thresholds, gains, offsets and resets of single neurons go into the rows of the weights and into the bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...export.floatgraph import Conv, Linear, Pool, Relu, Spike
from ...hw import Shape, UnsupportedLayer
from ...hw.arithmetic import DECAY_ONE
from .folded import Edge, Same, Unit


@dataclass(frozen=True, kw_only=True, eq=False)
class Form:
    """A unit whose threshold is 1 (None if it never fires). edges: weights scaled to it; `Same` holds a scale per row.

    bias: over the unit's shape. i_decay, v_decay: of 4096. decay_error: largest part of a decay lost in rounding.
    strict: as of the unit. notes: what was changed or approximated, one sentence each.
    """

    unit: Unit
    fires: bool
    edges: tuple[ScaledEdge, ...]
    bias: np.ndarray
    i_decay: int
    v_decay: int
    decay_error: float
    strict: bool
    notes: tuple[str, ...]

    @property
    def whole_states(self) -> bool:
        """Whether every state of the integer neuron is a whole mantissa: no decay leaves fractions."""
        return self.v_decay in (0, DECAY_ONE) and self.i_decay in (0, DECAY_ONE)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScaledEdge:
    """An edge and its weight times the factor of each row. weight: like the op's; of a `Same`, one value per row."""

    edge: Edge
    weight: np.ndarray


def to_form(
    unit: Unit, steps_of: Mapping[str, float], n_steps: int, *, hard_reset: bool = False, settled: bool = False
) -> Form:
    """The form of a spiking or integrating unit. steps_of: integers per unit of an input, for edges from the source.

    hard_reset: a network that subtracts its threshold is taken with a reset to zero instead. settled: which value
    stands for a bias that rises (`bias_rises`): the last one or the mean. Raises UnsupportedLayer for what the chip's
    neuron cannot be, with the way out.
    """
    op = unit.op
    if isinstance(op, Relu):
        raise UnsupportedLayer(
            f"{unit.where}: it is a ReLU, not a spiking neuron; this network is an ANN, convert it first"
        )
    notes: list[str] = []
    spike = op if isinstance(op, Spike) else Spike(threshold=np.asarray(np.inf), v_decay=np.zeros(()))
    fires = not np.all(np.isinf(spike.threshold))
    if fires:
        _check_reset(unit, spike, hard_reset, notes)
    i_decay, i_error = _one_decay(unit, "i_decay", spike.i_decay)
    v_decay, v_error = _one_decay(unit, "v_decay", spike.v_decay)
    v_reset = spike.v_reset if spike.reset == "value" else np.zeros(())
    factor = 1 / (spike.threshold - v_reset) if fires else np.ones(())
    if fires and np.any(v_reset != 0):
        notes.append("the reset is not to the potential a sample begins with; here every sample begins at the reset")
    rows = _per_row(unit, factor * spike.gain)
    bias = _over(unit, unit.bias) * _bias_memory(unit, spike, n_steps, settled, notes) * _over(unit, spike.gain)
    bias = (bias + _over(unit, spike.offset) - _over(unit, spike.v_decay * v_reset)) * _over(unit, factor)
    if fires and not spike.strict and not (v_decay in (0, DECAY_ONE) and i_decay in (0, DECAY_ONE)):
        notes.append("fires where v >= threshold in the original, and above it here: with a leak the chip has no >=")
    return Form(
        unit=unit,
        fires=fires,
        edges=tuple(e for e in (_scaled(unit, edge, rows, steps_of) for edge in unit.edges) if e.weight.any()),
        bias=bias,
        i_decay=i_decay,
        v_decay=v_decay,
        decay_error=max(i_error, v_error),
        strict=spike.strict,
        notes=tuple(notes),
    )


def _check_reset(unit: Unit, spike: Spike, hard_reset: bool, notes: list[str]) -> None:
    if spike.reset == "subtract":
        if not hard_reset:
            raise UnsupportedLayer(
                f"{unit.where}: it resets by subtracting its threshold, the chip's neuron resets to 0; train "
                "it with a hard reset, or accept one with `--reset hard` and see in the report what it changes"
            )
        notes.append("subtracts its threshold in the original, resets to 0 here, as the caller accepted")
    elif spike.late_reset and np.any(spike.v_reset != 0):
        raise UnsupportedLayer(
            f"{unit.where}: it resets one timestep late to a value other than 0; reset in the same timestep"
        )


def _one_decay(unit: Unit, name: str, decays: np.ndarray) -> tuple[int, float]:
    """The population's decay of 4096 and the largest rounding error. Raises UnsupportedLayer if neurons differ."""
    rounded = np.unique(np.round(decays * DECAY_ONE).astype(np.int64))
    if len(rounded) > 1:
        raise UnsupportedLayer(
            f"{unit.where}: it has neurons of {len(rounded)} different {name} ({rounded[0]} to {rounded[-1]} "
            "of 4096), the chip has one per population; split it into populations of equal decay"
        )
    return int(rounded[0]), float(np.abs(decays - rounded[0] / DECAY_ONE).max())


def bias_rises(unit: Unit) -> bool:
    """Whether a bias passes a current with memory, so that it is not constant in the membrane."""
    return isinstance(unit.op, Spike) and bool(unit.bias.any()) and bool(np.any(unit.op.i_decay != 1))


def _bias_memory(unit: Unit, spike: Spike, n_steps: int, settled: bool, notes: list[str]) -> np.ndarray | float:
    """By how much the current's memory multiplies a constant input: at the end of a sample, or averaged over it.

    Through u a constant b arrives as b (1 - (1 - d)^t) / d at timestep t; the chip adds its bias to v as it is.
    """
    if not bias_rises(unit):
        return 1.0
    keep = 1 - _over(unit, spike.i_decay)
    total, current = np.zeros_like(keep), np.zeros_like(keep)
    for _ in range(n_steps):
        current = keep * current + 1
        total = total + current
    value = "its value at the end" if settled else "its mean"
    notes.append(
        f"its bias rises over the sample through the current in the original, here it is {value} from the start; "
        "train current-based neurons without bias to avoid this"
    )
    return current if settled else total / n_steps


def _over(unit: Unit, values: np.ndarray | float) -> np.ndarray:
    """Values over the unit's shape; (C,) is per channel."""
    values = np.asarray(values, np.float64)
    if values.ndim == 1 and len(unit.shape) == 3:
        values = values[:, None, None]
    return np.broadcast_to(values, unit.shape)


def _per_row(unit: Unit, values: np.ndarray) -> np.ndarray:
    """One factor per channel (C,) or neuron (F,); positions of a channel must agree."""
    flat = _over(unit, values).reshape(unit.shape[0], -1)
    if not np.allclose(flat, flat[:, :1], rtol=1e-6, atol=0):
        raise UnsupportedLayer(
            f"{unit.where}: it has thresholds or gains that differ between positions of one channel, and a "
            "convolution has one row of weights per channel; give one threshold per channel"
        )
    return flat[:, 0]


def _scaled(unit: Unit, edge: Edge, rows: np.ndarray, steps_of: Mapping[str, float]) -> ScaledEdge:
    factor, op = rows / steps_of.get(edge.source, 1.0), edge.op
    if isinstance(op, Pool):
        raise UnsupportedLayer(
            f"{unit.where}: it reads a {op.kind} pool of {edge.source} that was not folded; fold it first"
        )
    if isinstance(op, Same):
        return ScaledEdge(edge=edge, weight=factor * op.scale)
    if isinstance(op, Conv):
        return ScaledEdge(edge=edge, weight=op.weight * factor[:, None, None, None])
    return ScaledEdge(edge=edge, weight=op.weight * _dense_rows(unit.shape, factor, op)[:, None])


def _dense_rows(shape: Shape, factor: np.ndarray, op: Linear) -> np.ndarray:
    """A factor per row of a matrix; recurrent matrices of (C, H, W) have a row per position."""
    return np.repeat(factor, op.weight.shape[0] // len(factor)) if len(shape) == 3 else factor

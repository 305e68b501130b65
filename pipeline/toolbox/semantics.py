"""One layer under semantics that are not the chip's: slow, plain numpy, in 64-bit integers.

The chip's own timestep, and what can be changed in it, in order (`a` synaptic sum, D = 4096):

    a  sum of weight x payload                         weights, kernel, columns, payload, delays, lag
    u  <- (u (D - i_decay) / D, towards zero) + a 64   rounding, u_range
    v  <- (v (D - v_decay) / D, towards zero) + u + bias 2^6, saturated      rounding, v_range, bias, bias_exp
    z   = v > threshold 64                             fires_at_threshold
    v  <- 0 where z                                    reset, u_reset, v_seen
    u, v zero when a sample begins                     resets, reset_at, in_flight
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...export.lava import Quantity
from ...export.netx import effective_dense_weight
from ...hw import Connection, Conv, Cuba, Dense, Population
from ...hw.arithmetic import DECAY_ONE, STATE_LIMIT, STATE_SHIFT

V_AT_SPIKE = 128
"""What Loihi 2's v register shows at a timestep with a spike, in the recordings shipped with lava-dl."""


@dataclass(frozen=True, kw_only=True)
class Semantics:
    """How a layer computes; the defaults are the chip's. lag: timesteps its input arrives late (early if negative).

    reset_at: timestep of the sample at which u and v are cleared, negative for before it begins. in_flight: whether
    delayed and recurrent spikes of one sample reach the next. resets: whether samples are separated at all.
    bias_exp: None for the neuron's own. recorded: timesteps the recording itself is late; it changes no number, only
    which are compared.
    """

    weights: Literal["as stored", "even, down", "even, to zero", "even, nearest", "8 bits", "8 bits, symmetric",
                     "even range", "refitted by Lava", "transposed"] = "as stored"  # fmt: skip
    kernel: Literal["as stored", "flipped", "transposed"] = "as stored"
    columns: Literal["C, H, W", "W, H, C"] = "C, H, W"
    payload: Literal["as sent", "binary"] = "as sent"
    delays: bool = True
    lag: int = 0
    rounding: Literal["towards zero", "down", "nearest", "none"] = "towards zero"
    u_range: Literal["wraps", "saturates", "none"] = "wraps"
    v_range: Literal["saturates", "none"] = "saturates"
    bias: Literal["every timestep", "once", "none"] = "every timestep"
    bias_exp: int | None = None
    fires_at_threshold: bool = False
    reset: Literal["to zero", "by subtraction", "none"] = "to zero"
    u_reset: bool = False
    v_seen: Literal["after reset", "before reset", "register"] = "after reset"
    resets: bool = True
    reset_at: int = 0
    in_flight: bool = False
    recorded: int = 0


CHIP = Semantics()


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerAlone:
    """A population, what leads to it, and the spikes it is driven with.

    drive: for each connection from another population, that population's spikes or payloads, integers (T, B, *S).
    recurrent: connections to itself, which carry the spikes the layer makes here.
    """

    population: Population
    neuron: Cuba
    drive: tuple[tuple[Connection, np.ndarray], ...]
    recurrent: tuple[Dense, ...]

    @property
    def n_steps(self) -> int:
        """Timesteps of a sample."""
        return self.drive[0][1].shape[0]

    @property
    def n_samples(self) -> int:
        """Samples driven."""
        return self.drive[0][1].shape[1]


Memo = dict[tuple[object, ...], np.ndarray]
"""Synaptic sums already made of one layer; most semantics share them."""


def simulate(layer: LayerAlone, semantics: Semantics = CHIP, memo: Memo | None = None) -> dict[Quantity, np.ndarray]:
    """u, v and spikes of a layer, (T, B, *shape) each; floats where nothing is rounded, else int64.

    memo: keeps the synaptic sums from one call to the next with the same layer.
    """
    s = semantics
    steps, samples = layer.n_steps, layer.n_samples
    apart = s.resets and s.reset_at == 0 and not s.in_flight
    lead = max(0, -s.reset_at)  # timesteps before the first sample
    key = (s.weights, s.kernel, s.columns, s.payload, s.delays, s.lag, apart, lead)
    memo = {} if memo is None else memo
    if key not in memo:
        drive = [(c, spikes if apart else _end_to_end(spikes, lead)) for c, spikes in layer.drive]
        memo[key] = np.asarray(sum(_arriving(connection, spikes, s) for connection, spikes in drive))
    if apart:
        return _run(layer, memo[key], s, frozenset({0}))
    starts = range(lead + s.reset_at, lead + steps * samples, steps) if s.resets else ()
    over = _run(layer, memo[key], s, frozenset(starts))
    return {name: _side_by_side(values[lead:, 0], steps) for name, values in over.items()}


def _end_to_end(spikes: np.ndarray, lead: int) -> np.ndarray:
    """(T, B, *S) as (lead + B T, 1, *S), one sample after the other, behind `lead` silent timesteps."""
    row = spikes.swapaxes(0, 1).reshape(-1, 1, *spikes.shape[2:])
    return np.concatenate([np.zeros((lead, *row.shape[1:]), row.dtype), row])


def _side_by_side(row: np.ndarray, steps: int) -> np.ndarray:
    """(B T, *S) as (T, B, *S)."""
    return row.reshape(-1, steps, *row.shape[1:]).swapaxes(0, 1)


def _run(layer: LayerAlone, sums: np.ndarray, s: Semantics, resets: frozenset[int]) -> dict[Quantity, np.ndarray]:
    """The neurons over all timesteps. sums: from other populations, (T, B, *shape). resets: where u and v are zero."""
    neuron = layer.neuron
    kind = np.float64 if s.rounding == "none" else np.int64
    threshold = neuron.v_th_mant << STATE_SHIFT
    exponent = neuron.bias_exp if s.bias_exp is None else s.bias_exp
    bias = neuron.bias_over(layer.population.shape).astype(np.int64) << exponent
    out: dict[Quantity, np.ndarray] = {
        "u": np.zeros(sums.shape, kind),
        "v": np.zeros(sums.shape, kind),
        "spikes": np.zeros(sums.shape, np.int64),
    }
    u = v = np.zeros(sums.shape[1:], kind)
    for t in range(len(sums)):
        if t in resets:
            u, v = np.zeros_like(u), np.zeros_like(v)
        a = sums[t] + sum(_own(connection, out["spikes"], t, s) for connection in layer.recurrent)
        u = _in_range(_decayed(u, neuron.i_decay, s) + (a << STATE_SHIFT), s.u_range)
        v = _decayed(v, neuron.v_decay, s) + u
        if s.bias == "every timestep" or (s.bias == "once" and (t in resets or t == 0)):
            v = v + bias
        v = _in_range(v, s.v_range)
        z = v >= threshold if s.fires_at_threshold else v > threshold
        before = v
        if s.reset != "none":
            v = np.where(z, v - threshold if s.reset == "by subtraction" else 0, v)
        if s.u_reset:
            u = np.where(z, 0, u)
        seen = {"after reset": v, "before reset": before, "register": np.where(z, V_AT_SPIKE, v)}
        out["u"][t], out["v"][t], out["spikes"][t] = u, seen[s.v_seen], z
    return out


def _decayed(x: np.ndarray, constant: int, s: Semantics) -> np.ndarray:
    if s.rounding == "none":
        return x * (1 - constant / DECAY_ONE)
    product = x * (DECAY_ONE - constant)
    if s.rounding == "towards zero":
        return np.sign(product) * (np.abs(product) // DECAY_ONE)
    return (product + (DECAY_ONE // 2 if s.rounding == "nearest" else 0)) // DECAY_ONE


def _in_range(x: np.ndarray, how: str) -> np.ndarray:
    if how == "wraps":
        return np.where(x > STATE_LIMIT, x - 2 * STATE_LIMIT, np.where(x <= -STATE_LIMIT, x + 2 * STATE_LIMIT, x))
    return np.clip(x, -(STATE_LIMIT - 1), STATE_LIMIT - 1) if how == "saturates" else x


def _arriving(connection: Connection, spikes: np.ndarray, s: Semantics) -> np.ndarray:
    """Synaptic sums of one connection at every timestep: int64 (T, B, *shape)."""
    # Products of integers below 2^53 are exact in float64, where numpy has fast ones.
    sent = (spikes != 0 if s.payload == "binary" else spikes).astype(np.float64)
    if isinstance(connection, Conv):
        sums = _convolved(connection, _kernel(connection, s), sent)
    elif isinstance(connection, Dense):
        if s.columns == "W, H, C" and sent.ndim == 5:
            sent = sent.transpose(0, 1, 4, 3, 2)
        sums = _matrix_sums(connection, sent.reshape(*sent.shape[:2], -1), s)
    else:
        sums = sent * float(_weights(connection, s))
    return _moved(np.rint(sums).astype(np.int64), s.lag)


def _moved(values: np.ndarray, steps: int) -> np.ndarray:
    """The same values `steps` timesteps later (earlier if negative), zero where nothing is known."""
    moved = np.zeros_like(values)
    if steps > 0:
        moved[steps:] = values[:-steps]
    elif steps < 0:
        moved[:steps] = values[-steps:]
    else:
        moved[:] = values
    return moved


def _matrix_sums(connection: Dense, sent: np.ndarray, s: Semantics) -> np.ndarray:
    """(T, B, in) through a matrix with delays: (T, B, out)."""
    weight = _weights(connection, s).astype(np.float64)
    if not s.delays:
        return sent @ weight.T
    delay = np.broadcast_to(connection.delay, connection.weight.shape)
    sums = np.zeros((*sent.shape[:2], len(weight)))
    for steps in np.unique(delay):
        sums += _moved(sent @ np.where(delay == steps, weight, 0).T, int(steps))
    return sums


def _own(connection: Dense, spikes: np.ndarray, t: int, s: Semantics) -> np.ndarray:
    """What a recurrent connection brings at timestep t: the layer's own spikes of t - 1, or `delay` earlier."""
    weight = _weights(connection, s).astype(np.int64)
    delay = np.broadcast_to(connection.delay if s.delays else np.uint8(0), connection.weight.shape)
    sums = np.zeros((spikes.shape[1], len(weight)), np.int64)
    for steps in np.unique(delay):
        sent = t - 1 - int(steps)
        if sent >= 0:
            sums += spikes[sent].reshape(len(sums), -1) @ np.where(delay == steps, weight, 0).T
    return sums.reshape(spikes.shape[1:])


def _convolved(conv: Conv, kernel: np.ndarray, sent: np.ndarray) -> np.ndarray:
    """Cross-correlation of (T, B, C, H, W) with (out, in / groups, kH, kW), one kernel tap at a time."""
    steps, samples = sent.shape[:2]
    (down, right), (top, left) = conv.stride, conv.padding
    _, height, width = conv.out_shape(sent.shape[2:])
    images = np.pad(sent.reshape(-1, *sent.shape[2:]), ((0, 0), (0, 0), (top, top), (left, left)))
    images = images.reshape(len(images), conv.groups, -1, *images.shape[2:])
    grouped = kernel.astype(np.float64).reshape(conv.groups, -1, *kernel.shape[1:])
    sums = np.zeros((len(images), conv.groups, grouped.shape[1], height, width))
    for y, x in np.ndindex(*kernel.shape[2:]):
        first, start = y * conv.dilation[0], x * conv.dilation[1]
        rows = slice(first, first + down * (height - 1) + 1, down)
        columns = slice(start, start + right * (width - 1) + 1, right)
        sums += np.einsum("ngchw,goc->ngohw", images[..., rows, columns], grouped[..., y, x], optimize=True)
    return sums.reshape(steps, samples, -1, height, width)


def _kernel(conv: Conv, s: Semantics) -> np.ndarray:
    kernel = _weights(conv, s)
    if s.kernel == "flipped":
        return kernel[:, :, ::-1, ::-1]
    return kernel.swapaxes(2, 3) if s.kernel == "transposed" else kernel


def _weights(connection: Connection, s: Semantics) -> np.ndarray:
    """The numbers multiplied by."""
    w = connection.weight.astype(np.int64)
    match s.weights:
        case "even, down":
            return w - w % 2
        case "even, to zero":
            return np.sign(w) * (np.abs(w) - np.abs(w) % 2)
        case "even, nearest":
            return 2 * np.rint(w / 2).astype(np.int64)
        case "8 bits":
            return np.clip(w, -128, 127)
        case "8 bits, symmetric":
            return np.clip(w, -127, 127)
        case "even range":
            return np.clip(w, -256, 254)
        case "refitted by Lava":
            return effective_dense_weight(w) if w.ndim == 2 and w.any() else w
        case "transposed":
            return w.T if w.ndim == 2 else w
    return w

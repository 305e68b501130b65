"""Nothing fast is used before it has given the right integers in this process.

oneDNN's 8-bit operations are private to torch, differ between processors and saturate on some; compiled loops depend on
numba and on the machine code it kept from earlier runs. Each is compared bit for bit with the plain path once per
process, on numbers chosen to reach the ends of its range. What is missing or differs is not used.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

from ..hw import Conv, Cuba
from ..hw.arithmetic import STATE_LIMIT
from .kernels.events import EventConv
from .kernels.int8 import Grid, Int8Conv, Int8Dense, on_grid
from .kernels.plain import FloatConv, FloatDense, PlainNeurons, States
from .kernels.rows import EventRows

CPU = torch.device("cpu")
UNAVAILABLE = (ImportError, AttributeError, RuntimeError, NotImplementedError, TypeError, ValueError)
"""How a private or optional operation says that it is not there, or is called otherwise in this version."""


@cache
def compiled() -> ModuleType | None:
    """The compiled loops, or None if numba is missing or any of them gave a wrong integer."""
    try:
        loops = importlib.import_module("..kernels.compiled", __name__)
        right = _neurons_agree(loops) and _events_agree(loops) and _counts_agree(loops)
    except UNAVAILABLE:
        return None
    except Exception as error:  # numba's errors share no base with Python's, and their class needs numba to name
        if not type(error).__module__.startswith("numba."):
            raise
        return None
    return loops if right else None


@cache
def int8_payload() -> int:
    """The largest payload that 8-bit products carry without an error on this machine: 255, 127, or 0 for none."""
    try:
        return next((most for most in (255, 127) if _int8_agrees(most)), 0)
    except UNAVAILABLE:
        return 0


def forget() -> None:
    """Check again at the next use."""
    compiled.cache_clear()
    int8_payload.cache_clear()


def _int8_agrees(most: int) -> bool:
    rng = np.random.default_rng(0)
    # (inputs, outputs, groups, kernel, stride, padding, dilation, size): widths that fill vector registers and not
    shapes = (
        (3, 16, 1, 3, 1, 1, 1, 9),
        (64, 64, 1, 3, 1, 1, 1, 6),
        (64, 96, 1, 3, 2, 1, 1, 8),
        (40, 24, 1, 1, 2, 0, 1, 5),
        (32, 32, 32, 3, 1, 1, 1, 7),
        (24, 36, 3, 3, 1, 2, 2, 7),
        (256, 64, 1, 3, 1, 1, 1, 4),
    )
    for inputs, outputs, groups, kernel, stride, padding, dilation, size in shapes:
        weight = _extreme(rng, (outputs, inputs // groups, kernel, kernel))
        conv = _conv(weight, stride, padding, dilation, groups)
        spikes = _payloads(rng, (3, size, size, inputs), most)
        grid = on_grid(weight)
        assert grid is not None  # made of 8-bit numbers
        if not torch.equal(Int8Conv(conv, grid)(spikes), FloatConv(conv, torch.float32, CPU)(spikes)):
            return False
    for inputs, outputs in ((5, 3), (256, 10), (512, 64)):
        weight = _extreme(rng, (outputs, inputs))
        spikes = _payloads(rng, (17, inputs), most)
        ours = Int8Dense(Grid(weight.astype(np.int8), 1))(spikes)
        if not torch.equal(ours, FloatDense(weight, torch.float32, CPU)(spikes)):
            return False
    return True


def _neurons_agree(loops: Any) -> bool:
    rng = np.random.default_rng(1)
    samples, steps, size = 2, 6, 1500
    for i_decay, v_decay, threshold in ((4096, 0, 1000), (0, 0, 1 << 16), (1, 4095, 60000), (700, 300, 2000)):
        neuron = Cuba(v_th_mant=threshold, i_decay=i_decay, v_decay=v_decay)
        bias = torch.from_numpy(rng.integers(-(1 << 20), 1 << 20, size).astype(np.int32))
        sums = torch.from_numpy(rng.integers(-(1 << 18) + 1, 1 << 18, (samples, steps, size)).astype(np.float32))
        ours, plain = _states(samples, steps, size), _states(samples, steps, size)
        for fresh in (True, False):  # then on from where they stand
            PlainNeurons(neuron, bias, STATE_LIMIT, STATE_LIMIT).run(sums, replace(plain, fresh=fresh))
            arrays = [x.numpy() for x in (ours.spikes, ours.all_u, ours.all_v, ours.u, ours.v) if x is not None]
            loops.neurons(sums.numpy(), bias.numpy(), i_decay, v_decay, np.int32(threshold << 6), *arrays, fresh)
        without = torch.empty_like(ours.spikes)
        absent = (np.empty((0, 0, 0), np.int32),) * 2 + (np.empty((0, 0), np.int32),) * 2
        PlainNeurons(neuron, bias, STATE_LIMIT, STATE_LIMIT).run(sums, States(plain.spikes))
        loops.neurons(
            sums.numpy(), bias.numpy(), i_decay, v_decay, np.int32(threshold << 6), without.numpy(), *absent, True
        )
        if not torch.equal(without, plain.spikes):
            return False
        for name in ("u", "v", "all_u", "all_v"):
            if not torch.equal(getattr(ours, name), getattr(plain, name)):
                return False
    return True


def _events_agree(loops: Any) -> bool:
    rng = np.random.default_rng(2)
    # 64 channels of rows beyond what an int16 can hold; 5 channels, which do not fill a word; 16-bit weights
    for inputs, stride, dilation, scale in ((64, 1, 1, 1), (5, 2, 2, 1), (16, 2, 1, 2), (16, 1, 1, 3)):
        weight = _extreme(rng, (24, inputs, 3, 3)) * scale
        conv = _conv(weight, stride, 1, dilation, 1)
        for rate in (0.1, 1.0):
            spikes = torch.from_numpy((rng.random((3, 7, 6, inputs)) < rate).astype(np.uint8))
            plain = FloatConv(conv, torch.float32, CPU)(spikes)
            ours = EventConv(conv, (24, *plain.shape[1:3]), loops.conv_events)(spikes)
            if not torch.equal(ours, plain):
                return False
    return True


def _counts_agree(loops: Any) -> bool:
    return _tally_agrees(loops) and _rows_agree(loops)


def _tally_agrees(loops: Any) -> bool:
    rng = np.random.default_rng(3)
    spikes = (rng.random((2, 20, 15, 7)) < 0.5).astype(np.uint8)
    rows, kinds = rng.integers(0, 3, 20).astype(np.int32), rng.integers(0, 4, (3, 15)).astype(np.int32)
    table = rng.integers(0, 1 << 30, (3, 4, 7))
    totals = np.empty((2, 3), np.int64)
    loops.tally(spikes.reshape(2, 20, -1), rows, kinds, table, totals)
    return np.array_equal(totals, np.einsum("nyxc,kyxc->nk", spikes.astype(np.int64), table[:, kinds[rows]]))


def _rows_agree(loops: Any) -> bool:
    rng = np.random.default_rng(4)
    for neurons in (640, 637):  # in whole words or not; more rows of 127 than an int16 holds
        spikes = (rng.random((2, neurons)) < [[0.1], [1.0]]).astype(np.uint8)
        values = rng.integers(0, 1 << 40, (11, neurons))
        values[0] = (1 << 40) - 1
        if not np.array_equal(EventRows(values, loops.add_events)(spikes), spikes @ values.T):
            return False
    return True


def _states(samples: int, steps: int, size: int) -> States:
    u, v = (torch.zeros(samples, size, dtype=torch.int32) for _ in range(2))
    all_u, all_v = (torch.empty(samples, steps, size, dtype=torch.int32) for _ in range(2))
    return States(torch.empty(samples, steps, size, dtype=torch.uint8), all_u, all_v, u, v)


def _conv(weight: np.ndarray, stride: int, padding: int, dilation: int, groups: int) -> Conv:
    pairs = {"stride": (stride, stride), "padding": (padding, padding), "dilation": (dilation, dilation)}
    return Conv(source="", target="", weight=weight, groups=groups, **pairs)


def _extreme(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """8-bit weights; two outputs sit at either end of the range, where sums of neighbours are largest.

    At most 450 weights of an output do, so that with payloads of 255 the sums stay exact in float32.
    """
    weight = rng.integers(-128, 128, shape)
    inputs = max(1, 450 // int(np.prod(shape[2:])))
    weight[0, :inputs], weight[1, :inputs] = 127, -128
    return weight


def _payloads(rng: np.random.Generator, shape: tuple[int, ...], most: int) -> torch.Tensor:
    """Payloads of which many are as large as can be, and the whole first row."""
    values = np.where(rng.random(shape) < 0.5, most, rng.integers(0, most + 1, shape))
    values[0] = most
    return torch.from_numpy(values.astype(np.uint8))

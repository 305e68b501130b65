"""The current-based leaky integrate-and-fire neuron of Loihi (netx types `CUBA` and `LOIHI`).

One timestep, integers only, `dec` as in `arithmetic.decay`, synaptic sum `a`:

    u <- wrap( dec(u, i_decay) + (a << 6) )
    v <- clip( dec(v, v_decay) + u + (bias_mant << bias_exp) )
    z  = v > (v_th_mant << 6)                 strictly above
    v <- 0 where z                            hard reset; u is left alone

Source: Lava `PyLifModelBitAcc` (lava/proc/lif/models.py). Lava's own parameter `du` is `i_decay - 1`.

Worked example: i_decay 4096 (no memory in u), v_decay 2048, v_th_mant 10, bias 0, a = 8 at every step:
v = 512 (8 << 6), then 256 + 512 = 768 > 640: a spike at step 2, v = 0, and again at steps 4, 6, ...
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import index
from typing import Any

import numpy as np

from ..arithmetic import STATE_SHIFT, decay, saturate_state, wrap_state
from ..errors import BadInput

BIAS_EXP_MAX = 7
"""Largest exponent of a bias: Lava declares it with 3 bits (lava-nc 0.10.0, lava/proc/lif/models.py)."""

NEVER_FIRES = 131071
"""The largest 17-bit threshold mantissa; a read-out uses it and is checked never to reach it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cuba:
    """Integer parameters of a population of CUBA LIF neurons.

    v_th_mant: threshold mantissa. i_decay, v_decay: current and voltage decay, of 4096.
    bias_mant: int32, shape () for one value, (C,) per channel, or the population's own shape. bias_exp: 6 in a netx
    file; Lava's LIF takes 0 to 7 (its 3 bits).

    Raises BadInput for parameters that are not integers, and for a bias exponent out of range.
    """

    v_th_mant: int
    i_decay: int = 4096
    v_decay: int = 0
    bias_mant: np.ndarray = field(default_factory=lambda: np.zeros((), np.int32))
    bias_exp: int = STATE_SHIFT

    def __post_init__(self) -> None:
        for name in ("v_th_mant", "i_decay", "v_decay", "bias_exp"):
            try:
                object.__setattr__(self, name, index(getattr(self, name)))
            except TypeError:
                raise BadInput(f"cuba: {name} is {getattr(self, name)!r}, a neuron parameter is an integer") from None
        if not 0 <= self.bias_exp <= BIAS_EXP_MAX:
            raise BadInput(f"cuba: bias_exp is {self.bias_exp}, outside 0..{BIAS_EXP_MAX}; shift the mantissa instead")
        given = np.asarray(self.bias_mant)
        if not np.issubdtype(given.dtype, np.integer):
            raise BadInput(f"cuba: the bias is {given.dtype}, a mantissa is an integer; quantize the network first")
        worst = max(int(given.max(initial=0)), int(given.min(initial=0)), key=abs)
        if abs(worst) > np.iinfo(np.int32).max:
            raise BadInput(f"cuba: bias mantissa {worst} is beyond 32 bits; quantize the network to smaller biases")
        bias = np.array(given, dtype=np.int32)
        bias.flags.writeable = False
        object.__setattr__(self, "bias_mant", bias)

    def bias_over(self, shape: tuple[int, ...]) -> np.ndarray:
        """The bias of every neuron: int32 of `shape` ((C, H, W) or (F,))."""
        bias = self.bias_mant
        if bias.ndim == 1 and len(shape) == 3:
            bias = bias[:, None, None]
        return np.broadcast_to(bias, shape)


def step(u: Any, v: Any, a: Any, bias: Any, neuron: Cuba) -> tuple[Any, Any, Any]:
    """One timestep. u, v, a, bias: int32 arrays of one shape (numpy or torch). Returns (u, v, z), z boolean."""
    u = wrap_state(decay(u, neuron.i_decay) + (a << STATE_SHIFT))
    v = saturate_state(decay(v, neuron.v_decay) + u + (bias << neuron.bias_exp))
    z = v > (neuron.v_th_mant << STATE_SHIFT)
    return u, v * ~z, z

"""The current-based leaky integrate-and-fire neuron of Loihi (netx types `CUBA` and `LOIHI`).

One timestep, integers only, `dec` as in `arithmetic.decay`, synaptic sum `a`:

    u <- wrap( dec(u, i_decay) + (a << 6) )
    v <- clip( dec(v, v_decay) + u + (bias_mant << 6) )
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

NEVER_FIRES = 131071
"""The largest 17-bit threshold mantissa; a read-out uses it and is checked never to reach it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cuba:
    """Integer parameters of a population of CUBA LIF neurons.

    v_th_mant: threshold mantissa. i_decay, v_decay: current and voltage decay, of 4096.
    bias_mant: int32, shape () for one value, (C,) per channel, or the population's own shape.

    Raises BadInput for parameters that are not integers.
    """

    v_th_mant: int
    i_decay: int = 4096
    v_decay: int = 0
    bias_mant: np.ndarray = field(default_factory=lambda: np.zeros((), np.int32))

    def __post_init__(self) -> None:
        for name in ("v_th_mant", "i_decay", "v_decay"):
            try:
                object.__setattr__(self, name, index(getattr(self, name)))
            except TypeError:
                raise BadInput(f"cuba: {name} is {getattr(self, name)!r}, a neuron parameter is an integer") from None
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
    v = saturate_state(decay(v, neuron.v_decay) + u + (bias << STATE_SHIFT))
    z = v > (neuron.v_th_mant << STATE_SHIFT)
    return u, v * ~z, z

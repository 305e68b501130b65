"""Loihi (Intel, 2018): the arithmetic of Loihi 2's CUBA neuron, binary spikes only."""

from __future__ import annotations

from dataclasses import replace

from ..chip import CHIPS
from .loihi2 import LOIHI2

_NENGO = "nengo-loihi, nengo_loihi/hardware/validate.py and discretize.py"

LOIHI1 = CHIPS.register(
    "loihi1",
    replace(
        LOIHI2,
        name="loihi1",
        conv_sum_max=(1 << 15) - 1,
        dense_sum_max=(1 << 15) - 1,
        bias_min=-((1 << 12) - 1),
        payload_bits_max=0,
        sources={
            **LOIHI2.sources,
            "v_th_max": f"{_NENGO}: VTH_MAN_MAX, 17 bits",
            "bias_min": f"{_NENGO}: 12-bit magnitude and sign",
            "bias_max": f"{_NENGO}: 12-bit magnitude and sign",
            "conv_sum_max": f"{_NENGO}: Q_BITS = 21 beside the sign, weights shifted left by 6",
            "dense_sum_max": f"{_NENGO}: Q_BITS = 21 beside the sign, weights shifted left by 6",
            "payload_bits_max": "Davies et al., IEEE Micro 38(1), 2018: spikes carry no payload",
        },
    ),
)

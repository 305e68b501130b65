"""When still images give way to events, and when their teacher falls silent.

With d the share of training that is done, E its epochs, e = d E the epochs completed:

    P(d) = d^power                            share of the still clips that events replace
    gamma(e) = 1 / (1 + exp(k (e - e_th)))    weight of the teacher's logits

Source: CKD, ICME 2025, arXiv 2507.09269; P with power 3 from its predecessor's public code (He et al., AAAI 2024).
"""

from __future__ import annotations

import math
from typing import Literal

Replacement = Literal["cubic", "abrupt", "none"]
Switch = Literal["half_replaced", "epoch", "none"]


def replaced_share(done: float, replacement: Replacement, power: float) -> float:
    """P, in [0, 1]. done: d. `abrupt`: 0 until `cubic` would have reached one half, then 1. `none`: always 0."""
    if replacement == "none":
        return 0.0
    if replacement == "abrupt":
        return float(done >= half_replaced(power))
    return min(1.0, done**power)


def half_replaced(power: float) -> float:
    """The d at which P reaches one half: 0.794 for power 3."""
    return 0.5 ** (1 / power)


def switch_epoch(switch: Switch, e_th: float | None, replacement: Replacement, power: float, epochs: int) -> float:
    """The e at which gamma is one half; infinite if it never falls. e_th: of the switch `epoch`.

    `half_replaced`: where P reaches one half, which without replacement it never does.
    """
    if switch == "epoch":
        assert e_th is not None  # the settings say so
        return e_th
    never = switch == "none" or replacement == "none"
    return math.inf if never else half_replaced(power) * epochs


def gamma(e: float, k: float, e_th: float) -> float:
    """The logistic function of -k (e - e_th), through a tanh that cannot overflow. Far beyond e_th it is exactly 0."""
    return 0.5 * (1 - math.tanh(k * (e - e_th) / 2))

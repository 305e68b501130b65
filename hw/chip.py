"""A chip as data: the ranges of its numbers, each with the place it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .registry import Registry


@dataclass(frozen=True, kw_only=True)
class Chip:
    """Number ranges of one chip. All are inclusive.

    weight_min, weight_max, weight_step: grid of a matrix that has both signs. one_sided_max: largest magnitude of a
    matrix of one sign. v_th_max, bias_min, bias_max: mantissas (entering the state shifted left by 6).
    conv_sum_max, dense_sum_max: largest magnitude of one synaptic sum `a`. payload_bits_max: 0 if spikes are binary.
    bias_exp_max: largest exponent of a bias. delay_max: timesteps a synapse can hold a spike back.
    sources: where each number is published, by field name.
    """

    name: str
    weight_min: int
    weight_max: int
    weight_step: int
    one_sided_max: int
    v_th_max: int
    bias_min: int
    bias_max: int
    conv_sum_max: int
    dense_sum_max: int
    payload_bits_max: int
    bias_exp_max: int
    delay_max: int
    kernel_max: int
    groups_max: int
    sources: Mapping[str, str]


CHIPS: Registry[Chip] = Registry("chip")

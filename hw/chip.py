"""A chip as data: the ranges of its numbers and what its cores hold, each with the place it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .registry import Registry


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The tiles of one chip: columns x rows of them, each with some cores, numbered row by row."""

    columns: int
    rows: int
    cores_per_tile: int

    def __str__(self) -> str:
        return f"{self.columns} x {self.rows} tiles of {self.cores_per_tile}"


@dataclass(frozen=True, kw_only=True)
class Cores:
    """What the neurocores of one chip hold. All are inclusive; None where nothing is published.

    per_chip: cores of a chip. compartments, input_axons, output_axons: per core. synapse_words: 64-bit words of its
    synaptic memory. words_per_axon: longest list of synapses of one input axon, in such words. destination_groups: runs
    of target columns a shared convolution may be cut into. mesh: how the cores lie. rules: names of the published ways
    to lay a network out on the chip (`placement.RULES`), the default first. sources: where each number is published, by
    field name.
    """

    per_chip: int
    compartments: int | None
    input_axons: int | None
    output_axons: int | None
    synapse_words: int | None
    words_per_axon: int | None
    destination_groups: int | None
    mesh: Mesh | None
    rules: tuple[str, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Chip:
    """Number ranges of one chip, inclusive, and its cores.

    weight_min, weight_max, weight_step: grid of a matrix that has both signs. one_sided_max: largest magnitude of a
    matrix of one sign. v_th_max, bias_min, bias_max: mantissas (entering the state shifted left by 6).
    conv_sum_max, dense_sum_max: largest magnitude of one synaptic sum `a`. payload_bits_max: 0 if spikes are binary.
    bias_exp_max: largest exponent of a bias. delay_max: timesteps a synapse can hold a spike back.
    sources: where each number is published, by field name. cores: what its cores hold, for `placement`.
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
    cores: Cores


CHIPS: Registry[Chip] = Registry("chip")

"""Max pooling of spikes: a population of its own that fires where any spike of its window does."""

from __future__ import annotations

import numpy as np

from ..hw import BadInput, Conv, Cuba, Population
from .lowering_links import most_groups, with_groups

OR_WEIGHT, OR_THRESHOLD = 2, 1
"""One spike is above the threshold, none is not; the chip's smallest even weight and smallest threshold."""


def or_population(
    name: str,
    source: Population,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int] | None = None,
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups_max: int = 127,
) -> tuple[Population, Conv]:
    """A population that is the maximum of the binary spikes in each window of `source`, and the connection into it.

    kernel, stride (None: the kernel), padding, dilation: (H, W), as in torch's `max_pool2d`. Windows may overlap;
    padding adds no spike. Exact: a neuron's current forgets everything, its weights are above its threshold and its
    bias is 0, so it fires at step t if and only if some source of its window does, and never holds a potential.

    Raises BadInput for a source that is not (C, H, W), or whose spikes carry payloads (their maximum is not an OR).
    """
    payload_bits = 0 if isinstance(source.neuron, Cuba) else source.neuron.payload_bits
    if payload_bits:
        raise BadInput(
            f"{name}: {source.name} sends payloads of {payload_bits} bits, and only binary spikes have their maximum "
            "as an OR; pool the input before it becomes spikes"
        )
    if len(source.shape) != 3:
        raise BadInput(f"{name}: {source.name} has shape {source.shape}; max pooling needs (C, H, W)")
    channels = source.shape[0]
    link = Conv(
        source=source.name,
        target=name,
        weight=np.full((channels, 1, *kernel), OR_WEIGHT),
        stride=kernel if stride is None else stride,
        padding=padding,
        dilation=dilation,
        groups=channels,
    )
    link = with_groups(link, most_groups(channels, groups_max))
    neuron = Cuba(v_th_mant=OR_THRESHOLD, i_decay=4096, v_decay=4096)
    return Population(name=name, shape=link.out_shape(source.shape), neuron=neuron), link

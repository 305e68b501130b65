"""Synaptic sums from the spikes that occurred: the work grows with their number, not with that of the synapses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...hw import Conv
from . import LANES, parallel
from .int8 import on_grid

Loops = Callable[..., None]


class EventConv:
    """Sums of an ungrouped convolution of binary spikes.

    Called with uint8 (N, H, W, C); returns float32 (N, H', W', outputs).

    conv_events: `compiled.conv_events`. The weights are kept in 8 bits where they fit (`int8.on_grid`), else in 16.
    """

    def __init__(self, connection: Conv, out_shape: tuple[int, ...], conv_events: Loops) -> None:
        outputs, channels, *kernel = connection.weight.shape
        rows, self.scale, self.most = _rows(connection.weight.transpose(2, 3, 1, 0).reshape(-1, outputs))
        self.weight = rows
        self.channels = channels
        self.geometry = (tuple(kernel), connection.stride, connection.padding, connection.dilation)
        self.out_shape = (*out_shape[1:], outputs)
        self.conv_events = conv_events

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """The sums of N pictures."""
        out = torch.empty(len(spikes), *self.out_shape)
        given, filled = spikes.numpy(), out.numpy()
        words = given.view(np.uint64) if self.channels % 8 == 0 else np.empty((1, 0, 0, 0), np.uint64)

        def some(part: slice) -> None:
            here = words[part] if words.size else words
            self.conv_events(given[part], here, self.weight, *self.geometry, self.most, self.scale, filled[part])

        parallel(some, len(given))
        return out


class EventDense:
    """Sums of a matrix over binary spikes. Called with uint8 (N, in); returns float32 (N, out)."""

    def __init__(self, weight: np.ndarray, conv_events: Loops) -> None:
        kernel = weight[:, :, None, None]
        self.picture = EventConv(Conv(source="", target="", weight=kernel), (len(weight), 1, 1), conv_events)

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """The sums of N vectors, each taken as a picture of one pixel."""
        return self.picture(spikes[:, None, None])[:, 0, 0]


def _rows(weight: np.ndarray) -> tuple[np.ndarray, np.float32, int]:
    """Weights (rows, outputs), filled up to whole vectors; their scale; how many rows an int16 can hold the sum of."""
    grid = on_grid(weight)
    values, scale = (grid.values, grid.scale) if grid else (weight, 1)
    rows = np.zeros((len(values), -(-values.shape[1] // LANES) * LANES), values.dtype)
    rows[:, : values.shape[1]] = values
    largest = max(1, int(np.abs(values.astype(np.int64)).max()))
    return rows, np.float32(scale), np.iinfo(np.int16).max // largest

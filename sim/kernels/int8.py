"""Synaptic sums as products of 8-bit integers, by oneDNN's quantized convolution and linear layer.

oneDNN adds unsigned 8-bit spikes times signed 8-bit weights in 32 bits and hands out float32, which is exact below
2^24. The operations are private to torch and their sums saturate on processors without VNNI if payloads exceed 127, so
nothing here is used before `sim.selfcheck` has seen it give the right integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...hw import Conv


@dataclass(frozen=True, eq=False)
class Grid:
    """Weights as `scale` times signed 8-bit integers."""

    values: np.ndarray
    scale: int


def on_grid(weight: np.ndarray) -> Grid | None:
    """The weights in 8 bits, as they are or halved if all are even; None if they do not fit either way."""
    for scale in (1, 2):
        if not np.any(weight % scale):
            values = weight // scale
            if values.min() >= -128 and values.max() <= 127:
                return Grid(values.astype(np.int8), scale)
    return None


def computes_right(connection: Conv) -> bool:
    """Whether oneDNN 3.12 was never seen to fail at such a convolution.

    Where a kernel position lies in the padding altogether, it was seen to read outside its arrays and crash; with one
    input channel per group, unequal strides and a picture of two or three columns, to give wrong sums.
    """
    kernel = connection.weight.shape[2:]
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, connection.dilation, strict=True)]
    reads_the_source = all(pad < extent for pad, extent in zip(connection.padding, reach, strict=True))
    return reads_the_source and (connection.weight.shape[1] > 1 or connection.stride[0] == connection.stride[1])


class Int8Conv:
    """Sums of a convolution. Called with uint8 (N, H, W, C); returns float32 (N, H', W', outputs).

    Only for convolutions of which `computes_right` is true.
    """

    def __init__(self, connection: Conv, grid: Grid) -> None:
        channels = connection.weight.shape[0]
        self.scales = torch.full((channels,), float(grid.scale))
        self.zeros = torch.zeros(channels, dtype=torch.int32)
        self.geometry = [list(connection.stride), list(connection.padding), list(connection.dilation)]
        self.groups = connection.groups
        self.weight = torch.ops.onednn.qconv_prepack(
            torch.from_numpy(grid.values), self.scales, 1.0, 0, *self.geometry, self.groups, None
        )

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """The sums of N pictures."""
        sums = torch.ops.onednn.qconv2d_pointwise(
            spikes.permute(0, 3, 1, 2),
            1.0,
            0,
            self.weight,
            self.scales,
            self.zeros,
            None,
            *self.geometry,
            self.groups,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return sums.permute(0, 2, 3, 1)


class Int8Dense:
    """Sums of a matrix. Called with uint8 (N, in); returns float32 (N, out)."""

    def __init__(self, grid: Grid) -> None:
        outputs = grid.values.shape[0]
        self.scales = torch.full((outputs,), float(grid.scale))
        self.zeros = torch.zeros(outputs, dtype=torch.int32)
        self.weight = torch.ops.onednn.qlinear_prepack(torch.from_numpy(grid.values), None)

    def __call__(self, spikes: torch.Tensor) -> torch.Tensor:
        """The sums of N vectors."""
        return torch.ops.onednn.qlinear_pointwise(
            spikes, 1.0, 0, self.weight, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )

"""Which floating type adds integers without an error, and the settings under which it does.

Sums of integers are exact in floating point, in any order, as long as no partial sum leaves the range in which every
integer has an equal: 2^24 in float32, 2^53 in float64. The bound is proven from the weights before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..hw import NotRepresentable

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53


def sum_dtype(bound: int, device: torch.device, who: str) -> torch.dtype:
    """The cheapest type in which sums of magnitude at most `bound` are exact on `device`.

    float32 serves the CPU. CUDA libraries may transform a float32 convolution (TF32, Winograd), so a GPU adds in
    float64 and the result is rounded; a CPU told to lower its float32 precision does too.

    Raises NotRepresentable (naming `who`) where float64 is not exact either.
    """
    if bound >= FLOAT64_EXACT:
        raise NotRepresentable(
            f"{who}: a sum can reach {bound}, and only sums below 2^53 are exact here; lower payload_bits"
        )
    if bound < FLOAT32_EXACT and device.type == "cpu" and not _cpu_rounds_float32():
        return torch.float32
    return torch.float64


@contextmanager
def exact_sums(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast and no NNPACK (Winograd) while integers are added in floating point."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False), torch.backends.nnpack.flags(enabled=False):
        yield


def _cpu_rounds_float32() -> bool:
    """Whether the process allows bf16 or TF32 inside float32 products on the CPU."""
    mkldnn = torch.backends.mkldnn
    rooms = [getattr(mkldnn, name) for name in ("matmul", "conv") if hasattr(mkldnn, name)]
    if rooms:
        return any(room.fp32_precision not in ("none", "ieee") for room in rooms)
    return torch.get_float32_matmul_precision() != "highest"

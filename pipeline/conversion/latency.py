"""How many timesteps a converted network needs: its accuracy after each of them, and the first that is good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...models import GraphNet
from ...models.datasets import Images

SPIKES = 1 << 26
"""Spikes of the widest population held at a time, of all images and timesteps together: 256 MiB of float32."""

SHARE = 0.95
"""Of the final accuracy, at which a network counts as arrived (T95)."""


def images_at_once(net: GraphNet, n_steps: int) -> int:
    """How many images may be run together over so many timesteps, at least 1: memory is bounded, not the result."""
    widest = max(math.prod(shape) for shape in net.architecture.shapes().values())
    return max(1, SPIKES // (widest * n_steps))


@torch.no_grad()
def hits_by_step(
    logits: Callable[[Tensor], Tensor], images: Images, n_steps: int, device: torch.device, at_once: int
) -> list[int]:
    """How many images are classified correctly after each of n_steps timesteps, from the logits summed so far.

    logits: images (N, C, H, W) in [0, 1] -> (T, N, K), per step. at_once: images run together.
    """
    hits = torch.zeros(n_steps, dtype=torch.int64)
    for start in range(0, len(images), at_once):
        rows = slice(start, start + at_once)
        answers = logits(images.floats(rows).to(device)).cumsum(dim=0).argmax(dim=-1).cpu()
        hits += (answers == images.y[rows]).sum(dim=1)
    return hits.tolist()


def first_step(hits: Sequence[int], share: float = SHARE) -> int | None:
    """The first timestep, from 1, with at least `share` of the last one's right answers; None if there are none.

    T95 is `first_step(hits)`: the accuracy may fall again afterwards. Source: ICML 2026 poster 66504 (its "T95").
    """
    if hits[-1] == 0:
        return None
    return next(t for t, count in enumerate(hits, start=1) if count >= share * hits[-1])

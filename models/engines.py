"""Two ways to run a spiking network so that it can be trained: through all timesteps, or through its firing rates.

An engine is a function (student, images, taps) -> Response. `bptt` differentiates the T unrolled steps, `rate`
(`rate.py`) runs them without autograd and differentiates one pass on the measured rates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..hw import Registry
from .graph import GraphNet


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a spiking network answered to a batch, differentiable.

    logits: (B, K), averaged over the T steps. rates: spikes per timestep of each tapped unit, (B, *shape).
    sequence: logits of each step (T, B, K), and spikes: of each tapped unit (T, B, *shape), or its membrane
    (`membrane_of`); None from an engine that does not differentiate single steps.
    """

    logits: Tensor
    rates: Mapping[str, Tensor]
    sequence: Tensor | None = None
    spikes: Mapping[str, Tensor] | None = None


RunFn = Callable[[GraphNet, Tensor, Collection[str]], Response]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One way to get gradients. steps: whether single timesteps are differentiable."""

    summary: str
    steps: bool
    run: RunFn


ENGINES: Registry[Engine] = Registry("engine")


def bptt(student: GraphNet, x: Tensor, taps: Collection[str] = ()) -> Response:
    """Backpropagation through time with the profile's surrogate: exact up to the surrogate, memory grows with T.

    x: images (B, C, H, W), held over the sample, or (T, B, C, H, W).
    """
    sequence, spikes = student(x, taps)
    sequence = sequence.float()
    rates = {name: s.mean(dim=0) for name, s in spikes.items()}
    return Response(logits=sequence.mean(dim=0), rates=rates, sequence=sequence, spikes=spikes)


ENGINES.register("bptt", Engine(summary="backpropagation through all timesteps", steps=True, run=bptt))

"""What a refinement method is: a loss between a spiking student and its frozen teacher. One file adds one method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...hw import Registry
from ...models import ENGINES, Engine, GraphNet, Response
from ...models.datasets import Images
from ..training import Moment


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a method works on.

    student: spiking. teacher: an ANN in evaluation mode, frozen, batch norms folded; of the student's architecture
    unless the recipe names another run. calibration: training images without augmentation, batches (B, C, H, W).
    engine: how the student is run. batch_size: images of a full training batch. seed: for the method's own weights.
    stills: the images that the teacher learned from, where the student sees events of the same classes.
    """

    student: GraphNet
    teacher: GraphNet
    calibration: Sequence[Tensor]
    engine: Engine = ENGINES["bptt"]
    batch_size: int = 64
    seed: int = 0
    stills: Images | None = None

    def ask_student(self, x: Tensor, taps: Sequence[str] = ()) -> Response:
        """The student's answer to images (B, C, H, W), differentiable."""
        return self.engine.run(self.student, x, taps)

    @torch.no_grad()
    def ask_teacher(self, x: Tensor, taps: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """The teacher's logits (B, K) and activations (B, *shape) for images (B, C, H, W), constants in float32."""
        logits, activations = self.teacher(x, taps)
        return logits.float(), {name: a.float() for name, a in activations.items()}


class Distiller(nn.Module, ABC):
    """A method at work on one pair.

    Its own parameters (projections to the teacher, say) are trained beside the student's and left behind afterwards;
    what it must remember when a run is continued is in buffers. Student and teacher are not part of it. smallest_batch:
    images its loss needs at least.
    """

    smallest_batch = 1

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        self.pair = pair

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """x: images (B, C, H, W) in [0, 1], y: labels (B,). Returns (loss, student logits (B, K), scalars to log).

        Whatever is random is drawn from `moment.generator`.
        """

    def start_epoch(self, epoch: int) -> None:
        """Called before the first batch of every epoch, which counts from 1; also of the one a run continues with."""
        del epoch

    def report(self) -> dict[str, Any]:
        """What the method measured about the network, as JSON values."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Method:
    """One refinement method. config: its frozen dataclass of settings.

    build: (pair, settings) -> Distiller; may raise BadInput for a pair it cannot work on. steps: whether it compares
    single timesteps, which the `rate` engine does not differentiate. any_teacher: whether the teacher may be of another
    architecture. asks: what the teacher is shown: the student's inputs, `stills`, or nothing. source: the paper.
    """

    summary: str
    source: str
    config: type[Any]
    build: Callable[[Pair, Any], Distiller]
    steps: bool = False
    any_teacher: bool = False
    asks: Literal["inputs", "stills", "nothing"] = "inputs"


METHODS: Registry[Method] = Registry("refinement method")


def spikes_per_neuron(rates: Mapping[str, Tensor], n_steps: int) -> Tensor:
    """Mean spikes per neuron and sample over the tapped units. rates: (B, *shape) each."""
    return (
        n_steps * torch.stack([r.detach().sum() for r in rates.values()]).sum() / sum(r.numel() for r in rates.values())
    )

"""The one training loop: the ANN, the refinement and the chip-integer stage all go through it.

Everything random is derived from (seed, epoch), and the whole state is saved after each epoch, so a run that was killed
continues with the bits an unbroken run would have had. The epoch kept is the one with the best validation accuracy; of
equals the last, whose learning rate was lowest. The test set is not seen here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..hw import SpikeportError
from ..models.augment import Augment
from ..models.datasets import Samples, batches
from .checkpoint import module_state, optimizer_state, restore_module, restore_optimizer
from .sections import Optimization
from .stage import StageContext


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where in its training a loss is computed.

    epoch: from 1, of `epochs`. done: share of all batches before this one, 0 at the first. generator: for what the
    loss draws at random; its draws do not depend on whether the run was continued.
    """

    epoch: int
    epochs: int
    done: float
    generator: torch.Generator


Loss = Callable[[Tensor, Tensor, Moment], tuple[Tensor, Tensor, Mapping[str, Tensor]]]
"""(x, labels (B,), moment) -> (loss to minimise, logits (B, K), named parts to log).

x: floats in [0, 1], images (B, C, H, W) or clips (T, B, C, H, W).
"""

Score = Callable[[Samples], int]
"""Number of samples of a split that are classified correctly."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, on what. decay: weight decay applies to weights of two and more axes only.

    beside: modules whose parameters are trained with the net's and left behind. seed: of batches, augmentation and
    draws; None for the recipe's. smallest_batch: samples the loss needs at least. start_epoch: called with the epoch's
    number before its first batch. after_step: called after every optimizer step, e.g. to keep weights inside the chip's
    range.
    """

    net: nn.Module
    loss: Loss
    score: Score
    train: Samples
    validation: Samples
    settings: Optimization
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["cosine", "onecycle"] = "cosine"
    warmup_epochs: int = 0
    grad_clip: float | None = None
    smallest_batch: int = 1
    beside: nn.Module | None = None
    seed: int | None = None
    start_epoch: Callable[[int], None] | None = None
    after_step: Callable[[], None] | None = None


def fit(task: Task, context: StageContext) -> dict[str, Any]:
    """Train `task.net` in place and leave it with the weights of the best validation epoch.

    Returns {"epochs", "best_epoch", "best", "last", "start"}: validation accuracies as fractions; epoch 0 is the start.
    Raises SpikeportError when the loss is no longer finite.
    """
    optimizer = _optimizer(task)
    seed = context.recipe.seed if task.seed is None else task.seed
    best = {name: value.clone() for name, value in module_state(task.net).items()}
    history = [task.score(task.validation) / len(task.validation)]
    saved = context.checkpoint.load()
    if saved is not None:
        _, tensors, state = saved
        restore_module(task.net, _part(tensors, "net."))
        if task.beside is not None:
            restore_module(task.beside, _part(tensors, "beside."))
        restore_optimizer(optimizer, _part(tensors, "optimizer."), state["optimizer"])
        best, history = _part(tensors, "best."), state["history"]
    steps = task.settings.epochs * _steps_per_epoch(task)
    with context.progress.task(context.name, total=steps) as bar:
        bar.advance(steps // max(1, task.settings.epochs) * (len(history) - 1))
        for epoch in range(len(history), task.settings.epochs + 1):
            means = _epoch(task, optimizer, epoch, seed, context.device, bar)
            history.append(task.score(task.validation) / len(task.validation))
            if history[-1] >= max(history[:-1]):
                best = {name: value.clone() for name, value in module_state(task.net).items()}
            context.log({"epoch": epoch, "validation": history[-1], **means})
            tensors, scalars = optimizer_state(optimizer)
            context.checkpoint.save(
                epoch,
                {
                    **{f"net.{name}": value for name, value in module_state(task.net).items()},
                    **{f"beside.{name}": value for name, value in _beside(task).items()},
                    **{f"optimizer.{name}": value for name, value in tensors.items()},
                    **{f"best.{name}": value for name, value in best.items()},
                },
                {"optimizer": scalars, "history": history},
            )
    restore_module(task.net, best)
    return {
        "epochs": task.settings.epochs,
        "best_epoch": max(epoch for epoch, score in enumerate(history) if score == max(history)),
        "best": max(history),
        "last": history[-1],
        "start": history[0],
    }


def _epoch(
    task: Task, optimizer: torch.optim.Optimizer, epoch: int, seed: int, device: torch.device, bar: Any
) -> dict[str, float]:
    """One epoch of training batches; returns the means of the loss, its parts and the accuracy."""
    order = torch.Generator().manual_seed(_mix(seed, epoch, 1))
    noise = torch.Generator().manual_seed(_mix(seed, epoch, 2))
    draws = torch.Generator().manual_seed(_mix(seed, epoch, 3))
    augment = Augment(**task.settings.augment.model_dump())
    per_epoch = _steps_per_epoch(task)
    total = per_epoch * task.settings.epochs
    sums: dict[str, float] = {}
    seen = 0
    task.net.train()
    if task.beside is not None:
        task.beside.train()
    if task.start_epoch:
        task.start_epoch(epoch)
    index_batches = itertools.islice(_visits(task, order), per_epoch)
    for position, index in enumerate(index_batches):
        step = (epoch - 1) * per_epoch + position
        rate = _rate(task, step, per_epoch, total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = augment(task.train.floats(index), noise).to(device)
        y = task.train.y[index].to(device)
        moment = Moment(epoch=epoch, epochs=task.settings.epochs, done=step / total, generator=draws)
        with torch.autocast(device.type, torch.bfloat16, enabled=task.settings.precision == "bf16"):
            loss, logits, parts = task.loss(x, y, moment)
        if not torch.isfinite(loss):
            raise SpikeportError(
                f"training diverged: the loss is {loss.item()} at epoch {epoch}, batch {position}; lower lr "
                f"(now {task.settings.lr}) or set grad_clip"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if task.grad_clip:
            nn.utils.clip_grad_norm_(_trained(task), task.grad_clip)
        optimizer.step()
        if task.after_step:
            task.after_step()
        values = {"loss": loss.item(), "accuracy": (logits.detach().argmax(-1) == y).float().mean().item()}
        values |= {name: part.item() for name, part in parts.items()}
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value * len(index)
        seen += len(index)
        bar.advance(1, loss=values["loss"], acc=values["accuracy"], **_shown(values))
    return {name: value / seen for name, value in sums.items()}


def _visits(task: Task, generator: torch.Generator) -> Iterator[Tensor]:
    """One epoch's batches of indices; of equal generators the same, whatever epochs came before.

    balanced: a sample is drawn with a probability of 1 over the number of its class, so every class with the same one.
    """
    size, y = task.settings.batch_size, task.train.y.cpu()
    if task.settings.sampling == "shuffled":
        return batches(len(y), size, generator)
    share = 1 / y.bincount().double()  # infinite for a class without samples, which nothing looks up
    return iter(torch.multinomial(share[y], len(y), replacement=True, generator=generator).split(size))


def _steps_per_epoch(task: Task) -> int:
    """Batches per epoch; a last batch smaller than the loss allows is left out."""
    whole, rest = divmod(len(task.train), task.settings.batch_size)
    return whole + (rest >= task.smallest_batch or whole == 0)


def _shown(values: Mapping[str, float]) -> dict[str, float]:
    return {"spikes": values["spikes_per_neuron"]} if "spikes_per_neuron" in values else {}


def _optimizer(task: Task) -> torch.optim.Optimizer:
    settings = task.settings
    trained = _trained(task)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if task.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)


def _trained(task: Task) -> list[nn.Parameter]:
    modules = [task.net] if task.beside is None else [task.net, task.beside]
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def _beside(task: Task) -> dict[str, Tensor]:
    return {} if task.beside is None else module_state(task.beside)


def _rate(task: Task, step: int, per_epoch: int, total: int) -> float:
    """Learning rate of a step. cosine: linear warm-up, then half a cosine to 0. onecycle: up for 30 %, down to 0."""
    peak = task.settings.lr
    if task.schedule == "onecycle":
        up = max(1, round(0.3 * total))
        if step < up:
            return peak * (0.04 + 0.96 * (step + 1) / up)
        return peak * 0.5 * (1 + math.cos(math.pi * (step - up) / max(1, total - up)))
    warm = task.warmup_epochs * per_epoch
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _mix(seed: int, epoch: int, stream: int) -> int:
    """A seed for one stream of one epoch; distinct for seeds < 2^40, epochs < 2^16, streams < 2^6."""
    return (seed << 22) + (epoch << 6) + stream


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def predict(forward: Callable[[Tensor], Tensor], samples: Samples, device: torch.device, size: int = 250) -> Tensor:
    """Predicted classes of a split, int64 (N,). forward: floats of images or clips, as in `Loss` -> scores (B, K)."""
    out = [forward(samples.floats(index).to(device)).argmax(-1).cpu() for index in batches(len(samples), size, None)]
    return torch.cat(out)


def correct(predictions: Tensor, samples: Samples) -> int:
    """How many predictions equal the labels."""
    return int((predictions == samples.y).sum())

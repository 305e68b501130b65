"""The first stage: train the ANN, later the teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..models import GraphNet, build_ann
from ..models.datasets import Images
from .artefacts import architecture_of, load_splits, save_net
from .metrics import accuracy
from .stage import Stage, StageContext
from .training import Task, correct, fit, predict


def run(context: StageContext) -> dict[str, Any]:
    """Train with cross-entropy, keep the best validation epoch, and evaluate it once on the test set."""
    recipe, device = context.recipe, context.device
    splits = load_splits(recipe)
    net = build_ann(architecture_of(recipe), torch.Generator().manual_seed(recipe.seed)).to(device)

    def loss(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        logits, _ = net(x)
        return functional.cross_entropy(logits.float(), y, label_smoothing=recipe.train.label_smoothing), logits, {}

    settings = recipe.train
    history = fit(
        Task(
            net=net,
            loss=loss,
            score=lambda images: correct(classify(net, images, device), images),
            train=splits.train,
            validation=splits.validation,
            settings=settings,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
            warmup_epochs=settings.warmup_epochs,
        ),
        context,
    )
    save_net(net, context.folder)
    hits = correct(classify(net, splits.test, device), splits.test)
    parameters = sum(p.numel() for p in net.parameters())
    return {"test": accuracy(hits, len(splits.test)), "validation": history, "parameters": parameters}


def classify(ann: GraphNet, images: Images, device: torch.device) -> Tensor:
    """The ANN's predictions in evaluation mode, int64 (N,)."""
    ann.eval()
    return predict(lambda x: ann(x)[0], images, device)


STAGE = Stage(name="train", needs=(), reads=("seed", "data", "model", "train"), version=1, run=run)

"""The first stage: train the ANN, later the teacher. One from a file is trained already, and may be trained further."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..models import GraphNet, build_ann
from ..models.datasets import DATASETS, Samples
from ..models.qcfs import as_qcfs
from .adopt.source import folded_of, of_import
from .adopt.teacher import to_graphnet
from .artefacts import save_net
from .calibration import activation_scales
from .data import ann_architecture_of, load_splits, load_stills, notices_of_events, notices_of_stills, shape_of
from .metrics import accuracy
from .sections import Recipe
from .stage import Stage, StageContext
from .training import Moment, Task, correct, fit, predict

QCFS_IMAGES = 256
"""Training images, from the first, on which QCFS activations are given their start."""


def run(context: StageContext) -> dict[str, Any]:
    """Train with cross-entropy, keep the best validation epoch, and evaluate it once on the test set.

    A network from `model.file` starts with the file's weights, which are epoch 0. Beside recordings with still images
    it is these that the ANN learns from, and their test set that it is evaluated on.
    """
    recipe, device = context.recipe, context.device
    stills = None if recipe.data.stills is None else load_stills(recipe)
    splits = stills or load_splits(recipe)
    net, notices = _untrained(recipe, splits.train)
    notices = [*notices_of_events(recipe), *notices_of_stills(recipe, stills), *notices]
    net = net.to(device)

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
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
    metrics = {"test": accuracy(hits, len(splits.test)), "validation": history, "parameters": parameters}
    return metrics | ({"notices": notices} if notices else {})


def _untrained(recipe: Recipe, images: Samples) -> tuple[GraphNet, list[dict[str, str]]]:
    """The network at epoch 0, and what importing it took: nothing for an architecture of the zoo."""
    if recipe.model.file is None:
        net = build_ann(ann_architecture_of(recipe), torch.Generator().manual_seed(recipe.seed))
        return (_quantized(net, recipe.train.levels, images) if recipe.train.activation == "qcfs" else net), []
    folded = folded_of(recipe.model, shape_of(recipe), DATASETS[recipe.data.name].n_classes)
    return to_graphnet(folded), of_import(folded)


def _quantized(net: GraphNet, levels: int, images: Samples) -> GraphNet:
    """An untrained ANN with QCFS activations, whose ends start at the 99.9 % point of what the ReLUs give.

    The published start, 8, hardly comes down in a short training, and its steps are then too coarse.
    """
    sample = images.stills(torch.arange(min(len(images), QCFS_IMAGES)))
    return as_qcfs(net, levels, activation_scales(copy.deepcopy(net).train(), [sample], 0.999))


def classify(ann: GraphNet, images: Samples, device: torch.device) -> Tensor:
    """The ANN's predictions in evaluation mode, int64 (N,)."""
    ann.eval()
    return predict(lambda x: ann(x)[0], images, device)


STAGE = Stage(name="train", needs=(), reads=("seed", "data", "model", "train"), version=1, run=run)

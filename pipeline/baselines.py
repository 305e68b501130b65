"""The baselines stage: how well the ANN does as an ordinary quantized network, beside the spiking one.

A neuron of T timesteps says one of T + 1 counts, so that the fair twin of an SNN is an ANN with activations of
ceil(log2(T + 1)) bits (Yan et al., arXiv 2409.08290), not one in float32. Three networks of one graph: the ANN as
trained; the same with 8-bit weights and activations, not trained again; and the twin with 8-bit weights, trained with
its rounding as the SNN is in integers: with the ANN for a teacher. Batch norms are folded first. What is rounded then,
and what is not, is in `models/quantized.py`. The input is the data's own: images have their levels, at most 256, and of
clips an ANN sees the mean over time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..models import PROFILES, GraphNet
from ..models.datasets import Samples
from ..models.qcfs import Qcfs
from ..models.quantized import as_quantized
from ..sim.baselines import matched_bits
from .artefacts import load_ann, save_net
from .calibration import qcfs_scales
from .conversion.mmse import mmse_scales
from .convert import calibration_batches
from .data import Splits, load_splits
from .folding import fold_batchnorm
from .losses import kd_kl
from .metrics import accuracy
from .quantize import DISTILL, TAU
from .sections import Optimization, Recipe
from .stage import Stage, StageContext
from .train import classify
from .training import Moment, Task, correct, fit

WEIGHT_BITS = 8
INT8_LEVELS = 255
"""Steps above 0 of an 8-bit activation."""

LR_SHARE = 0.1
"""The twin's learning rate over the ANN's, unless given: without batch norms a larger one can undo the training."""


def run(context: StageContext) -> dict[str, Any]:
    """Accuracies on the test set, as the report's baselines hold them, without energies; the twin's weights are saved.

    T is that of the exported file. `validation`: history of the twin, whose epoch 0 is not trained. An ANN that reads
    still images has another graph than the SNN: the stage ends with {"skipped": why}. Raises BadInput for an ANN with a
    silent layer, and for more calibration images than there are.
    """
    recipe, device = context.recipe, context.device
    if recipe.data.stills is not None:
        return {"skipped": f"the ANN reads {recipe.data.stills.name}, the network events of {recipe.data.name}"}
    splits = load_splits(recipe)
    ann = fold_batchnorm(load_ann(recipe, context.inputs["train"]).to(device))
    images = calibration_batches(splits.train, recipe.convert.calibration_images, device)
    staircase = recipe.train.activation == "qcfs"
    bits = matched_bits(int(context.results["export"]["n_steps"]))
    int8 = quantized(ann, images, min(recipe.train.levels, INT8_LEVELS) if staircase else INT8_LEVELS)
    twin = quantized(ann, images, 2**bits - 1)
    history = train_twin(twin, ann, splits, context)
    save_net(twin, context.folder)
    where = "at its learned ends" if staircase else f"on {recipe.convert.calibration_images} training images"
    untrained = f"quantized after training, {where}"

    def row(title: str, bits: int, how: str, net: GraphNet) -> dict[str, Any]:
        hits = correct(classify(net, splits.test, device), splits.test)
        score = accuracy(hits, len(splits.test))
        return {"title": title, "weight_bits": WEIGHT_BITS, "activation_bits": bits, "how": how, "score": score}

    return {
        "ann_fp32": {
            "title": "ANN, fp32",
            "weight_bits": None,
            "activation_bits": None,
            "how": f"as trained, QCFS activations with L = {recipe.train.levels}" if staircase else "as trained",
            "score": context.results["train"]["test"],
        },
        "ann_int8": row("ANN, int8", 8, untrained, int8),
        "ann_matched": row(f"ANN, 8-bit weights, {bits}-bit activations", bits, _told(history, untrained), twin),
        "validation": history,
    }


def _told(history: Mapping[str, Any], untrained: str) -> str:
    """How the twin came to be, in words: training is told as what it was good for."""
    epochs = "1 epoch" if history["epochs"] == 1 else f"{history['epochs']} epochs"
    if not history["epochs"]:
        return untrained
    if history["best_epoch"] == 0:
        return f"{untrained}; {epochs} of training gained nothing on validation images"
    return (
        f"trained {epochs} with quantized weights and activations: {history['best']:.2%} on validation images, "
        f"{history['start']:.2%} before"
    )


def quantized(ann: GraphNet, images: Sequence[Tensor], levels: int) -> GraphNet:
    """A copy of a folded ANN with 8-bit weights and activations of `levels` steps above 0, not trained.

    A ReLU's staircase ends where the squared error over the images, batches (B, C, H, W), is least: its counts are
    those of `qcfs_if` neurons over as many timesteps. An ANN that has staircases keeps their ends.
    """
    learned = any(isinstance(node.neuron, Qcfs) for node in ann.walk())
    ends = qcfs_scales(ann) if learned else mmse_scales(ann, images, PROFILES["qcfs_if"], levels)
    return as_quantized(ann, WEIGHT_BITS, levels, ends)


def train_twin(twin: GraphNet, ann: GraphNet, splits: Splits[Samples], context: StageContext) -> dict[str, Any]:
    """Train a quantized copy of the ANN in place, as the ANN was but on its answers too; returns what `fit` does."""
    recipe = context.recipe

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            target, _ = ann(x)
        logits, _ = twin(x)
        task = functional.cross_entropy(logits.float(), y, label_smoothing=recipe.train.label_smoothing)
        match = kd_kl(logits.float(), target.float(), TAU)
        return (1 - DISTILL) * task + DISTILL * match, logits, {"task": task, "logits": match}

    return fit(
        Task(
            net=twin,
            loss=loss,
            score=lambda images: correct(classify(twin, images, context.device), images),
            train=splits.train,
            validation=splits.validation,
            settings=optimization(recipe),
            optimizer=recipe.train.optimizer,
            grad_clip=recipe.baselines.grad_clip,
        ),
        context,
    )


def optimization(recipe: Recipe) -> Optimization:
    """How the twin is trained: as the ANN was, for as long as `baselines` says, and with what else that gives."""
    own, given = recipe.train, recipe.baselines
    kept = {name: getattr(own, name) for name in Optimization.model_fields}
    changed = {
        "epochs": given.epochs,
        "batch_size": given.batch_size or own.batch_size,
        "lr": given.lr or LR_SHARE * own.lr,
    }
    return Optimization(**(kept | changed))


STAGE = Stage(
    name="baselines",
    needs=("train", "export"),
    reads=("seed", "data", "model", "train", "convert.calibration_images", "baselines"),
    version=1,
    run=run,
)

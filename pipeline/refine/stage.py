"""The refinement stage: repair the converted network with the method the recipe names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...models import GraphNet, Spiking
from ..artefacts import load_ann, load_into, load_splits, save_net
from ..compensate import compensate
from ..convert import calibration_batches, classify, classify_steps, convert, refined_profile, skeleton
from ..folding import fold_batchnorm
from ..metrics import accuracy
from ..notices import notice
from ..recipe import Recipe, options_as
from ..stage import Stage, StageContext
from ..training import Task, correct, fit
from .method import METHODS


def run(context: StageContext) -> dict[str, Any]:
    """Fine-tune the converted network against the frozen ANN; evaluate the best validation epoch once on the test set.

    `by_T`: validation accuracy after each timestep. `drift`: what the method measured before training.
    """
    recipe, device = context.recipe, context.device
    splits = load_splits(recipe)
    teacher = fold_batchnorm(load_ann(recipe, context.inputs["train"])).to(device).requires_grad_(False)
    student = load_into(skeleton(recipe, refined_profile(recipe), recipe.refine.T), context.inputs["convert"]).to(
        device
    )
    calibration = calibration_batches(splits.train, recipe.convert.calibration_images, device)
    notices = []
    if recipe.refine.start == "compensated":
        notices.append(compensate_(student, teacher, torch.cat(calibration)))
    method = METHODS[recipe.refine.method]
    options = options_as(method.config, recipe.refine.options, "refine.options")
    distiller = method.build(student, teacher, calibration, options)
    if recipe.refine.start == "half_bias":
        add_half_bias_(student)
        notices.append(
            notice(
                "all spiking layers",
                f"a bias of 1/{2 * recipe.refine.T} threshold was added before refinement",
                "layers that conversion left silent get no gradient",
                "refine.start: converted",
            )
        )
    history = fit(
        Task(
            net=student,
            loss=distiller.loss,
            score=lambda images: correct(classify(student, images, device), images),
            train=splits.train,
            validation=splits.validation,
            settings=recipe.refine,
            grad_clip=recipe.refine.grad_clip,
            smallest_batch=4,  # unbiased CKA is not defined on fewer
        ),
        context,
    )
    save_net(student, context.folder)
    hits = correct(classify(student, splits.test, device), splits.test)
    by_step = classify_steps(student, splits.validation, device)
    by_t = [
        {"T": t + 1, "refined": accuracy(correct(row, splits.validation), len(splits.validation))}
        for t, row in enumerate(by_step)
    ]
    return {
        "test": accuracy(hits, len(splits.test)),
        "validation": history,
        "by_T": by_t,
        "profile": student.spiking[0].profile.name,
        "notices": notices,
        **distiller.report(),
    }


def compensate_(student: GraphNet, teacher: GraphNet, images: Tensor) -> dict[str, str]:
    """Give the student what `compensate` finds for its neurons and timesteps, in place; the report's notice of it."""
    profile = student.spiking[0].profile
    made = compensate(teacher, images, profile, student.n_steps)
    twin = convert(made.ann, made.thresholds, profile, student.n_steps, worth=made.worth)
    student.load_state_dict(twin.state_dict())
    return notice(
        "all spiking layers",
        f"thresholds, spikes' worth and biases were measured layer by layer; rates start within "
        f"{max(made.errors.values()):.1%} of the activations' squares",
        "neurons that reset hard lose what exceeds the threshold",
        "refine.start: converted",
    )


@torch.no_grad()
def add_half_bias_(student: GraphNet) -> None:
    """Add a constant current of threshold / (2 T) to every spiking population, in place.

    Over a sample it adds up to half a threshold: the chip-legal form of a membrane that starts there, which wakes
    layers that conversion left silent so that surrogate gradients reach them (SNN calibration's "shift").
    """
    for node in student.walk():
        if isinstance(node.neuron, Spiking):
            biases = [p for name, p in node.synapses.named_parameters() if name.endswith("bias")]
            biases[0].add_(node.neuron.threshold / (2 * student.n_steps))


def load_student(recipe: Recipe, folder: Any) -> GraphNet:
    """The refined network, in evaluation mode."""
    return load_into(skeleton(recipe, refined_profile(recipe), recipe.refine.T), folder)


STAGE = Stage(
    name="refine",
    needs=("train", "convert"),
    reads=("seed", "data", "model", "convert", "refine"),
    version=1,
    run=run,
)

"""The refinement stage: repair the converted network with the method the recipe names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...hw import BadInput
from ...models import ENGINES, GraphNet, Rectify, Spiking, as_spiking, build_ann
from ..artefacts import load_ann, load_into, save_net
from ..compensate import compensate
from ..convert import calibration_batches, classify, classify_steps, convert, refined_profile, skeleton
from ..data import architecture_of, load_splits, load_stills
from ..files import write_tensors
from ..folding import fold_batchnorm
from ..metrics import accuracy
from ..notices import notice, of_frames
from ..recipe import options_as
from ..sections import Recipe
from ..stage import Stage, StageContext
from ..teacher_run import load_teacher
from ..training import Moment, Task, correct, fit
from .method import METHODS, Pair

PREDICTIONS = "predictions.safetensors"


def run(context: StageContext) -> dict[str, Any]:
    """Train the spiking student against the frozen ANN; evaluate the best validation epoch once on the test set.

    `by_T`: validation accuracy after each timestep. The rest is what the method measured, e.g. `drift`. The student's
    test predictions are kept, so that methods can be compared image for image.
    """
    recipe, device = context.recipe, context.device
    settings = recipe.refine
    splits = load_splits(recipe)
    stills = None if recipe.data.stills is None else load_stills(recipe).train
    ann = load_ann(recipe, context.inputs["train"]).to(device)
    own = fold_batchnorm(ann)
    teacher = (own if settings.teacher is None else load_teacher(recipe).to(device)).requires_grad_(False)
    measured = min(recipe.convert.calibration_images, len(splits.train))
    calibration = calibration_batches(splits.train, measured, device)
    seed = recipe.seed if settings.seed is None else settings.seed
    student, notices = _student(context, ann, own, calibration, seed)
    if recipe.data.frames is not None:
        notices.insert(0, of_frames(recipe.data.frames))
    if settings.last_activation == "relu":
        notices.append(rectify_last_(student))
    pair = Pair(
        student=student,
        teacher=teacher,
        calibration=calibration,
        engine=ENGINES[settings.engine],
        batch_size=settings.batch_size,
        seed=seed,
        stills=stills,
    )
    method = METHODS[settings.method]
    distiller = method.build(pair, options_as(method.config, settings.options, "refine.options")).to(device)
    if settings.start == "half_bias":
        # After the method has measured the network that conversion made.
        notices.append(add_half_bias_(student))

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        value, logits, parts = distiller.loss(x, y, moment)
        if settings.grad_scale == "1/T":
            value = value.detach() + (value - value.detach()) / settings.T
        return value, logits, parts

    history = fit(
        Task(
            net=student,
            loss=loss,
            score=lambda images: correct(classify(student, images, device), images),
            train=splits.train,
            validation=splits.validation,
            settings=settings,
            optimizer=settings.optimizer,
            warmup_epochs=settings.warmup_epochs,
            grad_clip=settings.grad_clip,
            smallest_batch=max(4, distiller.smallest_batch),  # unbiased CKA is not defined on fewer than 4
            beside=distiller,
            seed=seed,
            start_epoch=distiller.start_epoch,
        ),
        context,
    )
    student = _folded(student)
    if settings.last_activation == "relu":
        rectify_last_(student)
    save_net(student, context.folder)
    predictions = classify(student, splits.test, device)
    write_tensors(context.folder / PREDICTIONS, {"test": predictions})
    by_step = classify_steps(student, splits.validation, device)
    by_t = [
        {"T": t + 1, "refined": accuracy(correct(row, splits.validation), len(splits.validation))}
        for t, row in enumerate(by_step)
    ]
    return {
        "test": accuracy(correct(predictions, splits.test), len(splits.test)),
        "validation": history,
        "by_T": by_t,
        "profile": student.spiking[0].profile.name,
        "engine": settings.engine,
        "teacher": teacher.architecture.name,
        "notices": notices,
        **distiller.report(),
    }


def _student(
    context: StageContext, ann: GraphNet, folded: GraphNet, calibration: Sequence[Tensor], seed: int
) -> tuple[GraphNet, list[dict[str, str]]]:
    """The spiking network that training starts from, and the notices of what was done to it. seed: of fresh weights."""
    recipe, device = context.recipe, context.device
    profile, n_steps = refined_profile(recipe), recipe.refine.T
    if recipe.refine.start in ("teacher", "scratch"):
        fresh = build_ann(architecture_of(recipe), torch.Generator().manual_seed(seed))
        source = ann if recipe.refine.start == "teacher" else fresh.to(device)
        what = "the ANN's weights" if source is ann else "fresh weights"
        return as_spiking(source, profile, n_steps), [
            notice(
                "all spiking layers",
                f"training started from {what} and batch norms, not from the converted network; the batch norms were "
                "folded afterwards",
                "refine.start says so",
                "refine.start: converted",
            )
        ]
    student = load_into(skeleton(recipe, profile, n_steps), context.inputs["convert"]).to(device)
    if recipe.refine.start == "compensated":
        return student, [compensate_(student, folded, torch.cat(list(calibration)))]
    return student, []


def _folded(student: GraphNet) -> GraphNet:
    """A trained student in the form conversion gives: no batch norms, thresholds of one, a gain on each shortcut."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in student.modules()):
        return student
    ones = dict.fromkeys((unit.name for unit in student.architecture.units), 1.0)
    return convert(fold_batchnorm(student), ones, student.spiking[0].profile, student.n_steps)


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
def add_half_bias_(student: GraphNet) -> dict[str, str]:
    """Add a constant current of threshold / (2 T) to every spiking population, in place; the report's notice of it.

    Over a sample it adds up to half a threshold: the chip-legal form of a membrane that starts there, which wakes
    layers that conversion left silent so that surrogate gradients reach them (SNN calibration's "shift").
    """
    for node in student.walk():
        if isinstance(node.neuron, Spiking):
            biases = [p for name, p in node.synapses.named_parameters() if name.endswith("bias")]
            for bias in biases[:1]:  # attention has none
                bias.add_(node.neuron.threshold / (2 * student.n_steps))
    return notice(
        "all spiking layers",
        f"a bias of 1/{2 * student.n_steps} threshold was added before refinement",
        "layers that conversion left silent get no gradient",
        "refine.start: converted",
    )


def rectify_last_(student: GraphNet) -> dict[str, str]:
    """Put a ReLU, applied at every timestep, in the place of the last hidden neurons, in place; the report's notice.

    Raises BadInput if no spike reaches them.
    """
    architecture = student.architecture
    driven: set[str] = set()  # units that a spike can reach
    last = None
    for unit in architecture.units[:-1]:
        reached = any(wire.source in driven for wire in unit.wires)
        if unit.fires:
            last = unit if reached else None
        if unit.fires or reached:
            driven.add(unit.name)
    if last is None:
        raise BadInput(
            f"refine.last_activation is relu, but the last hidden neurons of {architecture.name} read the image alone, "
            "so nothing would spike; leave refine.last_activation at spiking, or take a deeper model.architecture"
        )
    student.node(last.name).neuron = Rectify()
    return notice(
        last.name,
        "a ReLU at every timestep took the place of its neurons; its values count as spikes in the training log",
        "refine.last_activation says so; no chip can run this student",
        "refine.last_activation: spiking",
    )


def load_student(recipe: Recipe, folder: Any) -> GraphNet:
    """The refined network, in evaluation mode."""
    student = skeleton(recipe, refined_profile(recipe), recipe.refine.T)
    if recipe.refine.last_activation == "relu":
        rectify_last_(student)
    return load_into(student, folder)


STAGE = Stage(
    name="refine",
    needs=("train", "convert"),
    reads=("seed", "data", "model", "convert.calibration_images", "refine"),
    version=2,
    run=run,
)

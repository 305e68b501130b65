"""How the networks were made: data, float network, conversion, refinement, integers, file."""

from __future__ import annotations

from collections.abc import Iterator

from ...hw import CHIPS
from ...models import ENGINES, PROFILES
from ...models.datasets import DATASETS
from ...sim.report import Report, units
from ..refine import METHODS
from ..sections import Optimization, Recipe
from .sources import UNPUBLISHED, named_in
from .statement import Statement

CONVERSION = {
    "max": ("the largest activation", "Rueckauer et al., Front. Neurosci. 11 (2017) 682"),
    "percentile": ("the {percentile:g} % point of the activations", "Rueckauer et al., Front. Neurosci. 11 (2017) 682"),
    "mmse": ("the share of the largest activation with the least squared error of the rates", "Li et al., ICML 2021"),
    "qcfs": ("the learned end of each activation", "Bu et al., ICLR 2022"),
}
"""By `convert.norm`: what becomes a threshold, and the paper it is from (docs/conversion.md)."""

STARTS = {
    "converted": "the converted network",
    "half_bias": "the converted network with half a threshold of bias at every neuron",
    "compensated": "the converted network with thresholds and biases measured layer by layer",
    "teacher": "the ANN's weights and batch norms behind spiking neurons",
    "scratch": "fresh weights",
}
"""By `refine.start`."""

CUTOUT = "DeVries and Taylor, arXiv 1708.04552"
CAMERA = "Lichtsteiner et al., IEEE JSSC 43(2), 2008; Rebecq et al., CoRL 2018"
LAVA = "lava-nc"


def data(report: Report, recipe: Recipe) -> Iterator[Statement]:
    """The samples, and what was done to them."""
    d, data = report.data, recipe.data
    yield Statement(
        f"The data set is {d.name}: {d.train:,} training, {d.validation:,} validation and {d.test:,} test samples; "
        f"licence: {d.licence}.",
        named_in(DATASETS[data.name].source),
    )
    limits = {"training": data.train_limit, "test": data.test_limit}
    for part, limit in limits.items():
        if limit is not None:
            yield Statement(f"Of the {part} samples at most {limit:,} of a seeded order were used.")
    if data.per_class is not None:
        yield Statement(f"Training used {data.per_class:,} samples of each class.")
    if data.label_noise:
        yield Statement(f"{units.percent(data.label_noise)} of the training labels were replaced by another class.")
    if data.frames is not None:
        f = data.frames
        levels = "binary" if f.levels == 1 else f"of at most {f.levels} events per pixel"
        yield Statement(f"Recordings became {f.T} frames each, cut by equal {f.by}, {levels}.")
    if data.saccades is not None:
        s = data.saccades
        yield Statement(
            f"The recordings are simulated: still images move along a triangle of {s.amplitude} pixels, a side in "
            f"{s.period_us:,} microseconds, before a camera with a threshold of {s.threshold:g}.",
            named_in(CAMERA),
        )
    if data.folds is not None:
        yield Statement(f"Fold {data.folds.test} of {data.folds.of} (seed {data.folds.seed}) is the test set.")
    if data.stills is not None:
        yield Statement(
            f"The ANN learned from still images of {data.stills.name}.", named_in(DATASETS[data.stills.name].source)
        )
    yield Statement(
        "Epochs were chosen on the validation samples; every network was evaluated once on the test samples."
    )


def ann(recipe: Recipe) -> Iterator[Statement]:
    """The float network."""
    if recipe.model.file is not None:
        yield Statement("The ANN was read from an ONNX file, with its batch norms folded.")
    else:
        name = recipe.train.architecture or recipe.model.architecture
        yield Statement(f"The ANN has the architecture {name}.")
    if recipe.train.epochs:
        yield from _trained("It was trained", recipe.train, recipe.train.optimizer, recipe.train.schedule)
    else:
        yield Statement("It was not trained further.")
    if recipe.train.activation == "qcfs":
        yield Statement(
            f"Its activations are staircases of {recipe.train.levels} levels with a learned end.",
            named_in(CONVERSION["qcfs"][1]),
        )


def conversion(report: Report, recipe: Recipe) -> Iterator[Statement]:
    """From the ANN to a spiking network."""
    reason = report.skipped.get("converted_hard")
    if reason is not None:
        yield Statement(f"The ANN was not converted: {reason.rstrip('.')}.")
        return
    c = recipe.convert
    what, source = CONVERSION[c.norm]
    yield Statement(
        f"The ANN was converted with batch norms folded into the weights. Each layer's threshold is "
        f"{what.format(percentile=c.percentile)} over {c.calibration_images:,} training images.",
        named_in(source),
    )
    if c.calibrate == "light":
        yield Statement(
            "Biases were corrected channel by channel on calibration images.", named_in(CONVERSION["mmse"][1])
        )


def refinement(recipe: Recipe) -> Iterator[Statement]:
    """How the spiking network was repaired."""
    r = recipe.refine
    method, profile = METHODS[r.method], PROFILES[r.profile]
    yield Statement(
        f"The spiking network was refined by {r.method} ({method.summary}) from {STARTS[r.start]}, at T = {r.T} "
        f"timesteps, with gradients by {ENGINES[r.engine].summary}.",
        named_in(method.source),
    )
    if method.source in UNPUBLISHED:
        yield Statement(f"That is {UNPUBLISHED[method.source]}.")
    if r.options:
        yield Statement(f"Its settings: {', '.join(f'{key} = {value}' for key, value in r.options.items())}.")
    leak = 1 - r.v_decay / 4096 if r.v_decay is not None else profile.leak
    above = "above" if profile.strict else "at or above"
    keep = "do not leak" if leak == 1 else f"keep {leak:g} of their membrane per timestep"
    yield Statement(
        f"Its neurons (profile {r.profile}) {keep}, fire {above} the threshold and have a {profile.reset} reset."
    )
    if r.teacher is not None:
        yield Statement("The teacher is the trained ANN of another run on the same data.")
    if r.last_activation == "relu":
        yield Statement("Its last hidden unit is a ReLU, a control that no chip can run.")
    yield from _trained("It was trained", r, r.optimizer, "cosine")


def deployed(report: Report, recipe: Recipe) -> Iterator[Statement]:
    """The chip's integers, and the file."""
    n, chip = report.network, CHIPS[report.network.chip]
    teacher = "the refined network" if recipe.quantize.teacher == "refined" or recipe.data.stills else "the ANN"
    yield Statement(
        f"The network was then trained in the chip's integers, keeping the answers of {teacher}: weights of "
        f"{chip.weight_min}..{chip.weight_max} in steps of {chip.weight_step}, integer thresholds and biases, neurons "
        f"that reset to zero when they fire."
    )
    yield from _trained("This took", recipe.quantize, "sgd", "cosine")
    computing = [p for p in n.populations if p.v_decay is not None]
    leaks = sorted({(p.v_decay or 0, p.i_decay or 0) for p in computing})
    decays = "; ".join(f"membrane {v:,}, current {i:,}" for v, i in leaks)
    payload = f"graded spikes of {n.payload_bits} bits" if n.payload_bits else "binary spikes"
    yield Statement(
        f"Deployed for {n.chip}: {sum(p.neurons for p in n.populations):,} neurons in {len(n.populations)} "
        f"populations, {n.synapses:,} synapses, T = {n.n_steps} timesteps per sample, input as {payload}; decays "
        f"of 4096: {decays}."
    )
    yield Statement(
        "The network was written as a .net file for Lava, read back, and simulated with the chip's integer arithmetic; "
        "all that follows is of this file.",
        named_in(LAVA),
    )


def _trained(begin: str, settings: Optimization, optimizer: str, schedule: str) -> Iterator[Statement]:
    if not settings.epochs:
        yield Statement("No training took place in this step.")
        return
    name = {"sgd": f"SGD (momentum {settings.momentum:g})", "adamw": "AdamW"}[optimizer]
    augment = settings.augment
    changes = [
        text
        for text, used in (
            (f"crops after {augment.crop} pixels of padding", augment.crop),
            ("flips", augment.flip),
            (f"cutout of {augment.cutout} pixels", augment.cutout),
            (f"shifts of at most {augment.roll} pixels", augment.roll),
        )
        if used
    ]
    yield Statement(
        f"{begin} {settings.epochs} epochs of {name}, batches of {settings.batch_size}, learning rate {settings.lr:g} "
        f"on a {schedule} schedule, weight decay {settings.weight_decay:g}, {settings.precision}"
        f"{'; augmentation: ' + ', '.join(changes) if changes else '; no augmentation'}.",
        named_in(CUTOUT) if augment.cutout else (),
    )

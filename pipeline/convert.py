"""ANN to spiking network by data-based normalization.

A ReLU's activation becomes a firing rate times a threshold. Two forms compute the same spikes:

- threshold form: weights as they are, threshold theta_l, a spike is worth theta_l downstream;
- weight form:    W_l <- W_l theta_(l-1) / theta_l, b_l <- b_l / theta_l, threshold 1, a spike is worth 1.

An identity shortcut becomes a gain theta_in / theta_out, a projection is normalised like any convolution; both by the
threshold of the block's output, because the sum is taken before the neuron. The read-out keeps its units: theta = 1.
The input counts as theta = 1. A max pool has no neurons: it passes on the OR of its window's spikes, worth what its
source's are. The rate of that OR is at least the largest rate in the window, which it should be, so a pool is
approximated. Source: SpikingJelly's robust norm (99.9 %), which the closed-loop CKA code starts from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..hw import BadInput
from ..models import INPUT, PROFILES, GraphNet, IdentityWire, Profile, Spiking, as_spiking, build_ann
from ..models.datasets import Clips, Samples, batches
from .artefacts import load_ann, save_net
from .calibration import activation_scales, qcfs_scales
from .conversion.light import MEASURED, light_calibration
from .conversion.mmse import mmse_scales
from .data import architecture_of, load_splits
from .folding import fold_batchnorm
from .metrics import accuracy
from .notices import notice, of_conversion
from .sections import Convert, Recipe
from .stage import Stage, StageContext
from .training import correct, predict

_SWEEP = (1, 2, 4, 8, 16, 32)


class Gain(nn.Module):
    """An identity shortcut scaled by a constant: what `theta_in / theta_out` makes of it."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x: Tensor) -> Tensor:
        """weight * x, any shape."""
        return self.weight * x


def convert(
    ann: GraphNet,
    scales: dict[str, float],
    profile: Profile,
    n_steps: int,
    *,
    form: Literal["weight", "threshold"] = "weight",
    worth: Mapping[str, float] | None = None,
) -> GraphNet:
    """The spiking twin of a folded ANN. form: "weight" or "threshold"; both emit the same spikes.

    scales: threshold of each hidden unit (`activation_scales`). worth: in the weight form, the activation that a spike
    of each hidden unit stands for, its threshold unless given. Returns a copy; logits are per step, (T, B, K).
    """
    twin = as_spiking(ann, profile, n_steps)
    nodes = twin.walk()
    for node in nodes:
        for index, wire in enumerate(node.unit.wires):
            if isinstance(wire, IdentityWire) and not wire.norm:
                node.synapses[index].weighted = Gain(wire.scale)
    for node in nodes[:-1]:
        if form == "threshold" and isinstance(node.neuron, Spiking):
            node.neuron.threshold.fill_(scales[node.unit.name] * profile.threshold)
            node.neuron.amplitude.fill_(scales[node.unit.name])
    if form == "weight":
        _normalize_(twin, scales, scales if worth is None else worth)
    return twin


@torch.no_grad()
def _normalize_(net: GraphNet, scales: Mapping[str, float], worth: Mapping[str, float]) -> None:
    """W worth_source / theta_target and b / theta_target on every wire, in place.

    Linear units have the scale 1. Attention, a product of its wires, is divided by its threshold once, on the values.
    """
    linear = {unit.name: 1.0 for unit in net.architecture.units if unit.linear}
    scale = {net.architecture.units[-1].name: 1.0, **scales, **linear}
    spike = {INPUT: 1.0, **worth, **linear}
    for node in net.walk():
        for index, (wire, synapses) in enumerate(zip(node.unit.wires, node.synapses, strict=True)):
            factor = node.unit.attention is not None and index < len(node.unit.wires) - 1
            own = 1.0 if factor else scale[node.unit.name]
            for name, parameter in synapses.named_parameters():
                parameter.mul_(1 / own if name.endswith("bias") else spike[wire.source] / own)


def skeleton(recipe: Recipe, profile: Profile, n_steps: int) -> GraphNet:
    """An untrained network of the form `convert` returns, to load saved weights into."""
    architecture = architecture_of(recipe)
    ones = dict.fromkeys((unit.name for unit in architecture.units), 1.0)
    return convert(fold_batchnorm(build_ann(architecture)), ones, profile, n_steps)


def refined_profile(recipe: Recipe) -> Profile:
    """The recipe's refinement profile, with the recipe's leak where it names one."""
    profile = PROFILES[recipe.refine.profile]
    return profile if recipe.refine.v_decay is None else profile.with_v_decay(recipe.refine.v_decay)


def calibration_batches(samples: Samples, count: int, device: torch.device, size: int = 128) -> list[Tensor]:
    """The first `count` training images, unaugmented, in equal batches of at least 4; of clips their mean over time.

    Raises BadInput for fewer.
    """
    if not 4 <= count <= len(samples):
        raise BadInput(f"convert.calibration_images is {count}; give 4..{len(samples)} (the training images there are)")
    parts = -(-count // size)
    return [samples.stills(index).to(device) for index in torch.arange(count).tensor_split(parts)]


def classify_steps(net: GraphNet, images: Samples, device: torch.device, size: int = 100) -> Tensor:
    """Predictions after each timestep, int64 (T, N): a sample's first t steps do not depend on how many follow."""
    net.eval()

    def scores(x: Tensor) -> Tensor:
        return net(x)[0].cumsum(dim=0).argmax(-1)

    with torch.no_grad():
        parts = [scores(images.floats(index).to(device)).cpu() for index in batches(len(images), size, None)]
    return torch.cat(parts, dim=1)


def classify(net: GraphNet, images: Samples, device: torch.device) -> Tensor:
    """Predictions of a spiking network from the logits averaged over its T steps, int64 (N,)."""
    net.eval()
    return predict(lambda x: net(x)[0].mean(dim=0), images, device)


def run(context: StageContext) -> dict[str, Any]:
    """Fold, calibrate, convert; report the twin with soft and with hard reset.

    Test accuracy at the recipe's T. `by_T`: validation accuracy of both for T up to 32, of clips for as many as they
    have. Thresholds are those of the neurons that the chain goes on with; light calibration corrects each twin for its
    own. An ANN that reads still images has no twin that reads events: the stage ends with {"skipped": why}.
    """
    recipe, device = context.recipe, context.device
    if recipe.data.stills is not None:
        return {"skipped": f"the ANN reads {recipe.data.stills.name}, the network events of {recipe.data.name}"}
    settings, n_steps, chain = recipe.convert, recipe.refine.T, refined_profile(recipe)
    splits = load_splits(recipe)
    ann = load_ann(recipe, context.inputs["train"]).to(device)
    folded = fold_batchnorm(ann)
    calibration = calibration_batches(splits.train, settings.calibration_images, device)
    scales, origin = thresholds(folded, calibration, settings, chain, n_steps)

    def corrected(profile: Profile) -> GraphNet:
        if settings.calibrate == "none":
            return folded
        return light_calibration(folded, torch.cat(calibration), scales, profile, n_steps)

    half = settings.v_init == "half" or (settings.v_init is None and settings.norm == "qcfs")
    soft = replace(PROFILES["soft_if"], v_init=0.5 if half else 0.0)
    metrics: dict[str, Any] = {"scales": scales, "fold_error": _fold_error(ann, folded, calibration[0])}
    swept = range(1, n_steps + 1) if isinstance(splits.validation, Clips) else _SWEEP
    sweep: dict[int, dict[str, Any]] = {t: {"T": t} for t in swept}
    steps = [("soft", soft), ("hard", PROFILES["loihi"])]
    with context.progress.task("convert", total=2 * len(steps)) as bar:
        for name, profile in steps:
            source = corrected(profile)
            hits = correct(classify(convert(source, scales, profile, n_steps), splits.test, device), splits.test)
            metrics[name] = accuracy(hits, len(splits.test))
            bar.advance(1)
            sample = splits.validation.subset(slice(1000))
            by_step = classify_steps(convert(source, scales, profile, max(swept)), sample, device)
            for t in swept:
                sweep[t][name] = accuracy(correct(by_step[t - 1], sample), len(sample))
            bar.advance(1)
    metrics["by_T"] = list(sweep.values())
    metrics["notices"] = of_conversion(ann, scales, origin) + _whole_network(recipe, chain)
    save_net(convert(corrected(chain), scales, chain, n_steps), context.folder)
    return metrics


def thresholds(
    ann: GraphNet, calibration: Sequence[Tensor], settings: Convert, profile: Profile, n_steps: int
) -> tuple[dict[str, float], str]:
    """Threshold of each hidden unit of a folded ANN by `convert.norm`, and in words what they come from.

    Raises BadInput as `activation_scales` and `qcfs_scales` do.
    """
    match settings.norm:
        case "max":
            return activation_scales(ann, calibration, 1.0), "maximum of calibration activations"
        case "percentile":
            scales = activation_scales(ann, calibration, settings.percentile / 100)
            return scales, f"{settings.percentile} % point of calibration activations"
        case "mmse":
            scales = mmse_scales(ann, calibration, profile, n_steps)
            return scales, f"least squared error of {profile.reset}-reset spike counts over {n_steps} timesteps"
        case "qcfs":
            return qcfs_scales(ann), "learned end of its QCFS activation"


def _whole_network(recipe: Recipe, profile: Profile) -> list[dict[str, str]]:
    """What was done to all layers alike."""
    rows, where, n_steps = [], "all spiking layers", recipe.refine.T
    if recipe.convert.norm == "qcfs":
        what = f"activations of {recipe.train.levels} levels are counted over {n_steps} timesteps by '{profile.name}'"
        why = "QCFS is trained for soft reset from half a threshold, whose counts its levels are"
        rows.append(notice(where, what, why, f"refinement adapts to it; refine.T: {recipe.train.levels} has as many"))
    if recipe.convert.calibrate == "light":
        images = min(recipe.convert.calibration_images, MEASURED)
        what = f"biases were corrected per channel on {images} images, for '{profile.name}' over {n_steps} timesteps"
        rows.append(notice(where, what, "rates lie below the activations on average", "convert.calibrate: none"))
    return rows


@torch.no_grad()
def _fold_error(ann: GraphNet, folded: GraphNet, x: Tensor) -> float:
    """Largest difference of any logit that folding made, relative to the largest logit."""
    expected = ann.eval()(x)[0]
    return float((folded(x)[0] - expected).abs().max() / expected.abs().max())


STAGE = Stage(
    name="convert",
    needs=("train",),
    reads=("seed", "data", "model", "convert", "refine.T", "refine.profile", "refine.v_decay"),
    version=3,
    run=run,
)

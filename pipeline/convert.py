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

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..hw import BadInput
from ..models import INPUT, PROFILES, GraphNet, IdentityWire, Profile, Spiking, as_spiking, build_ann
from ..models.datasets import Images, batches
from .artefacts import architecture_of, load_ann, load_splits, save_net
from .calibration import activation_scales
from .folding import fold_batchnorm
from .metrics import accuracy
from .notices import of_conversion
from .sections import Recipe
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
            if isinstance(wire, IdentityWire):
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
    """W worth_source / theta_target and b / theta_target on every wire, in place."""
    scale = {net.architecture.units[-1].name: 1.0, **scales}
    spike = {INPUT: 1.0, **worth}
    for node in net.walk():
        own = scale[node.unit.name]
        for wire, synapses in zip(node.unit.wires, node.synapses, strict=True):
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


def calibration_batches(images: Images, count: int, device: torch.device, size: int = 128) -> list[Tensor]:
    """The first `count` training images, unaugmented, in equal batches of at least 4. Raises BadInput for fewer."""
    if not 4 <= count <= len(images):
        raise BadInput(f"convert.calibration_images is {count}; give 4..{len(images)} (the training images there are)")
    parts = -(-count // size)
    return [images.floats(index).to(device) for index in torch.arange(count).tensor_split(parts)]


def classify_steps(net: GraphNet, images: Images, device: torch.device, size: int = 100) -> Tensor:
    """Predictions after each timestep, int64 (T, N): a sample's first t steps do not depend on how many follow."""
    net.eval()

    def scores(x: Tensor) -> Tensor:
        return net(x)[0].cumsum(dim=0).argmax(-1)

    with torch.no_grad():
        parts = [scores(images.floats(index).to(device)).cpu() for index in batches(len(images), size, None)]
    return torch.cat(parts, dim=1)


def classify(net: GraphNet, images: Images, device: torch.device) -> Tensor:
    """Predictions of a spiking network from the logits averaged over its T steps, int64 (N,)."""
    net.eval()
    return predict(lambda x: net(x)[0].mean(dim=0), images, device)


def run(context: StageContext) -> dict[str, Any]:
    """Fold, calibrate, convert; report the twin with soft and with hard reset.

    Test accuracy at the recipe's T. `by_T`: validation accuracy of both for T up to 32.
    """
    recipe, device = context.recipe, context.device
    splits = load_splits(recipe)
    ann = load_ann(recipe, context.inputs["train"]).to(device)
    folded = fold_batchnorm(ann)
    calibration = calibration_batches(splits.train, recipe.convert.calibration_images, device)
    quantile = 1.0 if recipe.convert.norm == "max" else recipe.convert.percentile / 100
    scales = activation_scales(folded, calibration, quantile)
    soft = replace(PROFILES["soft_if"], v_init=0.5 if recipe.convert.v_init == "half" else 0.0)
    hard = PROFILES["loihi"]
    metrics: dict[str, Any] = {"scales": scales, "fold_error": _fold_error(ann, folded, calibration[0])}
    sweep: dict[int, dict[str, Any]] = {t: {"T": t} for t in _SWEEP}
    steps = [("soft", soft), ("hard", hard)]
    with context.progress.task("convert", total=2 * len(steps)) as bar:
        for name, profile in steps:
            net = convert(folded, scales, profile, recipe.refine.T)
            hits = correct(classify(net, splits.test, device), splits.test)
            metrics[name] = accuracy(hits, len(splits.test))
            bar.advance(1)
            sample = splits.validation.subset(slice(1000))
            by_step = classify_steps(convert(folded, scales, profile, max(_SWEEP)), sample, device)
            for t in _SWEEP:
                sweep[t][name] = accuracy(correct(by_step[t - 1], sample), len(sample))
            bar.advance(1)
    metrics["by_T"] = list(sweep.values())
    norm = "maximum" if recipe.convert.norm == "max" else f"{recipe.convert.percentile} % point"
    metrics["notices"] = of_conversion(ann, scales, norm)
    save_net(convert(folded, scales, hard, recipe.refine.T), context.folder)
    return metrics


@torch.no_grad()
def _fold_error(ann: GraphNet, folded: GraphNet, x: Tensor) -> float:
    """Largest difference of any logit that folding made, relative to the largest logit."""
    expected = ann.eval()(x)[0]
    return float((folded(x)[0] - expected).abs().max() / expected.abs().max())


STAGE = Stage(
    name="convert",
    needs=("train",),
    reads=("seed", "data", "model", "convert", "refine.T"),
    version=2,
    run=run,
)

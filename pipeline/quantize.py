"""Training in the chip's own integers: the last training stage, whose accuracy is the deployed one.

The refined network is put on the chip's grid (`pipeline/scales.py`) and fine-tuned with the forward pass of
`models/integer.py`. What leaves this stage is an `hw.Network` and the predictions it made on the test set.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..hw import CHIPS, BadInput, NotRepresentable, Source, check
from ..models import GraphNet, Profile
from ..models.datasets import Samples, batches
from ..models.integer import IntegerNode, as_integer, integer_logits
from .artefacts import load_ann, save_net, save_network
from .convert import refined_profile
from .data import architecture_of, load_splits
from .files import write_tensors
from .folding import fold_batchnorm
from .losses import kd_kl
from .lower import to_network
from .metrics import accuracy
from .notices import of_quantization
from .refine.stage import load_student
from .scales import Scales, choose_scales, contain_
from .sections import Recipe
from .simplify import notices_of, simplify, why_not_on_chip
from .stage import Stage, StageContext
from .training import Moment, Task, correct, fit

DISTILL = 0.9
"""Share of logit distillation (tau = 2) against cross-entropy: the closed-loop method's task share, kept."""

TAU = 2.0

PREDICTIONS = "predictions.safetensors"


def run(context: StageContext) -> dict[str, Any]:
    """Quantize, fine-tune in integers, and write the network with its test predictions.

    Raises NotRepresentable if the refined profile or a layer cannot be computed by the chip, or a number of the trained
    network cannot be held by it; UnsupportedLayer for a layer that the chip has not.
    """
    recipe, device = context.recipe, context.device
    chip = CHIPS[recipe.quantize.chip]
    profile = refined_profile(recipe)
    require_on_chip(recipe, profile)
    splits = load_splits(recipe)
    refined = load_student(recipe, context.inputs["refine"])
    teacher = _teacher(context, refined).to(device).requires_grad_(False)
    student = simplify(refined)
    bits = payload_bits(recipe, splits.train)
    # A payload finer than the data's own levels carries nothing.
    max_bits = splits.train.levels.bit_length()
    scales = choose_scales(student, chip, bits, max_bits, recipe.quantize.relays)
    net = as_integer(student, profile, scales.units, scales.gains, chip.bias_max).to(device)
    contain_(net, chip, scales)
    top = Source(payload_bits=scales.payload_bits).max_payload

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            target, _ = teacher(x)
            target = target.mean(dim=0) if teacher.n_steps else target
        taps = net.architecture.taps
        sums, spikes = net((x * top + 0.5).floor(), taps)
        logits, _ = integer_logits(net, sums)
        task, match = functional.cross_entropy(logits, y), kd_kl(logits, target.float(), TAU)
        rate = sum(float(s.detach().sum()) for s in spikes.values()) / sum(s[0].numel() for s in spikes.values())
        parts = {"task": task, "logits": match, "spikes_per_neuron": torch.tensor(rate)}
        return (1 - DISTILL) * task + DISTILL * match, logits, parts

    history = fit(
        Task(
            net=net,
            loss=loss,
            score=lambda images: correct(classify(net, images, scales, device), images),
            train=splits.train,
            validation=splits.validation,
            settings=recipe.quantize,
            grad_clip=recipe.quantize.grad_clip,
            after_step=lambda: contain_(net, chip, scales),
        ),
        context,
    )
    network = to_network(net, scales.payload_bits)
    check(network, chip)
    by_step = classify_steps(net, splits.test, scales, device)
    predictions = by_step[-1]
    save_net(net, context.folder)
    save_network(network, context.folder)
    write_tensors(context.folder / PREDICTIONS, {"test": by_step})
    return {
        "test": accuracy(correct(predictions, splits.test), len(splits.test)),
        "validation": history,
        "payload_bits": scales.payload_bits,
        "chip": chip.name,
        "fingerprint": network.fingerprint(),
        "layers": _layers(net, scales),
        "notices": notices_of(refined.architecture) + of_quantization(net, scales, splits.train.levels),
    }


def _teacher(context: StageContext, refined: GraphNet) -> GraphNet:
    """Whose answers the integer network keeps: a trained ANN with its batch norms folded, or the refined student."""
    recipe = context.recipe
    if recipe.quantize.teacher == "refined" or recipe.data.stills is not None:
        return copy.deepcopy(refined)
    return fold_batchnorm(load_ann(recipe, context.inputs["train"]))


def payload_bits(recipe: Recipe, samples: Samples) -> int | None:
    """The recipe's payload bits, None for as many as fit; 0 for binary samples, whose spikes carry nothing.

    Raises BadInput if the recipe gives binary samples a payload.
    """
    given = recipe.quantize.payload_bits
    if not samples.binary:
        return given
    if given is not None:
        raise BadInput(
            f"quantize.payload_bits is {given}, but {recipe.data.name} gives binary spikes, which carry none; leave it "
            "out, or raise data.frames.levels"
        )
    return 0


def require_on_chip(recipe: Recipe, profile: Profile) -> None:
    """Raise NotRepresentable, with the way out, if the chip cannot compute the student a recipe describes."""
    reason = profile.on_chip()
    if reason is not None:
        raise NotRepresentable(
            f"refine.profile {profile.name}: {reason}; refine with profile 'loihi', the others are for comparison "
            "(`spikeport run RECIPE --until refine`)"
        )
    if recipe.refine.last_activation != "spiking":
        raise NotRepresentable(
            f"refine.last_activation is {recipe.refine.last_activation}: the last hidden unit passes on real values, "
            "the chip's neurons pass on spikes; refine with last_activation 'spiking', the other is for comparison "
            "(`spikeport run RECIPE --until refine`)"
        )
    unfit = why_not_on_chip(architecture_of(recipe))
    if unfit is not None:
        raise NotRepresentable(f"{unfit} (`spikeport run RECIPE --until refine` trains it in floats)")


@torch.no_grad()
def classify_steps(net: GraphNet, images: Samples, scales: Scales, device: torch.device, size: int = 100) -> Tensor:
    """The integer network's predictions after each timestep, int64 (T, N): the first largest membrane each time."""
    net.eval()
    out = []
    for index in batches(len(images), size, None):
        payload = images.payload(index, bits=scales.payload_bits).to(device, torch.float32)
        sums = net(payload)[0].to(torch.int64).cumsum(dim=0)
        out.append(sums.argmax(dim=-1).cpu())
    return torch.cat(out, dim=1)


def classify(net: GraphNet, images: Samples, scales: Scales, device: torch.device, size: int = 100) -> Tensor:
    """The integer network's predictions at the end of a sample, int64 (N,)."""
    return classify_steps(net, images, scales, device, size)[-1]


def _layers(net: GraphNet, scales: Scales) -> list[dict[str, Any]]:
    """Per population: scale, what limited it, and how much of the weight grid is used."""
    rows = []
    for node in net.walk():
        if node.unit.pool is not None:
            continue
        assert isinstance(node, IntegerNode)
        weights = [wire.grid_weight.detach() for wire in node.wires]
        rows.append(
            {
                "layer": node.unit.name,
                "scale": node.scale,
                "limited_by": scales.limited_by[node.unit.name],
                "largest_weight": max(int(w.abs().max()) for w in weights),
                "largest_bias": int(node.grid_bias.detach().abs().max()),
                "zero_weights": float(sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)),
            }
        )
    return rows


STAGE = Stage(
    name="quantize",
    needs=("train", "refine"),
    reads=("seed", "data", "model", "refine.profile", "refine.T", "refine.v_decay", "quantize"),
    version=2,
    run=run,
)

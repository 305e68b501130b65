"""The fair baselines: rows the report takes, networks of the bits they claim, and a run that can be killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import build_ann
from spikeport.models.quantized import as_quantized
from spikeport.pipeline import baselines, train
from spikeport.pipeline.artefacts import load_ann, load_into, save_net
from spikeport.pipeline.calibration import qcfs_scales
from spikeport.pipeline.checkpoint import Checkpoint
from spikeport.pipeline.convert import calibration_batches
from spikeport.pipeline.data import architecture_of, load_splits
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.metrics import accuracy
from spikeport.pipeline.quantize import DISTILL
from spikeport.pipeline.recipe import load, parse
from spikeport.pipeline.sections import Recipe
from spikeport.pipeline.stage import LOG, StageContext
from spikeport.pipeline.training import correct
from spikeport.sim.report.scrutiny import Baseline
from torch import nn

from .adopt import torch_nets
from .stages import context

RECIPES = Path(__file__).parents[2] / "recipes"
CPU = torch.device("cpu")
SHORT: dict[str, Any] = {
    "name": "short",
    "data": {"name": "digits", "validation": 100, "train_limit": 400, "test_limit": 100},
    "train": {"epochs": 5, "batch_size": 32, "lr": 0.05},
    "convert": {"calibration_images": 64},
    "baselines": {"epochs": 2},
}
KEYS = ("ann_fp32", "ann_int8", "ann_matched")


def recipe(**sections: Any) -> Recipe:
    return parse(SHORT | sections)


def given(recipe: Recipe, folder: Path, n_steps: int, into: str = "baselines") -> StageContext:
    """What the stage is given after a train stage in the same folder and an export of so many timesteps."""
    made = {"train": {"test": accuracy(90, 100)}, "export": {"n_steps": n_steps}}
    return replace(context(recipe, folder, "baselines", into), results=made)


def trained(values: Recipe, folder: Path) -> Path:
    train.run(context(values, folder, "train"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(recipe(), tmp_path_factory.mktemp("ann"))


@pytest.fixture(scope="module")
def finished(folder: Path) -> tuple[StageContext, dict[str, Any]]:
    there = given(recipe(), folder, 4)
    return there, baselines.run(there)


def test_its_rows_are_the_reports_baselines(finished):
    rows = {key: Baseline(key=key, energy_pj={}, **finished[1][key]) for key in KEYS}
    assert set(finished[1]) == {*KEYS, "validation"}
    bits = {key: (row.weight_bits, row.activation_bits) for key, row in rows.items()}
    assert bits == {"ann_fp32": (None, None), "ann_int8": (8, 8), "ann_matched": (8, 3)}
    assert rows["ann_fp32"].how == "as trained"
    assert rows["ann_int8"].how == "quantized after training, on 64 training images"


def test_the_ann_as_trained_has_the_score_of_its_training(finished):
    assert finished[1]["ann_fp32"]["score"] == accuracy(90, 100)


def test_the_twins_score_is_that_of_the_weights_it_saved(finished):
    there, metrics = finished
    splits = load_splits(there.recipe)
    ann = fold_batchnorm(load_ann(there.recipe, there.inputs["train"]))
    ends = dict.fromkeys((unit.name for unit in ann.architecture.units), 1.0)
    twin = load_into(as_quantized(ann, 8, 7, ends), there.folder)
    for split, score in ((splits.test, metrics["ann_matched"]["score"]), (splits.validation, None)):
        hits = correct(train.classify(twin, split, CPU), split)
        assert (score["correct"] if score else round(metrics["validation"]["best"] * len(split))) == hits


def test_the_saved_weights_are_rounded_to_255_values_and_the_activations_to_8(finished):
    there, _ = finished
    ann = fold_batchnorm(load_ann(there.recipe, there.inputs["train"]))
    ends = dict.fromkeys((unit.name for unit in ann.architecture.units), 1.0)
    twin = load_into(as_quantized(ann, 8, 7, ends), there.folder)
    maps = [m for m in twin.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(maps) == 4
    assert all(len(channel.unique()) <= 255 for module in maps for channel in module.weight)
    _, activations = twin(load_splits(there.recipe).test.floats(), taps=ann.architecture.taps)
    assert all(1 < len(values.unique()) <= 8 for values in activations.values())


def test_the_int8_network_is_the_ann_rounded_and_not_trained(finished):
    there, metrics = finished
    splits = load_splits(there.recipe)
    ann = fold_batchnorm(load_ann(there.recipe, there.inputs["train"]))
    int8 = baselines.quantized(ann, calibration_batches(splits.train, 64, CPU), 255)
    hits = correct(train.classify(int8, splits.test, CPU), splits.test)
    assert metrics["ann_int8"]["score"] == accuracy(hits, 100)
    same = train.classify(int8, splits.test, CPU) == train.classify(ann, splits.test, CPU)
    assert int(same.sum()) >= 97  # a step of 1/255 moves few answers
    before = dict(ann.named_parameters())
    for name, value in int8.named_parameters():
        if not name.endswith("lam"):
            original = name.replace("parametrizations.weight.original", "weight")
            assert torch.equal(value, before[original])


def test_training_repairs_what_one_bit_broke(folder):
    there = given(recipe(baselines={"epochs": 4}), folder, 1, "one bit")
    metrics = baselines.run(there)
    history = metrics["validation"]
    assert history["start"] < history["best"]
    assert metrics["ann_matched"]["activation_bits"] == 1
    assert metrics["ann_matched"]["how"] == (
        f"trained 4 epochs with quantized weights and activations: {history['best']:.2%} on validation images, "
        f"{history['start']:.2%} before"
    )


@pytest.mark.parametrize(("n_steps", "bits"), [(1, 1), (3, 2), (4, 3), (7, 3), (8, 4), (255, 8)])
def test_the_twin_has_bits_for_every_count_of_the_exported_timesteps(folder, n_steps, bits):
    """T + 1 counts, 0..T: 2^b >= T + 1 > 2^(b - 1). Without epochs nothing is trained, and so it says."""
    assert 2**bits >= n_steps + 1 > 2 ** (bits - 1)
    there = given(recipe(baselines={"epochs": 0}), folder, n_steps, f"T{n_steps}")
    metrics = baselines.run(there)
    assert metrics["ann_matched"]["activation_bits"] == bits
    assert metrics["ann_matched"]["title"] == f"ANN, 8-bit weights, {bits}-bit activations"
    assert metrics["ann_matched"]["how"] == "quantized after training, on 64 training images"
    assert metrics["validation"]["best_epoch"] == metrics["validation"]["epochs"] == 0
    splits = load_splits(there.recipe)
    ann = fold_batchnorm(load_ann(there.recipe, there.inputs["train"]))
    twin = baselines.quantized(ann, calibration_batches(splits.train, 64, CPU), 2**bits - 1)
    assert metrics["ann_matched"]["score"]["correct"] == correct(train.classify(twin, splits.test, CPU), splits.test)
    if bits == 8:
        assert metrics["ann_matched"]["score"] == metrics["ann_int8"]["score"]


def test_training_that_gains_nothing_is_not_told_as_training(folder):
    """Steps this long leave nothing of what the ANN had learned, and epoch 0 is kept."""
    there = given(recipe(baselines={"epochs": 1, "lr": 3.0}), folder, 7, "broken")
    metrics = baselines.run(there)
    assert metrics["validation"]["best_epoch"] == 0
    assert metrics["ann_matched"]["how"] == (
        "quantized after training, on 64 training images; 1 epoch of training gained nothing on validation images"
    )


def test_it_learns_from_the_labels_and_from_the_anns_answers(finished):
    """The share of each is that of the training in integers: what the spiking network is given, the twin is too."""
    there, _ = finished
    for line in map(json.loads, (there.folder / LOG).read_text().splitlines()):
        assert line["loss"] == pytest.approx((1 - DISTILL) * line["task"] + DISTILL * line["logits"], rel=1e-5)
        assert line["task"] > 0
        assert line["logits"] > 0


class Killed(Exception):
    """Stands for the end of the process."""


class Mortal(Checkpoint):
    """The process ends right after an epoch was saved."""

    def save(self, *args: Any) -> None:
        super().save(*args)
        raise Killed


def test_a_killed_stage_ends_with_the_bits_of_an_unbroken_one(folder, finished):
    unbroken, metrics = finished
    here = given(recipe(), folder, 4, "killed")
    with pytest.raises(Killed):
        baselines.run(replace(here, checkpoint=Mortal(here.checkpoint.folder, "k", here.folder / LOG)))
    assert not (here.folder / "weights.safetensors").exists()
    assert len((here.folder / LOG).read_text().splitlines()) == 1
    assert baselines.run(given(recipe(), folder, 4, "killed")) == metrics
    for name in ("weights.safetensors", LOG):
        assert (here.folder / name).read_bytes() == (unbroken.folder / name).read_bytes()
    assert len((here.folder / LOG).read_text().splitlines()) == 2


def test_it_is_trained_as_the_ann_was_but_for_what_it_is_given():
    own = {"epochs": 9, "batch_size": 16, "lr": 0.3, "weight_decay": 0.0, "momentum": 0.5, "sampling": "balanced"}
    own |= {"augment": {"crop": 2, "flip": True}, "precision": "bf16"}
    values = recipe(train=own)
    got = baselines.optimization(values)
    assert (got.epochs, got.batch_size, got.lr) == (2, 16, pytest.approx(0.03))
    assert got.augment == values.train.augment
    assert (got.weight_decay, got.momentum, got.sampling, got.precision) == (0.0, 0.5, "balanced", "bf16")
    other = baselines.optimization(recipe(train=own, baselines={"epochs": 1, "batch_size": 8, "lr": 0.2}))
    assert (other.epochs, other.batch_size, other.lr) == (1, 8, 0.2)


def test_an_ann_of_staircases_keeps_its_ends_and_in_8_bits_its_levels(tmp_path):
    values = recipe(train={**SHORT["train"], "epochs": 2, "activation": "qcfs", "levels": 1}, baselines={"epochs": 0})
    there = given(values, trained(values, tmp_path), 4)
    metrics = baselines.run(there)
    hows = [metrics[key]["how"] for key in KEYS]
    assert hows[0] == "as trained, QCFS activations with L = 1"
    assert hows[1] == hows[2] == "quantized after training, at its learned ends"
    splits = load_splits(values)
    ann = fold_batchnorm(load_ann(values, there.inputs["train"]))
    hits = {}
    for levels in (1, 7, 255):
        net = as_quantized(ann, 8, levels, qcfs_scales(ann))
        hits[levels] = correct(train.classify(net, splits.test, CPU), splits.test)
    assert len({hits[1], hits[255]}) == 2
    assert metrics["ann_int8"]["score"]["correct"] == hits[1]
    assert metrics["ann_matched"]["score"]["correct"] == hits[7]


def test_an_ann_of_still_images_is_no_baseline(tmp_path):
    stills = {"name": "digits", "validation": 40, "limit": 100}
    values = recipe(data={**SHORT["data"], "frames": {"T": 3}, "stills": stills}, refine={"start": "scratch"})
    metrics = baselines.run(given(values, tmp_path, 3))
    assert metrics == {"skipped": "the ANN reads digits, the network events of digits"}


def test_an_ann_of_frames_is_quantized_on_the_mean_of_its_clips(tmp_path):
    values = recipe(
        data={"name": "digits", "validation": 20, "train_limit": 64, "test_limit": 20, "frames": {"T": 5}},
        train={"epochs": 1, "batch_size": 32},
        baselines={"epochs": 1},
    )
    metrics = baselines.run(given(values, trained(values, tmp_path), 5))
    assert metrics["ann_matched"]["activation_bits"] == 3
    assert [metrics[key]["score"]["n"] for key in KEYS[1:]] == [20, 20]


def test_a_network_from_a_file_has_baselines_too(tmp_path):
    path = tmp_path / "lenet.onnx"
    torch.manual_seed(0)
    torch_nets.export(torch_nets.LeNet(), path)
    values = recipe(model={"file": str(path)}, train={"epochs": 0}, baselines={"epochs": 1})
    metrics = baselines.run(given(values, trained(values, tmp_path), 4))
    assert metrics["validation"]["best"] >= metrics["validation"]["start"]
    assert metrics["ann_matched"]["score"]["n"] == 100


def test_a_silent_layer_is_told(tmp_path):
    values = recipe()
    net = build_ann(architecture_of(values))
    with torch.no_grad():
        for parameter in net.node("conv2").parameters():
            parameter.zero_()
    (tmp_path / "train").mkdir()
    save_net(net, tmp_path / "train")
    with pytest.raises(BadInput, match=r"calibration: conv2 has scale 0\.0 .*silent"):
        baselines.run(given(values, tmp_path, 4))


@pytest.mark.parametrize(("name", "identity"), [("digits", "e843e332"), ("cifar10", "2a7e7ac0")])
def test_the_section_changes_no_runs_identity(name, identity):
    """The folders of runs from before there were baselines are named by it."""
    for changes in ((), ("baselines.epochs=0", "baselines.lr=0.5", "baselines.batch_size=7")):
        assert load(RECIPES / f"{name}.yaml", changes).identity().startswith(identity)

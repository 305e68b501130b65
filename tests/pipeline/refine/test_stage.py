"""The refinement stage: what training starts from, its seeds, its gradient's scale, and what it hands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport.models import PROFILES, as_spiking
from spikeport.pipeline import convert, train
from spikeport.pipeline.artefacts import load_ann
from spikeport.pipeline.convert import classify
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine import stage as refine
from spikeport.pipeline.sections import Recipe
from spikeport.pipeline.stage import StageContext
from spikeport.pipeline.training import Task
from torch import nn

from .. import tiny_nets
from ..stages import context

CPU = torch.device("cpu")


def recipe(architecture: str = "resnet20", seed: int = 0, **settings: Any) -> Recipe:
    return parse(
        {
            "name": "short",
            "seed": seed,
            "data": {"name": "digits", "validation": 20, "train_limit": 48, "test_limit": 40},
            "model": {"architecture": architecture},
            "train": {"epochs": 1, "batch_size": 16},
            "convert": {"calibration_images": 16},
            "refine": {"method": "kd", "T": 2, "epochs": 1, "batch_size": 16, "grad_clip": 1.0, **settings},
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and converted ResNet-20 on 48 digits."""
    made = tmp_path_factory.mktemp("refined")
    for stage in (train, convert):
        stage.run(context(recipe(), made, stage.STAGE.name))
    return made


def refined(folder: Path, into: str, **settings: Any) -> tuple[Recipe, dict[str, Any]]:
    chosen = recipe(**settings)
    return chosen, refine.run(context(chosen, folder, "refine", into))


@pytest.mark.parametrize("engine", ["bptt", "rate"])
@pytest.mark.parametrize("start", ["converted", "teacher", "scratch"])
def test_what_it_hands_on_has_no_batch_norm_and_makes_the_predictions_it_reports(folder, start, engine):
    chosen, metrics = refined(folder, f"{start}-{engine}", start=start, engine=engine)
    student = refine.load_student(chosen, folder / f"{start}-{engine}")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in student.modules())
    test = load_splits(chosen).test
    answers = classify(student, test, CPU)
    assert int((answers == test.y).sum()) == metrics["test"]["correct"]
    assert torch.equal(answers, read_tensors(folder / f"{start}-{engine}" / refine.PREDICTIONS)["test"])
    assert [row["T"] for row in metrics["by_T"]] == [1, 2]
    assert metrics["by_T"][-1]["refined"]["accuracy"] == pytest.approx(metrics["validation"]["best"])


def test_a_start_from_the_teacher_is_its_weights_behind_spiking_neurons(folder):
    """With no epoch of training, the student is the ANN's spiking twin, its batch norms folded."""
    chosen, metrics = refined(folder, "untrained", start="teacher", epochs=0)
    student = refine.load_student(chosen, folder / "untrained")
    ann = load_ann(chosen, folder / "train").double()
    x = load_splits(chosen).test.floats(slice(8)).double()
    with torch.no_grad():
        expected, _ = as_spiking(ann, PROFILES["loihi"], 2)(x)
        torch.testing.assert_close(student.double()(x)[0], expected, rtol=1e-5, atol=1e-5)
    assert "not from the converted network" in metrics["notices"][0]["what"]


def test_fresh_weights_follow_the_seed_of_refinement(folder):
    """Seed 0 of refinement is a seed, not the absence of one; without it, the recipe's counts."""
    weights = {}
    of_refinement = {"own": 0, "given": 3, "default": None}
    base = recipe(start="scratch", epochs=0).model_dump()
    for into, own in of_refinement.items():
        chosen = parse({**base, "seed": 3, "refine": {**base["refine"], "seed": own}})
        refine.run(context(chosen, folder, "refine", into))
        weights[into] = read_tensors(folder / into / "weights.safetensors")

    def equal(a: str, b: str) -> bool:
        return all(torch.equal(weights[a][name], weights[b][name]) for name in weights[a])

    assert equal("given", "default")
    assert not equal("own", "default")


@pytest.mark.parametrize("engine", ["bptt", "rate"])
def test_a_scaled_gradient_leaves_the_loss_as_it_is(folder, monkeypatch, engine):
    """T-001-9: grad_scale 1/T gives the same loss and gradients that are T times smaller, here T = 2."""
    seen: list[tuple[float, list[torch.Tensor]]] = []

    def one_step(task: Task, there: StageContext) -> dict[str, Any]:
        value, _, _ = task.loss(task.train.floats(slice(16)), task.train.y[:16], tiny_nets.moment())
        value.backward()
        seen.append((value.item(), [p.grad for p in task.net.parameters() if p.grad is not None]))
        return {"best": 0.0}

    monkeypatch.setattr(refine, "fit", one_step)
    for scale in ("1", "1/T"):
        refined(folder, f"scaled-{engine}-{scale[-1]}", grad_scale=scale, engine=engine)
    (whole, gradients), (same, smaller) = seen
    assert whole == same
    assert len(gradients) > 20
    assert all(torch.equal(a, 2 * b) for a, b in zip(gradients, smaller, strict=True))

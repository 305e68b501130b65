"""A teacher from another run: of any architecture, on the same images, known by its weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.pipeline import chain
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine import check_method
from spikeport.pipeline.runs import folder_of
from spikeport.pipeline.sections import Recipe
from spikeport.pipeline.teacher_run import load_teacher

DATA: dict[str, Any] = {"name": "digits", "validation": 20, "train_limit": 64, "test_limit": 20}


def recipe(**changes: Any) -> Recipe:
    base = {"data": DATA, "train": {"epochs": 1}, "convert": {"calibration_images": 32}}
    return parse({"name": "student", **base, **changes})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a trained vgg_small."""
    other = recipe(name="teacher", model={"architecture": "vgg_small"})
    root = tmp_path_factory.mktemp("runs")
    with chain.opened(other, root, Progress(quiet=True)) as run:
        run.finish("train")
    return folder_of(other, root)


def with_teacher(folder: Path, method: str = "kd", **changes: Any) -> Recipe:
    return recipe(refine={"method": method, "teacher": str(folder), "epochs": 1, "T": 2}, **changes)


def test_another_architecture_teaches(teacher, tmp_path):
    with chain.opened(with_teacher(teacher), tmp_path, Progress(quiet=True)) as run:
        for stage in ("train", "convert"):
            run.finish(stage)
        metrics = run.finish("refine").manifest["metrics"]
    assert metrics["teacher"] == "vgg_small"
    assert load_teacher(with_teacher(teacher))(torch.zeros(2, 1, 8, 8))[0].shape == (2, 10)


def test_its_weights_and_not_its_place_decide(teacher, tmp_path):
    moved = shutil.copytree(teacher, tmp_path / "elsewhere")
    parts = [with_teacher(folder).sections(["refine"]) for folder in (teacher, moved)]
    assert parts[0] == parts[1]
    weights = moved / "train" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    assert with_teacher(moved).sections(["refine"]) != parts[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "was trained with seed 0, this recipe has 5"),
        ({"data": {**DATA, "validation": 30}}, r"data\.validation 20, this recipe has 30"),
    ],
)
def test_a_teacher_that_may_have_seen_the_validation_images_is_refused(teacher, changes, message):
    with pytest.raises(BadInput, match=message):
        load_teacher(with_teacher(teacher, **changes))


def test_a_folder_without_a_trained_network_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(BadInput, match="holds no finished train stage"):
        check_method(with_teacher(tmp_path))


def test_a_method_that_compares_layers_by_name_keeps_its_own_teacher(teacher):
    with pytest.raises(BadInput, match=r"closed_loop_cka compares layers of the same name.*one of .*kd"):
        check_method(with_teacher(teacher, "closed_loop_cka"))

"""A recipe that starts from a file: the whole chain from someone's ONNX network to the simulated `.net`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport import hw
from spikeport.export import netx
from spikeport.hw import BadInput
from spikeport.models.datasets import load
from spikeport.pipeline import chain
from spikeport.pipeline.adopt.source import folded_of, of_import, teacher_of
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.runs import Outcome
from spikeport.pipeline.sections import Model, Recipe
from torch import nn

from . import torch_nets

MEAN, STD = 0.3, 0.4
STAGES = ("train", "convert", "refine", "quantize", "export", "simulate", "energy")


def recipe_for(path: Path, **sections: Any) -> Recipe:
    """Short everywhere; the network is trained already."""
    return parse(
        {
            "name": "adopted",
            "threads": 1,
            "data": {"name": "digits", "validation": 100, "test_limit": 200},
            "model": {"file": str(path), "mean": [MEAN], "std": [STD]},
            "convert": {"calibration_images": 64},
            "refine": {"T": 4, "epochs": 1, "lr": 0.02},
            "quantize": {"epochs": 1},
            **sections,
        }
    )


def run(recipe: Recipe, root: Path, names: tuple[str, ...]) -> dict[str, Outcome]:
    with chain.opened(recipe, root, Progress(quiet=True)) as opened:
        return {name: opened.finish(name) for name in names}


@pytest.fixture(scope="module")
def lenet() -> nn.Module:
    return torch_nets.trained(torch_nets.LeNet, epochs=5, mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def path(lenet, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "lenet.onnx"
    torch_nets.export(lenet, path)
    return path


@pytest.fixture(scope="module")
def outcomes(path, tmp_path_factory) -> dict[str, Outcome]:
    return run(recipe_for(path), tmp_path_factory.mktemp("runs"), STAGES)


def test_the_train_stage_takes_the_files_network_as_it_is(outcomes, lenet):
    """No epoch is trained, and the test accuracy is that of the torch network on normalised images."""
    metrics = outcomes["train"].manifest["metrics"]
    test = load("digits")[1].subset(slice(200))
    with torch.no_grad():
        hits = int((lenet((test.floats() - MEAN) / STD).argmax(-1) == test.y).sum())
    assert (metrics["test"]["correct"], metrics["test"]["n"]) == (hits, 200)
    assert hits > 180
    assert metrics["validation"]["epochs"] == 0


def test_every_rewrite_of_the_import_is_noticed(outcomes):
    whats = [row["what"] for row in outcomes["train"].manifest["metrics"]["notices"]]
    assert any(f"mean [{MEAN}], std [{STD}]" in what for what in whats)
    assert any("average pool" in what for what in whats)
    converted = [row["what"] for row in outcomes["convert"].manifest["metrics"]["notices"]]
    assert "max pooling of activations became an OR of spikes" in converted


def test_the_file_at_the_end_of_the_chain_holds_every_kind_of_layer(outcomes):
    export = outcomes["export"]
    network = netx.read(export.folder / export.manifest["metrics"]["file"])
    hw.check(network, hw.CHIPS["loihi2"])
    kinds = [type(connection).__name__ for connection in network.connections]
    assert kinds == ["Conv", "Conv", "Conv", "Dense", "Dense"]  # the second is the max pool; the average is folded
    first = network.populations[1].neuron
    assert isinstance(first, hw.Cuba)
    assert first.bias_mant.shape == (8, 8, 8)  # the first layer pads, and the normalisation has a mean
    assert network.populations[2].shape == (8, 4, 4)


def test_what_is_simulated_is_what_was_trained(outcomes):
    """The simulate stage compares image for image; one epoch of repair and one in integers lose little."""
    score = {name: outcomes[name].manifest["metrics"]["test"]["accuracy"] for name in ("train", "quantize", "simulate")}
    assert score["simulate"] == score["quantize"]
    assert score["simulate"] > score["train"] - 0.15
    assert outcomes["energy"].manifest["metrics"]


def test_the_same_content_elsewhere_is_not_computed_again(path, outcomes, tmp_path):
    copy = tmp_path / "other name.onnx"
    copy.write_bytes(path.read_bytes())
    again = run(recipe_for(copy), outcomes["train"].folder.parents[1], ("train", "convert"))
    assert [outcome.reused for outcome in again.values()] == [True, True]


def test_a_files_network_can_be_trained_further(path, tmp_path):
    recipe = recipe_for(path, train={"epochs": 1, "lr": 0.01})
    metrics = run(recipe, tmp_path, ("train",))["train"].manifest["metrics"]
    assert metrics["validation"]["epochs"] == 1
    assert metrics["validation"]["best"] >= metrics["validation"]["start"]


def test_a_compensated_start_repairs_more_than_half_a_bias_before_any_training(path, tmp_path):
    """refine.start, with no epoch of refinement: what refinement starts from."""
    reached = {}
    for start in ("half_bias", "compensated"):
        recipe = recipe_for(path, refine={"T": 4, "epochs": 0, "start": start}, name=start)
        metrics = run(recipe, tmp_path, ("train", "convert", "refine"))["refine"].manifest["metrics"]
        reached[start] = metrics["test"]["accuracy"]
        assert len(metrics["notices"]) == 1
    assert reached["compensated"] > reached["half_bias"]
    assert reached["compensated"] > 0.8


def test_a_network_on_vectors_reads_the_flattened_image(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)).eval()
    torch_nets.export(net, tmp_path / "mlp.onnx", (64,))
    ann = teacher_of(Model(file=tmp_path / "mlp.onnx"), (1, 8, 8), 10)
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(ann(x)[0], net(x.flatten(1)))


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((3, 32, 32), 10, r"takes an input of shape \(1, 8, 8\), the data's images have \(3, 32, 32\)"),
        ((1, 8, 8), 7, "answers with 10 values, the data have 7 classes"),
    ],
)
def test_a_network_for_other_data_is_refused(path, shape, classes, message):
    with pytest.raises(BadInput, match=message):
        folded_of(Model(file=path), shape, classes)


def test_what_was_assumed_is_told_too(path):
    folded = folded_of(Model(file=path), (1, 8, 8), 10)
    rows = of_import(folded)
    assert len(rows) == len(folded.foldings) + len(folded.assumed)
    assert all(set(row) == {"layer", "what", "why", "way_out"} for row in rows)

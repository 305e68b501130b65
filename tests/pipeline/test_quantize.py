"""The chip-integer stage: what it hands on is a legal network that makes the predictions it claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport import hw, sim
from spikeport.hw import CHIPS, NotRepresentable
from spikeport.models import PROFILES
from spikeport.models.datasets import Images
from spikeport.pipeline import convert, quantize, train
from spikeport.pipeline.artefacts import load_network
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine import stage as refine
from spikeport.pipeline.sections import Recipe
from spikeport.pipeline.stage import LOG

from . import tiny_nets
from .stages import context

SHORT: dict[str, Any] = {
    "name": "short",
    "data": {"name": "digits", "validation": 20, "train_limit": 96, "test_limit": 40},
    "train": {"epochs": 1, "batch_size": 32},
    "convert": {"calibration_images": 64},
    "refine": {"method": "none", "T": 2, "epochs": 0},
    "quantize": {"epochs": 1, "batch_size": 32},
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path, dict[str, Any]]:
    """A short run on digits up to quantization: (recipe, folder, metrics of quantize)."""
    recipe, folder = parse(SHORT), tmp_path_factory.mktemp("short")
    for stage in (train, convert, refine):
        stage.run(context(recipe, folder, stage.STAGE.name))
    return recipe, folder, quantize.run(context(recipe, folder, "quantize"))


def test_the_network_is_legal_and_has_the_fingerprint_it_reports(chain):
    _, folder, metrics = chain
    network = load_network(folder / "quantize")
    hw.check(network, CHIPS["loihi2"])
    assert metrics["fingerprint"] == network.fingerprint()
    assert metrics["chip"] == "loihi2"
    assert network.n_steps == 2


def test_its_test_predictions_are_those_of_the_simulated_network_after_every_timestep(chain):
    recipe, folder, metrics = chain
    test = load_splits(recipe).test
    network = load_network(folder / "quantize")
    trace = sim.run(network, test.payload(bits=metrics["payload_bits"]), record=("readout",))
    predictions = read_tensors(folder / "quantize" / quantize.PREDICTIONS)["test"]
    assert trace.readouts is not None
    assert torch.equal(trace.readouts.argmax(dim=2), predictions)
    assert torch.equal(trace.predictions, predictions[-1])
    hits = int((predictions[-1] == test.y).sum())
    assert (metrics["test"]["correct"], metrics["test"]["n"]) == (hits, 40)
    assert len(predictions.unique()) > 1


def test_no_more_payload_bits_than_the_data_have(chain):
    """Digits have 17 levels, 0 to 16: 5 bits."""
    _, _, metrics = chain
    assert 1 <= metrics["payload_bits"] <= 5


def test_every_layer_is_reported(chain):
    _, folder, metrics = chain
    network = load_network(folder / "quantize")
    assert [row["layer"] for row in metrics["layers"]] == ["conv1", "conv2", "conv3", "readout"]
    for row, connection in zip(metrics["layers"], network.connections, strict=True):
        assert row["largest_weight"] == abs(connection.weight.astype(int)).max() <= 254
        stored = connection.weight
        assert row["zero_weights"] == pytest.approx(float((stored == 0).mean()))
        assert row["limited_by"] in ("threshold", "weight grid", "accumulator", "bias", "read-out membrane")
        assert row["scale"] >= 2
    thresholds = [neuron.v_th_mant for population, neuron in network.neurons if population.name != "readout"]
    assert thresholds == [row["scale"] for row in metrics["layers"][:-1]]


def test_it_trained(chain):
    _, folder, metrics = chain
    lines = [json.loads(line) for line in (folder / "quantize" / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1]
    assert {"loss", "task", "logits", "spikes_per_neuron", "accuracy"} <= set(lines[0])
    assert lines[0]["spikes_per_neuron"] > 0
    assert metrics["validation"]["epochs"] == 1


@pytest.mark.parametrize("profile", [name for name in PROFILES if PROFILES[name].on_chip() is not None])
def test_a_profile_the_chip_cannot_compute_is_refused_with_the_way_out(tmp_path, profile):
    """Soft reset and firing at the threshold exist for comparison and do not survive."""
    recipe = parse({**SHORT, "refine": {**SHORT["refine"], "profile": profile}})
    with pytest.raises(NotRepresentable, match=rf"refine.profile {profile}: .*; refine with profile 'loihi'"):
        quantize.run(context(recipe, tmp_path, "quantize"))


def test_predictions_come_from_the_exact_membranes_and_not_from_the_batch():
    net, scales, network = tiny_nets.integer(tiny_nets.residual(), v_decay=410)
    x = torch.randint(0, 256, (30, 2, 8, 8), dtype=torch.uint8, generator=tiny_nets.generator(5))
    images = Images(x=x, y=torch.zeros(30, dtype=torch.int64))
    cpu = torch.device("cpu")
    predictions = quantize.classify(net, images, scales, cpu)
    assert torch.equal(predictions, quantize.classify(net, images, scales, cpu, size=7))
    assert torch.equal(predictions, sim.run(network, images.payload(bits=scales.payload_bits)).predictions)

"""The whole chain on events: simulated saccades over the embedded digits, a direct and a cross-modal recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from spikeport import sim
from spikeport.export import lava, netx
from spikeport.hw import BadInput, Conv, OneToOne, Source
from spikeport.models.datasets import Clips
from spikeport.pipeline import chain
from spikeport.pipeline.artefacts import load_network
from spikeport.pipeline.data import load_data, load_splits, load_stills
from spikeport.pipeline.deploy import payload_for
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.sections import Recipe

T = 5
DATA = {"name": "digits", "validation": 100, "train_limit": 300, "test_limit": 60, "frames": {"T": T}}
SHORT = {"batch_size": 32, "lr": 0.05}
PLAIN = {
    "name": "events",
    "data": DATA,
    "model": {"architecture": "digits_conv"},
    "train": {"epochs": 2, **SHORT},
    "convert": {"calibration_images": 64},
    "refine": {"method": "tet", "profile": "tet_lif", "start": "scratch", "epochs": 3, **SHORT},
    "quantize": {"epochs": 1, "batch_size": 32},
    "verify": {"samples": 2},
}
PAIRED = {
    **PLAIN,
    "name": "paired",
    "data": {**DATA, "stills": {"name": "digits", "validation": 100, "limit": 300}},
    "refine": {**PLAIN["refine"], "method": "ckd", "epochs": 2},
}
STAGES = [stage.name for stage in chain.stages()]


def finished(values: dict, root: Path) -> tuple[Recipe, dict[str, Path], dict[str, dict]]:
    """A recipe run to its report: (recipe, folder and metrics of every stage)."""
    recipe = parse(values)
    with chain.opened(recipe, root, Progress(quiet=True)) as run:
        outcomes = {name: run.finish(name) for name in STAGES}
    return (
        recipe,
        {name: outcome.folder for name, outcome in outcomes.items()},
        {name: outcome.manifest["metrics"] for name, outcome in outcomes.items()},
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return finished(PLAIN, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    return finished(PAIRED, tmp_path_factory.mktemp("paired"))


@pytest.fixture(params=["plain", "paired"])
def run(request):
    return request.getfixturevalue(request.param)


def net_of(run):
    (path,) = run[1]["export"].glob("*.net")
    return netx.read(path)


def test_the_input_is_binary_and_no_layer_stands_between_it_and_the_first_synapses(run):
    network = net_of(run)
    (source,) = network.sources
    assert source.neuron == Source(payload_bits=0)
    assert source.shape == (2, 8, 8)
    readers = [c for c in network.connections if c.source == source.name]
    assert readers
    assert all(isinstance(c, Conv) for c in readers)
    assert not any(isinstance(c, OneToOne) for c in network.connections)


def test_the_first_layer_multiplies_nothing(run):
    """Its operations are the events times the synapses each reaches, counted here one event at a time."""
    recipe, folders, _ = run
    report = json.loads((folders["report"] / "report.json").read_text())
    assert not any(layer["is_mac"] for layer in report["layers"])
    network, test = net_of(run), load_splits(recipe).test
    (first,) = [c for c in network.connections if c.source == "input"]
    reached = 0
    for _, _, _, row, column in test.x.nonzero().tolist():
        for tap_row in range(3):
            for tap_column in range(3):
                reached += 0 <= row + 1 - tap_row < 8 and 0 <= column + 1 - tap_column < 8
    expected = reached * first.weight.shape[0] / len(test)
    assert report["layers"][0]["synops"] == pytest.approx(expected)
    for price in report["energy"]:
        assert report["layers"][0]["energy_pj"][price["convention"]] == pytest.approx(expected * price["ac_pj"])


def test_what_was_trained_is_what_the_file_answers(run):
    recipe, folders, metrics = run
    trained = read_tensors(folders["quantize"] / "predictions.safetensors")["test"]
    simulated = read_tensors(folders["simulate"] / "predictions.safetensors")["test"]
    assert trained.shape == (T, 60)
    assert torch.equal(trained[-1], simulated)
    assert metrics["simulate"]["test"] == metrics["quantize"]["test"]
    graph, test = load_network(folders["quantize"]), load_splits(recipe).test
    assert torch.equal(sim.run(graph, payload_for(graph, test)).predictions, simulated)


def test_a_shorter_sample_takes_the_first_frames(run):
    """The row of `anytime` for T - 2 is the accuracy of the network of T - 2 timesteps on the first T - 2 frames."""
    recipe, folders, metrics = run
    graph, validation = load_network(folders["quantize"]), load_splits(recipe).validation
    scores = sim.run(graph, payload_for(graph, validation), record=("readout",)).readouts
    assert scores is not None
    right = int((scores[T - 3].argmax(dim=-1) == validation.y).sum())
    assert metrics["export"]["anytime"][T - 3]["score"]["correct"] == right


@pytest.mark.oracle
@pytest.mark.skipif(not lava.available(), reason="real Lava is not installed")
def test_real_lava_agrees_on_events(run):
    verdict = run[2]["verify"]
    assert (verdict["mismatches"], verdict["layers_built"]) == (0, verdict["layers_written"])
    assert verdict["values"] > 0


def test_an_ann_of_still_images_is_not_converted_and_says_so(paired):
    _, folders, metrics = paired
    assert "skipped" in metrics["convert"]
    report = json.loads((folders["report"] / "report.json").read_text())
    steps = [step["step"] for step in report["waterfall"]]
    assert steps[:3] == ["ann", "refined", "integer"]
    assert report["waterfall"][0]["elsewhere"] == "digits"
    assert set(report["skipped"]) >= {"converted_soft", "converted_hard"}


def test_synthetic_events_are_called_synthetic(run):
    report = json.loads((run[1]["report"] / "report.json").read_text())
    assert "synthetic" in report["data"]["name"]


def test_the_ann_of_a_direct_recipe_sees_the_mean_of_the_frames(plain):
    recipe, _, metrics = plain
    test = load_splits(recipe).test
    assert isinstance(test, Clips)
    assert torch.equal(test.stills(), test.floats().mean(dim=0))
    assert [row["T"] for row in metrics["convert"]["by_T"]] == list(range(1, T + 1))


def test_the_teacher_never_saw_what_the_student_is_tested_on(paired):
    recipe, *_ = paired
    stills, events = load_stills(recipe), load_splits(recipe)
    held_out = {*load_data(recipe.data)[1].ids, *events.validation.ids}
    assert held_out.isdisjoint({*stills.train.ids, *stills.validation.ids})
    assert not held_out.isdisjoint(stills.test.ids)  # the images' own test set is only ever evaluated


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": DATA}, "name them in data.stills"),
        ({"refine": {**PAIRED["refine"], "method": "kd"}}, "use one of ckd, none, tet"),
        ({"refine": {**PAIRED["refine"], "teacher": "elsewhere"}}, "the teacher is the run's own"),
    ],
)
def test_methods_and_data_that_do_not_fit_are_refused_before_training(changes, message):
    with pytest.raises(BadInput, match=message):
        chain.check(parse({**PAIRED, **changes}))


def test_binary_spikes_take_no_payload(tmp_path):
    with pytest.raises(BadInput, match="binary spikes"):
        finished({**PLAIN, "quantize": {"epochs": 0, "payload_bits": 4}}, tmp_path)


def test_clips_shorter_than_the_network_are_refused(plain):
    clips = load_splits(plain[0]).test
    short = Clips(x=clips.x[:, :2], y=clips.y, levels=1)
    with pytest.raises(BadInput, match="clips of 2 frames for a network of 5"):
        payload_for(net_of(plain), short)

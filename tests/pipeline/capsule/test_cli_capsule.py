"""`spikeport capsule` and `spikeport replay` on runs of the whole chain: of images, and of events with still images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from spikeport.export import lava
from spikeport.models.datasets import DATASETS, fingerprint, load
from spikeport.pipeline import chain, cli, runs
from spikeport.pipeline.capsule import archive, content, simulated
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import load as load_recipe
from typer.testing import CliRunner

from .capsules import inputs_for, members, network, with_spikes, write

SHORT = {"epochs": 1, "batch_size": 32}
DATA = {"name": "digits", "validation": 40, "train_limit": 100, "test_limit": 20}
IMAGES = {
    "data": DATA,
    "model": {"architecture": "digits_conv"},
    "train": SHORT,
    "convert": {"calibration_images": 16},
    "refine": {"T": 2, "method": "kd", **SHORT},
    "quantize": SHORT,
    "verify": {"samples": 1},
}
EVENTS = {
    **IMAGES,
    "data": {**DATA, "frames": {"T": 3}, "stills": {"name": "digits", "validation": 40, "limit": 100}},
    "refine": {"method": "ckd", "profile": "tet_lif", "start": "scratch", **SHORT},
}

Call = Callable[..., tuple[int, str, str]]


def finished(values: dict[str, Any], folder: Path) -> Path:
    """A recipe in a folder, run to its report under `runs/`; without Lava, which is slow and not the point here."""
    path = folder / "small.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML, without aliases
    with (
        pytest.MonkeyPatch.context() as patch,
        chain.opened(load_recipe(path), folder / "runs", Progress(quiet=True)) as run,
    ):
        patch.setattr(lava, "available", lambda: False)
        for stage in chain.stages():
            run.finish(stage.name)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return finished(IMAGES, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return finished(EVENTS, tmp_path_factory.mktemp("events"))


@pytest.fixture(params=["images", "events"])
def made(request, tmp_path, monkeypatch) -> Path:
    """A folder with small.yaml and its finished run, to work in; a copy."""
    shutil.copytree(request.getfixturevalue(request.param), tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def of_images(images, tmp_path, monkeypatch) -> Path:
    shutil.copytree(images, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def spikeport(monkeypatch) -> Call:
    """Run the program; gives (exit code, stdout, stderr) with each line whole."""
    monkeypatch.setenv("COLUMNS", "500")

    def call(*arguments: Any) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


def test_a_run_becomes_a_capsule_that_both_implementations_confirm(made, spikeport):
    code, out, _ = spikeport("capsule", "small.yaml")
    path = Path(f"{run_folder(made).name}.capsule.zip")
    assert code == 0
    assert out.startswith(f"{path}: {path.stat().st_size} bytes, 8 golden samples with their inputs\n")
    held = content.read(path)
    assert f"content {held.identity}" in out
    for flags in ([], ["--independent"]):
        code, out, _ = spikeport("replay", path, *flags)
        assert code == 0
        integers = sum(v.size for v in held.golden.spikes.values()) + held.golden.readouts.size
        integers += len(held.document.counts) * 8 * held.network.n_steps
        assert f": 8 samples, {integers} integers compared, all equal" in out
        assert f"content {held.identity}" in out


def test_a_capsule_says_what_the_run_was(made, spikeport):
    assert spikeport("capsule", run_folder(made), "--out", "x.zip", "--samples", "5")[0] == 0
    held = content.read(Path("x.zip"))
    document, recipe = held.document, load_recipe(made / "small.yaml")
    assert document.samples == 5
    assert document.seeds["seed"] == recipe.seed
    digits = [fingerprint(part) for part in load("digits")]
    if recipe.data.stills is None:
        assert [part.sha256 for part in document.data.parts] == digits
    else:
        assert [part.part for part in document.data.parts] == ["train", "test", "stills train", "stills test"]
        assert [part.sha256 for part in document.data.parts[2:]] == digits
    assert document.data.licence == {"digits": DATASETS["digits"].licence}
    stages = [stage.name for stage in chain.stages()]
    assert sorted(held.manifests) == sorted(stages)
    for stage, text in held.manifests.items():
        assert text == (run_folder(made) / stage / runs.MANIFEST).read_bytes()
    report = json.loads((run_folder(made) / "report" / "report.json").read_text())
    recorded = [(step.step, step.accuracy, step.n, step.note) for step in document.waterfall]
    assert recorded == [(s["step"], s["accuracy"], s["n"], s["note"]) for s in report["waterfall"]]
    assert yaml.safe_load(held.recipe) == json.loads(recipe.canonical())


def test_golden_integers_are_those_of_the_runs_own_stages(made, spikeport):
    assert spikeport("capsule", "small.yaml", "--out", "x.zip", "--samples", "20")[0] == 0
    held = content.read(Path("x.zip"))
    recorded = read_tensors(run_folder(made) / "simulate" / "predictions.safetensors")["test"]
    assert held.golden.predictions.tolist() == recorded.tolist()
    assert all(row.golden == row.test_set for row in held.document.counts)  # all 20 test samples are golden
    test = load_splits(load_recipe(made / "small.yaml")).test
    assert held.inputs is not None
    if held.network.sources[0].shape == (2, 8, 8):  # events: a frame is a timestep, a value a spike
        assert np.array_equal(held.inputs, test.x.transpose(0, 1).numpy())
    else:
        assert held.inputs.shape == (20, 1, 8, 8)


def test_the_same_run_gives_the_same_bytes(made, spikeport):
    assert spikeport("capsule", "small.yaml", "--out", "a.zip")[0] == 0
    assert spikeport("capsule", run_folder(made), "--out", "deep/b.zip")[0] == 0
    assert Path("a.zip").read_bytes() == Path("deep/b.zip").read_bytes()
    spikeport("capsule", "small.yaml", "--out", "c.zip", "--samples", "2")
    assert content.read(Path("c.zip")).identity != content.read(Path("a.zip")).identity


def test_without_inputs_a_replay_takes_them_from_the_data(made, spikeport):
    code, out, _ = spikeport("capsule", "small.yaml", "--out", "x.zip", "--no-inputs")
    assert code == 0
    assert "8 golden samples without their inputs" in out
    assert content.read(Path("x.zip")).inputs is None
    code, out, _ = spikeport("replay", "x.zip", "--data", made, "--samples", "3")
    assert code == 0
    assert "3 samples" in out
    assert "all equal" in out


def test_without_inputs_other_data_are_refused(of_images, spikeport, monkeypatch):
    spikeport("capsule", "small.yaml", "--out", "x.zip", "--no-inputs")
    dataset = DATASETS["digits"]
    assert dataset.load is not None
    train, test = dataset.load(of_images)
    turned = test.subset(slice(None))
    turned.x[3] = turned.x[3].flip(-1)
    monkeypatch.setattr("spikeport.pipeline.data.load", lambda name, root: (train, turned))
    code, _, err = spikeport("replay", "x.zip")
    assert code == 2
    assert "digits: the golden inputs have SHA-256" in err


@pytest.mark.oracle
@pytest.mark.skipif(not lava.available(), reason="real Lava is not installed")
def test_real_lava_confirms_a_run(of_images, spikeport):
    assert spikeport("capsule", "small.yaml", "--out", "x.zip", "--samples", "2")[0] == 0
    code, out, _ = spikeport("replay", "x.zip", "--lava", "--independent")
    assert code == 0
    assert "real Lava (spikes and read-outs; it counts nothing): 2 samples" in out
    assert out.count("all equal") == 2


def test_no_place_on_this_machine_is_in_a_capsule(of_images, spikeport):
    settings = ["--set", f"data.root={of_images}"]
    assert spikeport("capsule", "small.yaml", *settings, "--out", "x.zip")[0] == 0
    texts = [text for name, text in archive.unpack(Path("x.zip")).items() if not name.endswith((".npy", ".net"))]
    assert [text for text in texts if str(of_images).encode() in text] == []


def test_a_forged_spike_ends_with_1_and_is_named(tmp_path, spikeport):
    net = network()
    path = write(tmp_path / "x.zip", with_spikes(members(net, inputs_for(net)), 1, (2, 3, 4)))
    code, out, _ = spikeport("replay", path)
    assert code == 1
    assert ", 1 differ; first: sample 3, timestep 2, spikes of b, neuron (4,): the capsule has" in out


def test_a_damaged_capsule_ends_with_2(tmp_path, spikeport):
    net = network()
    path = write(tmp_path / "x.zip", members(net, inputs_for(net)))
    path.write_bytes(path.read_bytes()[:-100])
    code, out, err = spikeport("replay", path)
    assert (code, out) == (2, "")
    assert "not a readable zip file" in err
    assert spikeport("replay", tmp_path / "none.zip")[0] == 2


def test_nothing_is_overwritten_unless_asked(of_images, spikeport):
    Path("x.zip").write_text("mine")
    code, _, err = spikeport("capsule", "small.yaml", "--out", "x.zip")
    assert code == 2
    assert "give --force to replace it" in err
    assert Path("x.zip").read_text() == "mine"
    assert spikeport("capsule", "small.yaml", "--out", "x.zip", "--force")[0] == 0
    assert sorted(p.name for p in of_images.iterdir()) == ["runs", "small.yaml", "x.zip"]  # nothing half-written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.yaml", "--samples", "21"], "--samples 21: there are 20 test samples; ask for fewer"),
        (["small.yaml", "--out", "x.tar"], "a capsule is a zip file; give a name that ends in .zip"),
        (["small.yaml", "--set", "seed=5"], "there is no such run; make it with `spikeport run small.yaml`"),
        (["small.yaml", "--set", "quantize.epochs=2"], "quantize was computed from other settings than the recipe's"),
        (["runs", "--out", "x.zip"], "cannot be read as JSON"),
        (["small.yaml", "--out", "small.yaml/x.zip"], "cannot be written"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(of_images, spikeport, arguments, message):
    code, _, err = spikeport("capsule", *arguments)
    assert code == 2
    assert message in err
    assert not list(of_images.glob("*.zip"))


def test_settings_belong_to_a_recipe(of_images, spikeport):
    code, _, err = spikeport("capsule", run_folder(of_images), "--set", "seed=1")
    assert code == 2
    assert "is a finished run; give a recipe" in err


def test_a_run_that_is_not_finished_or_was_changed_is_refused(of_images, spikeport):
    folder = run_folder(of_images)
    net = next((folder / "export").glob("*.net"))
    whole = net.read_bytes()
    net.write_bytes(whole + b"\0")
    assert "small.net: is missing or changed since its stage wrote it" in spikeport("capsule", folder)[2]
    net.write_bytes(whole)
    manifest = folder / "quantize" / runs.MANIFEST
    text = manifest.read_text()
    value = json.loads(text)
    value["metrics"]["payload_bits"] += 1
    manifest.write_text(json.dumps(value))
    assert "export was computed from another quantize" in spikeport("capsule", folder)[2]
    manifest.write_text(text)
    shutil.rmtree(folder / "report")
    assert "holds no manifest.json, so no finished stage" in spikeport("capsule", folder)[2]


def test_a_network_that_no_longer_answers_as_its_run_did_is_a_bug(of_images, spikeport, monkeypatch):
    honest = simulated.run
    monkeypatch.setattr(simulated, "run", lambda net, inputs: honest(net, inputs[::-1]))
    code, _, err = spikeport("capsule", "small.yaml")
    assert code == 2
    assert "answers or counts otherwise than in the run's simulate stage" in err
    assert not list(of_images.glob("*.zip"))


def test_other_data_than_the_runs_are_refused(of_images, spikeport, monkeypatch):
    dataset = DATASETS["digits"]
    assert dataset.load is not None
    train, test = dataset.load(of_images)
    fewer = train.subset(slice(1, None))
    monkeypatch.setattr("spikeport.pipeline.data.load", lambda name, root: (fewer, test))
    code, _, err = spikeport("capsule", "small.yaml")
    assert code == 2
    assert "train was computed from other data than digits holds here" in err

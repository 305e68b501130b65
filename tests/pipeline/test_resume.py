"""kill -9 at any moment, then the same command again: the run ends with the bits of an unbroken one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spikeport.pipeline import chain

TOY = Path(__file__).with_name("toy_run.py")
TINY = """\
name: tiny
threads: 1
data: {name: digits, validation: 64, train_limit: 64, test_limit: 40}
model: {architecture: digits_conv}
train: {epochs: 2, batch_size: 32, lr: 0.02}
convert: {calibration_images: 32}
refine: {T: 2, epochs: 2, batch_size: 32, lr: 0.01}
quantize: {epochs: 2, batch_size: 32, lr: 0.002}
verify: {samples: 2}
"""
LOOPS = ("train", "refine", "quantize", "baselines")
"""The stages that save a checkpoint per epoch; the others are short and start over."""


def finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def kill_when(command: list[str], *seen: Path) -> None:
    """Start a command and kill -9 it as soon as one of the files or folders is there."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not any(path.exists() for path in seen) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, f"it ended before {seen} was seen"


def manifests(root: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/*/manifest.json")}


def outputs(root: Path) -> dict[str, dict[str, str]]:
    """sha256 of every output of every stage, but those that hold a time or a place."""
    return {name: m["outputs"] for name, m in manifests(root).items() if name not in ("report",)}


def logs(root: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in root.glob("*/*/metrics.jsonl")}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("unbroken")
    finish([sys.executable, str(TOY), str(root)])
    return root


@pytest.mark.parametrize("epoch", [1, 3, 6])
def test_a_toy_run_killed_after_an_epoch_ends_with_the_same_bits(toy, tmp_path, epoch):
    (name,) = [path.name for path in toy.iterdir()]
    command = [sys.executable, str(TOY), str(tmp_path)]
    kill_when(command, tmp_path / name / "fit.partial" / "checkpoint" / f"step-{epoch}.safetensors")
    assert not manifests(tmp_path)
    finish(command)
    if epoch > 1:  # the first save may have been cut off before it counted
        assert manifests(tmp_path)["fit"]["continued"]
    assert outputs(tmp_path) == outputs(toy)
    assert logs(tmp_path) == logs(toy)


def test_a_toy_run_killed_between_two_files_of_a_stage_ends_with_the_same_bits(toy, tmp_path):
    (name,) = [path.name for path in toy.iterdir()]
    command = [sys.executable, str(TOY), str(tmp_path)]
    kill_when(command, tmp_path / name / "copy.partial" / "weight.safetensors")
    assert set(manifests(tmp_path)) == {"fit"}
    finish(command)
    assert outputs(tmp_path) == outputs(toy)
    assert set(outputs(toy)["copy"]) == {"weight.safetensors", "bias.safetensors"}


def test_a_toy_run_killed_again_and_again_ends_with_the_same_bits(toy, tmp_path):
    (name,) = [path.name for path in toy.iterdir()]
    command = [sys.executable, str(TOY), str(tmp_path)]
    for epoch in (2, 4, 5):
        kill_when(command, tmp_path / name / "fit.partial" / "checkpoint" / f"step-{epoch}.safetensors")
    finish(command)
    assert manifests(tmp_path)["fit"]["continued"]
    assert outputs(tmp_path) == outputs(toy)
    assert logs(tmp_path) == logs(toy)


def test_nothing_of_an_unbroken_run_is_left_over(toy):
    (folder,) = toy.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "copy", "fit", "run.json"]
    assert sorted(p.name for p in (folder / "fit").iterdir()) == [
        "manifest.json",
        "metrics.jsonl",
        "weights.safetensors",
    ]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The recipe file, and the folder of an unbroken run of it."""
    folder = tmp_path_factory.mktemp("tiny")
    recipe = folder / "tiny.yaml"
    recipe.write_text(TINY)
    finish(command_for(recipe, folder / "unbroken"))
    return recipe, folder / "unbroken"


def command_for(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "spikeport", "run", str(recipe), "--out", str(out), "--quiet"]


@pytest.mark.slow
def test_a_run_killed_during_every_stage_ends_with_the_same_weights(tiny, tmp_path):
    recipe, unbroken = tiny
    command = command_for(recipe, tmp_path)
    (name,) = [path.name for path in unbroken.iterdir()]
    for stage in chain.MODULES:
        partial, final = tmp_path / name / f"{stage}.partial", tmp_path / name / stage
        # a stage of a millisecond may be over before it is seen: then the kill comes right behind it
        kill_when(command, *([partial / "checkpoint" / "checkpoint.json"] if stage in LOOPS else [partial, final]))
    finish(command)
    assert set(manifests(unbroken)) == set(chain.MODULES)
    assert outputs(tmp_path) == outputs(unbroken)
    assert all(manifests(tmp_path)[stage]["continued"] for stage in LOOPS)
    assert {stage: logs(tmp_path)[stage] for stage in LOOPS} == {stage: logs(unbroken)[stage] for stage in LOOPS}


@pytest.mark.slow
def test_the_same_command_again_computes_nothing(tiny):
    recipe, unbroken = tiny
    before = {path: path.stat().st_mtime_ns for path in unbroken.glob("*/*/*")}
    finish(command_for(recipe, unbroken))
    assert {path: path.stat().st_mtime_ns for path in unbroken.glob("*/*/*")} == before

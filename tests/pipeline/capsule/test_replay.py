"""A capsule replayed: equal integers are confirmed, the first other one is named, and no training code is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from spikeport.export import lava
from spikeport.hw import BadInput
from spikeport.pipeline.capsule import content
from spikeport.pipeline.capsule.replay import WHAT, By, replay

from .capsules import inputs_for, members, network, with_bias, with_network, with_spikes, write

NET = network()
MEMBERS = members(NET, inputs_for(NET))
OURS = [By.simulator, By.independent]
EVERYONE = [
    *OURS,
    pytest.param(
        By.lava,
        marks=[pytest.mark.oracle, pytest.mark.skipif(not lava.available(), reason="real Lava is not installed")],
    ),
]


def held(tmp_path: Path, sealed: dict[str, bytes]) -> content.Capsule:
    return content.read(write(tmp_path / "x.zip", sealed))


@pytest.mark.parametrize("by", EVERYONE)
@pytest.mark.parametrize("kind", ["membrane", "spike_count"])
def test_everyone_confirms_every_integer(tmp_path, by, kind):
    net = network(kind=kind)
    verdict = replay(held(tmp_path, members(net, inputs_for(net))), by)
    assert verdict.first is None
    counted = 0 if by is By.lava else 4 + 2 * 4
    assert (verdict.samples, verdict.integers) == (4, 3 * 4 * (18 + 5 + 3 + 3 + counted))


@pytest.mark.parametrize("by", OURS)
def test_a_forged_spike_is_named(tmp_path, by):
    verdict = replay(held(tmp_path, with_spikes(MEMBERS, 1, (2, 3, 4))), by)
    first = verdict.first
    assert first is not None
    assert (first.what, first.timestep, first.sample, first.neuron) == ("spikes of b", 2, 3, (4,))
    assert verdict.mismatches == 1


@pytest.mark.parametrize("by", OURS)
def test_another_network_with_hashes_that_fit_is_found_where_it_first_differs(tmp_path, by):
    """A bias of 1000 makes `a` fire at once, long before anything behind it could show it."""
    verdict = replay(held(tmp_path, with_network(MEMBERS, with_bias(NET, "a", 1000))), by)
    first = verdict.first
    assert first is not None
    assert (first.what, first.timestep, first.expected, first.found) == ("spikes of a", 0, 0, 1)


def test_a_forged_spike_behind_the_samples_asked_for_is_not_looked_at(tmp_path):
    forged = held(tmp_path, with_spikes(MEMBERS, 1, (2, 3, 4)))
    assert replay(forged, By.simulator, samples=3).mismatches == 0
    assert replay(forged, By.simulator, samples=3).samples == 3


@pytest.mark.parametrize("samples", [0, 5])
def test_more_samples_than_there_are_are_refused(tmp_path, samples):
    with pytest.raises(BadInput, match=rf"{samples} samples asked for, the capsule has 4; ask for 1\.\.4"):
        replay(held(tmp_path, MEMBERS), By.simulator, samples=samples)


def test_everyone_is_described():
    assert list(WHAT) == list(By)


IMPORTED = """
import json, sys
from spikeport.pipeline import cli
try:
    cli.app(["replay", sys.argv[1], *sys.argv[2:]])
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted(sys.modules)]))
"""

TRAINING = ("spikeport.models", "norse", "sklearn", "tonic", "onnx", "spikeport.pipeline.refine")
TRAINING_FILES = ("chain", "train", "training", "convert", "quantize", "deploy", "data", "checkpoint", "runs")


@pytest.mark.parametrize("flags", [[], ["--independent"]], ids=["simulator", "independent"])
def test_a_replay_imports_no_training_code(tmp_path, flags):
    """In a process of its own, through the program; the second implementation does without torch altogether."""
    path = write(tmp_path / "x.zip", MEMBERS)
    command = [sys.executable, "-c", IMPORTED, str(path), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert "all equal" in done.stdout
    forbidden = [*TRAINING, *(f"spikeport.pipeline.{name}" for name in TRAINING_FILES)]
    if flags:
        forbidden += ["torch", "spikeport.sim"]
    else:
        assert "torch" in modules
    assert [m for m in modules if any(m == name or m.startswith(f"{name}.") for name in forbidden)] == []

"""Networks that snnTorch, SpikingJelly and Norse wrote as NIR: their own spikes against ours, float and integer.

snnTorch and SpikingJelly run in the peers' environment (`make peers`), Norse in ours. They compute in float32; the
graph read from the file is run in float64, and every spike must be the framework's own. The deployed file is integer
arithmetic, and its spikes agree to a rate with a floor; `pytest -s` prints what was measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from spikeport import sim
from spikeport.export import netx
from spikeport.export.floatgraph import Spike
from spikeport.export.nir_read import read
from spikeport.pipeline.adopt.deploy import Request, deploy
from spikeport.pipeline.adopt.evaluate import run_spiking
from spikeport.pipeline.adopt.fold import fold
from spikeport.pipeline.adopt.ptq import potentials
from spikeport.pipeline.adopt.ptq_report import common_spikes
from spikeport.pipeline.progress import Progress

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("SPIKEPORT_PEERS", HERE.parents[1] / ".peers" / "bin" / "python"))
TIMEOUT_S = 300

NETS = {
    "snntorch": ("trained", "pooled", "recurrent", "subtracting"),
    "spikingjelly": ("trained", "reset"),
    "norse": ("trained", "current"),
}
pytestmark = pytest.mark.slow
needs_peers = (
    pytest.mark.peers,
    pytest.mark.skipif(not PEERS.exists(), reason=f"no interpreter at {PEERS}; `make peers` installs it"),
)
CASES = [
    pytest.param(framework, name, id=f"{framework}-{name}", marks=() if framework == "norse" else needs_peers)
    for framework, names in NETS.items()
    for name in names
]
HARD = [case for case in CASES if "subtracting" not in case.values]

SAME = 0.98  # of all (timestep, sample, neuron) of the deployed file, in every population; 0.988 to 0.9996 measured
COMMON = 0.88  # of the spikes; 0.93 to 0.99 measured


def say(text: str) -> None:
    """A line that `pytest -s` shows."""
    sys.stdout.write(text + "\n")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each framework's files, written once by its own exporter."""
    from spikeport.models.datasets import load

    root = tmp_path_factory.mktemp("frameworks")
    train, _ = load("digits")
    some = train.subset(slice(1200))
    np.savez(root / "digits.npz", x=some.floats()[:, 0].numpy(), y=some.y.numpy())
    folders = {}
    for framework in NETS:
        python = sys.executable if framework == "norse" else str(PEERS)
        if not Path(python).exists():
            continue
        folders[framework] = root / framework
        folders[framework].mkdir()
        command = [python, str(HERE / "nir_nets.py"), framework, str(root / "digits.npz"), str(folders[framework])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return folders


def recorded(path: Path) -> dict[str, torch.Tensor]:
    """Inputs, labels and outputs of a network, as its framework computed them."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.mark.parametrize(("framework", "name"), CASES)
def test_every_float_spike_is_the_frameworks_own(framework: str, name: str, written: dict[str, Path]) -> None:
    path = written[framework] / f"{name}.nir"
    theirs = recorded(path)
    graph = read(path, reset="late-subtract" if name == "subtracting" else "auto")
    assert graph.assumed[0].startswith(f"read as {framework} writes it")
    ours = run_spiking(graph, theirs["x"])
    populations = [node for node in graph.nodes if isinstance(node.op, Spike)]
    assert len(populations) == sum(key.startswith("z") for key in theirs)
    for index, node in enumerate(populations):
        assert isinstance(node.op, Spike)
        expected = theirs[f"z{index}"].double()
        if np.isinf(node.op.threshold).all():
            folded = fold(graph)
            found = potentials(folded.units[-1], run_spiking(folded, theirs["x"]), theirs["x"].double())
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
            continue
        assert 0.01 < float(expected.mean()) < 0.6, "the test needs neurons that fire, and not always"
        differ = int((ours[node.name] != expected).sum())
        say(f"{framework} {name} {node.name}: {differ} of {expected.numel()} spikes differ in float")
        assert differ == 0


@pytest.mark.parametrize(("framework", "name"), HARD)
def test_the_deployed_file_fires_as_the_framework_does(
    framework: str, name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    path = written[framework] / f"{name}.nir"
    theirs = recorded(path)
    held = bool((theirs["x"] == theirs["x"][:1]).all())
    x = theirs["x"][0] if held else theirs["x"]
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=theirs["y"].numpy())
    request = Request(
        file=path,
        data=str(tmp_path / "data.npz"),
        chip="loihi2",
        n_steps=len(theirs["x"]),
        samples=32,
        lava_samples=0,
    )
    document = deploy(request, tmp_path / "out", Progress(quiet=True))
    network = netx.read(tmp_path / "out" / f"{name}.net")
    steps = 1.0 if not network.sources[0].neuron.payload_bits else 16.0  # pyright: ignore
    trace = sim.run(network, (x * steps).round().to(torch.int32), record=("spikes",))
    same: list[float] = []
    for index, row in enumerate(document["quantization"]["populations"]):
        expected = theirs[f"z{index}"]
        if row["v_th_mant"] == 131071:
            answers = float((trace.predictions == expected[-1].argmax(dim=1)).double().mean())
            say(f"{framework} {name}: {answers:.2%} of the answers agree")
            assert answers >= 0.95
            continue
        found = trace.spikes[row["name"]]
        same.append(float((found == expected).double().mean()))
        common = common_spikes(found, expected)
        say(f"{framework} {name} {row['name']}: {same[-1]:.3%} agree, {common:.2%} of the spikes are common")
        assert same[-1] >= SAME
        assert common >= COMMON
    assert min(same) < 1, "rounding to integers was expected to show somewhere"
    assert document["test"]["overflows"] == 0


@pytest.mark.peers
@pytest.mark.skipif(not PEERS.exists(), reason=f"no interpreter at {PEERS}; `make peers` installs it")
def test_the_wrong_reset_is_told_apart_by_its_spikes(written: dict[str, Path]) -> None:
    path = written["snntorch"] / "subtracting.nir"
    theirs = recorded(path)
    name = next(node.name for node in read(path).nodes if isinstance(node.op, Spike))
    differ = {
        reset: float((run_spiking(read(path, reset=reset), theirs["x"])[name] != theirs["z0"]).double().mean())
        for reset in ("value", "subtract", "late-subtract")
    }
    say(f"snntorch subtracting: {differ}")
    assert differ["late-subtract"] == 0
    assert min(differ["value"], differ["subtract"]) > 0.005

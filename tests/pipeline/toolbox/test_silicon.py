"""A recording of Loihi 2 itself, which ships with lava-dl: `verify` finds the one thing in which the chip differs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import lava, netx
from spikeport.export.traces import Recording
from spikeport.pipeline.toolbox.against import verify_against

pytestmark = pytest.mark.oracle

STEPS = 12
FIRST = 1
"""Step of the recording at which a sample begins in the first convolution; each later layer begins one step later."""


@pytest.fixture(scope="module")
def pilotnet():
    if not lava.available():
        pytest.skip(f"no Lava environment: {lava.WAY_OUT}")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.run([lava.find_python(), "-I", "-c", code], capture_output=True, text=True, check=True)
    return Path(where.stdout.strip()) / "tests" / "lava" / "lib" / "dl" / "netx" / "gts" / "pilotnet_lif"


def recorded(file: Path, first: int) -> np.ndarray:
    """(x, y, c, t) as (T, 1, C, H, W)."""
    return np.load(file).transpose(3, 2, 1, 0)[first : first + STEPS, None].astype(np.int32)


def test_two_layers_of_pilotnet_compute_what_the_chip_did_but_for_the_v_register(pilotnet):
    whole = netx.read(pilotnet / "network.net", n_steps=STEPS)
    names = ["conv2", "conv3", "conv4"]
    network = hw.Network(
        populations=(
            hw.Population(name="conv2", shape=whole["conv2"].shape, neuron=hw.Source()),
            *(whole[name] for name in names[1:]),
        ),
        connections=tuple(c for c in whole.connections if c.source in names and c.target in names),
        readout=hw.Readout(population="conv4", kind="spike_count"),
        n_steps=STEPS,
    )
    values = {
        name: {
            "u": recorded(pilotnet / f"conv-{i}-u.npy", FIRST + i),
            "v": recorded(pilotnet / f"conv-{i}-v.npy", FIRST + i),
            "spikes": recorded(pilotnet / f"conv-{i}.npy", FIRST + i),
        }
        for i, name in ((2, "conv3"), (3, "conv4"))
    }
    inputs = recorded(pilotnet / "conv-1.npy", FIRST + 1)
    outcome = verify_against(network, "network.net", Recording(where="Loihi 2", inputs=inputs, values=values))
    spikes = sum(int(quantities["spikes"].sum()) for quantities in values.values())
    assert spikes > 1000
    assert outcome.mismatches == spikes  # one wrong v per spike, and nothing else
    assert outcome.diagnosis is not None
    assert [cause.key for cause in outcome.diagnosis.causes] == ["v-register"]

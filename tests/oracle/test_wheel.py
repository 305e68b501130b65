"""The trained networks and recordings that ship with lava-dl's wheel, found in the Lava environment: same integers.

Recordings count time in Lava's steps, in which every layer lags its sources by one; ours is layer-synchronous.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from spikeport import hw, sim
from spikeport.export import lava, netx

pytestmark = pytest.mark.oracle

REFRACTORY_V = 128
"""What Loihi's register shows instead of `v` at the step of a spike, its refractory state: recorded on hardware."""

PILOTNET_PERIOD = 17
"""Steps per sample in PilotNet's recording, found by comparing: its 24 steps reach into a second sample."""


@pytest.fixture(scope="module")
def wheel():
    """The folder of the wheel's networks."""
    if not lava.available():
        pytest.skip("no Lava environment")
    where = subprocess.run(
        [lava.find_python(), "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(where.stdout.strip()) / "tests" / "lava" / "lib" / "dl" / "netx"


def simulate(network, inputs, record=("u", "v", "spikes")):
    return sim.run(network, torch.from_numpy(np.ascontiguousarray(inputs, np.int32)), record=record)


def recorded(trace, population):
    """{quantity: (T, B, *shape)}"""
    return {quantity: getattr(trace, quantity)[population].numpy() for quantity in ("u", "v", "spikes")}


def of_sample(trace, population, quantity):
    """(T, *shape) of the only sample; (T, W, H, C) for an image, as Lava records."""
    values = recorded(trace, population)[quantity][:, 0]
    return values.transpose(0, 3, 2, 1) if values.ndim == 4 else values


def recording(path):
    """An array of (..., T), as (T, ...)."""
    return np.moveaxis(np.load(path), -1, 0)


def pictures(path, network, n, seed=0):
    """Random pictures with values in 0..1 after the file's transform, the payload of its input neurons."""
    transform = netx.read_transform(path)
    pixels = np.random.default_rng(seed).random((n, *network.sources[0].shape))
    return (transform.weight * pixels + transform.bias).astype(int)


def agree(path, network, inputs, **options):
    """Assert that live Lava has our u, v and spikes of every neuron at every step; returns Lava's trace."""
    trace = lava.run(path, inputs, network=network, **options)
    ours = simulate(network, inputs)
    verdict = lava.compare(trace, {p.name: recorded(ours, p.name) for p, _ in network.neurons})
    assert str(verdict.first) == "None"
    assert verdict.agrees
    assert any(spikes.any() for spikes in trace.spikes.values())
    return trace


def test_tiny_against_lava(wheel):
    path = wheel / "tiny.net"
    network = netx.read(path, n_steps=16)
    assert [p.shape for p in network.populations] == [(3, 16, 16), (3, 16, 16), (24, 6, 6), (36, 1, 1)]
    assert netx.read_transform(path) == netx.Transform(weight=36, bias=34)
    agree(path, network, pictures(path, network, 3))


def test_mnist_against_lava(wheel):
    """A dense network whose last layer has netx's default neuron."""
    path = wheel / "mnist.net"
    network = netx.read(path, n_steps=16)
    assert [p.size for p in network.populations] == [784, 784, 512, 512, 10]
    assert network.readout == hw.Readout(population="dense3", kind="membrane")
    trace = agree(path, network, pictures(path, network, 3))
    assert trace.v["dense3"].any()


def test_pilotnet_against_lava(wheel):
    """Input neurons and ten layers; with the fast convolution, because Lava's own takes 0.1 s a step."""
    path = wheel / "gts" / "pilotnet_lif" / "network.net"
    network = netx.read(path, n_steps=4)
    assert [p.size for p in network.populations][-4:] == [100, 50, 10, 1]
    agree(path, network, pictures(path, network, 2), fast_conv=True)


def test_ntidigits_against_lava(wheel):
    """Delays up to 62 steps, a current that remembers; without the last layer, an average netx does not know."""
    folder = wheel / "gts" / "ntidigits"
    network = netx.read(folder / "ntidigits.net", n_steps=100, num_layers=5)
    assert [c.max_delay for c in network.connections] == [62, 62, 0]
    spikes = np.load(folder / "input.npy").T.astype(int)
    samples = np.stack([spikes[start : start + 100] for start in (0, 1000)], axis=1)
    agree(folder / "ntidigits.net", network, samples.reshape(100, 2, 1, 1, 64), num_layers=5)


def test_tiny_against_its_recording(wheel):
    """The recording has an empty first step; its currents are not shifted by 6."""
    folder = wheel / "gts" / "tinynet"
    network = netx.read(wheel / "tiny.net", n_steps=15)
    payload = np.load(folder / "input_bias.npy").astype(int).transpose(2, 1, 0)
    ours = simulate(network, payload[None])
    for population, name in (("input0", "input"), ("conv1", "layer1"), ("conv2", "output")):
        expected = recording(folder / f"{name}.npy")[:, 0]
        assert not expected[0].any()
        assert np.array_equal(recorded(ours, population)["spikes"][:, 0], expected[1:])
    current = recording(folder / "current.npy")[:, 0]
    assert np.array_equal(recorded(ours, "conv1")["u"][:, 0], current[1:] * 64)


PILOTNET_LAYERS = [
    *((f"conv{i + 1}", f"conv-{i}", i + 1) for i in range(5)),
    *((f"dense{i + 7}", f"fc-{i}", i + 6) for i in range(3)),
]


@pytest.fixture(scope="module")
def pilotnet(wheel):
    """Our run of PilotNet's recorded sample, and its folder."""
    folder = wheel / "gts" / "pilotnet_lif"
    network = netx.read(folder / "network.net", n_steps=PILOTNET_PERIOD)
    payload = np.load(folder / "image.npy").transpose(2, 1, 0)
    return simulate(network, payload[None]), folder


@pytest.mark.parametrize(("population", "name", "depth"), PILOTNET_LAYERS)
def test_pilotnet_against_its_recording(pilotnet, population, name, depth):
    """Layer `depth` starts that many steps late. `fc-3` is left out: it contradicts the recorded spikes of `fc-2`."""
    ours, folder = pilotnet
    u, v, spikes = (of_sample(ours, population, quantity) for quantity in ("u", "v", "spikes"))
    shown = np.where(spikes, REFRACTORY_V, v)
    local = np.arange(24 - depth) % PILOTNET_PERIOD
    assert np.array_equal(recording(folder / f"{name}-u.npy")[depth:], u[local])
    assert np.array_equal(recording(folder / f"{name}-v.npy")[depth:], shown[local])
    assert np.array_equal(recording(folder / f"{name}.npy")[depth:], spikes[local])


@pytest.mark.parametrize(("name", "period"), [("input", PILOTNET_PERIOD), ("input-s", 16)])
def test_pilotnets_input_spikes_against_their_recording(pilotnet, name, period):
    ours, folder = pilotnet
    spikes = of_sample(ours, "input0", "spikes")
    assert np.array_equal(recording(folder / f"{name}.npy"), spikes[np.arange(24) % period])


def test_ntidigits_against_its_recording(wheel):
    """22 572 output spikes in 3000 steps, after the three steps of three layers and one more of the recording."""
    folder = wheel / "gts" / "ntidigits"
    network = netx.read(folder / "ntidigits.net", n_steps=3000, num_layers=5)
    spikes = np.load(folder / "input.npy").T.reshape(3000, 1, 1, 1, 64)
    found = of_sample(simulate(network, spikes, record=("u", "v", "spikes")), "dense4", "spikes")
    expected = recording(folder / "output.npy")
    assert not expected[:4].any()
    assert np.array_equal(found[:-4], expected[4:])
    assert expected.sum() == 22572


def test_the_dense_layer_of_the_oxford_network_against_its_recording(wheel):
    """Neuron parameters from lava-dl's own test of these arrays (test_blocks.py, test_dense)."""
    folder = wheel / "gts" / "dense"
    network = hw.Network(
        populations=(
            hw.Population(name="in", shape=(200,), neuron=hw.Source()),
            hw.Population(name="fc", shape=(256,), neuron=hw.Cuba(v_th_mant=6, i_decay=4096, v_decay=415)),
        ),
        connections=(hw.Dense(source="in", target="fc", weight=np.load(folder / "weight.npy")),),
        readout=hw.Readout(population="fc", kind="spike_count"),
        n_steps=2000,
    )
    ours = simulate(network, recording(folder / "in.npy")[:, None])
    expected = recording(folder / "out.npy")
    assert np.array_equal(of_sample(ours, "fc", "spikes")[:-1], expected[1:])
    assert np.array_equal(of_sample(ours, "fc", "u")[:-1], recording(folder / "current.npy")[1:] * 64)
    assert expected.sum() == 1826


@pytest.mark.parametrize("name", ["network", "square_network"])
def test_sigma_delta_pilotnet_is_shown_and_refused(wheel, name):
    path = wheel / "gts" / "pilotnet_sdnn" / f"{name}.net"
    with pytest.raises(hw.UnsupportedLayer, match="layer: 0: neuron: neuron type 'SDNN' has no rule here: sigma-delta"):
        netx.read(path, n_steps=1)
    survey = netx.survey(path)
    assert "SDNN" in survey.refused
    neurons = [layer for layer in survey.layers if layer.neuron is not None]
    assert {layer.neuron for layer in neurons} == {"SDNN"}
    assert all("sigma-delta" in layer.refused for layer in neurons)
    assert survey.layers[1].arrays["weight"].shape == (24, 3, 3, 3)
    assert survey.layers[1].arrays["weight"].even
    assert survey.layers[1].geometry["stride"] == (2, 2)


def test_ntidigits_as_a_whole_names_the_way_out(wheel):
    path = wheel / "gts" / "ntidigits" / "ntidigits.net"
    with pytest.raises(hw.UnsupportedLayer, match=r"layer: 5: average has no rule in netx, .* num_layers=5"):
        netx.read(path, n_steps=1)
    survey = netx.survey(path)
    assert [layer.type for layer in survey.layers] == ["input", "flatten", "dense", "dense", "dense", "average"]
    assert [layer.refused is None for layer in survey.layers] == [True] * 5 + [False]
    assert survey.layers[2].arrays["delay"].most == 62
    assert "neuron/wgtExp" in survey.layers[2].ignored


@pytest.mark.parametrize("name", ["tiny", "mnist"])
def test_every_field_of_the_runnable_files_is_known(wheel, name):
    survey = netx.survey(wheel / f"{name}.net")
    assert survey.refused is None
    assert not survey.ours
    assert all(layer.refused is None for layer in survey.layers)

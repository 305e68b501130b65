"""Random networks through real Lava, against a slow and obvious twin of the equations: equal at every timestep."""

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import lava, netx

from .equations import synaptic_sum, twin

pytestmark = pytest.mark.oracle


def build(rng, source, layers, *, payload_bits=0, n_steps=5):
    """A chain. layers: dicts with `conv` (weight shape and geometry) or `dense` (size), and neuron parameters."""
    populations = [hw.Population(name="in", shape=source, neuron=hw.Source(payload_bits=payload_bits))]
    connections = []
    for i, layer in enumerate(layers):
        before, name = populations[-1], f"l{i}"
        ends = {"source": before.name, "target": name}
        if "conv" in layer:
            connection = hw.Conv(
                **ends, weight=mixed(rng, layer["conv"]) * layer.get("scale", 1), **layer.get("geometry", {})
            )
        else:
            connection = hw.Dense(**ends, weight=mixed(rng, (layer["dense"], before.size)))
        shape = connection.out_shape(before.shape)
        low, high = layer.get("bias", (-6, 9))
        bias = rng.integers(low, high, {"neuron": shape, "channel": shape[:1], "none": ()}[layer.get("per", "channel")])
        neuron = hw.Cuba(
            v_th_mant=layer.get("v_th", 40),
            i_decay=layer.get("i_decay", 4096),
            v_decay=layer.get("v_decay", 0),
            bias_mant=bias * (layer.get("per") != "none"),
        )
        populations.append(hw.Population(name=name, shape=shape, neuron=neuron))
        connections.append(connection)
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=hw.Readout(population=populations[-1].name, kind="spike_count"),
        n_steps=n_steps,
    )


def mixed(rng, shape):
    """Integers of both signs, odd ones too: Lava's CPU model keeps them."""
    weight = rng.integers(-20, 26, shape)
    weight.flat[0], weight.flat[-1] = 3, -5
    return weight


CASES = {
    "an integrator behind strided, padded, dilated, grouped convolutions, graded input": {
        "source": (2, 6, 5),
        "payload_bits": 4,
        "layers": [
            {
                "conv": (4, 1, 3, 2),
                "geometry": {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2},
                "v_th": 300,
                "v_decay": 410,
            },
            {"conv": (3, 4, 2, 3), "geometry": {"padding": (0, 1)}, "per": "neuron"},
            {"dense": 4, "v_th": hw.NEVER_FIRES, "per": "none"},
        ],
    },
    "leaky current and membrane": {
        "source": (1, 4, 6),
        "layers": [
            {"conv": (3, 1, 3, 3), "i_decay": 1000, "v_decay": 410, "v_th": 60},
            {"dense": 5, "i_decay": 3000, "v_decay": 2048, "per": "neuron"},
            {"dense": 2, "i_decay": 0, "v_decay": 4096, "v_th": 1 << 17},  # netx's own read-out
        ],
    },
    "a membrane that almost forgets": {
        "source": (3, 3, 3),
        "payload_bits": 8,
        "layers": [{"conv": (2, 3, 2, 2), "v_decay": 4095, "v_th": 900}, {"dense": 3, "v_th": 20}],
    },
    "a membrane that forgets": {
        "source": (2, 3, 2),
        "payload_bits": 2,
        "layers": [{"conv": (2, 2, 1, 1), "v_decay": 4096, "v_th": 5}, {"dense": 3, "v_th": 1}],
    },
    "dense only, from a vector": {
        "source": (7,),
        "payload_bits": 3,
        "layers": [{"dense": 6}, {"dense": 4, "v_decay": 410}, {"dense": 3, "i_decay": 2000}],
    },
    "dense straight after an image": {"source": (2, 3, 4), "payload_bits": 2, "layers": [{"dense": 5}, {"dense": 2}]},
    "a bias that fires while the pipeline fills": {
        "source": (1, 3, 3),
        "layers": [{"conv": (2, 1, 2, 2), "bias": (12, 35), "v_th": 30}, {"dense": 3, "bias": (20, 45), "v_th": 40}],
    },
    "samples of one timestep": {
        "source": (1, 3, 3),
        "payload_bits": 4,
        "n_steps": 1,
        "layers": [{"conv": (2, 1, 2, 2)}, {"dense": 3}],
    },
    "states that wrap and saturate": {
        "source": (1, 2, 2),
        "payload_bits": 12,
        "n_steps": 4,
        "layers": [
            {"conv": (4, 1, 2, 2), "i_decay": 0, "scale": 2, "v_th": 100_000, "bias": (-4096, 4096)},
            {"dense": 3, "i_decay": 0, "bias": (4000, 4096), "v_th": (1 << 17) - 1},
        ],
    },
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every case through one Lava process: {name: (network, inputs, trace)}."""
    if not lava.available():
        pytest.skip("no Lava environment")
    folder = tmp_path_factory.mktemp("nets")
    jobs = {}
    for i, (name, case) in enumerate(CASES.items()):
        rng = np.random.default_rng(i)
        network = build(rng, **case)
        most = network.sources[0].neuron.max_payload
        timed = (network.n_steps,) if i % 2 else ()
        inputs = rng.integers(0, most + 1, (*timed, 3, *network.sources[0].shape))
        netx.write(network, folder / f"{i}.net", chip=None)
        jobs[name] = lava.Job(path=folder / f"{i}.net", inputs=inputs, network=netx.read(folder / f"{i}.net"))
    traces = lava.run_many(list(jobs.values()), timeout_s=240)
    return {name: (job.network, job.inputs, trace) for (name, job), trace in zip(jobs.items(), traces, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_lava_computes_what_the_equations_say(outcomes, name):
    network, inputs, trace = outcomes[name]
    verdict = lava.compare(trace, twin(network, inputs))
    assert str(verdict.first) == "None"
    assert verdict.agrees
    neurons = sum(p.size for p, _ in network.neurons)
    assert verdict.values == 3 * network.n_steps * 3 * neurons  # quantities, timesteps, samples


@pytest.mark.parametrize("name", CASES)
def test_lava_builds_every_layer(outcomes, name):
    network, _, trace = outcomes[name]
    assert trace.layers_built == trace.layers_written == len(CASES[name]["layers"]) == len(network.connections)


def test_the_cases_are_not_silent(outcomes):
    for name, (_, _, trace) in outcomes.items():
        rates = [float(z.mean()) for z in trace.spikes.values()]
        assert 0 < rates[0] < 1, name
        assert all(np.any(v) for v in trace.v.values()), name


def test_samples_do_not_disturb_each_other(outcomes, tmp_path):
    network, inputs, trace = outcomes["a bias that fires while the pipeline fills"]
    netx.write(network, tmp_path / "a.net", chip=None)
    alone = lava.run(tmp_path / "a.net", inputs[:, 2:] if inputs.ndim == 5 else inputs[2:], network=network)
    for population, v in alone.v.items():
        assert np.array_equal(v[:, 0], trace.v[population][:, 2])


def test_the_states_of_the_last_case_really_wrap_and_saturate(outcomes):
    network, inputs, trace = outcomes["states that wrap and saturate"]
    connection = network.connections[0]
    held = inputs if inputs.ndim == 4 else inputs.sum(axis=0)
    times = network.n_steps if inputs.ndim == 4 else 1
    unwrapped = [
        abs(int(a)) * times << 6 for sample in held for a in synaptic_sum(connection, sample, None).reshape(-1)
    ]
    assert max(unwrapped) > 1 << 23  # a current that remembers everything must have wrapped
    assert max(int(np.abs(v).max()) for v in trace.v.values()) == (1 << 23) - 1


def test_a_corrupted_expectation_is_pointed_at(outcomes):
    network, inputs, trace = outcomes["leaky current and membrane"]
    expected = twin(network, inputs)
    expected["l1"]["v"][3, 1, 4] += 1
    expected["l2"]["u"][4, 0, 1] -= 1
    verdict = lava.compare(trace, expected)
    assert verdict.mismatches == 2
    first = verdict.first
    assert (first.sample, first.timestep, first.layer, first.neuron, first.quantity) == (1, 3, "l1", (4,), "v")
    assert first.expected == first.found + 1


def test_fast_convolution_equals_the_stock_one(outcomes, tmp_path):
    jobs = []
    names = [name for name, case in CASES.items() if "conv" in case["layers"][0]][:3]
    for i, name in enumerate(names):
        network, inputs, _ = outcomes[name]
        netx.write(network, tmp_path / f"{i}.net", chip=None)
        jobs.append(lava.Job(path=tmp_path / f"{i}.net", inputs=inputs, network=network))
    for name, fast in zip(names, lava.run_many(jobs, fast_conv=True), strict=True):
        stock = outcomes[name][2]
        for population in stock.v:
            assert np.array_equal(fast.u[population], stock.u[population])
            assert np.array_equal(fast.spikes[population], stock.spikes[population])


def test_a_file_with_other_layers_than_the_network_is_noticed(outcomes, tmp_path):
    network, _, _ = outcomes["dense only, from a vector"]
    shorter = hw.Network(
        populations=network.populations[:-1],
        connections=network.connections[:-1],
        readout=hw.Readout(population="l1", kind="spike_count"),
        n_steps=network.n_steps,
    )
    netx.write(network, tmp_path / "a.net", chip=None)
    with pytest.raises(hw.OracleFailed, match=r"netx built 3 layers of .*a\.net, the network has 2"):
        lava.run(tmp_path / "a.net", np.zeros((1, 7), int), network=shorter)


def test_a_real_run_that_takes_too_long_is_stopped(outcomes, tmp_path):
    network, inputs, _ = outcomes["leaky current and membrane"]
    netx.write(network, tmp_path / "a.net", chip=None)
    with pytest.raises(hw.OracleFailed, match=r"not done after 0\.3 s and stopped"):
        lava.run(tmp_path / "a.net", inputs, network=network, timeout_s=0.3)


def test_a_file_netx_cannot_load_shows_netxs_own_words(outcomes, tmp_path):
    network, inputs, _ = outcomes["leaky current and membrane"]
    (tmp_path / "a.net").write_bytes(b"nothing")
    with pytest.raises(hw.OracleFailed, match="file signature not found"):
        lava.run(tmp_path / "a.net", inputs, network=network)

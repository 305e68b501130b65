"""Recurrence, delays and input layers with neurons in real Lava: what lives between the layers and between samples."""

import dataclasses

import h5py
import numpy as np
import pytest
from spikeport import hw
from spikeport.export import lava, netx

from .equations import twin

pytestmark = pytest.mark.oracle

N_SAMPLES = 3
CUBA = hw.Cuba(v_th_mant=40, i_decay=2048, v_decay=410, bias_mant=np.array(7))


def network(connections, sizes, *, neurons=None, source=None, n_steps=6):
    """A chain `in` -> `a` -> `b`, ... sizes: of the populations, the source first."""
    names = ["in", "a", "b", "c"][: len(sizes)]
    neurons = neurons or {}
    shapes = [size if isinstance(size, tuple) else (size,) for size in sizes]
    populations = [hw.Population(name="in", shape=shapes[0], neuron=source or hw.Source())]
    populations += [
        hw.Population(name=name, shape=shape, neuron=neurons.get(name, CUBA))
        for name, shape in zip(names[1:], shapes[1:], strict=True)
    ]
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=hw.Readout(population=names[-1], kind="spike_count"),
        n_steps=n_steps,
    )


def dense(source, target, shape, seed=0, **delay):
    weight = np.random.default_rng(seed).integers(-30, 45, shape)
    weight.flat[0], weight.flat[-1] = 33, -21
    return hw.Dense(source=source, target=target, weight=weight, **delay)


def full_range(source, target, shape, seed=0, **delay):
    """A matrix netx does not shift: its largest weight is above 127."""
    connection = dense(source, target, shape, seed)
    weight = connection.weight.copy()
    weight.flat[0] = 200
    return dataclasses.replace(connection, weight=weight, **delay)


def delays(shape, most, seed=5):
    values = np.random.default_rng(seed).integers(0, most + 1, shape)
    values.flat[0] = most
    return {"delay": values}


INHIBITION = np.array([[-9, -3], [-1, -6]])
EARLY = hw.Cuba(v_th_mant=50, v_decay=123)

CASES = {
    "a recurrent layer": network([dense("in", "a", (4, 5)), dense("a", "a", (4, 4), 1)], [5, 4]),
    "a recurrent layer between plain ones": network(
        [dense("in", "a", (3, 4)), dense("a", "b", (4, 3), 1), dense("b", "b", (4, 4), 2), dense("b", "c", (2, 4), 3)],
        [4, 3, 4, 2],
    ),
    "a recurrent matrix of one sign, fitted with a mixed one": network(
        [dense("in", "a", (2, 3)), hw.Dense(source="a", target="a", weight=INHIBITION)], [3, 2]
    ),
    "a recurrent matrix of zeros": network(
        [dense("in", "a", (2, 3)), hw.Dense(source="a", target="a", weight=np.zeros((2, 2), int))], [3, 2]
    ),
    "recurrence behind graded input": network(
        [dense("in", "a", (3, 2)), dense("a", "a", (3, 3), 1)],
        [2, 3],
        source=hw.Source(payload_bits=5, signed=True),
        neurons={"a": hw.Cuba(v_th_mant=300, i_decay=1000, v_decay=50)},
    ),
    "one delay for all synapses": network([dense("in", "a", (3, 4), delay=np.array(2))], [4, 3]),
    "a delay per output": network([dense("in", "a", (3, 4), **delays((3, 1), 4))], [4, 3]),
    "a delay per output of a square matrix": network([dense("in", "a", (4, 4), **delays((4, 1), 3))], [4, 4]),
    "a delay per synapse": network([dense("in", "a", (3, 4), **delays((3, 4), 3))], [4, 3]),
    "delays in two layers, longer than the sample in one": network(
        [dense("in", "a", (3, 4), **delays((3, 4), 2)), dense("a", "b", (2, 3), 1, **delays((2, 1), 62))], [4, 3, 2]
    ),
    "delayed graded spikes": network(
        [dense("in", "a", (3, 4), **delays((3, 4), 3))],
        [4, 3],
        source=hw.Source(payload_bits=6),
        neurons={"a": hw.Cuba(v_th_mant=900, i_decay=0, v_decay=410)},
    ),
    "recurrence with delays": network(
        [full_range("in", "a", (3, 3), **delays((3, 3), 2)), dense("a", "a", (3, 3), 1, **delays((3, 3), 2))], [3, 3]
    ),
    "an input layer with neurons in front of a dense layer": network(
        [hw.OneToOne(source="in", target="a", weight=np.array(9)), dense("a", "b", (3, 5), 1)],
        [5, 5, 3],
        source=hw.Source(payload_bits=3),
        neurons={"a": dataclasses.replace(EARLY, bias_mant=np.array(-4))},
    ),
    "an input layer with neurons in front of a convolution": network(
        [
            hw.OneToOne(source="in", target="a", weight=np.array(-3)),
            hw.Conv(source="a", target="b", weight=np.arange(-7, 17).reshape(2, 2, 2, 3)),
            dense("b", "c", (3, 8), 1),
        ],
        [(2, 3, 4), (2, 3, 4), (2, 2, 2), 3],
        source=hw.Source(payload_bits=6, signed=True),
        neurons={"a": EARLY},
    ),
    "an input layer with neurons in front of delays and recurrence": network(
        [
            hw.OneToOne(source="in", target="a", weight=np.array(5)),
            dense("a", "b", (3, 3), 1, **delays((3, 1), 2)),
            dense("b", "c", (4, 3), 2),
            dense("c", "c", (4, 4), 3),
        ],
        [3, 3, 3, 4],
        source=hw.Source(payload_bits=5),
        neurons={"a": dataclasses.replace(EARLY, bias_mant=np.array(11))},
    ),
    "an input layer alone": network(
        [hw.OneToOne(source="in", target="a", weight=np.array(5))],
        [(1, 2, 3), (1, 2, 3)],
        source=hw.Source(payload_bits=5),
        neurons={"a": EARLY},
    ),
    "biases that fire in the empty step between samples": network(
        [dense("in", "a", (3, 3), **delays((3, 1), 2)), dense("a", "b", (3, 3), 1), dense("b", "b", (3, 3), 2)],
        [3, 3, 3],
        neurons={name: hw.Cuba(v_th_mant=12, i_decay=600, bias_mant=np.array(20)) for name in "ab"},
        n_steps=4,
    ),
    "samples of one timestep with recurrence": network(
        [dense("in", "a", (3, 3)), dense("a", "a", (3, 3), 1)], [3, 3], n_steps=1
    ),
    "a bias with another exponent": network(
        [dense("in", "a", (3, 2))],
        [2, 3],
        neurons={"a": hw.Cuba(v_th_mant=60, bias_mant=np.array([8, -16, 24]), bias_exp=3)},
    ),
    "signed payloads into a convolution": network(
        [hw.Conv(source="in", target="a", weight=np.arange(-5, 13).reshape(2, 1, 3, 3), padding=(1, 1))],
        [(1, 3, 4), (2, 3, 4)],
        source=hw.Source(payload_bits=4, signed=True),
        neurons={"a": hw.Cuba(v_th_mant=200, v_decay=1000)},
    ),
}


def draw(network, seed, n_samples=N_SAMPLES):
    source = network.sources[0]
    shape = (network.n_steps, n_samples, *source.shape)
    return np.random.default_rng(seed).integers(source.neuron.min_payload, source.neuron.max_payload + 1, shape)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every case through one Lava process: {name: (inputs, trace of all samples, traces of each sample alone)}."""
    if not lava.available():
        pytest.skip("no Lava environment")
    folder = tmp_path_factory.mktemp("nets")
    jobs = []
    for i, net in enumerate(CASES.values()):
        netx.write(net, folder / f"{i}.net", chip=None)
        restored = netx.read(folder / f"{i}.net")
        inputs = draw(net, i)
        for part in (inputs, inputs[:, -1:]):
            jobs.append(lava.Job(path=folder / f"{i}.net", inputs=part, network=restored))
    traces = lava.run_many(jobs, timeout_s=300)
    return {name: (jobs[2 * i].inputs, traces[2 * i], traces[2 * i + 1]) for i, name in enumerate(CASES)}


@pytest.mark.parametrize("name", CASES)
def test_lava_computes_what_the_equations_say(outcomes, name):
    inputs, trace, _ = outcomes[name]
    verdict = lava.compare(trace, twin(CASES[name], inputs))
    assert str(verdict.first) == "None"
    assert verdict.agrees
    assert trace.layers_built == len(netx.as_chain(CASES[name]))


@pytest.mark.parametrize("name", CASES)
def test_a_sample_behind_others_is_the_sample_alone(outcomes, name):
    _, together, alone = outcomes[name]
    for quantity in ("u", "v", "spikes"):
        for population, values in getattr(alone, quantity).items():
            assert np.array_equal(values[:, 0], getattr(together, quantity)[population][:, -1]), (quantity, population)


def test_input_neurons_whose_file_has_a_slow_current_are_driven_past_it(tmp_path):
    """Through the bias, as netx has it, the current stays 0; the runner's source must not bring it to life."""
    net = CASES["an input layer with neurons in front of a dense layer"]
    path = tmp_path / "a.net"
    netx.write(net, path, chip=None)
    with h5py.File(path, "a") as file:
        del file["spikeport"]
        file["layer/0/neuron/iDecay"][()] = 700
    foreign = netx.read(path, n_steps=6)
    inputs = draw(net, 3)
    transform = netx.read_transform(path)
    trace = lava.run(path, transform.weight * inputs + transform.bias, network=foreign)
    verdict = lava.compare(trace, twin(foreign, transform.weight * inputs + transform.bias))
    assert str(verdict.first) == "None"
    ours = twin(net, inputs)
    assert np.array_equal(trace.v["input0"], ours["a"]["v"])
    assert np.array_equal(trace.spikes["input0"], ours["a"]["spikes"])


FITS = {  # weight, weight_rec, delay
    "exact together": ([[64, 0], [2, 3]], [[-64, 0], [0, -2]], None),
    "lost beyond 8 bits": ([[1, 2], [3, 4]], [[256, 0], [0, 0]], None),
    "a power of two of one sign": ([[-1, -1], [-1, -1]], [[-1, -1], [-1, -1]], None),
    "clipped": ([[300, -1], [4, 4]], [[-2, 1], [0, 6]], None),
    "odd and large, one matrix of one sign": ([[129, 1], [5, 7]], [[-1, 3], [-9, 0]], None),
    "even and large, one matrix of one sign": ([[130, 2], [6, 8]], [[-2, 4], [-8, 0]], None),
    "shifted and not shifted back": ([[3, 1], [0, 2]], [[-2, 1], [0, 1]], 1),
    "not shifted": ([[200, 1], [0, 2]], [[-2, 1], [0, 1]], 1),
}


def test_lava_multiplies_by_the_effective_weights(tmp_path):
    """Also where they are not what the file holds, which is why such files are neither written nor read."""
    jobs = []
    for i, (weight, loop, delay) in enumerate(FITS.values()):
        stored = (np.array(weight), np.array(loop))
        effective = netx.effective_recurrent_weights(*stored, delayed=delay is not None)
        given = {} if delay is None else {"delay": np.array(delay)}
        forward, back = (part.astype(int) for part in effective)
        assert np.array_equal((forward, back), effective)
        net = network(
            [
                hw.Dense(source="in", target="a", weight=forward, **given),
                hw.Dense(source="a", target="a", weight=back, **given),
            ],
            [2, 2],
            neurons={"a": hw.Cuba(v_th_mant=20, v_decay=410, bias_mant=np.array(9))},
        )
        with h5py.File(tmp_path / f"{i}.net", "w") as file:
            write_recurrent(file, stored, delay, net["a"].neuron)
        jobs.append(lava.Job(path=tmp_path / f"{i}.net", inputs=draw(net, i), network=net))
    for job, trace in zip(jobs, lava.run_many(jobs), strict=True):
        assert str(lava.compare(trace, twin(job.network, job.inputs)).first) == "None"


def write_recurrent(file, weights, delay, neuron):
    file["layer/0/type"], file["layer/0/shape"] = b"input", np.array([2])
    layer = {"type": b"dense_rec", "shape": np.array([2]), "weight": weights[0], "weight_rec": weights[1], "bias": 9}
    layer |= {} if delay is None else {"delay": delay}
    layer |= {"neuron/type": b"CUBA", "neuron/iDecay": neuron.i_decay, "neuron/vDecay": neuron.v_decay}
    layer["neuron/vThMant"] = neuron.v_th_mant
    for name, value in layer.items():
        file[f"layer/1/{name}"] = np.bytes_(value) if isinstance(value, bytes) else value

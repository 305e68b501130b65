"""Random networks of everything netx holds, through real Lava and our simulator: equal at every timestep.

SPIKEPORT_RANDOM_NETWORKS raises the number of networks.
"""

import os
from collections import Counter

import numpy as np
import pytest
import torch
from spikeport import hw, sim
from spikeport.export import lava, netx
from spikeport.hw.arithmetic import decay

from .drawing import cases, examples

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

N_NETWORKS = int(os.environ.get("SPIKEPORT_RANDOM_NETWORKS", "200"))
PER_PROCESS = 100


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """[(network as read back, inputs, Lava's trace, ours)]"""
    if not lava.available():
        pytest.skip("no Lava environment")
    folder = tmp_path_factory.mktemp("nets")
    jobs = []
    for i, (network, inputs) in enumerate(examples(cases(), N_NETWORKS, lambda case: case[0].fingerprint())):
        netx.write(network, folder / f"{i}.net", chip=None)
        jobs.append(lava.Job(path=folder / f"{i}.net", inputs=inputs, network=netx.read(folder / f"{i}.net")))
    traces = []
    for start in range(0, len(jobs), PER_PROCESS):
        traces += lava.run_many(jobs[start : start + PER_PROCESS], timeout_s=600)
    ours = [sim.run(job.network, torch.from_numpy(job.inputs), record=("u", "v", "spikes")) for job in jobs]
    return [(job.network, job.inputs, *pair) for job, *pair in zip(jobs, traces, ours, strict=True)]


def describe(network):
    return "\n".join(str(part) for part in (*network.populations, *network.connections, network.readout))


def test_as_many_different_networks_as_were_asked_for(outcomes):
    assert len({network.fingerprint() for network, *_ in outcomes}) == len(outcomes) == N_NETWORKS >= 200


def test_u_v_and_spikes_are_equal_at_every_step(outcomes):
    for network, _, trace, ours in outcomes:
        expected = {
            p.name: {"u": ours.u[p.name].numpy(), "v": ours.v[p.name].numpy(), "spikes": ours.spikes[p.name].numpy()}
            for p, _ in network.neurons
        }
        verdict = lava.compare(trace, expected)
        assert verdict.first is None, f"{verdict.first} in\n{describe(network)}"
        assert verdict.agrees
        neurons = sum(p.size for p, _ in network.neurons)
        assert verdict.values == 3 * network.n_steps * trace.n_samples * neurons


def test_every_layer_is_built(outcomes):
    for network, _, trace, _ in outcomes:
        assert trace.layers_built == len(list(network.neurons)), describe(network)


def test_the_read_outs_are_equal(outcomes):
    for network, _, trace, ours in outcomes:
        name = network.readout.population
        found = trace.v[name][-1] if network.readout.kind == "membrane" else trace.spikes[name].sum(axis=0)
        assert np.array_equal(ours.readout.numpy(), found.reshape(trace.n_samples, -1)), describe(network)


def features(network, inputs, trace):
    """Names of what a network exercises."""
    source = network.sources[0].neuron
    yield "signed" if source.signed else "graded" if source.payload_bits else "binary"
    yield network.readout.kind
    yield "held input" if inputs.ndim == 1 + len(network.sources[0].shape) else "input over time"
    for connection in network.connections:
        if isinstance(connection, hw.OneToOne):
            yield "input layer with neurons"
        elif isinstance(connection, hw.Conv):
            yield "conv"
            for field, plain in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
                if getattr(connection, field) != plain:
                    yield field
        else:
            yield "recurrence" if connection.recurrent else "dense"
            if connection.max_delay:
                yield "delayed recurrence" if connection.recurrent else f"delay {connection.delay.shape != ()}"
    for population, neuron in network.neurons:
        for field in ("i_decay", "v_decay"):
            yield f"{field} {getattr(neuron, field) if getattr(neuron, field) in (0, 4096) else 'between'}"
        yield f"bias with {neuron.bias_mant.ndim} axes" if neuron.bias_mant.any() else "no bias"
        u, v = trace.u[population.name].astype(np.int64), trace.v[population.name]
        if (np.abs(v) == (1 << 23) - 1).any():
            yield "v saturates"
        if np.any(np.abs(u[1:] - decay(u[:-1], neuron.i_decay)) > 1 << 23):
            yield "u wraps"
        yield "fires" if trace.spikes[population.name].any() else "is silent"


def test_every_feature_is_drawn_often(outcomes):
    seen = Counter(
        feature for network, inputs, trace, _ in outcomes for feature in set(features(network, inputs, trace))
    )
    expected = {
        "binary", "graded", "signed", "membrane", "spike_count", "held input", "input over time", "conv", "stride",
        "padding", "dilation", "groups", "dense", "recurrence", "delay True", "delay False", "delayed recurrence",
        "input layer with neurons", "i_decay 0", "i_decay 4096", "i_decay between", "v_decay 0", "v_decay 4096",
        "v_decay between", "bias with 0 axes", "bias with 1 axes", "bias with 3 axes", "no bias", "v saturates",
        "u wraps", "fires", "is silent",
    }  # fmt: skip
    assert {feature: seen[feature] for feature in expected if seen[feature] < 5} == {}

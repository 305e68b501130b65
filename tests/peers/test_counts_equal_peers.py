"""Our exact counts against two independent counters, on the same network and the same spikes.

NeuroBench's `SynapticOperations` leaves zero weights out (our `effective`), SpikingJelly's `SynOpCounter` keeps them
(our `stored`); both leave padded positions out. They live in an environment of their own, `.peers` at the root of the
repository (`make peers`), or the interpreter named by SPIKEPORT_PEERS.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spikeport import hw, sim

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("SPIKEPORT_PEERS", HERE.parents[1] / ".peers" / "bin" / "python"))
TIMEOUT_S = 120

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PEERS.exists(), reason=f"no interpreter at {PEERS}; `make peers` installs it"),
]


def build_network(*, payload_bits: int) -> hw.Network:
    """(4, 9, 9) -> conv, padding -> conv, stride and padding -> conv, 2 groups, 5 taps -> dilated conv -> dense of 10.

    A third of the weights is zero; thresholds let a tenth to a half of the neurons fire.
    """
    rng = np.random.default_rng(7)

    def weight(*shape: int) -> np.ndarray:
        return rng.integers(-20, 30, shape) * (rng.random(shape) < 0.67)

    connections: list[hw.Connection] = [
        hw.Conv(source="in", target="c0", weight=weight(8, 4, 3, 3), padding=(1, 1)),
        hw.Conv(source="c0", target="c1", weight=weight(12, 8, 3, 3), stride=(2, 2), padding=(1, 1)),
        hw.Conv(source="c1", target="c2", weight=weight(16, 6, 5, 5), stride=(1, 2), padding=(2, 1), groups=2),
        hw.Conv(source="c2", target="c3", weight=weight(8, 16, 2, 2), padding=(1, 1), dilation=(2, 2)),
    ]
    shape: hw.Shape = (4, 9, 9)
    populations = [hw.Population(name="in", shape=shape, neuron=hw.Source(payload_bits=payload_bits))]
    thresholds = {"c0": 60 * (1 << max(payload_bits - 1, 0)), "c1": 150, "c2": 200, "c3": 150}
    for connection in connections:
        shape = connection.out_shape(shape)
        neuron = hw.Cuba(v_th_mant=thresholds[connection.target], v_decay=256)
        populations.append(hw.Population(name=connection.target, shape=shape, neuron=neuron))
    connections.append(hw.Dense(source="c3", target="out", weight=weight(10, int(np.prod(shape)))))
    populations.append(hw.Population(name="out", shape=(10,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)))
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=hw.Readout(population="out"),
        n_steps=4,
    )


def peer_counts(net: hw.Network, spikes: dict[str, torch.Tensor], folder: Path) -> dict[str, Any]:
    """What the peers count in each layer, by the name of its target."""
    specs, arrays = [], {}
    for connection in net.connections:
        conv = isinstance(connection, hw.Conv)
        spec: dict[str, Any] = {"name": connection.target, "kind": "conv" if conv else "dense"}
        if conv:
            for field in ("stride", "padding", "dilation", "groups"):
                spec[field] = getattr(connection, field)
        specs.append(spec)
        arrays[f"{connection.target}.weight"] = connection.weight
        arrays[f"{connection.target}.input"] = spikes[connection.source].flatten(0, 1).numpy()
    np.savez(folder / "layers.npz", **{"layers.json": np.array(json.dumps(specs))}, **arrays)
    done = subprocess.run(
        [str(PEERS), str(HERE / "count.py"), str(folder / "layers.npz"), str(folder / "counts.json")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "counts.json").read_text())


def run_both(payload_bits: int, folder: Path) -> tuple[hw.Network, sim.Trace, dict[str, Any]]:
    net = build_network(payload_bits=payload_bits)
    rng = np.random.default_rng(8)
    shape = (net.n_steps, 3, 4, 9, 9)  # (T, B, C, H, W); half of the inputs are silent
    values = rng.integers(1, net.sources[0].neuron.max_payload, shape, endpoint=True) * (rng.random(shape) < 0.5)  # type: ignore[union-attr]
    trace = sim.run(net, torch.from_numpy(values), record=("spikes",))
    return net, trace, peer_counts(net, dict(trace.spikes), folder)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[hw.Network, sim.Trace, dict[str, Any]]:
    return run_both(0, tmp_path_factory.mktemp("binary"))


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[hw.Network, sim.Trace, dict[str, Any]]:
    return run_both(4, tmp_path_factory.mktemp("graded"))


Case = tuple[hw.Network, sim.Trace, dict[str, Any]]


def test_the_peers_are_the_versions_this_was_written_against(binary: Case) -> None:
    _, _, peers = binary
    assert (peers["neurobench"], peers["spikingjelly"]) == ("2.3.0", "2.0.0")
    assert peers["torch"].split("+")[0] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("payload_bits", [0, 4])
def test_the_spikes_are_worth_counting(payload_bits: int, binary: Case, graded: Case) -> None:
    net, trace, _ = graded if payload_bits else binary
    for population in net.populations[:-1]:
        rate = trace.spikes[population.name].count_nonzero() / trace.spikes[population.name].numel()
        assert 0.05 < rate < 0.7, population.name


def test_binary_synaptic_operations_equal_both_peers_in_every_layer(binary: Case) -> None:
    net, trace, peers = binary
    for connection in net.connections:
        pair, peer = (connection.source, connection.target), peers["layers"][connection.target]
        stored, effective = int(trace.counts.synops[pair].sum()), int(trace.counts.synops_effective[pair].sum())
        assert 0 < effective < stored
        assert peer["neurobench_effective"] == effective
        assert peer["neurobench_operation"] == "AC"
        assert peer["spikingjelly_synops"] == stored
        assert peer["spikingjelly_macs"] == 0


def test_dense_operations_equal_neurobench_in_every_layer(binary: Case) -> None:
    net, trace, peers = binary
    passes = net.n_steps * trace.n_samples
    for connection in net.connections:
        assert peers["layers"][connection.target]["neurobench_dense"] == passes * sim.dense_macs(net, connection)


def test_a_graded_first_layer_is_neurobench_macs_over_non_zero_payloads(graded: Case) -> None:
    net, trace, peers = graded
    pair, peer = ("in", "c0"), peers["layers"]["c0"]
    assert sim.is_graded(net, "in")
    assert peer["neurobench_operation"] == "MAC"
    assert peer["neurobench_effective"] == int(trace.counts.synops_effective[pair].sum())


def test_a_graded_first_layer_is_dense_with_padding_for_spikingjelly(graded: Case) -> None:
    # Here the definitions differ. SpikingJelly charges each graded pass as a dense one and counts padded positions:
    # our textbook formula. Our events leave out the silent half of the inputs and the padding of an 11 x 11 border:
    # per axis 9 * 3 of the formula against 25 that exist.
    net, trace, peers = graded
    peer, passes = peers["layers"]["c0"], net.n_steps * trace.n_samples
    formula = sim.dense_macs(net, net.connections[0], "formula")
    assert peer["spikingjelly_macs"] == passes * formula
    assert peer["spikingjelly_synops"] == 0
    assert sim.dense_macs(net, net.connections[0]) * 27**2 == formula * 25**2
    events = int(trace.counts.synops["in", "c0"].sum())
    assert events / peer["spikingjelly_macs"] == pytest.approx(0.5 * (25 / 27) ** 2, rel=0.05)


def test_later_layers_of_a_graded_network_are_accumulates_for_everyone(graded: Case) -> None:
    net, trace, peers = graded
    for connection in net.connections[1:]:
        pair, peer = (connection.source, connection.target), peers["layers"][connection.target]
        assert peer["neurobench_operation"] == "AC"
        assert peer["neurobench_effective"] == int(trace.counts.synops_effective[pair].sum())
        assert peer["spikingjelly_synops"] == int(trace.counts.synops[pair].sum())


def test_priced_operations_are_the_peers_totals(graded: Case) -> None:
    net, trace, peers = graded
    report = sim.price(net, trace.counts, synops="effective")
    totals = {"MAC": 0, "AC": 0}
    for peer in peers["layers"].values():
        totals[peer["neurobench_operation"]] += peer["neurobench_effective"]
    assert report.macs_per_sample == pytest.approx(totals["MAC"] / trace.n_samples)
    assert report.acs_per_sample == pytest.approx(totals["AC"] / trace.n_samples)


def test_neurobench_metrics_are_its_own_totals(binary: Case, graded: Case) -> None:
    for net, trace, peers in (binary, graded):
        metrics = sim.neurobench(net, trace.counts)
        layers = peers["layers"].values()
        effective = {"MAC": metrics.effective_macs, "AC": metrics.effective_acs}
        for operation, mean in effective.items():
            total = sum(p["neurobench_effective"] for p in layers if p["neurobench_operation"] == operation)
            assert mean == pytest.approx(total / trace.n_samples)
        assert metrics.dense * trace.n_samples == sum(p["neurobench_dense"] for p in layers)

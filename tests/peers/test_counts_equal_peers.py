"""Our exact counts against two independent counters, on the same networks and the same spikes.

Three networks (`counted_nets.py`), each with binary and with graded input. NeuroBench's `SynapticOperations` leaves
zero weights out (our `effective`), SpikingJelly's `SynOpCounter` keeps them (our `stored`); both leave padded positions
out. Where a definition differs from ours the difference is computed from our own numbers, and has to be exactly that.
The peers live in an environment of their own, `.peers` at the root of the repository (`make peers`), or the interpreter
named by SPIKEPORT_PEERS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from spikeport import hw, sim

from .ask import PEERS, Question
from .counted_nets import INPUTS, N_SAMPLES, N_STEPS, NETS, PUBLISHED, Published, network, spikes_in

PASSES = N_STEPS * N_SAMPLES
AC_PJ, MAC_PJ = 0.9, 4.6
NOTHING = {"neurobench_effective": 0, "neurobench_dense": 0, "spikingjelly_synops": 0, "spikingjelly_macs": 0}

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PEERS.exists(), reason=f"no interpreter at {PEERS}; `make peers` installs it"),
]
Pair = tuple[str, str]
every_net = pytest.mark.parametrize("net", NETS)
every_input = pytest.mark.parametrize("source", INPUTS)


@dataclass(frozen=True)
class Case:
    """A run of ours, and what the peers counted. peers: by connection, and by kind for what is no layer to them."""

    network: hw.Network
    trace: sim.Trace
    peers: Mapping[str, Mapping[str, Any]]

    def stored(self, pair: Pair) -> int:
        return int(self.trace.counts.synops[pair].sum())

    def effective(self, pair: Pair) -> int:
        return int(self.trace.counts.synops_effective[pair].sum())

    @property
    def layers(self) -> Iterator[tuple[Pair, hw.Conv | hw.Dense, Mapping[str, Any]]]:
        """Every connection that is a layer to the peers, and what they counted there."""
        for connection in self.network.connections:
            if not isinstance(connection, hw.OneToOne):
                pair = (connection.source, connection.target)
                yield pair, connection, self.peers[" -> ".join(pair)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[Pair, Case], dict[str, Any]]:
    """The cases by (network, input), and all that the peers answered."""
    question, runs = Question(), {}
    for net in NETS:
        for source in INPUTS:
            runs[net, source] = ask(question, f"{net}, {source}: ", network(net, source), spikes_in(source))
    for case in PUBLISHED:
        question.add_connection(case.key, case.spikes, case.layer, np.zeros(1))
    wide, spikes = wide_layer()
    for dtype in ("float32", "float64"):
        question.add_connection(f"wide, {dtype}", spikes, wide, np.zeros(1), dtype=dtype)
    counted = question.put(tmp_path_factory.mktemp("peers"))
    cases = {}
    for (net, source), (built, trace) in runs.items():
        begin = f"{net}, {source}: "
        peers = {key.removeprefix(begin): n for key, n in counted["layers"].items() if key.startswith(begin)}
        cases[net, source] = Case(built, trace, peers)
    return cases, counted


def ask(question: Question, begin: str, net: hw.Network, inputs: torch.Tensor) -> tuple[hw.Network, sim.Trace]:
    """Run a network and put every layer of it into the question; pooling and identities also as what they are."""
    trace = sim.run(net, inputs, record=("spikes",))
    for connection in net.connections:
        spikes, neuron = trace.spikes[connection.source], net[connection.target].neuron
        if isinstance(connection, hw.OneToOne):
            question.add(f"{begin}identity", spikes, "identity")
            continue
        assert isinstance(neuron, hw.Cuba)
        name = f"{begin}{connection.source} -> {connection.target}"
        question.add_connection(name, spikes, connection, neuron.bias_mant)
        if isinstance(connection, hw.Conv) and connection.target == "pool":
            kernel = connection.weight.shape[2:]
            question.add(f"{begin}pool", spikes, "pool", kernel=kernel, stride=connection.stride)
    return net, trace


@pytest.fixture
def case(answers: tuple[dict[Pair, Case], dict[str, Any]], net: str, source: str) -> Case:
    return answers[0][net, source]


def test_the_peers_are_the_versions_this_was_written_against(answers: tuple[dict[Pair, Case], dict[str, Any]]) -> None:
    _, counted = answers
    assert (counted["neurobench"], counted["spikingjelly"]) == ("2.3.0", "2.0.0")
    assert counted["torch"].split("+")[0] == torch.__version__.split("+")[0]


@every_net
@pytest.mark.parametrize("source", ["binary", "graded"])
def test_the_networks_are_worth_counting(case: Case) -> None:
    for population in case.network.populations[:-1]:
        rate = case.trace.spikes[population.name].count_nonzero() / case.trace.spikes[population.name].numel()
        assert 0.05 < rate < 0.7, population.name
    for pair, connection, _ in case.layers:
        zeros = float((connection.weight == 0).mean())
        assert zeros == 0 if pair[1] == "pool" else 0.2 < zeros < 0.5
        assert 0 < case.effective(pair) <= case.stored(pair)
        assert (case.effective(pair) < case.stored(pair)) == (zeros > 0)


@every_net
@every_input
def test_effective_operations_equal_neurobench_in_every_layer(case: Case, source: str) -> None:
    for pair, _, peer in case.layers:
        assert peer["neurobench_effective"] == case.effective(pair)
        multiplies = source == "graded" and pair[0] == "in"
        assert peer["neurobench_operation"] == ("MAC" if multiplies else "AC")


@every_net
@pytest.mark.parametrize("source", ["binary", "graded"])
def test_operations_of_a_matrix_are_spikes_times_outputs(case: Case) -> None:
    """N-C-5."""
    *_, ((source, target), _, peer) = case.layers
    spikes = int(case.trace.spikes[source].count_nonzero())
    assert peer["spikingjelly_synops"] == case.stored((source, target)) == spikes * 10 > 0


@every_net
@every_input
def test_stored_operations_equal_spikingjelly_in_every_layer_of_binary_spikes(case: Case, source: str) -> None:
    for pair, _, peer in case.layers:
        if pair[0] != "in" or source in ("binary", "graded, all ones"):
            assert peer["spikingjelly_synops"] == case.stored(pair)
            assert peer["spikingjelly_macs"] == 0


@every_net
@every_input
def test_dense_operations_equal_neurobench_in_every_layer(case: Case) -> None:
    for _, connection, peer in case.layers:
        assert peer["neurobench_dense"] == PASSES * sim.dense_macs(case.network, connection)


@every_net
@pytest.mark.parametrize("source", ["graded", "ternary"])
def test_spikingjelly_charges_silence_and_padding_of_a_graded_layer(case: Case) -> None:
    for pair, connection, peer in case.layers:
        if pair[0] == "in":
            net = case.network
            padding = PASSES * (sim.dense_macs(net, connection, "formula") - sim.dense_macs(net, connection))
            reach = torch.from_numpy(sim.fan_out(connection, net["in"].shape))
            silence = int((reach * (case.trace.spikes["in"] == 0)).sum())
            assert silence > 0
            assert (padding > 0) == (connection.padding != (0, 0))  # type: ignore[union-attr]
            assert peer["spikingjelly_macs"] - case.stored(pair) == padding + silence
            assert peer["spikingjelly_synops"] == 0


@every_net
@pytest.mark.parametrize("source", ["graded, all ones", "ternary"])
def test_neurobench_takes_payloads_of_one_for_spikes(case: Case) -> None:
    """As many operations, but it adds where the deployed network, whose input has a payload, multiplies."""
    priced = sim.price(case.network, case.trace.counts, synops="effective")
    theirs = sum(peer["neurobench_effective"] for _, _, peer in case.layers) * AC_PJ / N_SAMPLES
    identity = sum(case.effective(pair) for pair in identities(case)) * AC_PJ / N_SAMPLES
    graded = sum(case.effective(pair) for pair, _, _ in case.layers if pair[0] == "in") / N_SAMPLES
    assert graded > 0
    assert priced.macs_per_sample == pytest.approx(graded, rel=1e-12)
    assert priced.snn_pj - identity - theirs == pytest.approx(graded * (MAC_PJ - AC_PJ), rel=1e-12)


@every_net
@pytest.mark.parametrize("source", ["binary"])
def test_biases_are_no_operation_for_the_peers_and_a_line_of_its_own_in_our_audit(case: Case) -> None:
    """The peers' layers above have biases and count none; our price leaves them out too, our audit shows them."""
    biased = sum(int((neuron.bias_over(p.shape) != 0).sum()) for p, neuron in case.network.neurons)
    steps = {step.what: step.pj for step in sim.audit(case.network, case.trace.counts).steps}
    assert biased > 0
    assert steps["biases (batch norm folded)"] == pytest.approx(biased * N_STEPS * AC_PJ)
    theirs = sum(peer["spikingjelly_synops"] for _, _, peer in case.layers)
    own = sum(case.stored(pair) for pair in identities(case))
    assert sim.price(case.network, case.trace.counts).snn_pj == pytest.approx((theirs + own) * AC_PJ / N_SAMPLES)


@pytest.mark.parametrize(("net", "source"), [("grouped", "binary"), ("grouped", "graded")])
def test_an_average_is_synapses_for_us_and_no_layer_for_the_peers(case: Case) -> None:
    pair, peer = ("doubled", "pool"), case.peers["pool"]
    (connection,) = (c for c in case.network.connections if c.target == "pool")
    assert NOTHING.items() <= peer.items()
    # Windows of 2 x 2 do not overlap: a spike reaches one target, or none in the last of 7 rows.
    assert case.stored(pair) == int(case.trace.spikes["doubled"][..., :6, :].sum()) > 0
    # SpikingJelly's ACs, which are more than synaptic operations, add up all of a window, whether it spiked or not.
    products, sums = sim.dense_macs(case.network, connection), case.network["pool"].size
    assert peer["spikingjelly_acs"] == PASSES * (products - sums)


@pytest.mark.parametrize(("net", "source"), [("residual", "binary"), ("residual", "graded")])
def test_an_identity_is_a_synapse_for_us_and_no_layer_for_the_peers(case: Case) -> None:
    assert NOTHING.items() <= case.peers["identity"].items()
    assert list(identities(case)) == [("c", "d")]
    assert case.stored(("c", "d")) == case.effective(("c", "d")) == int(case.trace.counts.spikes["c"].sum()) > 0


def identities(case: Case) -> Iterator[Pair]:
    return ((c.source, c.target) for c in case.network.connections if isinstance(c, hw.OneToOne))


@every_net
@pytest.mark.parametrize("source", ["binary", "graded"])
def test_totals_are_the_peers_and_what_is_no_layer_to_them(case: Case) -> None:
    metrics = sim.neurobench(case.network, case.trace.counts)
    priced = sim.price(case.network, case.trace.counts, synops="effective")
    totals = {"MAC": 0, "AC": sum(case.effective(pair) for pair in identities(case))}
    for _, _, peer in case.layers:
        totals[peer["neurobench_operation"]] += peer["neurobench_effective"]
    assert metrics.effective_macs == priced.macs_per_sample == pytest.approx(totals["MAC"] / N_SAMPLES)
    assert metrics.effective_acs == priced.acs_per_sample == pytest.approx(totals["AC"] / N_SAMPLES)
    dense = sum(peer["neurobench_dense"] for _, _, peer in case.layers)
    dense += PASSES * sum(case.network[source].size for source, _ in identities(case))
    assert metrics.dense * N_SAMPLES == dense


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.key)
def test_the_published_comparison_of_counters(
    published: Published, answers: tuple[dict[Pair, Case], dict[str, Any]]
) -> None:
    """N-C-1..4: the peers still count what was published of them, and so do we."""
    peer = answers[1]["layers"][published.key]
    net, layer = published.network(), published.layer
    counts = sim.run(net, published.spikes).counts
    n_samples = published.spikes.shape[1]
    assert int(counts.synops_effective["in", "p"].sum()) == peer["neurobench_effective"] == published.effective
    assert sim.dense_macs(net, layer) * n_samples == peer["neurobench_dense"] == published.dense
    assert peer["neurobench_operation"] == ("MAC" if sim.is_graded(net, "in") else "AC")
    if not sim.is_graded(net, "in"):
        assert int(counts.synops["in", "p"].sum()) == peer["spikingjelly_synops"] == published.stored


def wide_layer() -> tuple[hw.Dense, torch.Tensor]:
    """A matrix of 2000 x 2000, a third of it zero, and 12 rows of input of which nine tenths spike."""
    rng = np.random.default_rng(3)
    weight = np.ones((2000, 2000), np.int8) * (rng.random((2000, 2000)) < 0.67)
    spikes = torch.from_numpy((rng.random((N_STEPS, N_SAMPLES, 2000)) < 0.9).astype(np.uint8))
    return hw.Dense(source="in", target="out", weight=weight), spikes


def test_neurobenchs_float32_sums_lose_what_a_float32_cannot_hold(
    answers: tuple[dict[Pair, Case], dict[str, Any]],
) -> None:
    """Weights of one make each neuron's sum its number of operations; added up in float32, they give its number."""
    wide, spikes = wide_layer()
    net = hw.Network(
        populations=(
            hw.Population(name="in", shape=(2000,), neuron=hw.Source()),
            hw.Population(name="out", shape=(2000,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
        ),
        connections=(wide,),
        readout=hw.Readout(population="out"),
        n_steps=N_STEPS,
    )
    trace = sim.run(net, spikes, record=("u",))
    exact = int(trace.counts.synops_effective["in", "out"].sum())
    per_neuron = trace.u["out"].flatten(0, 1) // 64
    assert exact == int(per_neuron.sum()) > 2**24
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the peers: the order of a sum depends on it
    rounded = int(per_neuron.float().sum())
    torch.set_num_threads(threads)
    counted = {
        dtype: answers[1]["layers"][f"wide, {dtype}"]["neurobench_effective"] for dtype in ("float32", "float64")
    }
    assert exact % 2 == 1, "no float32 beyond 2^24 is odd"
    assert counted == {"float32": rounded, "float64": exact}
    assert rounded != exact

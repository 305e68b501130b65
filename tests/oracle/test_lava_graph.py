"""Graphs in real Lava: built directly, and as the chain a file holds; both compute what the simulator does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spikeport import hw, sim
from spikeport.export import lava, lava_graph, netx
from spikeport.export.lowering import to_chain
from spikeport.export.lowering_rewrite import RelayRewrite

from ..export.graphs import even, frames, random_graph, with_neuron

pytestmark = pytest.mark.oracle

N_SAMPLES = 3


def conv(source: str, target: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1):
    rng = np.random.default_rng([*source.encode(), *target.encode()])
    return hw.Conv(
        source=source,
        target=target,
        weight=even(rng, (outputs, inputs // groups, kernel, kernel), 60),
        stride=(stride, stride),
        padding=(kernel // 2, kernel // 2),
        groups=groups,
    )


def dense(source: str, target: str, outputs: int, inputs: int, delay: object = 0) -> hw.Dense:
    rng = np.random.default_rng([*source.encode(), *target.encode()])
    return hw.Dense(source=source, target=target, weight=even(rng, (outputs, inputs), 60), delay=np.array(delay))


def graph(shapes: dict[str, tuple[int, ...]], connections: list[hw.Connection], **more: object) -> hw.Network:
    """Populations of threshold 60 with biases that fire by themselves now and then; the first is the source."""
    settings = {"payload_bits": 0, "signed": False, "v_decay": 410, "i_decay": 4096, "bias_exp": 6, "n_steps": 5} | more
    source, *others = shapes
    neuron = hw.Source(payload_bits=settings["payload_bits"], signed=settings["signed"])
    populations = [hw.Population(name=source, shape=shapes[source], neuron=neuron)]
    for name in others:
        rng = np.random.default_rng([*name.encode()])
        cuba = hw.Cuba(
            v_th_mant=60,
            v_decay=settings["v_decay"],
            i_decay=settings["i_decay"],
            bias_mant=rng.integers(-20, 35, shapes[name][0]) << max(0, 6 - settings["bias_exp"]),
            bias_exp=settings["bias_exp"],
        )
        populations.append(hw.Population(name=name, shape=shapes[name], neuron=cuba))
    return hw.Network(
        populations=tuple(populations),
        connections=tuple(connections),
        readout=hw.Readout(population=populations[-1].name, kind="spike_count"),
        n_steps=settings["n_steps"],
    )


def residual(**more: object) -> hw.Network:
    """in (2, 5, 4) - a - b (stride 2) - c - d, with a strided shortcut a -> c and an identity b -> d."""
    shapes = {"in": (2, 5, 4), "a": (3, 5, 4), "b": (4, 3, 2), "c": (4, 3, 2), "d": (3,)}
    identity = hw.OneToOne(source="b", target="c", weight=np.array(40))
    links = [conv("in", "a", 2, 3), conv("a", "b", 3, 4, stride=2), identity, conv("a", "c", 3, 4, 1, 2)]
    return graph(shapes, [*links, dense("c", "d", 3, 24), dense("b", "d", 3, 24)], **more)


def far_source(**more: object) -> hw.Network:
    """The source speaks to layers one, two and three steps away."""
    shapes = {"in": (2, 4, 3), "a": (2, 4, 3), "b": (2, 4, 3), "c": (4,)}
    links = [conv("in", "a", 2, 2), conv("a", "b", 2, 2), conv("in", "b", 2, 2, groups=2), dense("b", "c", 4, 24)]
    return graph(shapes, [*links, dense("in", "c", 4, 24)], **more)


def loops() -> hw.Network:
    """Recurrent and delayed vectors, a delayed skip, and biases that fire in the empty steps too."""
    shapes = {"in": (6,), "a": (5,), "b": (4,), "c": (3,)}
    each = np.random.default_rng(0).integers(0, 4, (4, 5))
    links = [
        dense("in", "a", 5, 6, 2),
        dense("a", "a", 5, 5),
        dense("a", "b", 4, 5, each),
        dense("b", "b", 4, 4, 1),
        dense("b", "c", 3, 4),
        dense("a", "c", 3, 5, [[0], [1], [3]]),
        hw.OneToOne(source="c", target="d", weight=np.array(30)),
    ]
    return graph({**shapes, "d": (3,)}, links, n_steps=6, i_decay=2000)


def loop_over_positions() -> hw.Network:
    """A recurrent matrix over an image, in which Lava's order of neurons is not ours."""
    return graph({"in": (1, 3, 2), "a": (2, 3, 2)}, [conv("in", "a", 1, 2), dense("a", "a", 12, 12)], n_steps=6)


GRAPHS = {
    "a residual network with a strided shortcut": residual(payload_bits=4),
    "skips of a graded source": far_source(payload_bits=3),
    "skips of a signed source": far_source(payload_bits=4, signed=True, v_decay=0),
    "a current with memory, and a skip past it": residual(i_decay=1500, v_decay=2048),
    "a bias exponent of 3": residual(bias_exp=3),
    "a bias exponent of 7": far_source(bias_exp=7, v_decay=4095),
    "recurrence and delays": loops(),
    "recurrence over positions": loop_over_positions(),
    "one timestep": residual(n_steps=1, payload_bits=4),
    "a random graph": random_graph(11, n_steps=4, size=(4, 3)),
}


def expected_of(network: hw.Network, inputs: torch.Tensor) -> dict[str, dict[str, np.ndarray]]:
    trace = sim.run(network, inputs, record=("spikes", "u", "v"))
    return {
        p.name: {quantity: getattr(trace, quantity)[p.name].numpy() for quantity in ("u", "v", "spikes")}
        for p, _ in network.neurons
    }


def inputs_of(network: hw.Network) -> torch.Tensor:
    neuron = network.sources[0].neuron
    assert isinstance(neuron, hw.Source)
    shape = (network.n_steps, N_SAMPLES, *network.sources[0].shape)
    drawn = np.random.default_rng(1).integers(neuron.min_payload, neuron.max_payload + 1, shape)
    return torch.from_numpy(drawn.astype(np.int32))


@pytest.fixture(scope="module")
def traces() -> dict[str, lava.LavaTrace]:
    """Every graph in one Lava process."""
    if not lava.available():
        pytest.skip("no Lava environment")
    jobs = [lava_graph.Job(inputs=inputs_of(network).numpy(), network=network) for network in GRAPHS.values()]
    return dict(zip(GRAPHS, lava_graph.run_many(jobs, timeout_s=300), strict=True))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of_lava_processes_computes_what_the_simulator_does(traces, name):
    network, trace = GRAPHS[name], traces[name]
    verdict = lava.compare(trace, expected_of(network, inputs_of(network)))
    assert str(verdict.first) == "None"
    assert verdict.agrees
    assert verdict.values == 3 * network.n_steps * N_SAMPLES * sum(p.size for p, _ in network.neurons)
    assert trace.layers_built == len(network.populations) - 1


def test_the_graphs_say_something(traces):
    for name, trace in traces.items():
        busy = [0 < z.mean() < 1 for z in trace.spikes.values()]
        assert 2 * sum(busy) >= len(busy), name
        assert all(u.any() for u in trace.u.values()), name


def test_the_fast_convolution_gives_the_same_graph(traces):
    network = GRAPHS["a residual network with a strided shortcut"]
    fast = lava_graph.run(inputs_of(network).numpy(), network=network, fast_conv=True)
    stock = traces["a residual network with a strided shortcut"]
    assert all(np.array_equal(fast.u[p], stock.u[p]) for p in stock.u)


def thresholds(v_th: int, *, v_decay: int = 0, n_steps: int = 4, **more: object) -> hw.Network:
    """The residual network, its hosts' thresholds set, so that a given way of driving relays is needed."""
    network = residual(v_decay=v_decay, n_steps=n_steps, payload_bits=4, **more)
    for host in ("b", "c"):
        network = with_neuron(network, host, v_th_mant=v_th, bias_mant=np.full(4, v_th // 5))
    return network


CHAINS = {
    "plain": (thresholds(253), {(1, 0)}),
    "plain, with a current that has memory": (
        with_neuron(thresholds(60), "b", i_decay=3500),
        {(1, 0)},
    ),
    "a bias the leak takes": (thresholds(281, v_decay=410), {(1, 28)}),
    "a bias for as long as a sample lasts": (thresholds(330), {(1, 77)}),
    "copies": (thresholds(600, n_steps=16), {(3, 0)}),
    "copies and a bias": (thresholds(600), {(2, 93)}),
    "a copied source": (random_graph(74, n_steps=4, size=(4, 3)), None),
    "delays": (random_graph(1, n_steps=4, size=(4, 3), delays=True, payload_bits=2), None),
    "recurrence": (random_graph(1, n_steps=4, size=(4, 3), recurrent=True, payload_bits=2), None),
}
"""Graphs, and the (synapses, bias) that drive their relays."""


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    """Every graph as a chain, through its file, in one Lava process: {name: (chain, inputs, trace)}."""
    if not lava.available():
        pytest.skip("no Lava environment")
    folder = tmp_path_factory.mktemp("chains")
    jobs, kept = [], []
    for i, (name, (network, _)) in enumerate(CHAINS.items()):
        chain, rewrites = to_chain(network)
        netx.write(chain, folder / f"{i}.net", chip=None)
        inputs = frames(network, 0) if network.sources[0].neuron.payload_bits == 0 else inputs_of(network)
        jobs.append(lava.Job(path=folder / f"{i}.net", inputs=inputs.numpy(), network=chain))
        kept.append((name, rewrites, inputs))
    return {
        name: (rewrites, inputs, trace)
        for (name, rewrites, inputs), trace in zip(kept, lava.run_many(jobs, timeout_s=300), strict=True)
    }


def test_the_random_graphs_have_what_they_are_named_for():
    named = {name: to_chain(CHAINS[name][0]) for name in ("a copied source", "delays", "recurrence")}
    hosts = {n: {r.layer for r in rewrites if r.step == "relays"} for n, (_, rewrites) in named.items()}
    assert any(r.step == "source" for r in named["a copied source"][1])
    links = [c for c in named["delays"][0].connections if isinstance(c, hw.Dense) and c.max_delay]
    assert {c.target for c in links} & hosts["delays"]
    assert {p.name for p in named["recurrence"][0].populations if named["recurrence"][0].recurrent(p.name)} & (
        hosts["recurrence"]
    )


@pytest.mark.parametrize("name", CHAINS)
def test_the_chain_in_a_file_fires_as_the_graph_does(chains, name):
    network, ways = CHAINS[name]
    rewrites, inputs, trace = chains[name]
    relays = [r for r in rewrites if isinstance(r, RelayRewrite)]
    if ways is not None:
        assert {(r.inputs, r.bias) for r in relays} >= ways
    assert relays
    for population, values in expected_of(network, inputs).items():
        own = slice(network[population].shape[0])
        for quantity in ("u", "v", "spikes"):
            found = getattr(trace, quantity)[population][:, :, own]
            assert np.array_equal(found, values[quantity]), (population, quantity)

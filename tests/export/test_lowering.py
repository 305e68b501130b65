"""A graph and the chain it becomes compute the same numbers, and the rewrites tell exactly what was added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.export import netx
from spikeport.export.lowering import to_chain
from spikeport.export.lowering_rewrite import RelayRewrite
from spikeport.export.netx_chain import as_chain

from .graphs import (
    conv,
    dense,
    even,
    frames,
    image,
    network,
    one_to_one,
    random_graph,
    require_costs,
    require_equal,
)

CHIP = hw.CHIPS["loihi2"]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    payload_bits=st.sampled_from([0, 3]),
    v_decay=st.sampled_from([None, 0, 410, 4095]),
    memory=st.sampled_from(["none", "recurrent", "delays"]),
    n_steps=st.integers(2, 6),
)
def test_any_graph_and_its_chain_are_equal_at_every_step(seed, payload_bits, v_decay, memory, n_steps):
    graph = random_graph(
        seed,
        payload_bits=payload_bits,
        v_decay=v_decay,
        n_steps=n_steps,
        recurrent=memory == "recurrent",
        delays=memory == "delays",
    )
    chain, rewrites = to_chain(graph)
    assert [p.name for p in graph.populations if p.name not in [q.name for q in chain.populations]] == []
    as_chain(chain)  # one path of layers
    require_costs(graph, chain, rewrites)
    trace = require_equal(graph, chain, frames(graph, seed))
    for rewrite in rewrites:
        if isinstance(rewrite, RelayRewrite) and rewrite.bias == 0:
            added = [r for r in rewrites if r.layer == rewrite.layer and r.step == "relays"]
            channels = sum(r.neurons for r in added) // int(np.prod(chain[rewrite.layer].shape[1:]))
            assert not trace.v[rewrite.layer][:, :, -channels:].any()  # a relay holds no potential


def test_the_random_graphs_need_every_way_and_every_pass():
    """The property above is of something: plain relays, lasting and passing biases, copies, phases, a copied source."""
    ways, steps, phases = set(), set(), False
    for seed in range(60):
        rewrites = to_chain(random_graph(seed, n_steps=4 + 8 * (seed % 2)))[1]
        steps |= {r.step for r in rewrites}
        relays = [r for r in rewrites if isinstance(r, RelayRewrite)]
        ways |= {(r.inputs > 1, r.bias > 0, r.lasting) for r in relays}
        phases |= any("phases" in r.what for r in relays)
    assert steps >= {"relays", "copies", "joint", "order", "source"}
    assert ways >= {
        (False, False, True),
        (False, True, True),
        (False, True, False),
        (True, False, True),
        (True, True, False),
    }
    assert phases


def test_spikes_added_after_the_neuron_travel_on_to_every_later_layer():
    """SEW: a -> b, then c reads b and a, d reads c, b and a; the projection p stands beside the main path."""
    graph = network(
        image("a", (2, 6, 6)),
        conv("in", "a", 2, 2),
        image("b", (2, 3, 3)),
        conv("a", "b", 2, 2, stride=2),
        image("p", (2, 3, 3)),
        conv("a", "p", 2, 2, kernel=1, stride=2),
        image("c", (2, 3, 3)),
        conv("b", "c", 2, 2),
        conv("p", "c", 2, 2),
        image("d", (2, 3, 3)),
        conv("c", "d", 2, 2),
        conv("b", "d", 2, 2),
        conv("p", "d", 2, 2),
        payload_bits=3,
    )
    chain, rewrites = to_chain(graph)
    carried = {r.layer: [] for r in rewrites}
    for r in rewrites:
        carried[r.layer] += [r.carries] if isinstance(r, RelayRewrite) else []
    assert carried == {"b": ["a"], "p": ["b"], "c": ["p", "b"], "d": []}
    require_equal(graph, chain, frames(graph, 0))
    require_costs(graph, chain, rewrites)


def test_a_branch_that_needs_every_position_passes_a_strided_layer_in_phases():
    """b reads all of a with a 3 x 3 kernel of stride 2, after p, which keeps every second position of a."""
    graph = network(
        image("a", (2, 6, 6)),
        conv("in", "a", 2, 2),
        image("p", (2, 3, 3)),
        conv("a", "p", 2, 2, kernel=1, stride=2),
        image("b", (3, 3, 3)),
        conv("a", "b", 2, 3, stride=2),
        conv("p", "b", 2, 3, kernel=1),
    )
    chain, rewrites = to_chain(graph)
    (relay,) = (r for r in rewrites if isinstance(r, RelayRewrite))
    assert relay.neurons == 2 * 6 * 6  # every position of a once, as four phases of 2 x 3 x 3
    assert "in 4 phases" in relay.what
    require_equal(graph, chain, frames(graph, 0))


def test_a_skip_around_a_convolution_without_padding_is_read_where_it_lies():
    """b is 4 x 4; the shortcut reads all 6 x 6 of a, which takes views that begin at 0 and at 2."""
    graph = network(
        image("a", (1, 6, 6)),
        conv("in", "a", 2, 1),
        image("b", (1, 4, 4)),
        conv("a", "b", 1, 1, padding=0),
        image("c", (1, 4, 4)),
        conv("b", "c", 1, 1),
        conv("a", "c", 1, 1, padding=0),
    )
    chain, rewrites = to_chain(graph)
    assert [r.carries for r in rewrites if isinstance(r, RelayRewrite)] == ["a"]
    require_equal(graph, chain, frames(graph, 0))


def test_a_skip_into_a_dense_layer_and_past_others_is_carried_by_rows():
    a, b, c = image("a", (2, 6, 6)), image("b", (5,)), image("c", (4,))
    graph = network(
        a,
        conv("in", "a", 2, 2),
        b,
        dense(a, "b", 5),
        c,
        dense(b, "c", 4),
        image("d", (3,)),
        dense(c, "d", 3),
        dense(a, "d", 3),
    )
    chain, rewrites = to_chain(graph)
    assert [(r.layer, r.neurons) for r in rewrites if isinstance(r, RelayRewrite)] == [("b", 72), ("c", 72)]
    link = chain.incoming("c")[0]
    assert isinstance(link, hw.Dense)
    assert np.array_equal(link.weight[4:, 5:], 62 * np.eye(72))  # an identity on the rows of b that repeat a
    require_equal(graph, chain, frames(graph, 0))


def test_relays_in_a_recurrent_layer_hear_nothing_of_it():
    a, b = image("a", (2, 6, 6)), image("b", (5,))
    loop = hw.Dense(source="b", target="b", weight=even(np.random.default_rng(0), (5, 5)))
    graph = network(
        a, conv("in", "a", 2, 2), b, dense(a, "b", 5), loop, image("c", (3,)), dense(b, "c", 3), dense(a, "c", 3)
    )
    chain, rewrites = to_chain(graph)
    (inside,) = chain.recurrent("b")
    assert inside.weight.shape == (5 + 72, 5 + 72)
    assert np.array_equal(inside.weight[:5, :5], loop.weight)
    assert np.count_nonzero(inside.weight) == np.count_nonzero(loop.weight)
    require_equal(graph, chain, frames(graph, 0))
    require_costs(graph, chain, rewrites)


def test_delays_stay_with_their_synapses_and_relays_have_none():
    a, b = image("a", (2, 6, 6)), image("b", (5,))
    graph = network(
        a,
        conv("in", "a", 2, 2),
        b,
        dense(a, "b", 5, delay=np.array(2)),
        image("c", (3,)),
        dense(b, "c", 3, delay=np.array([[0], [1], [2]])),
        dense(a, "c", 3, delay=np.array(1)),
        n_steps=6,
    )
    chain, _ = to_chain(graph)
    link = chain.incoming("b")[0]
    assert isinstance(link, hw.Dense)
    assert (link.delay[:5].min(), link.delay[:5].max(), link.delay[5:].max()) == (2, 2, 0)
    require_equal(graph, chain, frames(graph, 0))


def test_a_population_a_strong_host_repeats_is_copied_where_it_is_emitted():
    graph = network(
        image("a", (2, 6, 6)),
        conv("in", "a", 2, 2),
        image("b", (2, 6, 6), v_th=900),
        conv("a", "b", 2, 2),
        image("c", (2, 6, 6)),
        conv("b", "c", 2, 2),
        conv("a", "c", 2, 2, kernel=1),
        n_steps=64,
        payload_bits=3,
    )
    chain, rewrites = to_chain(graph)
    (relay,) = (r for r in rewrites if isinstance(r, RelayRewrite))
    assert (relay.inputs, relay.weight, relay.bias) == (4, 226, 0)  # 4 226 = 904 > 900; three reach 762 + 14
    assert chain["a"].shape == (4 * 2, 6, 6)
    link = chain.incoming("a")[0]
    assert all(np.array_equal(link.weight[2 * i : 2 * i + 2], link.weight[:2]) for i in range(4))
    require_equal(graph, chain, frames(graph, 0))
    require_costs(graph, chain, rewrites)


def test_a_binary_source_is_repeated_before_it_is_copied():
    graph = network(
        image("a", (2, 6, 6), v_th=900),
        conv("in", "a", 2, 2),
        image("b", (2, 6, 6)),
        conv("a", "b", 2, 2),
        conv("in", "b", 2, 2),
        n_steps=64,
    )
    chain, rewrites = to_chain(graph)
    assert [p.name for p in chain.populations] == ["in", "in.repeated", "a", "b"]
    assert chain["in.repeated"].shape == (8, 6, 6)
    require_equal(graph, chain, frames(graph, 0))
    require_costs(graph, chain, rewrites)


def test_one_to_one_synapses_behind_the_source_stay_and_others_become_weights():
    v = image("v", (3,))
    graph = network(
        image("a", (2, 6, 6)), one_to_one("in", "a"), image("b", (2, 6, 6)), one_to_one("a", "b"),
        v, dense(image("b", (2, 6, 6)), "v", 3), image("w", (3,)), one_to_one("v", "w"),
    )  # fmt: skip
    chain, rewrites = to_chain(graph)
    kinds = [type(c).__name__ for c in chain.connections]
    assert kinds == ["OneToOne", "Conv", "Dense", "Dense"]
    assert [(r.step, r.layer, r.synapses) for r in rewrites] == [("identities", "b", 0), ("identities", "w", 9 - 3)]
    require_equal(graph, chain, frames(graph, 0))
    assert hw.same(to_chain(chain)[0], chain)


def test_one_to_one_synapses_beside_another_connection_of_the_source_become_weights():
    graph = network(
        image("a", (2, 6, 6)), one_to_one("in", "a"), image("b", (2, 6, 6)), conv("a", "b", 2, 2), one_to_one("in", "b")
    )
    chain, rewrites = to_chain(graph)
    assert [r.layer for r in rewrites if r.step == "identities"] == ["a", "b"]
    require_equal(graph, chain, frames(graph, 0))
    require_costs(graph, chain, rewrites)


def test_an_input_layer_with_neurons_stays_in_front_of_a_residual_network():
    graph = network(
        image("a", (2, 6, 6)), one_to_one("in", "a", 13), image("b", (2, 6, 6)), conv("a", "b", 2, 2),
        image("c", (2, 6, 6)), conv("b", "c", 2, 2), one_to_one("a", "c"), payload_bits=3,
    )  # fmt: skip
    chain, rewrites = to_chain(graph)
    assert isinstance(chain.incoming("a")[0], hw.OneToOne)
    assert [r.layer for r in rewrites if r.step == "identities"] == ["c"]
    require_equal(graph, chain, frames(graph, 0))
    require_costs(graph, chain, rewrites)


@pytest.mark.parametrize(("channels", "groups"), [(128, 64), (254, 127), (131, 1)])
def test_more_groups_than_the_chip_takes_are_merged(channels, groups):
    source = hw.Population(name="in", shape=(channels, 2, 2), neuron=hw.Source())
    weight = even(np.random.default_rng(0), (channels, 1, 1, 1), 200)
    graph = hw.Network(
        populations=(source, image("a", (channels, 2, 2), v_th=5)),
        connections=(hw.Conv(source="in", target="a", weight=weight, groups=channels),),
        readout=hw.Readout(population="a", kind="spike_count"),
        n_steps=3,
    )
    assert list(hw.violations(graph, CHIP)) != []
    chain, (rewrite,) = to_chain(graph)
    link = chain.connections[0]
    assert isinstance(link, hw.Conv)
    assert link.groups == groups
    assert rewrite.synapses == 4 * channels * (channels // groups - 1)
    assert list(hw.violations(chain, CHIP)) == []
    require_equal(graph, chain, frames(graph, 0))


def test_populations_are_ordered_so_that_positions_only_get_fewer():
    """The vector branch and the strided one are listed first, the larger image after them."""
    a, v = image("a", (2, 6, 6)), image("v", (4,))
    graph = network(
        a,
        conv("in", "a", 2, 2),
        v,
        dense(a, "v", 4),
        image("s", (2, 3, 3)),
        conv("a", "s", 2, 2, kernel=1, stride=2),
        image("b", (2, 6, 6)),
        conv("a", "b", 2, 2),
        image("out", (3,)),
        dense(v, "out", 3),
        dense(image("b", (2, 6, 6)), "out", 3),
        dense(image("s", (2, 3, 3)), "out", 3),
    )
    chain, rewrites = to_chain(graph)
    assert [p.name for p in chain.populations] == ["in", "a", "b", "s", "v", "out"]
    assert {r.layer for r in rewrites if r.step == "order"} == {"b", "s", "v", "out"}
    require_equal(graph, chain, frames(graph, 0))


def test_the_chain_of_a_graph_survives_the_file(tmp_path):
    graph = random_graph(4, payload_bits=3, n_steps=4)
    chain, _ = to_chain(graph)
    netx.write(chain, tmp_path / "a.net", chip=None)
    assert hw.same(netx.read(tmp_path / "a.net"), chain)

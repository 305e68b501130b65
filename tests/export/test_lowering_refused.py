"""What no chain can hold or carry is refused with the way out; what only looks like it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spikeport import hw
from spikeport.export.lowering import to_chain

from .graphs import conv, dense, even, frames, image, network, require_equal, with_neuron


def skipping(**host: int) -> hw.Network:
    """a -> b -> c and a -> c; host: neuron parameters of b."""
    graph = network(
        image("a", (2, 6, 6)), conv("in", "a", 2, 2), image("b", (2, 6, 6)), conv("a", "b", 2, 2),
        image("c", (2, 6, 6)), conv("b", "c", 2, 2), conv("a", "c", 2, 2, kernel=1), payload_bits=3,
    )  # fmt: skip
    return with_neuron(graph, "b", **host) if host else graph


def test_a_bias_with_another_exponent_is_folded_in_a_layer_that_hosts_relays():
    graph = skipping(bias_mant=np.array([4, -8]), bias_exp=4)
    chain, _ = to_chain(graph)
    neuron = chain["b"].neuron
    assert isinstance(neuron, hw.Cuba)
    assert (neuron.bias_mant.tolist(), neuron.bias_exp) == ([1, -2, 0, 0], 6)
    require_equal(graph, chain, frames(graph, 0))
    with pytest.raises(hw.NotRepresentable, match="b: a bias with exponent 4"):
        to_chain(skipping(bias_mant=np.array([3, -8]), bias_exp=4))


def two_sources() -> hw.Network:
    graph = skipping()
    other = hw.Population(name="other", shape=(2, 6, 6), neuron=hw.Source())
    return replace(
        graph,
        populations=(other, *graph.populations),
        connections=(*graph.connections, conv("other", "c", 2, 2)),
    )


def read_too_early() -> hw.Network:
    graph = skipping()
    return replace(graph, readout=hw.Readout(population="b", kind="spike_count"))


def odd_stride() -> hw.Network:
    """The shortcut reads every position of a at the place of every second one."""
    return network(
        image("a", (2, 6, 6)), conv("in", "a", 2, 2), image("b", (2, 3, 3)), conv("a", "b", 2, 2, stride=2),
        image("c", (2, 3, 3)), conv("b", "c", 2, 2),
        hw.Conv(source="a", target="c", weight=np.full((2, 2, 4, 4), 20)),
    )  # fmt: skip


def recurrent_image() -> hw.Network:
    graph = skipping()
    loop = hw.Dense(source="b", target="b", weight=even(np.random.default_rng(0), (72, 72)))
    return replace(graph, connections=(*graph.connections, loop))


def delayed_loop() -> hw.Network:
    a, b = image("a", (2, 6, 6)), image("b", (5,))
    loop = hw.Dense(source="b", target="b", weight=even(np.random.default_rng(0), (5, 5)), delay=np.array(1))
    return network(
        a, conv("in", "a", 2, 2), b, dense(a, "b", 5), loop, image("c", (3,)), dense(b, "c", 3), dense(a, "c", 3)
    )


def two_delays() -> hw.Network:
    a = image("a", (2, 6, 6))
    return network(a, conv("in", "a", 2, 2), image("b", (5,)), dense(a, "b", 5, delay=np.array(1)), dense(a, "b", 5))


def graded_skip() -> hw.Network:
    graph = skipping()
    return replace(graph, connections=(*graph.connections, conv("in", "b", 2, 2)))


def test_a_matrix_too_large_for_a_file_is_refused_before_it_is_made():
    """12,000 relays of a in a vector layer that reads 12,000 neurons: 144 million weights, over 2^27."""
    a = hw.Population(name="a", shape=(12_000,), neuron=hw.Cuba(v_th_mant=5))
    source = hw.Population(name="in", shape=(1,), neuron=hw.Source())
    row = np.ones((1, 12_000), np.int16)
    graph = hw.Network(
        populations=(source, a, image("b", (1,)), image("c", (1,))),
        connections=(
            hw.Dense(source="in", target="a", weight=row.T), hw.Dense(source="a", target="b", weight=row),
            hw.Dense(source="b", target="c", weight=np.ones((1, 1), int)),
            hw.Dense(source="a", target="c", weight=row),
        ),
        readout=hw.Readout(population="c"), n_steps=1,
    )  # fmt: skip
    with pytest.raises(hw.DoesNotFit, match=r"b: with what it carries its weight would be \(12001, 12000\)"):
        to_chain(graph)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (two_sources, r"the network has 2 sources \(other, in\), a chain has 1"),
        (read_too_early, r"b: the read-out would have to carry a for c"),
        (odd_stride, r"a -> c: its stride \(1, 1\) is no multiple of the \(2, 2\)"),
        (recurrent_image, "b: is recurrent and has positions"),
        (delayed_loop, "b: is recurrent and has delays"),
        (two_delays, "a -> b: two connections with different delays"),
        (graded_skip, "a: a relay of in would lose its payload of 3 bits"),
        (lambda: skipping(i_decay=2000), r"b: a relay of a would fire again .* use i_decay 4096 in b"),
    ],
)
def test_what_no_chain_can_carry_is_refused_with_the_way_out(build, message):
    with pytest.raises(hw.UnsupportedLayer, match=message):
        to_chain(build())


def test_a_dense_matrix_that_lava_would_change_is_refused():
    """Both matrices hold negative weights alone, -64 the largest; joined they still do."""
    a, b = image("a", (2, 6, 6)), image("b", (5,))
    graph = network(a, conv("in", "a", 2, 2), b, dense(a, "b", 5), image("c", (3,)), dense(b, "c", 3), dense(a, "c", 3))
    connections = [replace(c, weight=-64 * (c.weight > 10)) if c.target == "c" else c for c in graph.connections]
    with pytest.raises(hw.NotRepresentable, match=r"b -> c: Lava would multiply by -32 where weight\["):
        to_chain(replace(graph, connections=tuple(connections)))

"""Relay channels in residual networks: a graph and its chain compute the same spikes, u, v and answers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.export import netx
from spikeport.export.lowering import to_chain
from spikeport.export.lowering_rewrite import RelayRewrite, Rewrite
from spikeport.export.netx_chain import as_chain


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Even weights of both signs."""
    made = 2 * rng.integers(-20, 21, shape)
    made.flat[:2] = (-4, 6)
    return made


def residual(
    rng: np.random.Generator, *, stride: int = 1, blocks: int = 2, v_decay: int = 0, v_th: int = 60, n_steps: int = 4
) -> hw.Network:
    """stem, then blocks of two convolutions with a shortcut: identity, or 1 x 1 with the first block's stride."""
    size, channels = (5, 6), 3
    populations = [hw.Population(name="in", shape=(2, *size), neuron=hw.Source(payload_bits=3))]
    connections: list[hw.Connection] = []

    def add(name: str, shape: tuple[int, ...], *incoming: hw.Connection, bias: int = 0) -> None:
        neuron = hw.Cuba(v_th_mant=v_th, v_decay=v_decay, bias_mant=rng.integers(-5, 20, shape[0]) + bias)
        populations.append(hw.Population(name=name, shape=shape, neuron=neuron))
        connections.extend(incoming)

    def conv(source: str, target: str, c_in: int, c_out: int, kernel: int = 3, step: int = 1) -> hw.Conv:
        pad = (kernel // 2, kernel // 2)
        weight = weights(rng, c_out, c_in, kernel, kernel)
        return hw.Conv(source=source, target=target, weight=weight, stride=(step, step), padding=pad)

    add("stem", (channels, *size), conv("in", "stem", 2, channels))
    last = "stem"
    for i in range(blocks):
        step = stride if i == 0 else 1
        wide = channels + 1 if step > 1 else channels
        size = (-(-size[0] // step), -(-size[1] // step))
        add(f"b{i}a", (wide, *size), conv(last, f"b{i}a", channels, wide, step=step))
        skip = conv(last, f"b{i}b", channels, wide, kernel=1, step=step)
        if step == 1:  # identity, one group per channel
            skip = hw.Conv(source=last, target=f"b{i}b", weight=np.full((channels, 1, 1, 1), 40), groups=channels)
        add(f"b{i}b", (wide, *size), conv(f"b{i}a", f"b{i}b", wide, wide), skip)
        last, channels = f"b{i}b", wide
    dense = hw.Dense(source=last, target="out", weight=weights(rng, 3, channels * size[0] * size[1]))
    populations.append(hw.Population(name="out", shape=(3,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)))
    return hw.Network(
        populations=tuple(populations),
        connections=(*connections, dense),
        readout=hw.Readout(population="out"),
        n_steps=n_steps,
    )


def relays(rewrites: tuple[Rewrite, ...]) -> list[RelayRewrite]:
    return [rewrite for rewrite in rewrites if isinstance(rewrite, RelayRewrite)]


def images(network: hw.Network, rng: np.random.Generator, count: int = 3) -> torch.Tensor:
    return torch.from_numpy(rng.integers(0, 8, (count, *network.populations[0].shape)).astype(np.int32))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    stride=st.sampled_from([1, 2, 3]),
    blocks=st.integers(1, 3),
    v_decay=st.sampled_from([0, 410, 4095, 4096]),
)
def test_a_residual_graph_and_its_chain_are_equal_at_every_step(seed, stride, blocks, v_decay):
    rng = np.random.default_rng(seed)
    graph = residual(rng, stride=stride, blocks=blocks, v_decay=v_decay)
    chain, added = to_chain(graph)
    assert len(as_chain(chain)) == len(graph.populations) - 1  # no layer more than before, and a chain
    x = images(graph, rng)
    before, after = (sim.run(n, x, record=("spikes", "u", "v")) for n in (graph, chain))
    assert torch.equal(before.readout, after.readout)
    for population in graph.populations:
        own = slice(population.shape[0])
        for quantity in ("spikes", "u", "v"):
            expected = getattr(before, quantity).get(population.name)
            if expected is not None:
                assert torch.equal(getattr(after, quantity)[population.name][:, :, own], expected)
    for rewrite in relays(added):
        repeated = after.spikes[rewrite.layer][:, :, graph[rewrite.layer].shape[0] :]
        step = stride if rewrite.layer == "b0a" else 1
        assert torch.equal(repeated, before.spikes[rewrite.carries][..., ::step, ::step])
        assert not after.v[rewrite.layer][:, :, graph[rewrite.layer].shape[0] :].any()  # a relay holds no potential


def test_the_chain_survives_the_file(tmp_path):
    chain, _ = to_chain(residual(np.random.default_rng(0), stride=2))
    netx.write(chain, tmp_path / "a.net")
    assert hw.same(netx.read(tmp_path / "a.net"), chain)


def test_the_cost_of_relays_is_told():
    graph = residual(np.random.default_rng(0), stride=2, blocks=1)
    _, added = to_chain(graph)
    (rewrite,) = relays(added)
    assert (rewrite.layer, rewrite.carries) == ("b0a", "stem")
    assert rewrite.neurons == 3 * 3 * 3  # three channels of the stem at every second of 5 x 6 positions: 3 x 3
    assert rewrite.synapses == rewrite.neurons * 3 * 9  # each with a stored 3 x 3 kernel over three channels
    assert rewrite.weight == 62  # the smallest even weight above the threshold of 60
    (joint,) = (r for r in added if r.step == "joint")
    assert (joint.layer, joint.neurons) == ("b0b", 0)
    # four channels at 3 x 3, each with a 3 x 3 kernel over the three relays, in place of a 1 x 1 kernel over the stem
    assert joint.synapses == 4 * 9 * 3 * (9 - 1)


def test_a_chain_is_left_alone():
    graph = residual(np.random.default_rng(0), blocks=1)
    chain, _ = to_chain(graph)
    again, added = to_chain(chain)
    assert again is chain
    assert added == ()


def test_a_skip_over_two_layers_is_carried_through_both():
    rng = np.random.default_rng(1)
    graph = residual(rng, blocks=2)
    far = hw.Conv(source="stem", target="b1b", weight=np.full((3, 1, 1, 1), 30), groups=3)
    graph = hw.Network(
        populations=graph.populations,
        connections=(*graph.connections, far),
        readout=graph.readout,
        n_steps=graph.n_steps,
    )
    chain, added = to_chain(graph)
    assert [r.layer for r in relays(added) if r.carries == "stem"] == ["b0a", "b0b", "b1a"]
    x = images(graph, rng)
    assert torch.equal(sim.run(graph, x).readout, sim.run(chain, x).readout)


def test_one_synapse_drives_a_relay_up_to_a_threshold_of_253_and_helpers_beyond():
    for v_th, expected in ((253, (1, 254, 0)), (254, (1, 254, 1)), (400, (2, 202, 0))):
        graph = residual(np.random.default_rng(0), v_th=v_th, blocks=1)
        chain, added = to_chain(graph)
        (relay,) = relays(added)
        assert (relay.inputs, relay.weight, relay.bias) == expected
        x = images(graph, np.random.default_rng(1))
        assert torch.equal(sim.run(graph, x).readout, sim.run(chain, x).readout)


def replaced(graph: hw.Network, target: str, source: str, **changes) -> hw.Network:
    def change(c: hw.Connection) -> hw.Connection:
        if (c.source, c.target) != (source, target):
            return c
        given = {f: getattr(c, f) for f in ("source", "target", "weight", "stride", "padding", "dilation", "groups")}
        return hw.Conv(**given | changes)

    return hw.Network(
        populations=graph.populations,
        connections=tuple(change(c) for c in graph.connections),
        readout=graph.readout,
        n_steps=graph.n_steps,
    )


def test_a_shortcut_kernel_wider_than_the_main_path_widens_the_joint_one():
    rng = np.random.default_rng(0)
    graph = replaced(residual(rng), "b0b", "stem", weight=weights(rng, 3, 3, 5, 5), padding=(2, 2), groups=1)
    chain, _ = to_chain(graph)
    assert chain.incoming("b0b")[0].weight.shape[2:] == (5, 5)
    x = images(graph, rng)
    assert torch.equal(sim.run(graph, x).readout, sim.run(chain, x).readout)


def test_a_shortcut_kernel_as_wide_as_the_main_path_joins_it():
    rng = np.random.default_rng(0)
    graph = replaced(residual(rng), "b0b", "stem", weight=weights(rng, 3, 3, 3, 3), padding=(1, 1), groups=1)
    chain, _ = to_chain(graph)
    x = images(graph, rng)
    assert torch.equal(sim.run(graph, x).readout, sim.run(chain, x).readout)


def test_a_skip_from_a_graded_source_is_refused():
    rng = np.random.default_rng(0)
    graph = residual(rng, blocks=1)
    skip = hw.Conv(source="in", target="b0a", weight=weights(rng, 3, 2, 1, 1))
    graph = hw.Network(
        populations=graph.populations,
        connections=(*graph.connections, skip),
        readout=graph.readout,
        n_steps=graph.n_steps,
    )
    with pytest.raises(hw.UnsupportedLayer, match="a relay of in would lose its payload"):
        to_chain(graph)

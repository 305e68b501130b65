"""Graphs of populations with skips, random and by hand, and what their chains must share. Not a test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from spikeport import hw, sim
from spikeport.export.lowering import PASSES
from spikeport.export.lowering_rewrite import Rewrite, stored_synapses

ALL = ("spikes", "u", "v")
V_DECAYS = (0, 410, 4095, 4096)
THRESHOLDS = (3, 60, 253, 254, 330, 600, 1200)
"""Below, at and above what one relay weight exceeds; 600 needs copies or a bias, 1200 at least four copies."""


def even(rng: np.random.Generator, shape: tuple[int, ...], largest: int = 40) -> np.ndarray:
    """Even weights of both signs, more positive ones."""
    made = 2 * rng.integers(-largest // 4, largest // 2 + 1, shape)
    made.flat[0], made.flat[-1] = 6, -4
    return made


def random_graph(
    seed: int,
    *,
    spatial: int = 4,
    vectors: int = 2,
    payload_bits: int = 0,
    v_decay: int | None = None,
    thresholds: tuple[int, ...] = THRESHOLDS,
    recurrent: bool = False,
    delays: bool = False,
    n_steps: int = 5,
    size: tuple[int, int] = (5, 6),
) -> hw.Network:
    """Populations with positions at strides 1, 2 and 4 of the source, then vectors; each reads 1 to 3 earlier ones.

    With payload_bits the source speaks to the first population only.
    """
    rng = np.random.default_rng(seed)
    source = hw.Population(name="in", shape=(2, *size), neuron=hw.Source(payload_bits=payload_bits))
    populations, connections = [source], []
    strides = {"in": 1}
    for index in range(spatial + vectors):
        earlier = populations[1:] if payload_bits and index else populations
        name = f"p{index}"
        if index < spatial:
            chosen = pick(rng, earlier)
            top = max(strides[p.name] for p in chosen)
            strides[name] = top * int(rng.choice([1, 1, 2])) if top < 4 else top
            channels = int(rng.integers(1, 4))
            links = [_conv(rng, p, name, channels, strides[name] // strides[p.name]) for p in chosen]
            shape = links[0].out_shape(chosen[0].shape)
        else:
            shape = (int(rng.integers(2, 6)),)
            links = [_dense(rng, p, name, shape[0], delays) for p in pick(rng, earlier)]
            if recurrent and rng.random() < 0.5:
                links.append(hw.Dense(source=name, target=name, weight=even(rng, (*shape, *shape))))
        populations.append(hw.Population(name=name, shape=shape, neuron=_neuron(rng, shape, v_decay, thresholds)))
        connections += links
    out = [_dense(rng, p, "out", 3, False) for p in pick(rng, populations[1:])]
    populations.append(hw.Population(name="out", shape=(3,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)))
    return hw.Network(
        populations=tuple(populations),
        connections=(*connections, *out),
        readout=hw.Readout(population="out"),
        n_steps=n_steps,
    )


def pick(rng: np.random.Generator, earlier: list[hw.Population]) -> list[hw.Population]:
    """One to three populations, the last among them in two cases of three."""
    count = min(len(earlier), int(rng.integers(1, 4)))
    chosen = set(rng.choice(len(earlier), count, replace=False).tolist())
    if rng.random() < 2 / 3:
        chosen.add(len(earlier) - 1)
    return [earlier[i] for i in sorted(chosen)]


def _neuron(
    rng: np.random.Generator, shape: tuple[int, ...], v_decay: int | None, thresholds: tuple[int, ...]
) -> hw.Cuba:
    v_th = int(rng.choice(thresholds))
    per = shape if rng.random() < 0.3 else shape[:1]
    return hw.Cuba(
        v_th_mant=v_th,
        i_decay=4096,
        v_decay=int(rng.choice(V_DECAYS)) if v_decay is None else v_decay,
        bias_mant=rng.integers(-v_th // 8 - 1, v_th // 2 + 2, per),
    )


def _conv(rng: np.random.Generator, source: hw.Population, target: str, channels: int, stride: int) -> hw.Conv:
    """A kernel of 1, 3 (dilated or not) or 5 that keeps the size but for its stride."""
    kernel, dilation = [(1, 1), (3, 1), (3, 2), (5, 1)][int(rng.integers(4))]
    reach = dilation * (kernel - 1) // 2
    return hw.Conv(
        source=source.name,
        target=target,
        weight=even(rng, (channels, source.shape[0], kernel, kernel), 120),
        stride=(stride, stride),
        padding=(reach, reach),
        dilation=(dilation, dilation),
    )


def _dense(rng: np.random.Generator, source: hw.Population, target: str, size: int, delays: bool) -> hw.Dense:
    weight = even(rng, (size, source.size), 100)
    delay = rng.integers(0, 3, weight.shape) if delays and rng.random() < 0.7 else np.zeros((), np.int64)
    return hw.Dense(source=source.name, target=target, weight=weight, delay=delay)


def frames(network: hw.Network, seed: int, count: int = 3) -> torch.Tensor:
    """Inputs that change over the sample: int32 (T, B, *S), half of them zero if they are binary."""
    source = network.sources[0]
    assert isinstance(source.neuron, hw.Source)
    rng = np.random.default_rng(seed + 1)
    shape = (network.n_steps, count, *source.shape)
    return torch.from_numpy(rng.integers(0, source.neuron.max_payload + 1, shape).astype(np.int32))


def with_neuron(network: hw.Network, name: str, **changes: object) -> hw.Network:
    """The network with other neuron parameters in one population."""
    populations = [
        replace(p, neuron=replace(p.neuron, **changes)) if p.name == name else p for p in network.populations
    ]
    return replace(network, populations=tuple(populations))


def require_equal(graph: hw.Network, chain: hw.Network, x: torch.Tensor) -> sim.Trace:
    """Every number of every population is the same in its first channels; returns the chain's trace."""
    before, after = (sim.run(network, x, record=ALL) for network in (graph, chain))
    assert torch.equal(before.readout, after.readout)
    for population in graph.populations:
        for quantity in ALL:
            expected = getattr(before, quantity).get(population.name)
            if expected is not None:
                found = getattr(after, quantity)[population.name][:, :, : population.shape[0]]
                assert torch.equal(found, expected), (population.name, quantity)
    return after


def require_costs(graph: hw.Network, chain: hw.Network, rewrites: tuple[Rewrite, ...]) -> None:
    """The rewrites add up to what the chain has more."""
    sizes = [sum(p.size for p, _ in network.neurons) for network in (graph, chain)]
    assert sum(r.neurons for r in rewrites) == sizes[1] - sizes[0]
    assert sum(r.synapses for r in rewrites) == stored_synapses(chain) - stored_synapses(graph)
    assert {r.step for r in rewrites} <= set(PASSES)


def image(name: str, shape: tuple[int, ...], v_th: int = 60, **more: int) -> hw.Population:
    return hw.Population(name=name, shape=shape, neuron=hw.Cuba(v_th_mant=v_th, **more))


def network(*parts: hw.Population | hw.Connection, n_steps: int = 4, payload_bits: int = 0) -> hw.Network:
    """A network from parts in any order, with a source `in` of shape (2, 6, 6); the last population answers."""
    source = hw.Population(name="in", shape=(2, 6, 6), neuron=hw.Source(payload_bits=payload_bits))
    populations = (source, *(p for p in parts if isinstance(p, hw.Population)))
    return hw.Network(
        populations=populations,
        connections=tuple(p for p in parts if not isinstance(p, hw.Population)),
        readout=hw.Readout(population=populations[-1].name, kind="spike_count"),
        n_steps=n_steps,
    )


def conv(source: str, target: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, seed: int = 0, **more):
    rng = np.random.default_rng([seed, *source.encode(), *target.encode()])
    return hw.Conv(
        source=source,
        target=target,
        weight=even(rng, (outputs, inputs, kernel, kernel), 100),
        stride=(stride, stride),
        padding=(more.pop("padding", kernel // 2),) * 2,
        **more,
    )


def dense(source: hw.Population, target: str, outputs: int, **more) -> hw.Dense:
    rng = np.random.default_rng([*source.name.encode(), *target.encode()])
    return hw.Dense(source=source.name, target=target, weight=even(rng, (outputs, source.size), 60), **more)


def one_to_one(source: str, target: str, weight: int = 80) -> hw.OneToOne:
    return hw.OneToOne(source=source, target=target, weight=np.array(weight))

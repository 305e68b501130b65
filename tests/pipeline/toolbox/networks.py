"""Small networks for the toolbox, and files that hold them. Not a test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
from spikeport import hw


def chain(
    *,
    seed: int = 0,
    a: hw.Cuba | None = None,
    b: hw.Cuba | None = None,
    largest: int = 20,
    n_steps: int = 6,
    payload_bits: int = 3,
    kernel: np.ndarray | None = None,
    matrix: np.ndarray | None = None,
) -> hw.Network:
    """in (2, 4, 3) -> conv `a` of 3 channels, 3 x 3 -> dense `b` of 5 -> read-out of 3 by its membrane."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return 2 * rng.integers(-largest // 2, largest // 2, shape, endpoint=True)

    kernel = weights(3, 2, 3, 3) if kernel is None else kernel
    matrix = weights(5, 36) if matrix is None else matrix
    a = a or hw.Cuba(v_th_mant=90, i_decay=1500, v_decay=700, bias_mant=np.array([8, -6, 4]))
    b = b or hw.Cuba(v_th_mant=40, i_decay=4096, v_decay=300)
    populations = (
        hw.Population(name="in", shape=(2, 4, 3), neuron=hw.Source(payload_bits=payload_bits)),
        hw.Population(name="a", shape=(3, 4, 3), neuron=a),
        hw.Population(name="b", shape=(5,), neuron=b),
        hw.Population(name="out", shape=(3,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES)),
    )
    connections = (
        hw.Conv(source="in", target="a", weight=kernel, padding=(1, 1)),
        hw.Dense(source="a", target="b", weight=matrix),
        hw.Dense(source="b", target="out", weight=weights(3, 5)),
    )
    return hw.Network(
        populations=populations, connections=connections, readout=hw.Readout(population="out"), n_steps=n_steps
    )


def one_layer(
    weight: np.ndarray,
    neuron: hw.Cuba,
    *,
    n_steps: int = 6,
    payload_bits: int = 0,
    delay: np.ndarray | int = 0,
    recurrent: np.ndarray | None = None,
) -> hw.Network:
    """in -> `a`, dense, perhaps recurrent; it answers by its spike count."""
    connections = [hw.Dense(source="in", target="a", weight=weight, delay=np.asarray(delay))]
    if recurrent is not None:
        connections.append(hw.Dense(source="a", target="a", weight=recurrent))
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(weight.shape[1],), neuron=hw.Source(payload_bits=payload_bits)),
            hw.Population(name="a", shape=(weight.shape[0],), neuron=neuron),
        ),
        connections=tuple(connections),
        readout=hw.Readout(population="a", kind="spike_count"),
        n_steps=n_steps,
    )


def inputs_for(network: hw.Network, *, samples: int = 3, seed: int = 1) -> np.ndarray:
    """Random payloads at every timestep, int32 (T, B, *S)."""
    source = network.sources[0]
    assert isinstance(source.neuron, hw.Source)
    rng = np.random.default_rng(seed)
    shape = (network.n_steps, samples, *source.shape)
    return rng.integers(source.neuron.min_payload, source.neuron.max_payload, shape, endpoint=True).astype(np.int32)


def with_layer(network: hw.Network, name: str, **changes) -> hw.Network:
    """The network with other neuron parameters in one layer."""
    populations = [
        dataclasses.replace(p, neuron=dataclasses.replace(p.neuron, **changes)) if p.name == name else p
        for p in network.populations
    ]
    return dataclasses.replace(network, populations=tuple(populations))


def with_connection(network: hw.Network, index: int, **changes) -> hw.Network:
    connections = list(network.connections)
    connections[index] = dataclasses.replace(connections[index], **changes)
    return dataclasses.replace(network, connections=tuple(connections))


def renamed(network: hw.Network, prefix: str) -> hw.Network:
    return dataclasses.replace(
        network,
        populations=tuple(dataclasses.replace(p, name=prefix + p.name) for p in network.populations),
        connections=tuple(
            dataclasses.replace(c, source=prefix + c.source, target=prefix + c.target) for c in network.connections
        ),
        readout=dataclasses.replace(network.readout, population=prefix + network.readout.population),
    )


def foreign(path: Path, **neuron) -> Path:
    """A slayer-like file: a dense layer with fields netx does not read, and weights that are not whole."""
    with h5py.File(path, "w") as file:
        file["layer/0/type"] = "input"
        file["layer/0/shape"] = np.array([2])
        dense = file.create_group("layer/1")
        dense["type"] = "dense"
        dense["shape"] = np.array([2])
        dense["inFeatures"] = 2
        dense["weight"] = np.array([[2.5, -4], [6, 8]], np.float32)
        for name, value in {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, **neuron}.items():
            dense[f"neuron/{name}"] = value
    return path

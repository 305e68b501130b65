"""Graphs on their way to Lava, without Lava: what is refused, when populations work, what travels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import lava_graph


def network(weight: np.ndarray | None = None, **neuron: object) -> hw.Network:
    """in (2, 1, 3) - a (2, 1, 3) - b (2,), and in - b."""
    given = np.arange(-6, 6).reshape(2, 6) if weight is None else weight
    cuba = hw.Cuba(**({"v_th_mant": 9} | neuron))
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2, 1, 3), neuron=hw.Source(payload_bits=2)),
            hw.Population(name="a", shape=(2, 1, 3), neuron=hw.Cuba(v_th_mant=9)),
            hw.Population(name="b", shape=(2,), neuron=cuba),
        ),
        connections=(
            hw.OneToOne(source="in", target="a", weight=np.array(8)),
            hw.Dense(source="a", target="b", weight=given),
            hw.Dense(source="in", target="b", weight=given),
        ),
        readout=hw.Readout(population="b", kind="spike_count"),
        n_steps=2,
    )


IMAGE = np.zeros((1, 2, 1, 3), int)


def stand_in(tmp_path: Path, script: str) -> Path:
    """A shell script in the place of Lava's Python; its third argument is the jobs file."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def order_of(tmp_path: Path, graph: hw.Network, inputs: np.ndarray) -> tuple[dict, dict[str, np.ndarray]]:
    """What the runner would have been given."""
    script = stand_in(tmp_path, f'cp -r "$(dirname "$3")" {tmp_path}/sent')
    with pytest.raises(hw.OracleFailed, match="no result for the graph"):
        lava_graph.run(inputs, network=graph, python=script)
    (order,) = json.loads((tmp_path / "sent" / "jobs.json").read_text())
    with np.load(tmp_path / "sent" / "0" / "arrays.npz") as archive:
        return order, dict(archive)


def test_a_population_is_as_late_as_its_longest_path():
    assert lava_graph.levels(network()) == {"in": 0, "a": 1, "b": 2}
    loop = hw.Dense(source="b", target="b", weight=np.eye(2, dtype=int))
    again = replace(network(), connections=(*network().connections, loop))
    assert lava_graph.levels(again) == {"in": 0, "a": 1, "b": 2}


def test_what_travels_is_in_lavas_order(tmp_path):
    order, arrays = order_of(tmp_path, network(bias_exp=3, i_decay=4096, v_decay=410), IMAGE + np.arange(3))
    assert order["populations"][1] == {
        "name": "b", "shape": [2], "level": 2, "du": 4095, "dv": 410, "vth": 9, "bias_exp": 3,
    }  # fmt: skip
    assert order["source"] == {"name": "in", "payload_bits": 2}
    assert [c["kind"] for c in order["connections"]] == ["conv", "dense", "dense"]
    assert [c.get("num_weight_bits") for c in order["connections"]] == [None, 9, 9]  # mixed signs lose a bit less
    assert arrays["inputs"].shape == (1, 2, 3, 1, 2)  # samples, timesteps, (W, H, C)
    assert arrays["inputs"][0, 0, :, 0, 0].tolist() == [0, 1, 2]
    # (W, H, C) flat: x runs slowest; our column of (c, y, x) is 3 c + x
    assert np.array_equal(arrays["weight.1"], np.arange(-6, 6).reshape(2, 6)[:, [0, 3, 1, 4, 2, 5]])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.array([[256] + [0] * 5, [-2] * 6]), r"a -> b: weights -2\.\.256, Lava's Dense keeps -256\.\.255"),
        (np.full((2, 6), 256), r"weights 256\.\.256, Lava's Dense keeps 0\.\.255 of an excitatory"),
        (np.full((2, 6), -256), r"Lava's Dense keeps -255\.\.0 of an inhibitory"),
    ],
)
def test_a_matrix_that_lava_would_clip_is_refused(tmp_path, weight, message):
    with pytest.raises(hw.NotRepresentable, match=message):
        lava_graph.run(IMAGE, network=network(weight), python=stand_in(tmp_path, "exit 1"))


def test_other_numbers_lava_would_wrap_are_refused(tmp_path):
    python = stand_in(tmp_path, "exit 1")
    with pytest.raises(hw.NotRepresentable, match=r"b: a bias mantissa of 40000\.\.40000 leaves the 16 bits"):
        lava_graph.run(IMAGE, network=network(bias_mant=np.array(40000)), python=python)
    source = hw.Population(name="in", shape=(128, 1, 1), neuron=hw.Source())
    wide = hw.Network(
        populations=(source, hw.Population(name="a", shape=(128, 1, 1), neuron=hw.Cuba(v_th_mant=1))),
        connections=(hw.Conv(source="in", target="a", weight=np.full((128, 1, 1, 1), 2), groups=128),),
        readout=hw.Readout(population="a", kind="spike_count"),
        n_steps=1,
    )
    with pytest.raises(hw.NotRepresentable, match="in -> a: 128 groups exceed 127"):
        lava_graph.run(np.zeros((1, 128, 1, 1), int), network=wide, python=python)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((1, 2, 3, 1), int), r"inputs of shape \(1, 2, 3, 1\), expected"),
        (np.zeros((3, 1, 2, 1, 3), int), r"inputs of shape \(3, 1, 2, 1, 3\), expected"),
        (IMAGE + 0.5, "inputs are float64, spikes carry integers"),
        (IMAGE + 4, r"inputs hold 4\.\.4, in carries 0\.\.3"),
        (IMAGE - 1, r"inputs hold -1\.\.-1, in carries 0\.\.3"),
        (np.zeros((0, 2, 1, 3), int), "inputs hold no samples"),
    ],
)
def test_inputs_the_source_cannot_send_are_refused(tmp_path, inputs, message):
    with pytest.raises(hw.BadInput, match=message):
        lava_graph.run(inputs, network=network(), python=stand_in(tmp_path, "exit 1"))


def test_a_second_source_is_refused(tmp_path):
    graph = network()
    other = hw.Population(name="other", shape=(6,), neuron=hw.Source())
    link = hw.Dense(source="other", target="b", weight=np.ones((2, 6), int))
    graph = replace(graph, populations=(other, *graph.populations), connections=(*graph.connections, link))
    with pytest.raises(hw.UnsupportedLayer, match="the graph has 2 sources"):
        lava_graph.run(IMAGE, network=graph, python=stand_in(tmp_path, "exit 1"))


def test_a_failing_lava_is_reported_with_its_log(tmp_path):
    with pytest.raises(hw.OracleFailed, match=r"status 3.*\n.*it broke"):
        lava_graph.run(IMAGE, network=network(), python=stand_in(tmp_path, "echo it broke; exit 3"))
    with pytest.raises(hw.OracleFailed, match="there is no Python at"):
        lava_graph.run(IMAGE, network=network(), python=tmp_path / "nothing")

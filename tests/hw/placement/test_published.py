"""Networks of published shapes beside the cores and words that were printed or reported for them. Nothing is tuned.

PilotNet on Loihi 2: lava-dl, tutorials/lava/lib/dl/netx, pilotnet_snn/benchmark.ipynb (74 cores, spiking, with its
input) and pilotnet_sdnn/benchmark.ipynb (61 cores, sigma-delta, without). Networks on Loihi 1: notebooks of
intel-nrc-ecosystem/models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeport import hw
from spikeport.hw.placement import RULES, Grid, place

from .nets import LOIHI1, LOIHI2, dense, network, weights

TEXT = (Path(__file__).parents[3] / "docs" / "placement.md").read_text(encoding="utf-8")
BITS = {"input0": 1, "conv1": 8, "conv2": 7, "conv3": 6, "conv4": 5, "conv5": 5, "fc1": 7, "fc2": 8, "fc3": 8, "fc4": 8}
"""Weight bits the printed words imply; the notebook does not print them."""

PRINTED = {  # population: (box on a core, words per core, cores)
    "input0": ((3, 66, 16), 0, 13),
    "conv1": ((24, 32, 4), 81, 25),
    "conv2": ((36, 15, 4), 864, 13),
    "conv3": ((48, 7, 8), 1620, 3),
    "conv4": ((64, 4, 8), 2160, 3),
    "conv5": ((64, 2, 16), 2880, 2),
    "fc1": ((9,), 7253, 12),
    "fc2": ((50,), 1300, 1),
    "fc3": ((10,), 150, 1),
    "fc4": ((1,), 10, 1),
}
OUTSIDE = {"input0": (1, 0), "fc1": (7680, 7253)}
"""(predicted, printed) where they differ: the input has no synapse there; zero weights are not stored there."""


def ones(*shape):
    return np.ones(shape, np.int16)


@pytest.fixture(scope="module")
def pilotnet():
    shapes = {"in": (3, 66, 200), "input0": (3, 66, 200)}
    connections: list[hw.Connection] = [hw.OneToOne(source="in", target="input0", weight=np.array(1))]
    before = "input0"
    for i, (out, stride, padding) in enumerate(
        [(24, (2, 2), (0, 0)), (36, (2, 2), (0, 0)), (48, (2, 2), (0, 0)), (64, (2, 1), (1, 0)), (64, (1, 1), (0, 0))]
    ):
        name, weight = f"conv{i + 1}", ones(out, shapes[before][0], 3, 3)
        connections.append(hw.Conv(source=before, target=name, weight=weight, stride=stride, padding=padding))
        shapes[name] = connections[-1].out_shape(shapes[before])
        before = name
    for i, out in enumerate((100, 50, 10, 1)):
        connections.append(hw.Dense(source=before, target=f"fc{i + 1}", weight=ones(out, int(np.prod(shapes[before])))))
        shapes[f"fc{i + 1}"] = (out,)
        before = f"fc{i + 1}"
    return network(shapes, connections)


def as_printed(net, name):
    """(words per core, cores) of a population cut as the compiler cut it."""
    (connection,) = net.incoming(name)
    grid = Grid(net[name].shape, PRINTED[name][0])
    parts = list(grid.parts())
    usage = RULES["loihi2"].load(connection, net[connection.source].shape, grid, parts[0], BITS[name])
    return usage.synapse_words, len(parts)


@pytest.mark.parametrize("name", PRINTED)
def test_words_and_cores_of_every_printed_row(pilotnet, name):
    """N-M-7."""
    words, cores = as_printed(pilotnet, name)
    assert cores == PRINTED[name][2]
    assert (words, PRINTED[name][1]) == OUTSIDE.get(name, (words, words))


def test_the_printed_cuts_give_74_cores_and_61_without_the_input(pilotnet):
    """N-M-7."""
    cores = {name: as_printed(pilotnet, name)[1] for name in PRINTED}
    assert sum(cores.values()) == 74
    assert sum(cores.values()) - cores["input0"] == 61


def test_published_limits_alone_admit_fewer_cores_than_the_compiler_took(pilotnet):
    placement = place(pilotnet, LOIHI2, bits={c: BITS[c.target] for c in pilotnet.connections})
    ours = {name: len(placement.of(name)) for name in PRINTED}
    assert all(ours[name] <= printed for name, (_, _, printed) in PRINTED.items())
    assert sum(ours.values()) == 32


def test_the_page_shows_these_numbers(pilotnet):
    placement = place(pilotnet, LOIHI2, bits={c: BITS[c.target] for c in pilotnet.connections})
    for name, (_, printed_words, printed_cores) in PRINTED.items():
        words, cores = as_printed(pilotnet, name)
        row = f"| {name} | {BITS[name]} | {words} | {printed_words} | {cores} | {printed_cores} |"
        assert f"{row} {len(placement.of(name))} |" in TEXT, row
    assert f"| all | | | | 74 | 74 | {len(placement.cores)} |" in TEXT


LOIHI1_RUNS = {  # sizes, recurrent populations, reported cores
    "sMNIST LSNN": ((80, 240, 10), ("l1",), 1),
    "N-TIDIGITS": ((64, 256, 256, 242), (), 6),
    "Braille": ((48, 450, 28), ("l1",), 53),
}


@pytest.mark.parametrize("name", LOIHI1_RUNS)
def test_the_page_shows_networks_measured_on_loihi_1(name):
    sizes, recurrent, reported = LOIHI1_RUNS[name]
    chain = dense(*sizes)
    loops = [hw.Dense(source=p, target=p, weight=weights(chain[p].size, chain[p].size)) for p in recurrent]
    net = network({p.name: p.shape for p in chain.populations}, [*chain.connections, *loops])
    shape = "-".join(map(str, sizes)) + (", recurrent" if recurrent else "")
    cores = [len(place(net, LOIHI1, rule=rule).cores) for rule in ("nxtf", "nengo")]
    assert f"| {name} | {shape} | {cores[0]} | {cores[1]} | {reported} |" in TEXT

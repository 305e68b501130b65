"""Lemaire et al. 2022: every count by hand, the memory costs at known sizes, and both readings of an erratum.

Each network is one layer, biased, with the spikes that enter and leave it given; T = 4 for the spiking ones.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from spikeport import hw, sim
from spikeport.sim.conventions import lemaire

from .networks import network
from .pricing import counts_of, line

KIB = 1024


def layer(connection: hw.Connection, shape: hw.Shape, n_biases: int, *, v_decay: int = 0, n_steps: int = 4):
    shapes = {"in": shape, "p": connection.out_shape(shape)}
    neuron = hw.Cuba(v_th_mant=1, v_decay=v_decay, bias_mant=np.ones(n_biases, int))
    return network([connection], shapes, {"p": neuron}, n_steps=n_steps)


def dense_layer(**settings: int) -> hw.Network:
    return layer(hw.Dense(source="in", target="p", weight=np.ones((128, 784), int)), (784,), 128, **settings)


def conv_layer(cin: int, size: int, cout: int, stride: int) -> hw.Network:
    weight = np.ones((cout, cin, 3, 3), int)
    conv = hw.Conv(source="in", target="p", weight=weight, stride=(stride, stride), padding=(1, 1))
    return layer(conv, (cin, size, size), cout)


def priced(net: hw.Network, memory: str, *, entered: int = 0, left: int = 0, **flags: str) -> sim.EnergyReport:
    counts = counts_of(net, {}, {"in": entered, "p": left})
    return sim.price(net, counts, f"lemaire_int32_{memory}", **flags)  # type: ignore[arg-type]


def arithmetic(report: sim.EnergyReport, side: str) -> tuple[float, float, float]:
    """pJ of operations, addressing and memory of one side."""
    parts = [0.0, 0.0, 0.0]
    for item in report.items:
        if item.side == side:
            kind = 1 if "addressing" in item.what else 2 if "read" in item.what or "write" in item.what else 0
            parts[kind] += item.pj
    return parts[0], parts[1], parts[2]


@pytest.mark.parametrize(("memory", "memory_pj"), [("a", 4_923_646.41), ("b", 4_851_198.96)])
def test_l1_a_formal_dense_layer(memory: str, memory_pj: float) -> None:
    """N-L-1."""
    report = priced(dense_layer(), memory)
    assert line(report, "MAC of the ANN")[0] == 784 * 128
    assert line(report, "ACC of the ANN")[0] == 128
    assert line(report, "addressing ACC of the ANN")[0] == 784 + 128
    operations, addressing, accesses = arithmetic(report, "ann")
    assert operations == pytest.approx(100_352 * 3.2 + 128 * 0.1)
    assert operations == pytest.approx(321_139.2)
    assert addressing == pytest.approx(91.2)
    assert accesses == pytest.approx(memory_pj, abs=0.006)
    assert report.ann_pj == pytest.approx(operations + addressing + accesses)


@pytest.mark.parametrize(("memory", "memory_pj"), [("a", 2_577_657.71), ("b", 3_850_810.23)])
def test_l2_a_spiking_dense_layer(memory: str, memory_pj: float) -> None:
    """N-L-2."""
    report = priced(dense_layer(), memory, entered=400, left=60)
    assert line(report, "ACC")[0] == 400 * 128 + 4 * 128 + 60  # synapses, biases, resets
    assert line(report, "weight read")[0] == 51_200
    assert line(report, "potential read or write")[0] == 2 * 51_712
    assert line(report, "addressing ACC")[0] == 51_200
    operations, addressing, accesses = arithmetic(report, "snn")
    assert operations == pytest.approx(5177.2)
    assert addressing == pytest.approx(5120.0)
    assert accesses == pytest.approx(memory_pj, abs=0.006)
    assert report.snn_pj == pytest.approx(operations + addressing + accesses)


def test_l2_a_leak_is_one_mac_per_neuron_and_timestep() -> None:
    """N-L-2."""
    report = priced(dense_layer(v_decay=2048), "a", entered=400, left=60)
    assert line(report, "MAC")[0] == 4 * 128
    assert arithmetic(report, "snn")[0] == pytest.approx(6815.6)  # 5177.2 + 512 * 3.2


def test_l2_equation_2_4_as_printed_and_corrected() -> None:
    """N-L-2: as printed it is theta_in * N_in * N_out + T * N_out, without the resets."""
    corrected = priced(dense_layer(), "a", entered=400, left=60)
    printed = priced(dense_layer(), "a", entered=400, left=60, errata="printed")
    assert line(corrected, "ACC")[0] == 51_772
    assert line(printed, "ACC")[0] == 400 * 784 * 128 + 4 * 128 == 40_141_312
    assert printed.snn_pj - corrected.snn_pj == pytest.approx((40_141_312 - 51_772) * 0.1)
    assert "Equation 2.4 as printed" in printed.scope
    assert "Equation 2.4 corrected" in corrected.scope


def test_l2_the_erratum_leaves_convolutions_alone() -> None:
    """N-L-2."""
    net = conv_layer(2, 4, 3, stride=1)
    assert (
        priced(net, "a", entered=9, left=2, errata="printed").snn_pj == priced(net, "a", entered=9, left=2).snn_pj > 0
    )


@pytest.mark.parametrize(("memory", "memory_pj"), [("a", 6_465_321.29), ("b", 12_745_434.57)])
def test_l3_a_formal_convolution(memory: str, memory_pj: float) -> None:
    """N-L-3."""
    report = priced(conv_layer(3, 32, 16, stride=1), memory)
    assert line(report, "MAC of the ANN")[0] == 16 * 32 * 32 * 3 * 9
    assert line(report, "ACC of the ANN")[0] == 16_384
    assert line(report, "addressing ACC of the ANN")[0] == 3 * 1024 + 16 * 1024 + 16 * 9
    operations, addressing, accesses = arithmetic(report, "ann")
    assert operations == pytest.approx(1_417_216.0)
    assert addressing == pytest.approx(1960.0)
    assert accesses == pytest.approx(memory_pj, abs=0.006)


@pytest.mark.parametrize(("memory", "memory_pj"), [("a", 94_959_785.31), ("b", 82_688_410.91)])
def test_l4_a_spiking_convolution(memory: str, memory_pj: float) -> None:
    """N-L-4."""
    report = priced(conv_layer(16, 32, 32, stride=2), memory, entered=6000, left=3000)
    neurons = 32 * 16 * 16
    assert line(report, "ACC")[0] == 6000 * 2 * 2 * 32 + 4 * neurons + 3000  # ceil(3 / 2) = 2 taps an axis
    assert line(report, "weight read")[0] == 6000 * 32 * 9
    assert line(report, "bias read")[0] == 4 * neurons
    assert line(report, "potential read or write")[0] == 2 * (6000 * 32 * 9 + 4 * neurons)
    assert line(report, "addressing MAC")[0] == 12_000
    assert line(report, "addressing ACC")[0] == 1_728_000
    operations, addressing, accesses = arithmetic(report, "snn")
    assert operations == pytest.approx(80_376.8)
    assert addressing == pytest.approx(211_200.0)
    assert accesses == pytest.approx(memory_pj, abs=0.006)


@pytest.mark.parametrize(
    ("size", "pj"),
    [
        (KIB, 1.25),
        (8 * KIB, 10),
        (16 * KIB, 10 + 10 * 8 / 24),
        (32 * KIB, 20),
        (64 * KIB, 20 + 80 * 32 / 992),
        (512 * KIB, 20 + 80 * 480 / 992),
        (KIB**2, 100),
        (16 * KIB**2, 100),
    ],
)
def test_l5_memory_a_is_straight_lines_between_cache_sizes(size: int, pj: float) -> None:
    """N-L-5."""
    assert lemaire.MEMORY_A.at(size // 4).value == pytest.approx(pj)


@pytest.mark.parametrize(("size", "pj", "forgotten"), [(16 * KIB, 13.333, 3.333), (64 * KIB, 22.5806, 2.5806)])
def test_l5_lines_begin_where_the_one_before_ends(size: int, pj: float, forgotten: float) -> None:
    """N-L-5: a published script forgets the energy at which a line begins, so that a larger memory costs less."""
    points = lemaire.MEMORY_A.points
    (start, before), (end, after) = next((a, b) for a, b in pairwise(points) if a[0] <= size < b[0])
    script = (after - before) * (size - start) / (end - start)
    assert script == pytest.approx(forgotten, abs=5e-4)
    assert script < before
    assert lemaire.MEMORY_A.at(size // 4).value == pytest.approx(script + before) == pytest.approx(pj, abs=5e-4)


def test_l5_memory_b_is_a_regression_and_c_is_level() -> None:
    """N-L-5."""
    assert lemaire.MEMORY_B.at(1000).value == pytest.approx(13.2 + 1.09e-5 * 32 * 1000)
    assert lemaire.MEMORY_B.at(1000).value == pytest.approx(13.5488)
    assert {lemaire.MEMORY_C.at(words).value for words in (1, 1000, 10**6)} == {5.0}


def test_memory_c_charges_every_access_alike() -> None:
    report = priced(dense_layer(), "c", entered=400, left=60)
    accesses = 400 + 51_200 + 512 + 2 * 51_712 + 60
    assert arithmetic(report, "snn")[2] == pytest.approx(5 * accesses)


def test_groups_share_the_channels_out() -> None:
    conv = hw.Conv(source="in", target="p", weight=np.ones((6, 2, 3, 3), int), groups=2)
    report = priced(layer(conv, (4, 5, 5), 6), "a", entered=10)
    assert line(report, "weight read")[0] == 10 * 9 * 3
    assert line(report, "ACC")[0] == 10 * 9 * 3 + 4 * 6 * 9


def test_a_graded_input_multiplies() -> None:
    net = dense_layer()
    source = replace(net["in"], neuron=hw.Source(payload_bits=4))
    graded = replace(net, populations=(source, net["p"]))
    report = priced(graded, "a", entered=400, left=60)
    assert line(report, "MAC")[0] == 51_200
    assert line(report, "ACC")[0] == 512 + 60


def test_two_connections_into_one_layer_share_its_neurons() -> None:
    weight = np.ones((2, 2, 1, 1), int)
    net = network(
        [
            hw.Conv(source="in", target="a", weight=weight),
            hw.Conv(source="a", target="b", weight=weight),
            hw.OneToOne(source="in", target="b", weight=np.array(3)),
        ],
        {"in": (2, 3, 3), "a": (2, 3, 3), "b": (2, 3, 3)},
        {"a": hw.Cuba(v_th_mant=1), "b": hw.Cuba(v_th_mant=1, bias_mant=np.ones(2, int))},
        n_steps=3,
    )
    report = sim.price(net, counts_of(net, {}, {"in": 5, "a": 7, "b": 4}), "lemaire_int32_a")
    # in -> a: 5 * 2; a -> b: 7 * 2; in -> b: 5 * 1; the biases of b at 3 steps; the resets of a and b.
    assert line(report, "ACC")[0] == 10 + 14 + 5 + 3 * 18 + 7 + 4
    assert line(report, "potential read or write")[0] == 2 * (10 + 14 + 5 + 2 * 3 * 18)
    assert line(report, "MAC of the ANN")[0] == 2 * (2 * 2 * 9) + 18

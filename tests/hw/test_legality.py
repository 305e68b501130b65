"""What a chip refuses, one number at a time; the limits are the chip's own, the excess is one."""

import re

import numpy as np
import pytest
from spikeport import hw

LOIHI2 = hw.CHIPS["loihi2"]
LOIHI1 = hw.CHIPS["loihi1"]


def network(weight=((2, -2),), *, payload_bits=0, n_steps=1, kind="spike_count", readout="out", **neuron):
    weight = np.array(weight)
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=weight.shape[1:], neuron=hw.Source(payload_bits=payload_bits)),
            hw.Population(
                name="out", shape=weight.shape[:1], neuron=hw.Cuba(**{"v_th_mant": LOIHI2.v_th_max, **neuron})
            ),
        ),
        connections=(hw.Dense(source="in", target="out", weight=weight),),
        readout=hw.Readout(population=readout, kind=kind),
        n_steps=n_steps,
    )


def conv_network(weight, shape, target, *, payload_bits=0, **geometry):
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=shape, neuron=hw.Source(payload_bits=payload_bits)),
            hw.Population(name="out", shape=target, neuron=hw.Cuba(v_th_mant=1)),
        ),
        connections=(hw.Conv(source="in", target="out", weight=np.array(weight), **geometry),),
        readout=hw.Readout(population="out", kind="spike_count"),
        n_steps=1,
    )


@pytest.mark.parametrize("chip", hw.CHIPS)
def test_a_small_network_is_legal_everywhere(chip):
    assert list(hw.violations(network(), hw.CHIPS[chip])) == []
    hw.check(network(), hw.CHIPS[chip])


@pytest.mark.parametrize("chip", hw.CHIPS)
def test_every_chip_number_has_a_source(chip):
    numbers = {field for field, value in vars(hw.CHIPS[chip]).items() if isinstance(value, int)}
    assert numbers == set(hw.CHIPS[chip].sources)


@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        ({"i_decay": 4097}, "out: i_decay is 4097, the chip takes 0..4096"),
        ({"i_decay": -1}, "out: i_decay is -1, the chip takes 0..4096"),
        ({"v_decay": 4097}, "out: v_decay is 4097, the chip takes 0..4096"),
        ({"v_th_mant": 0}, "threshold mantissa 0 is outside loihi2's 1..131071"),
        ({"v_th_mant": 131072}, "threshold mantissa 131072 is outside loihi2's 1..131071"),
        ({"bias_mant": np.array([4096])}, "bias mantissa 4096 is outside loihi2's -4096..4095"),
        ({"bias_mant": np.array([-4097])}, "bias mantissa -4097 is outside loihi2's -4096..4095"),
    ],
)
def test_neuron_ranges(neuron, match):
    with pytest.raises(hw.NotRepresentable, match=re.escape(match)):
        hw.check(network(**neuron), LOIHI2)


@pytest.mark.parametrize("neuron", [{"i_decay": 0}, {"v_decay": 4096}, {"bias_mant": np.array([-4096])}])
def test_the_edges_are_inside(neuron):
    hw.check(network(**neuron), LOIHI2)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        ([[0, 0]], "in -> out: all weights are zero"),
        ([[256, -2]], "weight 256 is outside -256..254"),
        ([[2, -258]], "weight -258 is outside -256..254"),
        ([[3, -2]], "mixed-sign weights must be multiples of 2"),
        ([[256, 0]], "weight 256 exceeds 255 for one sign"),
        ([[-256, -1]], "weight -256 exceeds 255 for one sign"),
    ],
)
def test_weight_grid(weight, match):
    with pytest.raises(hw.NotRepresentable, match=re.escape(match)):
        hw.check(network(weight), LOIHI2)


@pytest.mark.parametrize("weight", [[[254, -256]], [[255, 0]], [[-255, -1]], [[1, 3]]])
def test_the_edges_of_the_weight_grid_are_inside(weight):
    hw.check(network(weight), LOIHI2)


def test_loihi1_carries_no_payload():
    with pytest.raises(
        hw.NotRepresentable, match="payload of 1 bits, loihi1 carries at most 0; use a chip with graded"
    ):
        hw.check(network(payload_bits=1), LOIHI1)


def test_payload_beyond_the_chip():
    with pytest.raises(hw.NotRepresentable, match="payload of 17 bits, loihi2 carries at most 16; lower payload_bits"):
        hw.check(network([[1, 0]], payload_bits=17), LOIHI2)


def test_worst_sum_takes_one_sign_at_a_time():
    net = network([[3, 5, -7], [1, -9, -2]], payload_bits=4)
    # All positive inputs at 15 at once, or all negative ones: 15 * 8 against 15 * 7; 15 * 1 against 15 * 11.
    assert hw.worst_sum(net, net.connections[0]).tolist() == [15 * 8, 15 * 11]


def test_dense_accumulator():
    # 15 bits of payload times weight 1 just fit 2^15 - 1; two such inputs do not.
    hw.check(network([[1, 0]], payload_bits=15), LOIHI2)
    with pytest.raises(hw.NotRepresentable, match=r"sum can reach 65534 at output 0, loihi2's accumulator holds 32767"):
        hw.check(network([[1, 1]], payload_bits=15), LOIHI2)


def test_conv_accumulator_is_wider():
    weight = np.full((1, 2, 1, 1), 1)
    hw.check(conv_network(weight, (2, 1, 1), (1, 1, 1), payload_bits=15), LOIHI2)
    # 2 channels x weight 2 x 65535 = 262140 > 2^17 - 1
    with pytest.raises(hw.NotRepresentable, match=r"sum can reach 262140 .* holds 131071"):
        hw.check(conv_network(2 * weight, (2, 1, 1), (1, 1, 1), payload_bits=16), LOIHI2)


def test_a_current_that_remembers_may_not_overflow():
    # Sum 200 * 127 = 25400 per step; 24 bits hold less than 2^17 = 131072 such units: 5 steps fit, 6 do not.
    weight = np.full((1, 127), 200)
    hw.check(network(weight, n_steps=5, i_decay=0), LOIHI2)
    with pytest.raises(hw.NotRepresentable, match="out: the current can reach 152400 << 6, beyond its 24 bits"):
        hw.check(network(weight, n_steps=6, i_decay=0), LOIHI2)
    # Keeping half, the current never exceeds twice its input.
    hw.check(network(weight, n_steps=1000, i_decay=2048), LOIHI2)


def test_conv_groups_and_reach():
    depthwise = np.ones((128, 1, 1, 1), int)
    with pytest.raises(hw.NotRepresentable, match="128 groups, at most 127"):
        hw.check(conv_network(depthwise, (128, 1, 1), (128, 1, 1), groups=128), LOIHI2)
    with pytest.raises(hw.NotRepresentable, match="kernel, stride, padding or dilation 128 exceeds 127"):
        hw.check(conv_network(np.ones((1, 1, 1, 1), int), (1, 1, 1), (1, 1, 1), stride=(128, 1)), LOIHI2)


def test_a_membrane_readout_never_fires():
    # (4 + |-3|) per step, 4 steps: 28.
    fields = {"weight": [[4, -2]], "kind": "membrane", "n_steps": 4, "bias_mant": np.array([-3])}
    hw.check(network(**fields, v_th_mant=28), LOIHI2)
    with pytest.raises(hw.NotRepresentable, match="read-out membrane can reach 28, above its threshold 27"):
        hw.check(network(**fields, v_th_mant=27), LOIHI2)


def test_a_readout_with_a_remembering_current_counts_its_memory():
    # u after step n is n * 2, and v their sum: 2 + 4 + 6 = 12 in 3 steps. The bound takes the largest u every time: 18.
    neuron = {"weight": [[2, 0]], "kind": "membrane", "n_steps": 3, "i_decay": 0}
    hw.check(network(**neuron, v_th_mant=18), LOIHI2)
    with pytest.raises(hw.NotRepresentable, match="read-out membrane can reach 18, above its threshold 11"):
        hw.check(network(**neuron, v_th_mant=11), LOIHI2)


def test_a_readout_that_forgets_needs_no_room_for_the_past():
    hw.check(network([[2, 0]], kind="membrane", n_steps=1000, v_decay=4096, v_th_mant=2), LOIHI2)


def test_a_source_cannot_answer():
    with pytest.raises(hw.NotRepresentable, match="in: a source cannot be the read-out"):
        hw.check(network(kind="membrane", readout="in"), LOIHI2)


def test_all_violations_are_reported_at_once():
    lines = list(hw.violations(network([[3, -2]], v_decay=5000, bias_mant=np.array([9999])), LOIHI2))
    assert len(lines) == 3
    with pytest.raises(hw.NotRepresentable) as caught:
        hw.check(network([[3, -2]], v_decay=5000, bias_mant=np.array([9999])), LOIHI2)
    assert str(caught.value).splitlines() == lines


def test_a_sum_beyond_the_accumulator_is_legal_by_calibration():
    """Four weights of 254 on 6-bit payloads can add to 64008 > 32767; the data reached half the limit."""
    risky = network([[254] * 4, [-254] * 4], payload_bits=6)
    limit = LOIHI2.dense_sum_max
    assert hw.sum_limit(risky, "out", LOIHI2) == limit
    assert hw.rests_on_calibration(risky, LOIHI2) == ("out",)
    with pytest.raises(hw.NotRepresentable, match=r"can reach 64008 .* calibrate it on data"):
        hw.check(risky, LOIHI2)
    hw.check(risky, LOIHI2, {"out": limit})
    with pytest.raises(hw.NotRepresentable, match=f"reached {limit + 1} on the calibration data"):
        hw.check(risky, LOIHI2, {"out": limit + 1})


def test_a_current_with_memory_lowers_the_limit_of_one_sum():
    """Four steps of a lossless current: u holds 4 sums, so each may be a quarter of (2^23 - 1) >> 6."""
    hoarder = network(n_steps=4, i_decay=0)
    assert hw.sum_limit(hoarder, "out", LOIHI2) == min(LOIHI2.dense_sum_max, ((1 << 23) - 1 >> 6) // 4)


def test_a_signed_payload_is_worst_where_signs_agree():
    """-8..7: a weight of -3 on -8 gives +24, so (5, -3) reaches 5 * 7 + 24 = 59, and down to -5 * 8 - 21 = -61."""
    signed = network([[5, -3]])
    source = hw.Population(name="in", shape=(2,), neuron=hw.Source(payload_bits=4, signed=True))
    signed = hw.Network(
        populations=(source, signed["out"]), connections=signed.connections, readout=signed.readout, n_steps=1
    )
    assert hw.worst_sum(signed, signed.connections[0]).tolist() == [61]


def test_a_readout_counts_its_bias_with_its_exponent():
    """A bias of 64 << 6 per step and no other: over 2 steps 128; << 7 doubles it."""
    fine = {"bias_mant": np.array([64]), "v_th_mant": 128 + 2 * 2, "kind": "membrane", "n_steps": 2}
    hw.check(network(**fine), LOIHI2)
    with pytest.raises(hw.NotRepresentable, match="membrane can reach 260, above its threshold 132"):
        hw.check(network(**fine, bias_exp=7), LOIHI2)

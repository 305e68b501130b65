"""How relays are driven: they fire at every spike and at no other step, by the chip's own integer recurrence."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from spikeport.export.lowering_drive import (
    COPIES_MAX,
    RELAY_WEIGHT_MAX,
    largest_lasting_bias,
    relay_drive,
    silent,
)
from spikeport.hw import CHIPS, Cuba, NotRepresentable, UnsupportedLayer, step

CHIP = CHIPS["loihi2"]


def fired(neuron: Cuba, weight: int, bias: int, spikes: np.ndarray) -> np.ndarray:
    """When a relay fires, bool (T,), by the neuron's own equations."""
    neuron = replace(neuron, bias_mant=np.array(bias))
    u, v = np.zeros((), np.int32), np.zeros((), np.int32)
    out = []
    for spike in spikes:
        u, v, z = step(u, v, np.int32(weight * spike), neuron.bias_mant, neuron)
        out.append(bool(z))
    return np.array(out)


@given(st.integers(1, 3000), st.integers(1, 4096))
def test_the_largest_lasting_bias_is_where_silence_begins_to_fire(v_th, v_decay):
    """floor((v_th v_decay + 63) / 4096): at it the potential's limit is the threshold or less, one more passes it."""
    neuron = Cuba(v_th_mant=v_th, v_decay=v_decay)
    bias = largest_lasting_bias(v_th, v_decay)
    for b, lasts in ((bias, True), (bias + 1, False)):
        if b == 0:
            continue
        limit = (64 * b - 1) * 4096 // v_decay + 1  # the least v with ceil(v v_decay / 4096) = 64 b
        assert (limit <= 64 * v_th) == lasts
        v = 0
        while (after := v * (4096 - v_decay) // 4096 + 64 * b) != v and after <= 64 * v_th:
            v = after
        assert (v == limit) == lasts
        # and the neuron, stepped for as long as its potential may need
        enough = 10_000 if v_decay > 40 else 0
        if enough and v_th < 300:
            assert silent(neuron, RELAY_WEIGHT_MAX, b, enough) == lasts


def test_the_recurrence_allows_a_bias_that_the_real_numbers_do_not():
    """v_th 63, v_decay 65: 63 65 / 4096 < 1, so in real numbers a bias of 1 fires in the end; rounding stops it."""
    assert 63 * 65 // 4096 == 0
    assert largest_lasting_bias(63, 65) == 1
    assert silent(Cuba(v_th_mant=63, v_decay=65), 64, 1, 1_000_000)


@given(
    st.integers(1, 4063),
    st.sampled_from([0, 1, 410, 2048, 4095, 4096]),
    st.sampled_from([2600, 3000, 4000, 4095, 4096, 4096, 4096]),
    st.integers(1, 24),
    st.integers(0, 2**32 - 1),
)
def test_a_relay_repeats_every_spike_train(v_th, v_decay, i_decay, n_steps, seed):
    neuron = Cuba(v_th_mant=v_th, v_decay=v_decay, i_decay=i_decay)
    try:
        drive = relay_drive("b", "a", neuron, n_steps, CHIP)
    except UnsupportedLayer:
        assume(False)
    assert drive.weight <= RELAY_WEIGHT_MAX
    assert drive.weight % 2 == 0
    assert 0 <= drive.bias <= CHIP.bias_max
    rng = np.random.default_rng(seed)
    for rate in (0, 0.1, 0.5, 1):
        spikes = rng.random(n_steps) < rate
        assert np.array_equal(fired(neuron, drive.inputs * drive.weight, drive.bias, spikes), spikes)
    if drive.lasting:
        assert not fired(neuron, 0, drive.bias, np.zeros(20 * n_steps, bool)).any()


@pytest.mark.parametrize(
    ("v_th", "v_decay", "n_steps", "expected"),
    [
        (60, 0, 4, (1, 62, 0, True)),
        (253, 0, 4, (1, 254, 0, True)),
        (254, 410, 1000, (1, 254, 1, True)),  # floor((254 410 + 63) / 4096) = 25
        (281, 410, 1000, (1, 254, 28, True)),  # 28 = 282 - 254 = floor((281 410 + 63) / 4096)
        (282, 410, 1000, (2, 142, 0, True)),  # 29 would be needed, and 28 is allowed; 2 142 = 284 > 282
        (337, 0, 4, (1, 254, 84, False)),  # 4 84 = 336: four steps of silence stay below
        (338, 0, 4, (2, 170, 0, True)),  # 4 85 = 340 would not
        (600, 0, 4, (2, 254, 93, False)),
        (600, 0, 64, (3, 202, 0, True)),
    ],
)
def test_the_cheapest_drive_is_chosen(v_th, v_decay, n_steps, expected):
    drive = relay_drive("b", "a", Cuba(v_th_mant=v_th, v_decay=v_decay), n_steps, CHIP)
    assert (drive.inputs, drive.weight, drive.bias, drive.lasting) == expected


def test_a_current_with_memory_is_hosted_where_its_echo_stays_below_the_threshold():
    """An echo after one spike is w r + w r^2 + ... = w r / (1 - r), r = 1 - i_decay / 4096, without a leak."""
    short = relay_drive("b", "a", Cuba(v_th_mant=60, i_decay=3500), 8, CHIP)
    assert (short.inputs, short.weight, short.lasting) == (1, 62, False)
    with pytest.raises(
        UnsupportedLayer, match=r"b: a relay of a would fire again .*\(i_decay 2000\); use i_decay 4096"
    ):
        relay_drive("b", "a", Cuba(v_th_mant=60, i_decay=2000), 8, CHIP)


def test_a_threshold_beyond_all_copies_is_refused():
    limit = COPIES_MAX * RELAY_WEIGHT_MAX
    relay_drive("b", "a", Cuba(v_th_mant=limit - 1), 5000, CHIP)
    with pytest.raises(NotRepresentable, match=f"threshold {limit}, at most 254 each from 16 copies; quantize b with"):
        relay_drive("b", "a", Cuba(v_th_mant=limit), 5000, CHIP)

"""The fixed-point arithmetic: against 64-bit products, on numpy and on torch, and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport import hw
from spikeport.hw.arithmetic import STATE_LIMIT, decay, saturate_state, wrap_state

DECAYS = st.integers(0, 4096)
STATES = st.lists(st.integers(-STATE_LIMIT, STATE_LIMIT), min_size=1, max_size=20)


def product_decay(x: int, constant: int) -> int:
    """The definition, in Python's unbounded integers."""
    kept = abs(x) * (4096 - constant) // 4096
    return kept if x >= 0 else -kept


def lava_wrap(u: int) -> int:
    """Lava's two `np.where` (lava/proc/lif/models.py)."""
    if u > STATE_LIMIT:
        return u - 2 * STATE_LIMIT
    if u <= -STATE_LIMIT:
        return u + 2 * STATE_LIMIT
    return u


@given(STATES, DECAYS)
def test_decay_in_two_parts_equals_the_full_product_on_numpy_int32(states, constant):
    expected = [product_decay(x, constant) for x in states]
    result = decay(np.array(states, np.int32), constant)
    assert result.dtype == np.int32
    assert result.tolist() == expected


@given(STATES, DECAYS)
def test_decay_in_two_parts_equals_the_full_product_on_torch_int32(states, constant):
    expected = [product_decay(x, constant) for x in states]
    result = decay(torch.tensor(states, dtype=torch.int32), constant)
    assert result.dtype == torch.int32
    assert result.tolist() == expected


@pytest.mark.parametrize(("x", "expected"), [(3, 1), (-3, -1), (1, 0), (-1, 0), (4, 2), (-4, -2)])
def test_decay_truncates_towards_zero(x, expected):
    assert decay(np.array(x, np.int32), 2048) == expected  # half of x, the fraction cut off


def test_decay_of_nothing_keeps_all_and_of_everything_keeps_none():
    x = np.array([-STATE_LIMIT, -1, 0, 7, STATE_LIMIT], np.int32)
    assert np.array_equal(decay(x, 0), x)
    assert not decay(x, 4096).any()


@given(st.lists(st.integers(-3 * STATE_LIMIT + 1, 3 * STATE_LIMIT - 1), min_size=1, max_size=20))
def test_wrap_equals_lavas_single_wrap_on_numpy_and_torch(currents):
    expected = [lava_wrap(u) for u in currents]
    assert wrap_state(np.array(currents, np.int32)).tolist() == expected
    assert wrap_state(torch.tensor(currents, dtype=torch.int32)).tolist() == expected


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        (STATE_LIMIT, STATE_LIMIT),  # the upper edge is left alone
        (STATE_LIMIT + 1, -STATE_LIMIT + 1),
        (-STATE_LIMIT, STATE_LIMIT),  # the lower edge is not a state
        (-STATE_LIMIT + 1, -STATE_LIMIT + 1),
    ],
)
def test_wrap_at_the_edges(u, expected):
    assert wrap_state(np.array(u, np.int32)) == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_membrane_potential_saturates(sign):
    limit = sign * (STATE_LIMIT - 1)
    states = [limit - sign, limit, limit + sign, 2 * limit]
    expected = [limit - sign, limit, limit, limit]
    assert saturate_state(np.array(states, np.int32)).tolist() == expected
    assert saturate_state(torch.tensor(states, dtype=torch.int32)).tolist() == expected


def trace(neuron: hw.Cuba, sums: list[int], bias: int = 0) -> list[tuple[int, int, int]]:
    """(u, v, z) of one neuron after each timestep, from rest."""
    u = v = np.zeros(1, np.int32)
    states = []
    for a in sums:
        u, v, z = hw.step(u, v, np.array([a], np.int32), np.array([bias], np.int32), neuron)
        states.append((int(u[0]), int(v[0]), int(z[0])))
    return states


def test_threshold_is_strict():
    at = trace(hw.Cuba(v_th_mant=10), [10])
    above = trace(hw.Cuba(v_th_mant=10), [11])
    assert at == [(640, 640, 0)]  # 10 << 6 is not above 10 << 6
    assert above == [(704, 0, 1)]


def test_five_steps_of_an_integrator_by_hand():
    # i_decay 4096: u is the input alone, 3 << 6 = 192. v adds up; 5 << 6 = 320 is the threshold.
    assert trace(hw.Cuba(v_th_mant=5), [3, 3, 0, -3, 9]) == [
        (192, 192, 0),
        (192, 0, 1),  # 384 > 320
        (0, 0, 0),
        (-192, -192, 0),
        (576, 0, 1),  # -192 + 576 = 384 > 320
    ]


def test_five_steps_with_leaks_and_bias_by_hand():
    # Both decays keep half. Bias 1 adds 64 at every step; threshold 100 << 6 = 6400 is out of reach.
    assert trace(hw.Cuba(v_th_mant=100, i_decay=2048, v_decay=2048), [1, 0, 0, -1, 0], bias=1) == [
        (64, 128, 0),  # 64 + 64
        (32, 160, 0),  # 128 / 2 + 32 + 64
        (16, 160, 0),  # 160 / 2 + 16 + 64
        (-56, 88, 0),  # 16 / 2 - 64 = -56; 160 / 2 - 56 + 64
        (-28, 80, 0),  # 88 / 2 - 28 + 64
    ]


def test_reset_leaves_the_current_alone():
    # i_decay 0: u keeps its input for ever, so after the first spike the same current fires the neuron again.
    assert trace(hw.Cuba(v_th_mant=1, i_decay=0), [2, 0, -2, 0, 0]) == [
        (128, 0, 1),
        (128, 0, 1),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
    ]


def test_current_wraps_and_membrane_saturates_in_a_step():
    # 2^17 << 6 = 2^23 stays; one more sum of 1 << 6 wraps to -2^23 + 64.
    wrapping = hw.Cuba(v_th_mant=hw.NEVER_FIRES, i_decay=0)
    assert trace(wrapping, [1 << 17, 1])[1][0] == -STATE_LIMIT + 64
    # v reaches 2^23 and is held at 2^23 - 1, which a threshold of 131071 << 6 = 2^23 - 64 is below: a spike.
    assert trace(hw.Cuba(v_th_mant=hw.NEVER_FIRES), [1 << 17])[0] == (STATE_LIMIT, 0, 1)
    assert trace(hw.Cuba(v_th_mant=hw.NEVER_FIRES + 1), [1 << 17])[0] == (STATE_LIMIT, STATE_LIMIT - 1, 0)


@given(
    st.lists(st.integers(-(1 << 17), 1 << 17), min_size=1, max_size=8),
    DECAYS,
    DECAYS,
    st.integers(-4096, 4095),
    st.integers(1, hw.NEVER_FIRES),
)
def test_numpy_and_torch_step_alike(sums, i_decay, v_decay, bias, v_th):
    neuron = hw.Cuba(v_th_mant=v_th, i_decay=i_decay, v_decay=v_decay)
    u, v = np.zeros(1, np.int32), np.zeros(1, np.int32)
    tu, tv = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    for a in sums:
        u, v, z = hw.step(u, v, np.array([a], np.int32), np.array([bias], np.int32), neuron)
        tu, tv, tz = hw.step(
            tu, tv, torch.tensor([a], dtype=torch.int32), torch.tensor([bias], dtype=torch.int32), neuron
        )
        assert (u[0], v[0], z[0]) == (tu.item(), tv.item(), tz.item())
        assert u.dtype == v.dtype == np.int32
        assert tu.dtype == tv.dtype == torch.int32

"""The rule for what a stock Lava Dense multiplies by, against a table worked out by hand and seen in running Lava."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from spikeport import hw
from spikeport.export.netx_weights import (
    check_dense_weight,
    check_recurrent_weights,
    effective_dense_weight,
    effective_recurrent_weights,
)

MATRICES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=4)


@pytest.mark.parametrize(
    ("stored", "effective"),
    [
        # Both signs: everything in [-256, 254] is exact, odd numbers too; beyond, clipped.
        ([[1, -1]], [[1, -1]]),
        ([[253, -255]], [[253, -255]]),
        ([[254, -256]], [[254, -256]]),
        ([[300, -1]], [[254, -1]]),
        ([[1, -300]], [[1, -256]]),
        # No negative entry: [0, 255]; from 256 up the left shift becomes negative and everything is lost.
        ([[0, 1]], [[0, 1]]),
        ([[255, 7]], [[255, 7]]),
        ([[256, 7]], [[0, 0]]),
        # No positive entry: netx fills 8 bits up to 256, which Dense clips to 255 and truncates.
        ([[-3, -2]], [[-3, -2]]),
        ([[-255, -1]], [[-255, -1]]),
        ([[-256, -1]], [[-255, -1]]),
        ([[-1, -1]], [[0, 0]]),
        ([[-300, -2]], [[0, 0]]),
        # The same with zeros: netx calls it mixed and leaves room for a sign, Dense does not.
        ([[-3, 0]], [[-3, 0]]),
        ([[-127, 0]], [[-127, 0]]),
        ([[-2, 0]], [[-1, 0]]),
        ([[-64, 0]], [[-32, 0]]),
        ([[-128, 0]], [[-64, 0]]),
        ([[-129, 0]], [[0, 0]]),
    ],
)
def test_effective_weight_by_hand(stored, effective):
    assert effective_dense_weight(np.array(stored)).tolist() == effective


@pytest.mark.parametrize("stored", [[[256, 7]], [[-1, -1]], [[0, -64]], [[300, -1]]])
def test_a_matrix_that_lava_changes_is_refused(stored):
    with pytest.raises(hw.NotRepresentable, match=r"fc: Lava would multiply by .* where weight\[0, [01]\] is"):
        check_dense_weight("fc", np.array(stored))


def test_the_refusal_names_the_first_weight_and_how_many_there_are():
    with pytest.raises(hw.NotRepresentable) as caught:
        check_dense_weight("fc", np.array([[1, -300], [400, 2]]))
    assert "by -256 where weight[0, 1] is -300 (2 of 4 weights differ)" in str(caught.value)


def test_a_matrix_of_zeros_is_refused():
    with pytest.raises(hw.NotRepresentable, match="fc: all weights are zero"):
        check_dense_weight("fc", np.zeros((2, 2), np.int16))


@given(arrays.arrays(np.int16, MATRICES, elements=st.integers(-256, 254)))
def test_mixed_signs_within_eight_bits_are_always_exact(weight):
    both = np.append(weight, np.full((len(weight), 1), 1), axis=1)
    both = np.append(both, np.full((len(weight), 1), -1), axis=1)
    assert np.array_equal(effective_dense_weight(both), both)


@given(arrays.arrays(np.int16, MATRICES, elements=st.integers(0, 255)))
def test_non_negative_weights_within_eight_bits_are_always_exact(weight):
    some = np.append(weight, np.ones((len(weight), 1), np.int16), axis=1)
    assert np.array_equal(effective_dense_weight(some), some)


@given(arrays.arrays(np.int16, MATRICES, elements=st.integers(-400, 0)).filter(lambda weight: weight.any()))
def test_one_negative_sign_is_exact_unless_the_minimum_is_a_power_of_two_or_too_large(weight):
    low = int(weight.min())
    power_of_two = -low & (-low - 1) == 0
    too_large = low < (-128 if (weight == 0).any() else -255)
    exact = np.array_equal(effective_dense_weight(weight), weight)
    assert exact or power_of_two or too_large
    if low < -256:
        assert not exact


@pytest.mark.parametrize(
    ("forward", "loop", "effective"),
    [
        # One fit for both: alone, [-64, 0] would become -32; beside a positive entry it is exact.
        ([[5, 1]], [[-3]], ([[5, 1]], [[-3]])),
        ([[64, 0], [2, 3]], [[-64, 0], [0, -2]], ([[64, 0], [2, 3]], [[-64, 0], [0, -2]])),
        # A matrix of zeros beside another is no obstacle.
        ([[7, -7]], [[0]], ([[7, -7]], [[0]])),
        # The larger one decides the shift, and a one-sided pair beyond 255 is lost altogether.
        ([[1, 2]], [[256]], ([[0, 0]], [[0]])),
        ([[-1, -1]], [[-1]], ([[0, 0]], [[0]])),
        # Both clipped to what 8 bits hold beside the other's sign.
        ([[300, -1]], [[-2, 1]], ([[254, -1]], [[-2, 1]])),
        # Odd weights of both signs above 127 need a ninth bit; a Dense that sees one sign alone shifts by -1, to zero.
        ([[129, 1]], [[-1]], ([[0, 0]], [[0]])),
        ([[130, 2]], [[-2]], ([[130, 2]], [[-2]])),
    ],
)
def test_effective_weights_of_a_recurrent_layer_by_hand(forward, loop, effective):
    found = effective_recurrent_weights(np.array(forward), np.array(loop))
    assert tuple(part.tolist() for part in found) == effective


def test_delays_leave_the_weights_of_a_recurrent_layer_shifted():
    forward, loop = effective_recurrent_weights(np.array([[3]]), np.array([[-2]]), delayed=True)
    assert (forward.tolist(), loop.tolist()) == ([[192]], [[-128]])  # 127 / 3 has room for 5 doublings, and the sign's
    full = effective_recurrent_weights(np.array([[200]]), np.array([[-2]]), delayed=True)
    assert [part.tolist() for part in full] == [[[200]], [[-2]]]


@pytest.mark.parametrize(
    ("forward", "loop", "delayed", "match"),
    [
        ([[256, 7]], [[1]], False, r"by 0 where weight\[0, 0\] is 256 \(2 of 2"),
        ([[1, -7]], [[-300]], False, r"by 0 where weight_rec\[0, 0\] is -300 \(1 of 1"),
        ([[0]], [[0]], False, "fc: all weights are zero"),
        ([[3]], [[-2]], True, r"never shifted back, and its largest weight is 3, .* largest is in 128\.\.254"),
    ],
)
def test_recurrent_matrices_that_lava_changes_are_refused(forward, loop, delayed, match):
    with pytest.raises(hw.NotRepresentable, match=match):
        check_recurrent_weights("fc", np.array(forward), np.array(loop), delayed=delayed)


@given(arrays.arrays(np.int16, MATRICES, elements=st.integers(-256, 254)), st.integers(0, 2**32 - 1))
def test_recurrent_pairs_of_both_signs_within_eight_bits_are_always_exact(weight, seed):
    loop = np.random.default_rng(seed).integers(-256, 255, (len(weight), len(weight)))
    signs = np.tile([[1, -1]], (len(weight), 1))
    both, back_and_forth = np.append(weight, signs, axis=1), np.append(loop, signs, axis=1)
    found = effective_recurrent_weights(both, back_and_forth)
    assert np.array_equal(found[0], both)
    assert np.array_equal(found[1], back_and_forth)

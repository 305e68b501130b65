from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.export.floatgraph import Affine, Conv, Flatten, GlobalAverage, Linear, Pool
from spikeport.hw import BadInput
from spikeport.pipeline.adopt.evaluate import apply
from spikeport.pipeline.adopt.fold_maps import CannotFold, compose, reduce_chain

SIZES = st.integers(3, 11)
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convs(draw, channels: int) -> Conv:
    groups = draw(st.sampled_from([g for g in (1, 2, 4) if channels % g == 0]))
    out = groups * draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weight = rng.normal(size=(out, channels // groups, *draw(PAIR)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    return Conv(weight=weight, stride=draw(PAIR), padding=padding, dilation=draw(PAIR), groups=groups)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_two_convolutions_are_composed_exactly_or_refused(data):
    shape = (4, data.draw(SIZES), data.draw(SIZES))
    inner = data.draw(convs(4))
    outer = data.draw(convs(len(inner.weight)))
    x = torch.randn(1, *shape, dtype=torch.float64)
    try:
        joint = compose(inner, outer, shape)
    except (BadInput, CannotFold):
        return
    wanted = apply(outer, [apply(inner, [x])])
    torch.testing.assert_close(apply(joint, [x]), wanted, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_without_outer_padding_two_convolutions_always_compose(data):
    shape = (2, data.draw(SIZES), data.draw(SIZES))
    inner = data.draw(convs(2))
    drawn = data.draw(convs(len(inner.weight)))
    outer = Conv(weight=drawn.weight, stride=drawn.stride, dilation=drawn.dilation, groups=drawn.groups)
    try:
        between = apply(inner, [torch.zeros(1, *shape, dtype=torch.float64)])
        apply(outer, [between])
    except RuntimeError:  # a kernel larger than its input
        return
    assert compose(inner, outer, shape).weight.shape[0] == len(outer.weight)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_chain_that_ends_flat_becomes_the_matrix_of_its_values(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = (2, data.draw(st.integers(4, 7)), data.draw(st.integers(4, 7)))
    conv = Conv(weight=rng.normal(size=(4, 1, 2, 2)), stride=data.draw(PAIR), padding=(1, 0), groups=2)
    pool = Pool(kind=data.draw(st.sampled_from(["average", "sum"])), kernel=(1, 2), stride=(2, 1))
    scale = Affine(scale=rng.normal(size=4), shift=np.zeros(4))
    maps = [conv, scale, pool, data.draw(st.sampled_from([Flatten(), GlobalAverage()]))]
    x = torch.randn(2, *shape, dtype=torch.float64)
    wanted = x
    try:
        for step in maps:
            wanted = apply(step, [wanted])
        found = reduce_chain(maps, shape)
    except (RuntimeError, BadInput):  # a window larger than its input
        return
    assert isinstance(found, Linear)
    torch.testing.assert_close(apply(found, [x]), wanted, rtol=1e-10, atol=1e-10)


def test_the_kernel_of_a_pool_and_a_convolution_has_the_known_size():
    pool = Conv(weight=np.full((1, 1, 3, 3), 1 / 9), stride=(2, 2))
    joint = compose(pool, Conv(weight=np.ones((1, 1, 3, 3))), (1, 11, 11))
    assert joint.weight.shape == (1, 1, 7, 7)  # p + s (K - 1)
    assert joint.stride == (2, 2)
    assert joint.weight.sum() == pytest.approx(9)  # 9 taps, each an average


def test_two_dilated_kernels_share_their_dilation():
    inner = Conv(weight=np.ones((1, 1, 3, 3)), dilation=(2, 2))
    joint = compose(inner, inner, (1, 12, 12))
    assert joint.weight.shape == (1, 1, 5, 5)
    assert joint.dilation == (2, 2)


def test_groups_are_kept_where_both_maps_have_them():
    depthwise = Conv(weight=np.ones((4, 1, 2, 2)), groups=4)
    assert compose(depthwise, depthwise, (4, 8, 8)).groups == 4
    assert compose(depthwise, Conv(weight=np.ones((4, 2, 1, 1)), groups=2), (4, 8, 8)).groups == 2


def test_a_kernel_too_large_to_write_down_is_refused():
    pool = Conv(weight=np.ones((1, 1, 2000, 2000)))
    with pytest.raises(CannotFold, match="composed, its kernel would be 3999 x 3999"):
        compose(pool, pool, (1, 4000, 4000))


def test_identities_and_uniform_scales_stay_one_to_one():
    half = Affine(scale=np.full(3, 0.5), shift=np.zeros(3))
    assert reduce_chain([], (3, 4, 4)).scale == 1.0
    assert reduce_chain([half, half], (3, 4, 4)).scale == 0.25


def test_a_matrix_behind_a_flatten_is_left_as_it_is():
    weight = np.random.default_rng(0).normal(size=(2, 12))
    one = Pool(kind="average", kernel=(1, 1), stride=(1, 1))
    assert np.array_equal(reduce_chain([one, Flatten(), Linear(weight=weight)], (3, 2, 2)).weight, weight)

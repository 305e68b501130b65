"""Joined kernels read what the single ones read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport.export.lowering_geometry import Hop, joint_geometry
from spikeport.hw import Conv, UnsupportedLayer

SIZES = st.integers(1, 12)


@given(SIZES, st.integers(1, 3), SIZES, st.integers(1, 3), SIZES, st.integers(-6, 6))
def test_a_landing_is_the_position_that_is_read_or_padding(size, stride, held, step, outputs, offset):
    hop = Hop(size=size, stride=stride, held=held, step=step, outputs=outputs)
    population = np.arange(1, size + 1)
    wanted = [stride * step * o + offset for o in range(outputs)]
    expected = [population[p] if 0 <= p < size else 0 for p in wanted]
    try:
        landing = hop.landing(offset)
    except ValueError:
        inside = [p for p in wanted if 0 <= p < size]
        assert max(inside) - min(inside) > stride * (held - 1) or min(inside) - stride * (held - 1) > 0
        return
    if landing is None:
        assert not any(expected)
        return
    phase, shift = landing
    places = [stride * i + phase for i in range(held)]
    view = [population[p] if p < size else 0 for p in places]
    read = [step * o + shift for o in range(outputs)]
    assert [view[r] if 0 <= r < held else 0 for r in read] == expected


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=4), st.integers(1, 14), st.integers(1, 3), st.integers(1, 14))
def test_the_joint_kernel_has_a_tap_on_every_shift_and_the_targets_size(shifts, size, stride, outputs):
    source, target = (1, size, size), (1, outputs, outputs)
    try:
        geometry = joint_geometry("b", (stride, stride), [(s, 0) for s in shifts], source, target, [], 15)
    except UnsupportedLayer:
        return
    weight = np.ones((1, 1, *geometry.kernel))
    link = Conv(
        source="a",
        target="b",
        weight=weight.astype(int),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )
    assert link.out_shape(source) == target
    for shift in shifts:
        row, column = geometry.tap((shift, 0))
        assert row * geometry.dilation[0] - geometry.padding[0] == shift
        assert column * geometry.dilation[1] - geometry.padding[1] == 0
        assert 0 <= row < geometry.kernel[0]
        assert 0 <= column < geometry.kernel[1]


def known(kernel: int, padding: int, dilation: int = 1) -> Conv:
    return Conv(
        source="a",
        target="b",
        weight=np.ones((1, 1, kernel, kernel), int),
        padding=(padding, padding),
        dilation=(dilation, dilation),
    )


def test_a_given_geometry_that_serves_is_kept_and_one_that_does_not_is_replaced():
    shape = (1, 9, 9)
    kept = joint_geometry("b", (1, 1), [(0, 0)], shape, shape, [known(5, 2)], 127)
    assert (kept.kernel, kept.padding) == ((5, 5), (2, 2))
    wider = joint_geometry("b", (1, 1), [(-2, 0), (2, 0)], shape, shape, [known(3, 1)], 127)
    assert (wider.kernel, wider.padding, wider.dilation) == ((2, 3), (2, 1), (4, 1))  # two taps 4 apart, as given
    with pytest.raises(UnsupportedLayer, match="b: no kernel of stride 1 and size 3 at most"):
        joint_geometry("b", (1, 1), [(-2, 0), (-1, 0), (2, 0)], shape, shape, [], 3)

"""Arrays as members of a capsule: what is written comes back, and nothing else is read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from spikeport.hw import BadInput, Source
from spikeport.pipeline.capsule import arrays

SHAPES = arrays_of.array_shapes(max_dims=4, max_side=7)
BITS = SHAPES.flatmap(lambda shape: arrays_of.arrays(np.uint8, shape, elements=st.integers(0, 1)))


@given(BITS)
def test_bits_come_back(values):
    found = arrays.from_bits(arrays.to_bits(values), values.shape, "x")
    assert found.dtype == np.uint8
    assert np.array_equal(found, values)


@given(BITS)
def test_bits_are_eight_to_a_byte(values):
    packed = np.load(io.BytesIO(arrays.to_bits(values)))
    assert packed.nbytes == -(-values.size // 8)
    assert [byte >> (7 - i) & 1 for byte in packed.tolist() for i in range(8)][: values.size] == values.ravel().tolist()


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        (Source(payload_bits=1), np.uint8),
        (Source(payload_bits=8), np.uint8),
        (Source(payload_bits=8, signed=True), np.int8),
        (Source(payload_bits=9), np.uint16),
        (Source(payload_bits=16, signed=True), np.int16),
        (Source(payload_bits=24), np.int32),
    ],
)
def test_a_payload_is_kept_in_the_smallest_integers_that_hold_its_range(source, dtype):
    values = np.array([[source.min_payload, source.max_payload, 0]], np.int32)
    content = arrays.payload_to_npy(values, source)
    assert np.load(io.BytesIO(content)).dtype == dtype
    found = arrays.payload_from_npy(content, values.shape, source, "x")
    assert found.dtype == np.int32
    assert np.array_equal(found, values)


def test_binary_payloads_are_kept_as_bits():
    values = np.eye(8, dtype=np.int32)
    content = arrays.payload_to_npy(values, Source())
    assert np.load(io.BytesIO(content)).nbytes == 8
    assert np.array_equal(arrays.payload_from_npy(content, (8, 8), Source(), "x"), values)


@given(SHAPES)
def test_hashes_do_not_depend_on_type_or_layout(shape):
    values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    assert arrays.of_payload(values) == arrays.of_payload(np.asfortranarray(values.astype(">i8")))
    assert arrays.of_spikes(values % 2) == arrays.of_spikes(np.asfortranarray(values % 2 == 1))


def saved(values: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, **options)
    return buffer.getvalue()


GOOD = arrays.to_npy(np.arange(6, dtype=np.int64).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.zeros((3, 2), np.int64)), r"holds int64 \(3, 2\), the capsule says int64 \(2, 3\)"),
        (saved(np.zeros((2, 3), np.int32)), "holds int32"),
        (saved(np.zeros((2, 3), ">i8")), "holds >i8"),
        (saved(np.asfortranarray(np.ones((2, 3), np.int64))), "Fortran order"),
        (saved(np.array([None] * 6).reshape(2, 3)), "holds object"),
        (saved(np.zeros((2, 3), np.int64), version=(2, 0)), "not of version 1.0"),
        (GOOD + b"\0", "cut short or has bytes behind"),
        (GOOD[:-1], "cut short or has bytes behind"),
        (GOOD[:40], "not a readable .npy file"),
        (b"", "not a readable .npy file"),
    ],
)
def test_an_array_that_is_not_what_the_capsule_says_is_refused(content, message):
    with pytest.raises(BadInput, match=message):
        arrays.from_npy(content, (2, 3), np.dtype("<i8"), "x.zip: golden/readouts.npy")


def test_a_forged_shape_allocates_nothing():
    forged = GOOD.replace(b"(2, 3)", b"(9**9,"[:6])
    with pytest.raises(BadInput, match="not a readable"):
        arrays.from_npy(forged, (2, 3), np.dtype("<i8"), "x")
    with pytest.raises(BadInput, match="says uint8"):
        arrays.from_bits(arrays.to_bits(np.ones(3)), (10**15,), "x")


def test_bits_behind_the_last_value_are_refused():
    content = bytearray(arrays.to_bits(np.ones(11)))
    assert content[-1] == 0b11100000
    content[-1] |= 1
    with pytest.raises(BadInput, match="bits are set behind the last of 11 values"):
        arrays.from_bits(bytes(content), (11,), "x")

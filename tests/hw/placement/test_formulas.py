"""The published formulas of synaptic memory and axon tables, against the numbers they are known to give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeport import hw
from spikeport.hw.placement import loihi2, nengo, nxtf
from spikeport.hw.placement.taps import Axis
from spikeport.hw.placement.weights import loihi1_bits, needed_bits, weight_bits

KEYS = ("in_shape", "kernel", "stride", "same", "core", "input_axons", "synapses")
NXTF_PARTITIONS = [  # of NxTF's own unit tests, with two filters, rows x columns x channels
    ((7, 7, 2), 3, 1, False, (5, 5), 14, 900),
    ((32, 32, 3), 3, 1, False, (30, 10), 108, 29160),
    ((32, 32, 3), 3, 2, False, (10, 5), 198, 4050),
    ((27, 26, 2), 1, 2, False, (7, 13), 52, 56),
    ((32, 30, 2), 2, 2, False, (16, 5), 60, 768),
    ((30, 35, 2), 3, 2, True, (8, 9), 144, 1408),
    ((20, 25, 2), 3, 2, True, (6, 9), 104, 928),
    ((30, 35, 2), 3, 2, True, (15, 10), 72, 1408),
    ((30, 35, 2), 3, 2, True, (6, 9), 216, 1408),  # published with filled gaps: the axons alone are
]


@pytest.mark.parametrize(
    ("n", "bits"),
    [(1, 64), (6, 64), (7, 128), (10, 128), (64, 576), (65, 640), (100, 896), (128, 1152), (150, 1344), (256, 2304),
     (1024, 9216)],
)  # fmt: skip
def test_a_dense_axon_of_nengo_takes_whole_words(n, bits):
    """N-M-1."""
    assert nengo.bits_per_axon(n) == bits


@pytest.mark.parametrize(("n", "bits"), [(10, 192), (25, 512), (64, 1216), (1024, 19456)])
def test_a_sparse_axon_of_nengo_stores_an_index_per_synapse(n, bits):
    """N-M-1."""
    assert nengo.bits_per_axon(n, encoding="sparse", index_bits=10) == bits


def test_nengos_delays_and_tags_widen_every_synapse():
    assert nengo.bits_per_axon(64, delay_bits=3, tag_bits=2) == 64 * 14  # 64 * 13 + 10 bits, rounded up to words


@pytest.mark.parametrize(
    ("n_in", "n_out", "words", "cores"),
    [(784, 128, 14112, 1), (784, 150, 1053696 // 64, 2), (1024, 100, 14336, 1), (256, 512, 18432, 2)],
)
def test_nengo_cuts_a_matrix_that_exceeds_the_memory_of_a_core(n_in, n_out, words, cores):
    """N-M-2."""
    bits = n_in * nengo.bits_per_axon(n_out)
    assert bits == words * 64
    assert nengo.cores_needed(n_out, n_in, 0, bits) == cores


@pytest.mark.parametrize(("amounts", "cores"), [((1025, 1, 1, 1), 2), ((1, 8193, 1, 1), 3), ((1, 1, 4097, 1), 2)])
def test_nengo_cuts_by_whatever_is_fullest(amounts, cores):
    assert nengo.cores_needed(*amounts) == cores


@pytest.mark.parametrize(
    ("indices", "encoding", "most", "bits"),
    [
        ([0, 5, 6, 11], "sparse", 60, [10 + 4 * (8 + 6)]),
        ([0, 5, 6, 11], "sparse", 2, [38, 38]),
        ([100, 105, 106, 111], "runlength", 60, [17 + 4 * (8 + 3)]),
        ([100, 105, 106, 111], "runlength", 2, [39, 39]),
        ([200, 205, 206, 211], "dense2", 60, [18 + 12 * 8]),
        ([200, 205, 206, 211], "dense1", 2, [26, 34, 26]),
    ],
)
def test_an_entry_of_nxtf_has_the_bits_its_unit_tests_name(indices, encoding, most, bits):
    """N-M-3."""
    assert nxtf.entries(indices, encoding, most=most) == bits


def test_a_run_of_nxtf_ends_where_a_step_exceeds_31():
    assert len(nxtf.entries([0, 31], "runlength")) == 1
    assert len(nxtf.entries([0, 32], "runlength")) == 2


def test_dense_entries_with_filled_gaps_span_at_most_60_compartments():
    assert len(nxtf.entries([0, 59], "dense2")) == 1
    assert len(nxtf.entries([0, 60], "dense2")) == 2


@given(st.sets(st.integers(0, 1023), min_size=1), st.sampled_from(["sparse", "runlength", "dense1"]))
def test_no_synapse_is_lost_between_the_entries(indices, encoding):
    places = sorted(indices)
    chunks = list(nxtf._chunks(np.array(places), encoding, nxtf.SYNAPSES_PER_ENTRY))
    assert np.concatenate(chunks).tolist() == places
    assert max(map(len, chunks)) <= nxtf.SYNAPSES_PER_ENTRY


def test_a_full_last_word_of_nxtf_needs_a_guard_word():
    """N-M-4."""
    assert nxtf.dense_words(6) == 2  # 10 + 6 + 6 * 8 = 64 bits
    assert [nxtf.words(bits) for bits in (0, 1, 58, 59, 64, 65, 128)] == [0, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize(("n", "words"), [(10, 2), (60, 8), (100, 14), (128, 17), (256, 34), (1024, 134)])
def test_a_dense_row_of_nxtf(n, words):
    """N-M-4."""
    assert nxtf.dense_words(n) == words


def test_neurons_that_share_an_axon_have_lists_of_one_length():
    assert nxtf.group_words([10, 200, 0]) == 3 * 4


@pytest.mark.parametrize(
    ("multiplicity", "off_chip", "entries"),
    [([1] * 32, False, 2), ([2] * 32, False, 32), ([1] * 10 + [2] * 5, True, 3 + 2 * 5)],
)
def test_output_axon_entries_of_nxtf(multiplicity, off_chip, entries):
    """N-M-6."""
    assert nxtf.output_axon_entries(multiplicity, off_chip=off_chip) == entries


def keras_padding(size: int, kernel: int, stride: int, *, same: bool) -> tuple[int, int]:
    """(zeros in front, outputs): the layers of NxTF are Keras layers."""
    if not same:
        return 0, (size - kernel) // stride + 1
    outputs = -(-size // stride)
    return int((stride * (outputs - 1) + kernel - size) / 2), outputs


@pytest.mark.parametrize(KEYS, NXTF_PARTITIONS)
def test_shared_axons_and_stored_synapses_are_those_of_nxtfs_partitions(
    in_shape, kernel, stride, same, core, input_axons, synapses
):
    """N-M-5: what does not depend on its random weights and on how gaps are filled."""
    before, outputs = zip(*(keras_padding(n, kernel, stride, same=same) for n in in_shape[:2]), strict=True)
    axons = stored = 0
    for top in range(0, outputs[0], core[0]):
        for left in range(0, outputs[1], core[1]):
            rows, columns = (
                Axis(
                    in_size=in_shape[i],
                    start=start,
                    stop=min(start + core[i], outputs[i]),
                    kernel=kernel,
                    stride=stride,
                    before=before[i],
                )
                for i, start in enumerate((top, left))
            )
            axons += in_shape[2] * int(columns.reached.sum())  # every neuron is sent to one core: all axons are shared
            stored += 2 * in_shape[2] * int(rows.fan_out.sum()) * sum(map(len, columns.runs.patterns))
    assert (axons, stored) == (input_axons, synapses)


def test_runs_of_a_wide_kernel_repeat_every_third_column():
    columns = Axis(in_size=12, start=0, stop=10, kernel=3, stride=1, before=0)
    assert columns.runs.sizes == (1, 3, 3, 3)
    assert len(columns.runs.patterns) == 2 + 4 + 2  # the borders, and of 8 inner columns those of 4 places


@pytest.mark.parametrize(
    ("weight", "bits"),
    [([-256, 254], 8), ([0, 255], 8), ([-255, 0], 8), ([-2, 2], 2), ([-4, 2], 2), ([0, 0], 0), ([4, 8, 12], 2),
     ([-10, 9], 5), ([1], 1), ([-255, -1], 8), ([-128, 127], 8), ([-129, 3], 9), ([-1, 1], 2), ([64, 0], 1)],
)  # fmt: skip
def test_a_weight_takes_the_bits_of_its_range_without_the_zeros_all_share(weight, bits):
    assert needed_bits(np.array(weight)) == bits


def test_a_synapse_on_a_core_takes_one_bit_at_least():
    zeros = hw.Dense(source="a", target="b", weight=np.zeros((2, 3), np.int16))
    assert weight_bits(zeros, {}) == 1
    assert weight_bits(zeros, {zeros: 3}) == 3


def test_loihi_1_has_no_format_of_7_bits():
    assert [loihi1_bits(n) for n in (1, 6, 7, 8, 9)] == [1, 6, 8, 8, 8]


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "weight_bits", "words"),
    [(3, 24, 8, 81), (24, 36, 7, 864), (36, 48, 6, 1620), (48, 64, 6, 2592), (48, 64, 5, 2160), (64, 64, 5, 2880)],
)
def test_a_kernel_is_stored_once_on_a_core_of_loihi_2(in_channels, out_channels, weight_bits, words):
    """N-M-7."""
    assert loihi2.conv_words(in_channels, 9, out_channels, weight_bits) == words


@pytest.mark.parametrize(
    ("n_in", "n_out", "weight_bits", "words"),
    [(2560, 100, 8, 66560), (2560, 100, 7, 61440), (2560, 17, 8, 12800), (100, 50, 8, 1300), (50, 10, 8, 150),
     (10, 1, 8, 10)],
)  # fmt: skip
def test_a_fully_connected_layer_takes_the_words_intels_compiler_allocated(n_in, n_out, weight_bits, words):
    assert n_in * loihi2.axon_words(n_out, weight_bits) == words

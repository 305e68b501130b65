from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import CHIPS, BadInput
from spikeport.models.datasets import Images, batches, decode_payload, fingerprint, split
from spikeport.models.datasets.images import PAYLOAD_BITS_MAX


def ramp(levels=255, n=1):
    """n equal images that hold every value 0..levels once. (n, 1, 1, levels + 1)."""
    row = torch.arange(levels + 1).to(torch.uint8)
    return Images(x=row.expand(n, 1, 1, -1).contiguous(), y=torch.zeros(n, dtype=torch.int64), levels=levels)


def numbered(n):
    """n one-pixel images, image i with label i."""
    return Images(x=(torch.arange(n) % 256).to(torch.uint8).reshape(n, 1, 1, 1), y=torch.arange(n))


def test_floats_are_x_over_levels():
    assert ramp(16).floats().flatten().tolist() == [value / 16 for value in range(17)]
    floats = ramp(255).floats(torch.tensor([0]))
    assert floats.dtype == torch.float32
    assert floats.min() == 0.0
    assert floats.max() == 1.0


@given(levels=st.integers(1, 255), bits=st.integers(1, PAYLOAD_BITS_MAX))
def test_payload_is_the_exact_rounding_with_halves_away_from_zero(levels, bits):
    top = 2**bits - 1
    # The obvious twin: exact fractions; floor(q + 1/2) rounds halves up, which is away from zero for q >= 0.
    expected = [(Fraction(value, levels) * top + Fraction(1, 2)).__floor__() for value in range(levels + 1)]
    payload = ramp(levels).payload(bits=bits)
    assert payload.dtype == torch.int32
    assert payload.flatten().tolist() == expected


def test_a_half_is_rounded_away_from_zero():
    # 8 of 16 levels, 1 bit: 0.5 -> 1. Banker's rounding would give 0.
    assert ramp(16).payload(bits=1).flatten().tolist() == [0] * 8 + [1] * 9


def test_eight_bits_of_an_eight_bit_image_are_the_image():
    images = ramp(255)
    assert torch.equal(images.payload(bits=8), images.x.to(torch.int32))


@given(levels=st.integers(1, 255), bits=st.integers(1, PAYLOAD_BITS_MAX))
def test_a_decoded_payload_is_within_half_a_step_of_the_float(levels, bits):
    images = ramp(levels)
    error = (decode_payload(images.payload(bits=bits), bits) - images.floats()).abs().max().item()
    assert error <= 0.5 / (2**bits - 1) + 1e-7  # 1e-7: two float32 roundings of numbers up to 1


def test_the_largest_payload_decodes_to_one():
    for bits in (1, 4, 8, 16):
        assert decode_payload(torch.tensor(2**bits - 1), bits) == 1.0


@pytest.mark.parametrize("bits", [0, -1, PAYLOAD_BITS_MAX + 1])
def test_a_payload_of_impossible_width_is_refused(bits):
    with pytest.raises(BadInput, match=rf"payload: {bits} bits; a graded spike carries 1..16"):
        ramp().payload(bits=bits)
    with pytest.raises(BadInput, match="graded spike"):
        decode_payload(torch.tensor(1), bits)


def test_the_widest_payload_is_the_widest_of_any_chip():
    assert max(chip.payload_bits_max for chip in CHIPS.values()) == PAYLOAD_BITS_MAX


def test_index_selects_images_in_its_order():
    images = numbered(10)
    index = torch.tensor([7, 2])
    assert images.floats(index).flatten().tolist() == pytest.approx([7 / 255, 2 / 255])
    assert images.payload(index, bits=8).flatten().tolist() == [7, 2]
    assert images.subset(index).y.tolist() == [7, 2]
    assert images.subset(slice(3, 5)).y.tolist() == [3, 4]
    assert images.subset(images.y > 7).y.tolist() == [8, 9]
    assert len(images.subset(index)) == 2


def test_images_know_their_shape():
    images = Images(x=torch.zeros(2, 3, 4, 5, dtype=torch.uint8), y=torch.zeros(2, dtype=torch.int64))
    assert images.shape == (3, 4, 5)
    assert len(images) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 1, 1, 1)}, "x is torch.float32"),
        ({"x": torch.zeros(2, 1, 1, dtype=torch.uint8)}, r"shape \(N, C, H, W\)"),
        ({"y": torch.zeros(2)}, "y is torch.float32"),
        ({"y": torch.zeros(3, dtype=torch.int64)}, r"give int64 \(2,\)"),
        ({"y": torch.tensor([0, -1])}, "label -1 is negative"),
        ({"levels": 0}, "levels is 0"),
        ({"levels": 256}, "levels is 256"),
        ({"x": torch.full((2, 1, 1, 1), 17, dtype=torch.uint8), "levels": 16}, "x reaches 17, above levels = 16"),
    ],
)
def test_images_refuse_what_is_not_an_image_set(change, message):
    good = {"x": torch.zeros(2, 1, 1, 1, dtype=torch.uint8), "y": torch.zeros(2, dtype=torch.int64), "levels": 255}
    Images(**good)
    with pytest.raises(BadInput, match=message):
        Images(**(good | change))


def test_fingerprint_tells_any_change_apart():
    a = numbered(6)
    bright = a.x.clone()
    bright[3] += 1
    labelled_anew = a.y.clone()
    labelled_anew[3] += 1
    others = [
        Images(x=bright, y=a.y),
        Images(x=a.x, y=labelled_anew),
        Images(x=a.x, y=a.y, levels=254),
        Images(x=a.x.reshape(6, 1, 1, 1).expand(6, 1, 1, 2).contiguous(), y=a.y),
        a.subset(torch.tensor([1, 0, 2, 3, 4, 5])),
        a.subset(slice(0, 5)),
    ]
    prints = {fingerprint(images) for images in [a, *others]}
    assert len(prints) == 1 + len(others)


def test_fingerprint_depends_on_contents_alone():
    a = numbered(6)
    backwards = torch.arange(5, -1, -1)
    assert fingerprint(a.subset(backwards).subset(backwards)) == fingerprint(a)
    # The same numbers behind another memory layout.
    strided = Images(x=a.x.expand(6, 1, 1, 4)[..., ::2], y=a.y)
    assert not strided.x.is_contiguous()
    assert fingerprint(strided) == fingerprint(Images(x=strided.x.contiguous(), y=a.y))


@given(n=st.integers(2, 60), seed=st.integers(0, 2**31), data=st.data())
def test_split_shares_out_the_training_set(n, seed, data):
    validation = data.draw(st.integers(1, n - 1))
    train, held_out = split(numbered(n), validation, seed)
    assert len(held_out) == validation
    assert sorted(train.y.tolist() + held_out.y.tolist()) == list(range(n))  # disjoint and complete


def test_split_is_decided_by_the_seed():
    images = numbered(50)
    first, again, other = (split(images, 10, seed)[1].y.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_limit_takes_the_first_of_the_rest_and_leaves_the_validation_set():
    images = numbered(50)
    everything, held_out = split(images, 10, seed=3)
    few, same_held_out = split(images, 10, seed=3, limit=7)
    assert few.y.tolist() == everything.y.tolist()[:7]
    assert same_held_out.y.tolist() == held_out.y.tolist()
    assert len(split(images, 10, seed=3, limit=40)[0]) == 40


@pytest.mark.parametrize("validation", [-1, 0, 50, 51])
def test_split_refuses_an_impossible_validation_size(validation):
    with pytest.raises(BadInput, match=rf"validation is {validation}, of 50 training images; hold out 1..49"):
        split(numbered(50), validation, seed=0)


@pytest.mark.parametrize("limit", [-1, 0, 41])
def test_split_refuses_an_impossible_limit(limit):
    with pytest.raises(BadInput, match=rf"limit is {limit}, but 40 of 50 .* give 1..40"):
        split(numbered(50), 10, seed=0, limit=limit)


def test_batches_in_order_keep_the_short_last_one():
    assert [index.tolist() for index in batches(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [index.tolist() for index in batches(7, 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert [index.tolist() for index in batches(6, 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]


def test_shuffled_batches_visit_every_image_once():
    index = torch.cat(list(batches(1000, 64, torch.Generator().manual_seed(0))))
    assert index.tolist() != list(range(1000))
    assert sorted(index.tolist()) == list(range(1000))


def test_shuffling_is_decided_by_the_generator_and_advances_it():
    generator = torch.Generator().manual_seed(5)
    first, second = ([index.tolist() for index in batches(20, 6, generator)] for _ in range(2))
    again = [index.tolist() for index in batches(20, 6, torch.Generator().manual_seed(5))]
    assert first == again
    assert first != second


@pytest.mark.parametrize(("n", "size"), [(0, 4), (4, 0), (-1, 4)])
def test_batches_of_nothing_are_refused_at_the_call(n, size):
    with pytest.raises(BadInput, match=f"n is {n} and size is {size}"):
        batches(n, size)


def test_dropping_the_only_batch_is_refused():
    with pytest.raises(BadInput, match="3 images make no full batch of 4"):
        batches(3, 4, drop_last=True)
